"""Data sets of files: images, label maps and perhaps instance maps, wherever a layout finds them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.data.dataset import Augmentation, AugmentationRule, DatasetError, Sample, check_index, check_size
from bench.data.files import Layout
from bench.data.manifest import Entry, Manifest, Progress, build_manifest
from bench.data.transforms import prepare_ids, prepare_image
from spade_core.label_spec import LabelSpec

if TYPE_CHECKING:
    from bench.data.entry import DatasetEntry


@dataclass(frozen=True, kw_only=True)
class SplitFiles:
    """Where the files of one split are and what their values mean."""

    name: str
    split: str
    root: Path
    layout: Layout
    """Finds the pairs under ``root``."""
    has_instances: bool = False
    official_pairs: int | None = None
    """Pairs in the split as published; None where nobody published one."""
    classes: int
    """Classes; label files hold 0 to ``classes - 1``, and one id more with ``dont_care_in_range``."""
    dont_care_value: int | None = None
    """The value in the files that stands for don't care (255 as a rule); it becomes the id ``classes``."""
    dont_care_in_range: bool = False
    """Whether the files hold ``classes + 1`` valid ids as they are (ADE20K: 0 unknown, 1 to 150), none remapped."""
    class_names: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    size: tuple[int, int]
    """Height and width of the samples, pixels, multiples of 8."""
    augmentation_rule: AugmentationRule = AugmentationRule()
    ignore_ids: tuple[int, ...] = ()
    """Ids that no score counts."""
    scored_classes: tuple[int, ...] | None = None
    """Ids that a mean over classes runs over; None for every id that is not ignored."""

    def __post_init__(self) -> None:
        problems = []
        ids = self.spec.ids
        if self.dont_care_value is not None and self.dont_care_in_range:
            problems.append("dont_care_value and dont_care_in_range exclude each other; give one of them")
        if self.dont_care_value is not None and 0 <= self.dont_care_value < self.classes:
            problems.append(f"dont_care_value {self.dont_care_value} is also a class (0 to {self.classes - 1})")
        for what, given in (("class_names", self.class_names), ("palette", self.palette)):
            if len(given) != ids:
                problems.append(f"{what} has {len(given)} entries; there are {ids} label ids, don't care included")
        outside = [i for i in (*self.ignore_ids, *(self.scored_classes or ())) if not 0 <= i < ids]
        if outside:
            problems.append(f"ignore_ids or scored_classes name {outside}; label ids are 0 to {ids - 1}")
        both = sorted(set(self.ignore_ids) & set(self.scored_classes or ()))
        if both:
            problems.append(f"ids {both} are in ignore_ids and in scored_classes; a label is scored or ignored")
        if problems:
            raise DatasetError(f"dataset {self.name!r}, split {self.split!r}: " + "; ".join(problems))
        check_size(self.size)

    @property
    def spec(self) -> LabelSpec:
        dont_care = self.dont_care_value is not None or self.dont_care_in_range
        return LabelSpec(classes=self.classes, dont_care=dont_care, instance_edges=self.has_instances)

    @property
    def values(self) -> int:
        """Label files hold 0 to ``values - 1`` (besides ``dont_care_value``)."""
        return self.classes + int(self.dont_care_in_range)

    def label_ids(self, values: NDArray[np.integer]) -> NDArray[np.integer]:
        """Values of a label file as label ids, in the smallest dtype that holds them all."""
        dtype = np.uint8 if self.spec.ids <= 256 else np.uint16
        if self.dont_care_value is None:
            return values.astype(dtype)
        return np.where(values == self.dont_care_value, self.classes, values).astype(dtype)


@dataclass(frozen=True, kw_only=True)
class PairedDataset:
    """A split read from files (implements ``Dataset``); made by ``open_paired``."""

    files: SplitFiles
    manifest: Manifest

    @property
    def name(self) -> str:
        return self.files.name

    @property
    def split(self) -> str:
        return self.files.split

    @property
    def spec(self) -> LabelSpec:
        return self.files.spec

    @property
    def size(self) -> tuple[int, int]:
        return self.files.size

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.files.class_names

    @property
    def palette(self) -> NDArray[np.uint8]:
        return np.array(self.files.palette, np.uint8)

    @property
    def ignore_ids(self) -> tuple[int, ...]:
        return self.files.ignore_ids

    @property
    def scored_classes(self) -> tuple[int, ...]:
        if self.files.scored_classes is not None:
            return self.files.scored_classes
        return tuple(i for i in range(self.spec.ids) if i not in self.ignore_ids)

    @property
    def augmentation_rule(self) -> AugmentationRule:
        return self.files.augmentation_rule

    @property
    def manifest_hash(self) -> str:
        return self.manifest.content_hash

    def __len__(self) -> int:
        return len(self.manifest.entries)

    def sample_id(self, index: int) -> str:
        return self._entry(index).stem

    def load(self, index: int, augmentation: Augmentation | None = None) -> Sample:
        entry = self._entry(index)
        with Image.open(self.files.root / entry.image) as picture:
            image = prepare_image(picture, self.size, augmentation)
        instances = None
        if self.files.has_instances and entry.instance is not None:
            ids = read_ids(self.files.root / entry.instance).astype(np.int32)
            instances = prepare_ids(ids, self.size, augmentation)
        labels = prepare_ids(self.truth(index), self.size, augmentation)
        return Sample(id=entry.stem, labels=labels, instances=instances, image=image)

    def truth(self, index: int) -> NDArray[np.integer]:
        return self.files.label_ids(read_ids(self.files.root / self._entry(index).label))

    def native_size(self, index: int) -> tuple[int, int]:
        entry = self._entry(index)
        return entry.height, entry.width

    def original(self, index: int) -> NDArray[np.uint8]:
        with Image.open(self.files.root / self._entry(index).image) as picture:
            return np.asarray(picture.convert("RGB"), dtype=np.uint8)

    def _entry(self, index: int) -> Entry:
        return self.manifest.entries[check_index(index, len(self), f"{self.name}/{self.split}")]


def read_ids(file: Path | BinaryIO) -> NDArray[np.integer]:
    """The values of a one-channel file, (H, W); a palette file gives its indices."""
    with Image.open(file) as picture:
        ids = np.asarray(picture)
    return ids.astype(np.uint8) if ids.dtype == np.bool_ else ids


def open_paired(
    files: SplitFiles, *, manifest_dir: Path | None = None, progress: Progress | None = None
) -> PairedDataset:
    """Check the files (see ``build_manifest``) and return the split. Raises DatasetError listing every problem."""
    manifest = build_manifest(files, manifest_dir=manifest_dir, progress=progress)
    return PairedDataset(files=files, manifest=manifest)


def split_files(entry: DatasetEntry, layout: Layout, root: Path, split: str, size: tuple[int, int]) -> SplitFiles:
    """The files of ``entry`` under ``root`` in ``layout``, at ``size`` (height, width)."""
    from bench.data.entry import class_names, palette

    return SplitFiles(
        name=entry.name,
        split=split,
        root=root,
        layout=layout,
        has_instances=entry.has_instances,
        official_pairs=entry.official_pairs.get(split),
        classes=entry.spec.classes,
        dont_care_value=entry.dont_care_value,
        dont_care_in_range=entry.spec.dont_care and entry.dont_care_value is None,
        class_names=class_names(entry),
        palette=palette(entry),
        size=size,
        augmentation_rule=entry.augmentation_rule,
        ignore_ids=entry.ignore_ids,
        scored_classes=entry.scored_classes,
    )
