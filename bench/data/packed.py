"""A packed copy of a data set: every pair resized once, in a few large files that are mapped into memory.

``packed.json`` lists the files; ``prepare DATASET --root DIR --pack DIR2`` writes them (``bench.data.packing``). What
is read from a packed copy is equal, bit for bit, to what is read from the files it was made of, and so is its
identity. Each split is kept at the size that pairs are resized to before a window is cut: for training at the load
size (286 x 286 for 256 x 256), for validation at the size itself. Of the validation split the files themselves are
kept too, for protocols at full size.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.atomic import read_json
from bench.data.dataset import Augmentation, AugmentationRule, DatasetError, Sample, check_index
from bench.data.files import Layout, PairFiles
from bench.data.manifest import Manifest, manifest_from_plain
from bench.data.pack_index import (
    INDEX,
    PackedArray,
    Size,
    broken_files,
    is_packed,
    kept_sizes,
    load_for,
    meaning,
    place_of,
    read_index,
    refuse_broken,
    spelled,
    starts_of,
)
from bench.data.paired import SplitFiles, read_ids, split_files
from bench.data.transforms import crop_and_flip, load_size
from spade_core.label_spec import LabelSpec

if TYPE_CHECKING:
    from bench.data.entry import DatasetEntry

__all__ = ["Packed", "PackedDataset", "is_packed", "open_packed"]


@dataclass(frozen=True, kw_only=True)
class Packed(Layout):
    """The layout of a packed copy: it has no pairs of files."""

    name: str = "packed"

    def folders(self, root: Path | None, split: str) -> tuple[str, ...]:
        return (INDEX, split)

    def recognises(self, root: Path) -> bool:
        return is_packed(root)

    def pairs(self, root: Path, split: str) -> tuple[dict[str, PairFiles], list[str]]:
        return {}, [f"{root}: a packed copy has no pairs of files; open it with open_packed"]


def open_packed(entry: DatasetEntry, root: Path, split: str, size: Size) -> PackedDataset:
    """The split at ``size`` (height, width), equal to what the unpacked files give.

    Raises DatasetError when the copy is unfinished, of another data set or description, lacks the size, or has lost
    a file; it names what there is and the command that packs it.
    """
    index = read_index(root)
    command = f"./run_study.py prepare {entry.name} --root DIR --pack {root}"
    if index.dataset != entry.name:
        raise DatasetError(f"{root}: a packed copy of {index.dataset!r}, not of {entry.name!r}; name its own folder")
    if split not in index.pairs:
        raise DatasetError(f"{root}: this packed copy has no split {split!r}; it has {', '.join(index.pairs)}")
    files = split_files(entry, Packed(), root, split, size)
    if dict(index.labels) != meaning(files):
        raise DatasetError(
            f"{root}: packed when the label values of {entry.name!r} meant {dict(index.labels)}, now they mean "
            f"{meaning(files)}; pack it again into an empty folder: {command.replace(str(root), 'NEW')}"
        )
    load = load_for(split, size, files.augmentation_rule)
    mine = {place: array for place, array in index.arrays.items() if place.startswith(f"{split}/")}
    if place_of(split, load, "image") not in mine:
        raise DatasetError(
            f"{root}: packed for {', '.join(map(spelled, index.sizes))} px (height x width); the {split} split of "
            f"{entry.name!r} was asked for at {spelled(size)} px, for which pairs of {spelled(load)} px are needed and "
            f"{', '.join(kept_sizes(mine))} px are there. Add the size: {command} --size {spelled(size)}, where DIR "
            f"holds the files (it was {index.made_from['root']})"
        )
    refuse_broken(root, broken_files(root, mine).values())
    identity = entry.split_identity(split, index.content_hashes[split])
    return PackedDataset(files=files, pairs=index.pairs[split], manifest_hash=identity, arrays=mine)


@dataclass(frozen=True, kw_only=True)
class PackedDataset:
    """A split of a packed copy (implements ``Dataset``); made by ``open_packed``.

    It is small: every process maps the files into its own memory when it first needs them.
    """

    files: SplitFiles
    pairs: int
    manifest_hash: str
    arrays: Mapping[str, PackedArray]

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
    def size(self) -> Size:
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
    def manifest(self) -> Manifest:
        """The manifest of the files that the copy was made of."""
        return manifest_from_plain(read_json(self.files.root / self.split / "manifest.json"))

    def __len__(self) -> int:
        return self.pairs

    def sample_id(self, index: int) -> str:
        return self._samples.ids[self._checked(index)]

    def load(self, index: int, augmentation: Augmentation | None = None) -> Sample:
        """As with files, for augmentations whose load size the copy has; DatasetError for others."""
        name = self.sample_id(index)
        load = load_size(self.size, augmentation)
        if place_of(self.split, load, "image") not in self.arrays:
            raise DatasetError(
                f"{self.files.root}: packed copy of {self.name!r}, split {self.split!r}: {augmentation} needs a pair "
                f"of {spelled(load)} px; {', '.join(kept_sizes(self.arrays))} px are there, as the data set's own "
                "rule of augmentation needs them"
            )
        instances = None
        if self.files.has_instances:
            start, end = self._samples.values_at[index : index + 2]
            values = self._array(place_of(self.split, load, "instance_values"))[start:end]
            instances = np.take(values, self._cut(load, "instance", index, augmentation))
        return Sample(
            id=name,
            labels=self._cut(load, "label", index, augmentation),
            instances=instances,
            image=self._cut(load, "image", index, augmentation),
        )

    def truth(self, index: int) -> NDArray[np.integer]:
        return self.files.label_ids(read_ids(self._file("label", index)))

    def native_size(self, index: int) -> Size:
        height, width = self._samples.sizes[self._checked(index)]
        return height, width

    def original(self, index: int) -> NDArray[np.uint8]:
        with Image.open(self._file("image", index)) as picture:
            return np.asarray(picture.convert("RGB"), dtype=np.uint8)

    def _checked(self, index: int) -> int:
        return check_index(index, self.pairs, f"{self.name}/{self.split}")

    def _cut(self, load: Size, kind: str, index: int, augmentation: Augmentation | None) -> NDArray[Any]:
        whole = self._array(place_of(self.split, load, kind))[index]
        return np.array(crop_and_flip(whole, self.size, augmentation))

    def _file(self, kind: str, index: int) -> io.BytesIO:
        """The content of a file that the sample was made of."""
        at = self._checked(index)
        starts = self._samples.files_at.get(kind)
        if starts is None:
            raise DatasetError(
                f"{self.files.root}: packed copy of {self.name!r}: the {self.split} split is kept at the load size "
                "alone, without its files; label maps and photographs at their own size need the unpacked data set"
            )
        content = self._array(place_of(self.split, None, kind))[starts[at] : starts[at + 1]]
        return io.BytesIO(content.tobytes())

    @property
    def _samples(self) -> _Samples:
        return _samples(self.files.root / self.split / "samples.json", self.manifest_hash)

    def _array(self, place: str) -> NDArray[Any]:
        return _mapped(self.files.root / place, self.arrays[place])


@dataclass(frozen=True, kw_only=True)
class _Samples:
    """What is known of each sample of a split."""

    ids: list[str]
    sizes: list[tuple[int, int]]
    values_at: tuple[int, ...]
    """Where the instance values of each sample begin."""
    files_at: Mapping[str, tuple[int, ...]]
    """Where the content of each file begins, by kind."""


@lru_cache(maxsize=8)
def _samples(path: Path, manifest_hash: str) -> _Samples:
    stored = read_json(path)
    return _Samples(
        ids=stored["ids"],
        sizes=[(height, width) for height, width in stored["sizes"]],
        values_at=starts_of(stored["instance_ids"]),
        files_at={kind: starts_of(lengths) for kind, lengths in stored["file_bytes"].items()},
    )


@lru_cache(maxsize=64)
def _mapped(path: Path, array: PackedArray) -> NDArray[Any]:
    return np.asarray(np.memmap(path, dtype=array.dtype, mode="r", shape=array.shape))  # a plain view is faster to cut
