"""Segments of a class map: connected components of one class, as the memory bank holds them and queries ask for them.

Letters of shapes: H height and W width in px, S segments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

BASE_PX = 256 * 512
"""The size that SIMS' areas are stated for."""


@dataclass(frozen=True, kw_only=True)
class SegmentRule:
    """Which connected regions count as segments."""

    classes: int
    """Classes 0 to ``classes - 1`` make segments; higher values (everything else) make none."""
    min_area_px: int = 1000
    """Smaller regions are left out; px at 256x512 (published), scaled with the number of pixels elsewhere."""
    thin: tuple[int, ...] = ()
    """Classes so thin that they would cut others in two (poles, signs, lights): others are labelled as if not there."""

    def __post_init__(self) -> None:
        if self.min_area_px < 1:
            raise ValueError(f"SegmentRule.min_area_px is {self.min_area_px}; it must be at least 1 (published: 1000)")
        wrong = [value for value in self.thin if not 0 <= value < self.classes]
        if wrong:
            raise ValueError(f"SegmentRule.thin names {wrong}; classes are 0 to {self.classes - 1}")

    def min_area(self, size: tuple[int, int]) -> int:
        """Fewest pixels of a segment at ``size`` (height, width)."""
        return max(1, round(self.min_area_px * size[0] * size[1] / BASE_PX))


@dataclass(frozen=True, kw_only=True)
class Segments:
    """The segments of one class map, by class, then in reading order of their first pixels."""

    classes: NDArray[np.int64]
    """(S,) class of each."""
    masks: NDArray[np.bool_]
    """(S, H, W) pixels of each; only thin ones may lie inside others."""

    def __len__(self) -> int:
        return len(self.classes)

    def component_map(self, thin: Sequence[int] = ()) -> NDArray[np.int32]:
        """(H, W) number of the segment at each pixel, -1 where there is none; thin ones lie over the others."""
        found = np.full(self.masks.shape[1:], -1, np.int32)
        for over in (False, True):
            for number in range(len(self)):
                if (int(self.classes[number]) in thin) == over:
                    found[self.masks[number]] = number
        return found


def merge_thin(classes: NDArray[np.integer], thin: Sequence[int]) -> NDArray[np.integer]:
    """(H, W) class map in which pixels of the ``thin`` classes take the class of the nearest other pixel."""
    if not thin:
        return classes
    inside = np.isin(classes, thin)
    if not inside.any() or inside.all():
        return classes
    rows, columns = ndimage.distance_transform_edt(inside, return_distances=False, return_indices=True)
    return np.asarray(classes[rows, columns])


def find_segments(classes: NDArray[np.integer], rule: SegmentRule) -> Segments:
    """The segments of the class map (H, W): 4-connected regions of one class with at least ``rule.min_area`` pixels."""
    smallest = rule.min_area((classes.shape[0], classes.shape[1]))
    merged = merge_thin(classes, rule.thin)
    numbers: list[int] = []
    masks: list[NDArray[np.bool_]] = []
    present = set(np.unique(classes).tolist()) | set(np.unique(merged).tolist())
    for value in sorted(number for number in present if number < rule.classes):
        labelled, count = ndimage.label((classes if value in rule.thin else merged) == value)
        areas = np.bincount(labelled.ravel(), minlength=count + 1)
        for region in range(1, count + 1):
            if areas[region] >= smallest:
                numbers.append(value)
                masks.append(labelled == region)
    stacked = np.stack(masks) if masks else np.zeros((0, *classes.shape), bool)
    return Segments(classes=np.array(numbers, np.int64), masks=stacked)
