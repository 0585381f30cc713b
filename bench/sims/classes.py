"""The classes that SIMS works with, and what is stated about them for each data set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from baselines.sims.segments import SegmentRule
from bench.data.dataset import Dataset
from bench.data.palettes import IGNORED_COLOUR

THIN: dict[str, tuple[str, ...]] = {"cityscapes": ("pole", "traffic light", "traffic sign")}
"""Classes by data set whose pixels do not split the segments around them (facts: poles, signs and lights)."""

LAYERS: dict[str, tuple[tuple[str, ...], ...]] = {
    "cityscapes": (
        ("sky",),
        ("road", "sidewalk", "terrain"),
        ("building", "wall", "fence", "vegetation"),
        (
            *("pole", "traffic light", "traffic sign", "person", "rider", "car", "truck", "bus", "train"),
            *("motorcycle", "bicycle"),
        ),
    ),
    "synthetic": (
        *(("sky",), ("sun",), ("cloud",), ("mountain",), ("sea",), ("sand",), ("grass",), ("field",), ("road",)),
        ("tree", "building", "car"),
    ),
}
"""Classes from the back to the front: what is known without depth. For the synthetic scenes it is the order in which
they are painted (bench/data/world), but that roads are behind the trees and houses at their sides."""

PLANAR: dict[str, tuple[str, ...]] = {"cityscapes": ("road", "sidewalk", "terrain", "sky")}
"""Classes whose surface goes on behind the objects that stand before it (facts: objects over planar classes)."""

PAINTED_IN_ORDER = ("synthetic",)
"""Data sets whose counted things have numbers (instance id modulo 1000) that rise from the back to the front."""


@dataclass(frozen=True, kw_only=True)
class SimsClasses:
    """The scored classes of a data set, ascending, and one more for everything else."""

    names: tuple[str, ...]
    """K names; the last is "none"."""
    of_label: NDArray[np.integer]
    """(label ids,) class of each label id."""
    palette: NDArray[np.uint8]
    """(K, 3) RGB."""
    thin: tuple[int, ...]
    """Classes whose pixels do not split the segments around them."""
    layers: tuple[tuple[int, ...], ...]
    """Classes from the back to the front; empty where nothing is stated."""
    planar: tuple[int, ...]
    """Classes whose surface goes on behind what stands before it."""
    painted_in_order: bool
    """Whether the numbers of counted things rise from the back to the front."""

    @property
    def count(self) -> int:
        """K, the label channels of the networks."""
        return len(self.names)

    @property
    def none(self) -> int:
        """The class of everything else."""
        return len(self.names) - 1

    def rule(self, min_area_px: int) -> SegmentRule:
        """Which regions are segments."""
        return SegmentRule(classes=self.none, min_area_px=min_area_px, thin=self.thin)


def sims_classes(dataset: Dataset) -> SimsClasses:
    """The classes for ``dataset``: 19 and one more for Cityscapes, as published; by the same rule for others."""
    scored = dataset.scored_classes
    names = tuple(dataset.class_names[label] for label in scored)
    of_label: NDArray[np.integer] = np.full(dataset.spec.ids, len(names), np.uint8 if len(names) < 256 else np.uint16)
    of_label[list(scored)] = np.arange(len(names))

    def numbers(wanted: tuple[str, ...]) -> tuple[int, ...]:
        return tuple(names.index(name) for name in wanted)

    return SimsClasses(
        names=(*names, "none"),
        of_label=of_label,
        palette=np.concatenate([dataset.palette[list(scored)], np.array([IGNORED_COLOUR], np.uint8)]),
        thin=numbers(THIN.get(dataset.name, ())),
        layers=tuple(numbers(layer) for layer in LAYERS.get(dataset.name, ())),
        planar=numbers(PLANAR.get(dataset.name, ())),
        painted_in_order=dataset.name in PAINTED_IN_ORDER,
    )
