"""The ordering network: what it learns from, and which of its answers are heard."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from baselines.sims.networks import OrderingNetwork, initialize
from baselines.sims.ordering import draw_pair, margin_that_pays
from baselines.sims.segments import Segments
from baselines.sims.settings import OrderingSettings
from bench.sims.bank import Bank, open_bank
from bench.sims.fronts import known_pairs, learned_segments
from bench.sims.learning import Learning, device_of, learn, pictures_called, read_trained
from bench.sims.stage import (
    Progress,
    Record,
    Stage,
    StageError,
    load_arrays,
    run_stage,
    save_arrays,
)
from bench.sims.supervision import TOLD, Source, Supervision
from bench.sims.workspace import Workspace

PAIRS_FILE = "pairs.npz"
HEARD_FILE = "heard.npz"
NETWORK_FOLDER = "ordering-network"
METHOD = "pairs of small segments too, mirrored at random, drawn by weight; heard where it beats the sizes"
"""Of the training; another one's networks are not taken for this one's."""
MIRRORED_SHARE = 0.5
"""Of the training pairs: seen in a mirror (reconstruction)."""
LEAST_DRAWS = 10
"""A pair of classes that the training draws less often, by its weights, counts as never told (reconstruction)."""
HELD_BACK_SHARE, MOST_HELD_BACK = 1 / 5, 100
"""Of the training pictures, and how many at most: they tell from which margin on the network is heard
(reconstruction)."""
_STREAM, _HELD_BACK_STREAM = 0x0BDE, 0x0BE0


def train_order(
    workspace: Workspace,
    learning: Learning,
    *,
    width: int = 64,
    source: Source | None = None,
    disparity: Path | None = None,
    leave_out: Sequence[str] = (),
    device: str = "auto",
    again: bool = False,
    progress: Progress = lambda *_: None,
) -> tuple[Record, bool]:
    """Train the ordering network on the training split's neighbours. Returns (record, whether it had to be trained).

    A step has one pair, drawn by its weight (``known_pairs``), half of them mirrored. The pairs of classes that it was
    told about are kept (``told_pairs``): what the network says of others is noise. Some pictures are held back; they
    tell from which margin on it is heard (``margin_that_pays``), if at all. Nothing of the training pictures
    ``leave_out`` (sample ids) is seen. ``source`` is by default the disparity where there is any, else the canvas.
    Raises StageError for an id that is not there.
    """
    bank, bank_record = open_bank(workspace)
    left_out = pictures_called(bank.ids, leave_out)
    classes = workspace.classes
    source = source or ("disparity" if disparity is not None else "canvas")
    supervision = Supervision(source=source, classes=classes, disparity=disparity)
    settings = OrderingSettings(classes=classes.count, width=width)
    where = device_of(device)
    stage = _stage(workspace, bank_record, supervision, settings, learning, leave_out)

    def work() -> Mapping[str, Any]:
        train = workspace.open("train")
        kept = stage.folder / PAIRS_FILE
        known, weights = known_pairs(workspace, bank, train, supervision, left_out, kept, progress)
        back = held_back(np.setdiff1d(np.arange(workspace.count(train)), left_out))
        learned = ~np.isin(known[:, 0], back)
        pairs, up_to = known[learned], weights[learned].cumsum()
        _check_told(pairs, stage.folder, source)
        network = OrderingNetwork(settings)
        initialize(network, learning.seed)

        def losses(step: int) -> dict[str, Tensor]:
            rng = np.random.default_rng((_STREAM, learning.seed, step))
            drawn, wanted = _example(workspace, bank, pairs[drawn_by(up_to, rng)], rng, where)
            return {"cross_entropy": F.cross_entropy(network(drawn), wanted)}

        identity = stage.identity(leave_out=("steps",))
        means = learn(stage.folder, network, losses, learning, identity=identity, device=where, progress=progress)
        told = told_pairs(pairs, weights[learned], learning.steps)
        margin, heard = _heard_from(workspace, bank, network.eval(), known[~learned], told, where)
        save_arrays(stage.folder / HEARD_FILE, {"told": told, "margin": np.array(margin)})
        learned_from = {"pairs": len(pairs), "pairs_of_classes": len(told), "supervision": TOLD[source]}
        count = sum(p.numel() for p in network.parameters())
        return {"parameters": count, **learned_from, **means, "pictures_held_back": len(back), **heard}

    return run_stage(stage, work, again=again)


def _stage(
    workspace: Workspace,
    bank: Record,
    supervision: Supervision,
    settings: OrderingSettings,
    learning: Learning,
    leave_out: Sequence[str],
) -> Stage:
    return Stage(
        name="train-order",
        folder=workspace.place(NETWORK_FOLDER),
        settings={
            "method": METHOD,
            "network": asdict(settings),
            "supervision": supervision.source,
            "disparity": str(supervision.disparity) if supervision.disparity else None,
            "leave_out": sorted(leave_out),
            **asdict(learning),
        },
        inputs={"bank": bank.content, **supervision.inputs},
        growing=("steps",),
    )


def held_back(pictures: NDArray[np.int64]) -> NDArray[np.int64]:
    """Those of the training's pictures that it does not learn from; none of a single one."""
    count = min(max(1, round(HELD_BACK_SHARE * len(pictures))), MOST_HELD_BACK, len(pictures) - 1)
    rng = np.random.default_rng((_HELD_BACK_STREAM, len(pictures)))
    return np.sort(rng.permutation(pictures)[: max(0, count)])


