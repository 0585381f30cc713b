"""The transformation stage: train the network, and place every retrieved segment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from baselines.sims.canvas import IDENTITY
from baselines.sims.losses import placement_losses
from baselines.sims.networks import TransformationNetwork, initialize, transformed
from baselines.sims.settings import TransformationSettings
from baselines.sims.simulate import out_of_place, placed, random_affine
from bench.sims.alike import overlapping
from bench.sims.bank import Bank, open_bank
from bench.sims.learning import Learning, device_of, learn, load_network, pictures_called, read_trained
from bench.sims.retrieval import TOP, query_segments, read_retrieved
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
)
from bench.sims.workspace import Choice, Workspace

FILE = "theta.npz"
NETWORK_FOLDER = "transformation-network"
METHOD = "changes of the map that matches moments"
"""Of the training; another one's networks are not taken for this one's."""
SIMULATED_SHARE = 0.5
"""Of the training pairs: a picture's own segment out of place; the rest are pairs of two pictures (reconstruction)."""
MOVED_SHARE = 0.8
"""Of the training pairs: both segments moved alike (reconstruction)."""
PAIRS_A_STEP = 2
"""Pairs in a step of the training; each gives 4 examples (reconstruction)."""
_STREAM = 0x7A5F
_MAPS_PER_PART = 16


def segment_input(image: NDArray[np.uint8], mask: NDArray[np.bool_], device: torch.device) -> tuple[Tensor, Tensor]:
    """A segment (1, 3, H, W) in [-1, 1], 0 outside, and its mask (1, 1, H, W)."""
    shown = torch.from_numpy(np.array(mask)).to(device).float()[None, None]
    colours = torch.from_numpy(np.array(image)).to(device).float().permute(2, 0, 1)[None]
    return (colours / 127.5 - 1) * shown, shown


def region_input(mask: NDArray[np.bool_], label: int, classes: int, device: torch.device) -> Tensor:
    """A wanted region as label channels (1, K, H, W)."""
    wanted = torch.zeros(1, classes, *mask.shape, device=device)
    wanted[0, label] = torch.from_numpy(np.array(mask)).to(device).float()
    return wanted


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two segments of one class, of which either can be moved onto the other."""

    one: tuple[NDArray[np.uint8], NDArray[np.bool_]]
    """Picture (H, W, 3) and mask (H, W)."""
    other: tuple[NDArray[np.uint8], NDArray[np.bool_]]
    label: int


def training_pair(bank: Bank, number: int, rng: np.random.Generator, left_out: NDArray[np.int64] | None = None) -> Pair:
    """A segment of the bank and another: its like from another picture, or itself out of place.

    MOVED_SHARE of the pairs are moved together, so that a small bank has segments in more places than its own.
    """
    own, label = int(bank.image_of[number]), int(bank.class_of[number])
    image, mask = bank.image(own), bank.mask(number)
    alike = overlapping(bank, mask, label, own, rng, left_out)
    best = int(alike[0]) if len(alike) else None
    if best is None or rng.random() < SIMULATED_SHARE:
        other = out_of_place(image, mask, bank.mask(best) if best is not None else None, rng)
    else:
        other = bank.image(int(bank.image_of[best])), bank.mask(best)
    if not other[1].any():
        other = image, mask
    together = random_affine(rng)
    if rng.random() < MOVED_SHARE:
        both = placed(image, mask, together), placed(*other, together)
        if all(moved.sum() >= was.sum() / 4 for (_, moved), was in zip(both, (mask, other[1]), strict=True)):
            return Pair(one=both[0], other=both[1], label=label)
    return Pair(one=(image, mask), other=other, label=label)


def training_batch(
    bank: Bank,
    numbers: NDArray[np.int64],
    rng: np.random.Generator,
    classes: int,
    device: torch.device,
    left_out: NDArray[np.int64] | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Segments and masks to move, segments and masks wanted, and the regions: a pair for each of ``numbers``.

    Every pair is there in both directions and mirrored, 4 examples each: what an average segment would gain by cancels
    out, which leaves what each needs.
    """
    rows = []
    for number in numbers.tolist():
        pair = training_pair(bank, number, rng, left_out)
        for source, wanted in ((pair.one, pair.other), (pair.other, pair.one)):
            region = region_input(wanted[1], pair.label, classes, device)
            rows.append((*segment_input(*source, device), *segment_input(*wanted, device), region))
    segment, shown, target, target_mask, region = (
        torch.cat([v, v.flip(3)]) for v in map(torch.cat, zip(*rows, strict=True))
    )
    return segment, shown, target, target_mask, region


