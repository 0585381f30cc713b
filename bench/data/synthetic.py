"""The embedded world: procedural landscapes with labels and instances, so that every study runs without a download.

A scene is a pure function of (WORLD_VERSION, seed, split, index, size): neither the order of the calls nor the process
matters. Colours do not give the class away (sea, sky and dusk, sand and walls, grass, crops and crowns share theirs);
texture and context do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.data.dataset import Augmentation, AugmentationRule, DatasetError, Sample, check_index, check_size
from bench.data.registry import WORLD_VERSION, world_manifest
from bench.data.world import classes
from bench.data.world.scenes import draw_scene
from spade_core.label_spec import LabelSpec

SPLITS = {"train": 1, "val": 2}
"""Each split draws from a seed space of its own, so that no scene is in two of them."""

SYNTHETIC_SPEC = LabelSpec(classes=len(classes.NAMES), instance_edges=True)


@dataclass(frozen=True, kw_only=True)
class SyntheticScenes:
    """A split of the embedded world (implements ``Dataset``). Raises DatasetError for unknown splits and bad sizes."""

    split: str
    size: tuple[int, int]
    """Height and width in pixels, multiples of 8."""
    images: int
    """How many scenes the split has."""
    seed: int = 0
    name: str = "synthetic"
    augmentation_rule: AugmentationRule = AugmentationRule(flip=True)

    def __post_init__(self) -> None:
        problems = []
        if self.split not in SPLITS:
            problems.append(f"split is {self.split!r}; choose one of {', '.join(SPLITS)}")
        if self.images < 1:
            problems.append(f"images is {self.images}; a split needs at least 1")
        if self.seed < 0:
            problems.append(f"seed is {self.seed}; it may not be negative")
        try:
            check_size(self.size)
        except DatasetError as error:
            problems.append(str(error))
        if problems:
            raise DatasetError("synthetic scenes: " + "; ".join(problems))

    @property
    def spec(self) -> LabelSpec:
        return SYNTHETIC_SPEC

    @property
    def class_names(self) -> tuple[str, ...]:
        return classes.NAMES

    @property
    def palette(self) -> NDArray[np.uint8]:
        return np.array(classes.COLOURS, np.uint8)

    @property
    def ignore_ids(self) -> tuple[int, ...]:
        return ()

    @property
    def scored_classes(self) -> tuple[int, ...]:
        return tuple(range(len(classes.NAMES)))

    @property
    def manifest_hash(self) -> str:
        return world_manifest(split=self.split, images=self.images, size=self.size, seed=self.seed)

    def __len__(self) -> int:
        return self.images

    def sample_id(self, index: int) -> str:
        return f"{self.split}-{self.seed}-{check_index(index, self.images, f'synthetic/{self.split}'):06d}"

    def load(self, index: int, augmentation: Augmentation | None = None) -> Sample:
        name = self.sample_id(index)
        rng = np.random.default_rng((WORLD_VERSION, self.seed, SPLITS[self.split], index))
        canvas = draw_scene(rng, *self.size)
        image = np.rint(canvas.image * 255.0).clip(0, 255).astype(np.uint8).transpose(1, 2, 0)
        labels, instances = canvas.labels, canvas.instances
        if augmentation is not None and augmentation.flip:
            image, labels, instances = image[:, ::-1], labels[:, ::-1], instances[:, ::-1]
        return Sample(
            id=name,
            labels=np.ascontiguousarray(labels),
            instances=np.ascontiguousarray(instances),
            image=np.ascontiguousarray(image),
        )

    def truth(self, index: int) -> NDArray[np.integer]:
        return self.load(index).labels

    def native_size(self, index: int) -> tuple[int, int]:
        check_index(index, self.images, f"synthetic/{self.split}")
        return self.size

    def original(self, index: int) -> NDArray[np.uint8]:
        return self.load(index).image