def _heard_from(
    workspace: Workspace,
    bank: Bank,
    network: OrderingNetwork,
    pairs: NDArray[np.int64],
    told: NDArray[np.int64],
    device: torch.device,
) -> tuple[float, dict[str, Any]]:
    """From which margin on the network is heard, and what the pairs (P, 6) of the pictures held back say of it."""
    classes = {(int(one), int(other)) for one, other in told}
    margins, right, by_size = [], [], []
    for index in np.unique(pairs[:, 0]).tolist():
        of_map = bank.class_map(index)
        segments = learned_segments(workspace, of_map)
        areas = segments.masks.sum((1, 2))
        for _, one, other, front, *pair in pairs[pairs[:, 0] == index].tolist():
            if (min(pair), max(pair)) in classes:
                ahead = ahead_by(workspace, network, of_map, segments, (one, other), device)
                margins.append(abs(ahead))
                right.append((ahead > 0) == (front == one))
                by_size.append(bool(areas[one] < areas[other]) == (front == one))  # as back_to_front has equals
    margin = margin_that_pays(np.array(margins), np.array(right, bool), np.array(by_size, bool))
    said = (
        "never: the pictures held back do not show that it beats the sizes"
        if math.isinf(margin)
        else f"margin {margin:.3g}"
    )
    counts = {"pairs": len(right), "network right": sum(right), "larger behind right": sum(by_size)}
    return margin, {"of_those": counts, "heard_from": said}


def told_pairs(pairs: NDArray[np.int64], weights: NDArray[np.float64], steps: int) -> NDArray[np.int64]:
    """(n, 2) pairs of classes, ascending, that so many steps draw LEAST_DRAWS times or more, as their weights go."""
    of_pair, place = np.unique(np.sort(pairs[:, 4:], axis=1), axis=0, return_inverse=True)
    drawn = steps * np.bincount(place.ravel(), weights, minlength=len(of_pair)) / weights.sum()
    return np.asarray(of_pair[drawn >= LEAST_DRAWS])


def drawn_by(up_to: NDArray[np.float64], rng: np.random.Generator) -> int:
    """A random place, by weights whose cumulative sums (P,) are given."""
    place = np.searchsorted(up_to, rng.random() * up_to[-1], side="right")
    return min(int(place), len(up_to) - 1)


def _example(
    workspace: Workspace, bank: Bank, pair: NDArray[np.int64], rng: np.random.Generator, device: torch.device
) -> tuple[Tensor, Tensor]:
    """A known pair (6,) as (1, 6, H, W), maybe in a mirror, and the class in front (1,)."""
    index, one, other, front, *_ = pair.tolist()
    of_map = bank.class_map(index)
    segments = learned_segments(workspace, of_map)
    drawn = _drawn(workspace, of_map, segments, (one, other), device)
    if rng.random() < MIRRORED_SHARE:
        drawn = drawn.flip(3)
    return drawn, torch.tensor([int(segments.classes[front])], device=device)


@dataclass(frozen=True, kw_only=True)
class Heard:
    """Which answers of a trained ordering network count; where none does, the larger segment goes behind."""

    told: frozenset[tuple[int, int]]
    """Pairs of classes, ascending (``told_pairs``)."""
    margin: float
    """Between the scores of the two classes, at least (``margin_that_pays``)."""


def read_heard(folder: Path) -> Heard:
    """Of the finished training in ``folder``."""
    arrays = load_arrays(folder / HEARD_FILE)
    return Heard(told=frozenset((int(a), int(b)) for a, b in arrays["told"]), margin=float(arrays["margin"]))


def _check_told(pairs: NDArray[np.int64], folder: Path, source: Source) -> None:
    if not len(pairs):
        raise StageError(
            f"{folder}: {source} tells the order of no two neighbouring segments; give --disparity DIR, another "
            "--supervision, or leave the network out (compose --random-order)"
        )


def _drawn(
    workspace: Workspace,
    of_map: NDArray[Any],
    segments: Segments,
    pair: tuple[int, int],
    device: torch.device,
) -> Tensor:
    """A pair of segments as the network sees it, (1, 6, H, W)."""
    masks, classes = segments.masks[list(pair)], segments.classes[list(pair)].tolist()
    return torch.from_numpy(draw_pair(of_map, masks, classes, workspace.classes.palette))[None].to(device)


@torch.no_grad()
def ahead_by(
    workspace: Workspace,
    network: OrderingNetwork,
    of_map: NDArray[Any],
    segments: Segments,
    pair: tuple[int, int],
    device: torch.device,
) -> float:
    """By how much the network scores the class of the first of a pair of segments higher: it is in front above 0."""
    logits = network(_drawn(workspace, of_map, segments, pair, device))[0]
    one, other = (float(logits[int(segments.classes[number])]) for number in pair)
    return one - other


def trained_order(workspace: Workspace) -> Record:
    """The finished ordering network. Raises StageError where there is none, or one of another method."""
    return read_trained(workspace.place(NETWORK_FOLDER), "train-order", METHOD)