def train_transformation(
    workspace: Workspace,
    learning: Learning,
    *,
    width: int = 64,
    leave_out: Sequence[str] = (),
    start: Path | None = None,
    device: str = "auto",
    again: bool = False,
    progress: Progress = lambda *_: None,
) -> tuple[Record, bool]:
    """Train the transformation network on the bank's segments. Returns (record, whether it had to be trained).

    Nothing of the training pictures ``leave_out`` (sample ids) is seen. ``start`` is the workspace folder of another
    system, on other data maybe, whose transformation network this one begins from. Raises StageError for an id that is
    not there, and for a network of another width.
    """
    bank, bank_record = open_bank(workspace)
    left_out = pictures_called(bank.ids, leave_out)
    numbers = np.flatnonzero(~np.isin(bank.image_of, left_out))
    settings = TransformationSettings(classes=workspace.classes.count, width=width)
    where = device_of(device)
    inputs = {"bank": bank_record.content}
    begun = read_trained(start / NETWORK_FOLDER, "train-transform", METHOD) if start is not None else None
    if begun is not None:
        inputs["start"] = begun.content
    stage = Stage(
        name="train-transform",
        folder=workspace.place(NETWORK_FOLDER),
        settings={
            "method": METHOD,
            "network": asdict(settings),
            "leave_out": sorted(leave_out),
            **asdict(learning),
        },
        inputs=inputs,
        growing=("steps",),
    )

    def work() -> Mapping[str, Any]:
        network = TransformationNetwork(settings)
        initialize(network, learning.seed)
        if begun is not None:
            begin_from(network, begun)

        def losses(step: int) -> dict[str, Tensor]:
            rng = np.random.default_rng((_STREAM, learning.seed, step))
            chosen = rng.choice(numbers, PAIRS_A_STEP)
            batch = training_batch(bank, chosen, rng, settings.classes, where, left_out)
            segment, shown, target, target_mask, region = batch
            theta = network(segment, shown, region)
            moved = transformed(torch.cat([segment, shown], 1), theta)
            return placement_losses(moved[:, :3], moved[:, 3:], target, target_mask)

        identity = stage.identity(leave_out=("steps",))
        means = learn(stage.folder, network, losses, learning, identity=identity, device=where, progress=progress)
        return {"parameters": sum(p.numel() for p in network.parameters()), **means}

    return run_stage(stage, work, again=again)


