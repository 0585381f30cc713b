"""What lies in the folder of a packed copy: ``packed.json``, and the files that it lists."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.data.dataset import Augmentation, AugmentationRule, DatasetError
from bench.data.pool import in_processes
from bench.data.transforms import load_size

if TYPE_CHECKING:
    from bench.data.paired import SplitFiles

INDEX = "packed.json"
UNFINISHED = ".packing"
"""Folder of the journals of a copy that is being written."""
LOCK = ".lock"
"""Held by the process that writes."""
PACK_VERSION = 1
TRAINED = "train"
"""The split that is augmented; the others are kept at the size itself, and with their files."""

Progress = Callable[[str, int, int], None]
"""Called with (what is done, units done, units in all)."""
Size = tuple[int, int]
"""Height and width in pixels."""

_BYTES_FOR_A_PROCESS = 256 << 20


@dataclass(frozen=True, kw_only=True)
class PackedArray:
    """One file of a packed copy: numbers in C order, without a head."""

    place: str
    """Relative to the copy's folder: ``SPLIT/HxW/KIND.bin``, or ``SPLIT/files/KIND.bin``."""
    dtype: str
    shape: tuple[int, ...]
    sha256: str

    @property
    def bytes(self) -> int:
        return int(np.dtype(self.dtype).itemsize * np.prod(self.shape, dtype=np.int64))


@dataclass(frozen=True, kw_only=True)
class PackIndex:
    """What ``packed.json`` says."""

    dataset: str
    labels: Mapping[str, Any]
    """What the values mean, see ``meaning``; another meaning needs another copy."""
    made_from: Mapping[str, str]
    """Folder, layout and Pillow's version."""
    content_hashes: Mapping[str, str]
    """Hash of each split's content, before what a description file adds to it."""
    pairs: Mapping[str, int]
    sizes: tuple[Size, ...]
    """The sizes that it can be read at."""
    arrays: Mapping[str, PackedArray]
    """By place."""


def is_packed(root: Path) -> bool:
    """Whether the folder holds a packed copy, finished or not."""
    return (root / INDEX).is_file() or (root / UNFINISHED).is_dir()


def starts_of(lengths: Iterable[int]) -> tuple[int, ...]:
    """0, then where each next piece begins, then the whole length."""
    return tuple(itertools.accumulate(lengths, initial=0))


def place_of(split: str, load: Size | None, kind: str) -> str:
    """Place of the file of ``kind`` of a split at the size ``load``; None for the files that it was made of."""
    return f"{split}/{'files' if load is None else spelled(load)}/{kind}.bin"


def kept_sizes(arrays: Mapping[str, PackedArray]) -> list[str]:
    """The sizes at which pairs are there, spelled."""
    return sorted({place.split("/")[1] for place in arrays} - {"files"})


def spelled(size: Size) -> str:
    """``286x286``: height x width."""
    return f"{size[0]}x{size[1]}"


def load_for(split: str, size: Size, rule: AugmentationRule) -> Size:
    """The size that a split is kept at so that it can be read at ``size``."""
    scale = rule.load_scale if split == TRAINED else 1.0
    return load_size(size, Augmentation(flip=False, load_scale=scale, crop_y=0.0, crop_x=0.0))


def index_to_plain(index: PackIndex) -> dict[str, Any]:
    """What ``packed.json`` holds, for ``read_index``."""
    return {
        "format": "packed copy of a data set of spade-bench",
        "version": PACK_VERSION,
        "dataset": index.dataset,
        "labels": dict(index.labels),
        "made_from": dict(index.made_from),
        "sizes": index.sizes,
        "splits": {
            split: {"pairs": pairs, "content_hash": index.content_hashes[split]} for split, pairs in index.pairs.items()
        },
        "files": {
            place: {"dtype": array.dtype, "shape": array.shape, "sha256": array.sha256}
            for place, array in sorted(index.arrays.items())
        },
    }


def meaning(files: SplitFiles) -> dict[str, Any]:
    """What decides the stored label ids of a split: a copy made under another meaning is another copy."""
    return {
        "classes": files.classes,
        "values": files.values,
        "dont_care_value": files.dont_care_value,
        "instances": files.has_instances,
    }


def read_index(root: Path) -> PackIndex:
    """``packed.json`` of the folder. Raises DatasetError for an unfinished copy or one of another version."""
    path = root / INDEX
    if not path.is_file():
        raise DatasetError(
            f"{root}: this packed copy is not finished; run the same `prepare ... --pack {root}` again, which goes on "
            "where it stopped"
        )
    stored = json.loads(path.read_text(encoding="utf-8"))
    if stored.get("version") != PACK_VERSION:
        raise DatasetError(
            f"{path}: version {stored.get('version')} of packed copies; this program reads version {PACK_VERSION}: "
            "pack the data set again into an empty folder"
        )
    return PackIndex(
        dataset=stored["dataset"],
        labels=stored["labels"],
        made_from=stored["made_from"],
        content_hashes={split: part["content_hash"] for split, part in stored["splits"].items()},
        pairs={split: part["pairs"] for split, part in stored["splits"].items()},
        sizes=tuple((height, width) for height, width in stored["sizes"]),
        arrays={
            place: PackedArray(place=place, dtype=array["dtype"], shape=tuple(array["shape"]), sha256=array["sha256"])
            for place, array in stored["files"].items()
        },
    )


def broken_files(root: Path, arrays: Mapping[str, PackedArray]) -> dict[str, str]:
    """What is wrong with files that are missing or have another length, by place; reads none of them."""
    problems = {}
    for place, array in arrays.items():
        path = root / place
        if not path.is_file():
            problems[place] = f"{path}: missing"
        elif path.stat().st_size != array.bytes:
            problems[place] = f"{path}: {path.stat().st_size:,} bytes instead of {array.bytes:,}"
    return problems


def refuse_broken(root: Path, problems: Iterable[str]) -> None:
    """Raises DatasetError with the problems, if there are any."""
    listed = "".join(f"\n  - {problem}" for problem in problems)
    if listed:
        raise DatasetError(f"{root}: this packed copy is damaged; copy it again or pack the data set again{listed}")


def verify(root: Path, *, workers: int = 1, progress: Progress = lambda what, done, of: None) -> PackIndex:
    """Read every file of a packed copy against its checksum. Raises DatasetError naming those that differ."""
    index = read_index(root)
    refuse_broken(root, broken_files(root, index.arrays).values())
    found = with_checksums(index.arrays, root, workers=workers, progress=progress)
    wrong = [place for place, array in index.arrays.items() if found[place].sha256 != array.sha256]
    refuse_broken(root, (f"{root / place}: its content is not what was packed" for place in wrong))
    return index


def with_checksums(
    arrays: Mapping[str, PackedArray], root: Path, *, workers: int, progress: Progress
) -> dict[str, PackedArray]:
    """The arrays by place with the SHA-256 of their files."""
    total, done = sum(array.bytes for array in arrays.values()), 0
    found: dict[str, PackedArray] = {}
    largest_first = sorted(arrays, key=lambda place: -arrays[place].bytes)
    workers = min(workers, 1 + total // _BYTES_FOR_A_PROCESS)
    for place, sha256 in in_processes(partial(_checksum, root), largest_first, workers=workers):
        found[place] = replace(arrays[place], sha256=sha256)
        done += arrays[place].bytes
        progress("checksums", done, total)
    return found


def _checksum(root: Path, place: str) -> tuple[str, str]:
    with (root / place).open("rb") as stream:
        return place, hashlib.file_digest(stream, "sha256").hexdigest()
