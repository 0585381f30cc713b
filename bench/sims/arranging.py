"""The ordering stage: the segments of every label map from the back to the front."""

from __future__ import annotations

import math
import zlib
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from baselines.sims.networks import OrderingNetwork
from baselines.sims.ordering import back_to_front
from baselines.sims.segments import Segments, find_segments
from baselines.sims.settings import OrderingSettings
from bench.sims.fronts import neighbours
from bench.sims.learning import device_of, load_network
from bench.sims.ordering import Heard, ahead_by, read_heard, trained_order
from bench.sims.retrieval import class_map
from bench.sims.stage import (
    Arrays,
    Progress,
    Record,
    Stage,
    in_parts,
    load_arrays,
    read_record,
    run_stage,
)
from bench.sims.workspace import Choice, Workspace

FILE = "order.npz"
_RANDOM_STREAM = 0x0BDF
_MAPS_PER_PART = 16


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

    Of neighbours whose classes the network was told nothing about, and of those that it does not judge clearly enough
    to be heard (``Heard``), the larger goes behind.
    """
    dataset = workspace.open(choice.split)
    where = device_of(device)
    inputs: dict[str, str] = {choice.split: workspace.manifest(dataset)}
    settings: dict[str, Any] = {"random": choice.random_order, "min_area_px": workspace.min_area_px}
    network, heard = None, Heard(told=frozenset(), margin=math.inf)
    if choice.random_order:
        settings["seed"] = seed
    else:
        trained = trained_order(workspace)
        inputs["network"] = trained.content
        network = OrderingNetwork(OrderingSettings(**trained.settings["network"]))
        load_network(trained.folder, network).to(where)
        heard = read_heard(trained.folder)
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
                judgements = _judgements(workspace, network, heard.told, of_map, segments, where)
                sure = [each for each in judgements if each[2] >= heard.margin]
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
        told = dict(zip(("neighbours_judged", "neighbours_left_to_size", "judgements_overruled"), counts, strict=True))
        return {"segments": len(made["order"]), **told}

    return run_stage(stage, work, again=again)


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
        classes = segments.classes[[each.first, each.second]]
        if (int(classes.min()), int(classes.max())) in told:
            ahead = ahead_by(workspace, network, of_map, segments, (each.first, each.second), device)
            found.append((*((each.first, each.second) if ahead > 0 else (each.second, each.first)), abs(ahead)))
    return found


def order_verb(choice: Choice) -> str:
    """The verb that orders, with its options."""
    return f"order --split {choice.split}" + (" --random-order" if choice.random_order else "")


def read_order(workspace: Workspace, choice: Choice) -> tuple[NDArray[np.int64], Record]:
    """The finished order: for each map in turn its segments' numbers, the hindmost first; (Q,) in all."""
    record = read_record(workspace.place("order", choice.order), order_verb(choice))
    return load_arrays(record.folder / FILE)["order"], record