def begin_from(network: TransformationNetwork, begun: Record) -> None:
    """Give ``network`` the weights of a finished one, which may know other classes.

    Every label channel takes the mean of the other's label channels: what it learned of any class. Raises StageError
    for another width.
    """
    settings = TransformationSettings(**begun.settings["network"])
    if settings.width != network.settings.width:
        raise StageError(
            f"{begun.folder}: has width {settings.width}, the network to train {network.settings.width}; give the same "
            "--width, or no --start"
        )
    other = load_network(begun.folder, TransformationNetwork(settings)).state_dict()
    first = other["features.groups.0.0.weight"]
    labels = first[:, -settings.classes :].mean(1, keepdim=True).expand(-1, network.settings.classes, -1, -1)
    other["features.groups.0.0.weight"] = torch.cat([first[:, : -settings.classes], labels], 1)
    network.load_state_dict(other)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Which of the retrieved segments stands for a region, and where."""

    chosen: int
    """Place among the retrieved, 0 for the first."""
    theta: NDArray[np.float64]
    """(2, 3) map of the region's coordinates to the segment's."""


@torch.no_grad()
def best_place(
    bank: Bank,
    found: NDArray[np.int64],
    region: NDArray[np.bool_],
    label: int,
    network: TransformationNetwork,
    device: torch.device,
) -> Place:
    """Move every retrieved segment, and take the one whose moved mask overlaps the ``region`` (H, W) best.

    ``found`` are numbers of the bank's segments, best first, -1 for none. The first of them where it was is among
    those to choose from. Only the label map is asked: IoU in whole pixels (reconstruction: what becomes of the 10
    retrieved segments the facts do not say).
    """
    best, most = Place(chosen=0, theta=IDENTITY), -1.0
    for chosen, number in enumerate(found[found >= 0].tolist()):
        image, mask = bank.image(int(bank.image_of[number])), bank.mask(number)
        segment, shown = segment_input(image, mask, device)
        answer = network(segment, shown, region_input(region, label, network.settings.classes, device))
        for theta in (
            [IDENTITY, answer[0].double().cpu().numpy()] if chosen == 0 else [answer[0].double().cpu().numpy()]
        ):
            _, moved = placed(image, mask, theta)
            overlap = float((moved & region).sum() / (moved | region).sum())
            if overlap > most:
                best, most = Place(chosen=chosen, theta=theta), overlap
    return best


def transform(
    workspace: Workspace,
    choice: Choice,
    *,
    device: str = "auto",
    again: bool = False,
    progress: Progress = lambda *_: None,
) -> tuple[Record, bool]:
    """Place a retrieved segment for each wanted region: see ``best_place``. Random retrieval has one to choose from.

    Returns (record, whether it had to be made).
    """
    bank, _ = open_bank(workspace)
    retrieved, retrieved_record = read_retrieved(workspace, choice)
    where = device_of(device)
    inputs = {"retrieval": retrieved_record.content}
    network = None
    if not choice.identity:
        trained = trained_transformation(workspace)
        inputs["network"] = trained.content
        settings = TransformationSettings(**trained.settings["network"])
        network = TransformationNetwork(settings)
        load_network(trained.folder, network).to(where)
    stage = Stage(
        name="transform",
        folder=workspace.place("transformation", choice.transformation),
        settings={"identity": choice.identity, "candidates": 1 if choice.identity or choice.random_retrieval else TOP},
        inputs=inputs,
    )

    @torch.no_grad()
    def work() -> Mapping[str, Any]:
        dataset = workspace.open(choice.split)

        def part(maps: range) -> Arrays:
            places = []
            for index in maps:
                masks = query_segments(workspace, dataset, index).masks if network is not None else None
                for place, query in enumerate(retrieved.of_map(index)):
                    found = retrieved.found[query, : 1 if choice.random_retrieval else None]
                    if network is None or masks is None:
                        places.append(Place(chosen=0, theta=IDENTITY))
                    else:
                        label = int(retrieved.class_of[query])
                        places.append(best_place(bank, found, masks[place], label, network, where))
            return {
                "theta": np.stack([each.theta for each in places]) if places else np.zeros((0, 2, 3)),
                "chosen": np.array([each.chosen for each in places], np.int64),
            }

        count = workspace.count(dataset)
        made = in_parts(stage.folder / FILE, count, part, per=_MAPS_PER_PART, what="label maps", progress=progress)
        theta = made["theta"]
        moved = np.abs(theta - IDENTITY).mean(0).round(4).tolist() if len(theta) else None
        stayed = int((theta == IDENTITY).all((1, 2)).sum())
        return {"segments": len(theta), "where_they_were": stayed, "mean_distance_from_the_identity": moved}

    return run_stage(stage, work, again=again)


def trained_transformation(workspace: Workspace) -> Record:
    """The finished transformation network. Raises StageError where there is none, or one of another method."""
    return read_trained(workspace.place(NETWORK_FOLDER), "train-transform", METHOD)


def read_transformation(workspace: Workspace, choice: Choice) -> tuple[NDArray[np.float64], NDArray[np.int64], Record]:
    """The finished transformation: maps (Q, 2, 3), and which of the retrieved is meant (Q,).

    Raises StageError where it is not there.
    """
    options = f"--split {choice.split}" + (" --random-retrieval" if choice.random_retrieval else "")
    options += " --identity" if choice.identity else ""
    record = read_record(workspace.place("transformation", choice.transformation), f"transform {options}")
    arrays = load_arrays(record.folder / FILE)
    return arrays["theta"], arrays["chosen"], record
