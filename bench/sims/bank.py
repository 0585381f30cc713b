"""The memory bank: the segments of all training pictures, indexed for retrieval.

On disk, in shards of pictures that are made independently: the pictures, their class maps, and for each segment its
class, area, picture, mask (as bits of the whole picture) and grid of counts. A segment's colours are its picture's
inside its mask. Everything is memory-mapped; only the table and, at retrieval, one class's counts are in memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from baselines.sims.overlap import Words, cell_counts, packed, unpacked
from baselines.sims.segments import SegmentRule, find_segments
from bench.atomic import read_json, write_json, written_beside
from bench.data.dataset import Dataset
from bench.data.pool import in_processes, useful_workers
from bench.sims.stage import Progress, Record, Stage, StageError, read_record, run_stage
from bench.sims.workspace import Workspace

FOLDER = "bank"
_ARRAYS = ("images", "classes", "segments", "bits", "counts")
_LEAST_PER_SHARD, _MOST_SHARDS = 32, 150  # five open files a shard
IMAGE, CLASS, AREA = range(3)
"""Columns of ``segments``."""


@dataclass(frozen=True, kw_only=True)
class _Task:
    """One shard: what a worker process needs to make it."""

    folder: Path
    dataset: Dataset
    start: int
    stop: int
    of_label: NDArray[Any]
    rule: SegmentRule


def bank_stage(workspace: Workspace, train: Dataset) -> Stage:
    """What the bank is made of."""
    settings = {
        "size": list(workspace.size),
        "min_area_px": workspace.min_area_px,
        "thin": [workspace.classes.names[number] for number in workspace.classes.thin],
    }
    inputs = {"train": workspace.manifest(train)}
    return Stage(name="bank", folder=workspace.place(FOLDER), settings=settings, inputs=inputs)


def build_bank(
    workspace: Workspace, *, workers: int, again: bool = False, progress: Progress = lambda *_: None
) -> tuple[Record, bool]:
    """Make the memory bank of the training split; shards that are there are kept. Returns (record, whether made)."""
    train = workspace.open("train")
    stage = bank_stage(workspace, train)

    def work() -> Mapping[str, Any]:
        count = workspace.count(train)
        per = max(_LEAST_PER_SHARD, -(-count // _MOST_SHARDS))
        tasks = [
            _Task(
                folder=stage.folder / f"shard-{start:08d}",
                dataset=train,
                start=start,
                stop=min(start + per, count),
                of_label=workspace.classes.of_label,
                rule=workspace.rule,
            )
            for start in range(0, count, per)
        ]
        left = [task for task in tasks if not (task.folder / "shard.json").is_file()]
        done = count - sum(task.stop - task.start for task in left)
        for pictures in in_processes(_make_shard, left, workers=min(useful_workers(workers, count), len(left) or 1)):
            done += pictures
            progress(done, count, f"{done:,} of {count:,} pictures")
        ids = [train.sample_id(index) for index in range(count)]
        write_json(stage.folder / "ids.json", ids)
        bank = _open(stage.folder, workspace.size)
        if not len(bank):
            raise StageError(
                f"{stage.folder}: no segment of {count} pictures has {workspace.rule.min_area(workspace.size)} px or "
                f"more; lower --min-area (it is stated for 256x512 px, now {workspace.min_area_px})"
            )
        names = workspace.classes.names
        per_class = {names[k]: int(n) for k, n in enumerate(np.bincount(bank.class_of)) if n}
        return {"pictures": count, "segments": len(bank), "segments_of_class": per_class}

    return run_stage(stage, work, again=again)


def _make_shard(task: _Task) -> int:
    """Write one shard; returns its number of pictures."""
    size = task.dataset.size
    images = np.empty((task.stop - task.start, *size, 3), np.uint8)
    classes = np.empty((task.stop - task.start, *size), task.of_label.dtype)
    tables, bits, counts = [], [], []
    for place, index in enumerate(range(task.start, task.stop)):
        sample = task.dataset.load(index)
        images[place], classes[place] = sample.image, task.of_label[sample.labels]
        found = find_segments(classes[place], task.rule)
        areas = found.masks.sum((1, 2), dtype=np.int64)
        tables.append(np.stack([np.full(len(found), index, np.int64), found.classes, areas], 1))
        bits.append(packed(found.masks))
        counts.append(cell_counts(found.masks))
    made = (images, classes, *(np.concatenate(part) for part in (tables, bits, counts)))
    for name, array in zip(_ARRAYS, made, strict=True):
        with written_beside(task.folder / f"{name}.npy") as temporary, temporary.open("wb") as stream:
            np.save(stream, array)
    write_json(task.folder / "shard.json", {"start": task.start, "stop": task.stop})
    return len(images)


class Bank:
    """An open memory bank. Segments are numbered in the order of the training pictures."""

    def __init__(self, shards: list[dict[str, NDArray[Any]]], ids: list[str], size: tuple[int, int]) -> None:
        self.size, self.ids = size, ids
        self._shards = shards
        table = np.concatenate([shard["segments"] for shard in shards])
        self.image_of: NDArray[np.int64] = table[:, IMAGE]
        """(S,) picture of each segment."""
        self.class_of: NDArray[np.int64] = table[:, CLASS]
        self.areas: NDArray[np.int64] = table[:, AREA]
        self._first_image = np.cumsum([0, *(len(shard["images"]) for shard in shards)])
        self._first = np.cumsum([0, *(len(shard["segments"]) for shard in shards)])

    def __len__(self) -> int:
        """Number of segments."""
        return len(self.class_of)

    def image(self, index: int) -> NDArray[np.uint8]:
        """(H, W, 3) training picture."""
        shard = int(np.searchsorted(self._first_image, index, side="right")) - 1
        return np.asarray(self._shards[shard]["images"][index - self._first_image[shard]])

    def class_map(self, index: int) -> NDArray[Any]:
        """(H, W) class map of a training picture."""
        shard = int(np.searchsorted(self._first_image, index, side="right")) - 1
        return np.asarray(self._shards[shard]["classes"][index - self._first_image[shard]])

    def bits(self, numbers: NDArray[np.int64]) -> Words:
        """(len(numbers), B) masks as bits."""
        return np.asarray(self._rows("bits", numbers))

    def mask(self, number: int) -> NDArray[np.bool_]:
        """(H, W) mask of one segment."""
        return np.asarray(unpacked(self.bits(np.array([number])), self.size)[0])

    def counts(self, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        """(len(numbers), C) pixels in each cell of the grid."""
        return np.asarray(self._rows("counts", numbers), np.float32)

    def of_class(self, label: int) -> NDArray[np.int64]:
        """Numbers of the segments of a class, ascending."""
        return np.flatnonzero(self.class_of == label)

    def _rows(self, name: str, numbers: NDArray[np.int64]) -> NDArray[Any]:
        sample = self._shards[0][name]
        found = np.empty((len(numbers), *sample.shape[1:]), sample.dtype)
        shard = np.searchsorted(self._first, numbers, side="right") - 1
        for each in np.unique(shard):
            here = shard == each
            found[here] = self._shards[each][name][numbers[here] - self._first[each]]
        return found


def open_bank(workspace: Workspace) -> tuple[Bank, Record]:
    """The finished bank of the workspace. Raises StageError where there is none, or the files changed since."""
    record = read_record(workspace.place(FOLDER), "bank")
    current = bank_stage(workspace, workspace.open("train"))
    if record.identity != current.identity():
        raise StageError(
            f"{record.folder}: the training pictures or the settings changed since the bank was made; run "
            f"`./run_study.py sims bank` again"
        )
    return _open(record.folder, workspace.size), record


def _open(folder: Path, size: tuple[int, int]) -> Bank:
    shards = [
        {name: _mapped(path.parent / f"{name}.npy") for name in _ARRAYS}
        for path in sorted(folder.glob("shard-*/shard.json"))
    ]
    return Bank(shards, read_json(folder / "ids.json"), size)


def _mapped(path: Path) -> NDArray[Any]:
    """The array of a file, memory-mapped; an empty one (a shard without segments) cannot be and is read."""
    with path.open("rb") as stream:
        version = np.lib.format.read_magic(stream)
        shape = np.lib.format.read_array_header_1_0(stream)[0] if version == (1, 0) else (1,)
    return np.asarray(np.load(path)) if 0 in shape else np.load(path, mmap_mode="r")
