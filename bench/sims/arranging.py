"""The ordering stage: train the network on neighbouring segments, and order those of every label map."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from baselines.sims.networks import OrderingNetwork, initialize
from baselines.sims.ordering import back_to_front, draw_pair
from baselines.sims.segments import Segments, find_segments
from baselines.sims.settings import OrderingSettings
from bench.sims.bank import Bank, open_bank
from bench.sims.fronts import known_pairs, learned_segments, neighbours
from bench.sims.learning import Learning, device_of, learn, load_network, pictures_called, read_trained
from bench.sims.retrieval import class_map
from bench.sims.stage import (
    Arrays,
    Progress,
    Record,
    Stage,
    StageError,
    in_parts,
    load_arrays,
    read_record,
    run_stage,
    save_arrays,
)
from bench.sims.supervision import TOLD, Source, Supervision
from bench.sims.workspace import Choice, Workspace

FILE = "order.npz"
PAIRS_FILE = "pairs.npz"
TOLD_FILE = "told.npz"
NETWORK_FOLDER = "ordering-network"
METHOD = "pairs of small segments too, mirrored at random, drawn by weight"
"""Of the training; another one's networks are not taken for this one's."""
MIRRORED_SHARE = 0.5
"""Of the training pairs: seen in a mirror (reconstruction)."""
LEAST_DRAWS = 10
"""A pair of classes that the training draws less often, by its weights, counts as never told (reconstruction)."""
SURE_MARGIN = 1.0
"""Between the scores of the two classes; of what is judged with less, odds below e to 1, the sizes decide
(reconstruction)."""
_STREAM, _RANDOM_STREAM = 0x0BDE, 0x0BDF
_MAPS_PER_PART = 16


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
    told about are kept (``told_pairs``): what the network says of others is noise. Nothing of the training pictures
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
    stage = Stage(
        name="train-order",
        folder=workspace.place(NETWORK_FOLDER),
        settings={
            "method": METHOD,
            "network": asdict(settings),
            "supervision": source,
            "disparity": str(disparity) if disparity else None,
            "leave_out": sorted(leave_out),
            **asdict(learning),
        },
        inputs={"bank": bank_record.content, **supervision.inputs},
        growing=("steps",),
    )

    def work() -> Mapping[str, Any]:
        train = workspace.open("train")
        kept = stage.folder / PAIRS_FILE
        pairs, weights = known_pairs(workspace, bank, train, supervision, left_out, kept, progress)
        _check_told(pairs, stage.folder, source)
        up_to = weights.cumsum()
        network = OrderingNetwork(settings)
        initialize(network, learning.seed)

        def losses(step: int) -> dict[str, Tensor]:
            rng = np.random.default_rng((_STREAM, learning.seed, step))
            drawn, wanted = _example(workspace, bank, pairs[drawn_by(up_to, rng)], rng, where)
            return {"cross_entropy": F.cross_entropy(network(drawn), wanted)}

        identity = stage.identity(leave_out=("steps",))
        means = learn(stage.folder, network, losses, learning, identity=identity, device=where, progress=progress)
        told = told_pairs(pairs, weights, learning.steps)
        save_arrays(stage.folder / TOLD_FILE, {"told": told})
        known = {"pairs": len(pairs), "pairs_of_classes": len(told), "supervision": TOLD[source]}
        return {"parameters": sum(p.numel() for p in network.parameters()), **known, **means}

    return run_stage(stage, work, again=again)


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
    drawn = _drawn(workspace, of_map, segments, [(one, other)], device)
    if rng.random() < MIRRORED_SHARE:
        drawn = drawn.flip(3)
    return drawn, torch.tensor([int(segments.classes[front])], device=device)


def read_told(folder: Path) -> set[tuple[int, int]]:
    """The pairs of classes, ascending, that the finished training in ``folder`` was told about (``told_pairs``)."""
    return {(int(one), int(other)) for one, other in load_arrays(folder / TOLD_FILE)["told"]}


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
    pairs: list[tuple[int, int]],
    device: torch.device,
) -> Tensor:
    """Pairs of segments as the network sees them, (N, 6, H, W)."""
    each = [
        draw_pair(of_map, segments.masks[list(pair)], segments.classes[list(pair)].tolist(), workspace.classes.palette)
        for pair in pairs
    ]
    return torch.from_numpy(np.stack(each)).to(device)


def arrange(
    workspace: Workspace,
    choice: Choice,
    *,
    seed: int = 0,
    device: str = "auto",
    again: bool = False,
    progress: Progress = lambda *_: None,
) -> tuple[Record, bool]:
    """Order the segments of every label map, back to front. Returns (record, whether it had to be made).

    Of neighbours whose classes the network was told nothing about, and of those that it is not sure of, the larger
    goes behind (``back_to_front``).
    """
    dataset = workspace.open(choice.split)
    where = device_of(device)
    inputs: dict[str, str] = {choice.split: workspace.manifest(dataset)}
    settings: dict[str, Any] = {"random": choice.random_order, "min_area_px": workspace.min_area_px}
    network, told = None, set[tuple[int, int]]()
    if choice.random_order:
        settings["seed"] = seed
    else:
        trained = trained_order(workspace)
        inputs["network"] = trained.content
        network = OrderingNetwork(OrderingSettings(**trained.settings["network"]))
        load_network(trained.folder, network).to(where)
        told = read_told(trained.folder)
        settings["sure_margin"] = SURE_MARGIN
    stage = Stage(name="order", folder=workspace.place("order", choice.order), settings=settings, inputs=inputs)

    def part(maps: range) -> Arrays:
        orders, overruled, judged, unsure = [], 0, 0, 0
        for index in maps:
            of_map = class_map(workspace, dataset, index)
            segments = find_segments(of_map, workspace.rule)
            if network is None:
                name = zlib.crc32(dataset.sample_id(index).encode())
                order = np.random.default_rng((_RANDOM_STREAM, seed, name)).permutation(len(segments))
            else:
                judgements = _judgements(workspace, network, told, of_map, segments, where)
                sure = [each for each in judgements if each[2] >= SURE_MARGIN]
                order, lost = back_to_front(segments.masks.sum((1, 2), dtype=np.int64), sure)
                overruled, judged = overruled + lost, judged + len(sure)
                unsure += len(judgements) - len(sure)
            orders.append(order)
        counts = np.array([[judged, unsure, overruled]], np.int64)
        return {"order": np.concatenate(orders), "judged": counts}

    def work() -> Mapping[str, Any]:
        count = workspace.count(dataset)
        made = in_parts(stage.folder / FILE, count, part, per=_MAPS_PER_PART, what="label maps", progress=progress)
        counts = made["judged"].sum(0).tolist()
        told = dict(zip(("neighbours_judged", "neighbours_unsure", "judgements_overruled"), counts, strict=True))
        return {"segments": len(made["order"]), **told}

    return run_stage(stage, work, again=again)


@torch.no_grad()
def _judgements(
    workspace: Workspace,
    network: OrderingNetwork,
    told: Collection[tuple[int, int]],
    of_map: NDArray[Any],
    segments: Segments,
    device: torch.device,
) -> list[tuple[int, int, float]]:
    """(in front, behind, margin) of neighbouring segments: the one whose class has the greater score.

    Of those alone whose pair of classes is among the ``told``.
    """
    found = []
    for each in neighbours(segments, workspace.classes.thin):
        pair = [(each.first, each.second)]
        classes = segments.classes[list(pair[0])]
        if (int(classes.min()), int(classes.max())) not in told:
            continue
        logits = network(_drawn(workspace, of_map, segments, pair, device))[0]
        one, other = (float(logits[int(segments.classes[number])]) for number in pair[0])
        front, behind = pair[0] if one > other else pair[0][::-1]
        found.append((front, behind, abs(one - other)))
    return found


def trained_order(workspace: Workspace) -> Record:
    """The finished ordering network. Raises StageError where there is none, or one of another method."""
    return read_trained(workspace.place(NETWORK_FOLDER), "train-order", METHOD)


def order_verb(choice: Choice) -> str:
    """The verb that orders, with its options."""
    return f"order --split {choice.split}" + (" --random-order" if choice.random_order else "")


def read_order(workspace: Workspace, choice: Choice) -> tuple[NDArray[np.int64], Record]:
    """The finished order: for each map in turn its segments' numbers, the hindmost first; (Q,) in all."""
    record = read_record(workspace.place("order", choice.order), order_verb(choice))
    return load_arrays(record.folder / FILE)["order"], record
