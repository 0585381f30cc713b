"""The pairs of neighbouring segments that the ordering network learns from: which of the two is in front.

Letters of shapes: P pairs, H height and W width in px.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from baselines.sims.canvas import source_pixels
from baselines.sims.matching import matching_map, moments
from baselines.sims.ordering import Boundary, boundaries, gain_in_front, in_front
from baselines.sims.segments import Segments, find_segments
from bench.data.dataset import Dataset
from bench.sims.alike import overlapping
from bench.sims.bank import Bank
from bench.sims.retrieval import TOP
from bench.sims.stage import Arrays, Progress, in_parts
from bench.sims.supervision import Supervision
from bench.sims.workspace import Workspace

SMALLEST_SHARE = 1 / 8
"""Of the least area: the segments of the training pairs go down to it. What is too small to be asked for still tells
which class is in front (reconstruction)."""
LEAST_GAIN_PX = 1.0
"""Of a pair that the canvas tells (reconstruction)."""
_STREAM = 0x0BDD
_MAPS_PER_PART = 64


def neighbours(segments: Segments, thin: tuple[int, ...]) -> list[Boundary]:
    """Boundaries between segments of different classes."""
    found = boundaries(segments.component_map(thin))
    return [each for each in found if segments.classes[each.first] != segments.classes[each.second]]


def learned_segments(workspace: Workspace, of_map: NDArray[Any]) -> Segments:
    """The segments of a class map (H, W) that the training learns from."""
    return find_segments(of_map, workspace.classes.rule(max(1, round(workspace.min_area_px * SMALLEST_SHARE))))


def known_pairs(
    workspace: Workspace,
    bank: Bank,
    train: Dataset,
    supervision: Supervision,
    left_out: NDArray[np.int64],
    path: Path,
    progress: Progress,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """All neighbours of the training pictures whose order is known, and how much each pair counts.

    (P, 6): picture, two segments (numbers among ``learned_segments``), the one in front, the classes of the two; and
    (P,) weights: of the canvas the pixels gained, LEAST_GAIN_PX or more, else 1. Nothing of the pictures ``left_out``
    is looked at. ``path`` keeps the result, part by part, and is believed: whoever asks for another has it removed.
    """

    def part(maps: range) -> Arrays:
        pairs, weights = [], []
        for index in np.setdiff1d(maps, left_out).tolist():
            of_map = bank.class_map(index)
            segments = learned_segments(workspace, of_map)
            near = neighbours(segments, workspace.classes.thin)
            if supervision.source == "canvas":
                fronts = _by_canvas(bank, index, of_map, segments, near, left_out)
            else:
                nearness = supervision.nearness(train.load(index))
                fronts = [(in_front(each, nearness, segments.classes, supervision.planar), 1.0) for each in near]
            for each, (front, weight) in zip(near, fronts, strict=True):
                if front is not None:
                    classes = segments.classes[[each.first, each.second]].tolist()
                    pairs.append((index, each.first, each.second, front, *classes))
                    weights.append(weight)
        return {"pairs": np.array(pairs, np.int64).reshape(-1, 6), "weights": np.array(weights, np.float64)}

    count, what = workspace.count(train), "pictures looked at for neighbours"
    made = in_parts(path, count, part, per=_MAPS_PER_PART, what=what, progress=progress)
    return made["pairs"], made["weights"]


def _by_canvas(
    bank: Bank,
    index: int,
    of_map: NDArray[np.integer],
    segments: Segments,
    near: Sequence[Boundary],
    left_out: NDArray[np.int64],
) -> list[tuple[int | None, float]]:
    """For each boundary the segment in front, None where it makes next to no difference, and the pixels it gains."""
    rng = np.random.default_rng((_STREAM, index))
    cover = [
        _cover(bank, overlapping(bank, mask, int(label), index, rng, left_out)[:TOP], mask)
        for mask, label in zip(segments.masks, segments.classes, strict=True)
    ]
    found: list[tuple[int | None, float]] = []
    for each in near:
        classes = segments.classes[[each.first, each.second]].tolist()
        gain = gain_in_front(cover[each.first], cover[each.second], of_map, classes)
        front = each.first if gain > 0 else each.second
        found.append((front if abs(gain) >= LEAST_GAIN_PX else None, abs(gain)))
    return found


def _cover(bank: Bank, numbers: NDArray[np.int64], region: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(H, W) share of the segments ``numbers`` that lie on a pixel, moved onto the region by their moments."""
    size = (region.shape[0], region.shape[1])
    cover = np.zeros(size, np.float32)
    wanted = moments(torch.from_numpy(region[None, None].astype(np.float32)))
    for number in numbers.tolist():
        mask = bank.mask(number)
        segment = moments(torch.from_numpy(mask[None, None].astype(np.float32)))
        source, inside = source_pixels(matching_map(segment, wanted)[0].double().numpy(), size)
        cover += inside & mask.ravel()[source]
    return cover / np.float32(max(1, len(numbers)))
