"""Writing a packed copy (see ``bench.data.packed``) by many processes: continued after a kill, published at the end."""

from __future__ import annotations

import hashlib
import io
import itertools
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image

from bench.atomic import write_json
from bench.data.dataset import Augmentation, DatasetError, Sample
from bench.data.journal import locked, opened
from bench.data.manifest import Entry, manifest_to_plain, write_compact
from bench.data.pack_index import (
    INDEX,
    LOCK,
    TRAINED,
    UNFINISHED,
    PackedArray,
    PackIndex,
    Progress,
    Size,
    broken_files,
    index_to_plain,
    load_for,
    meaning,
    place_of,
    read_index,
    spelled,
    starts_of,
    with_checksums,
)
from bench.data.packed import Packed, PackedDataset
from bench.data.paired import PairedDataset, SplitFiles, read_ids
from bench.data.pool import chunks_of, in_processes, useful_workers
from bench.data.transforms import prepare_ids, prepare_image

_CHUNK_PAIRS = 32
_COMPARED = 3  # samples of each split that are read back and compared before the copy is published
_SPARE_BYTES = 64 << 20


@dataclass(frozen=True, kw_only=True)
class Packing:
    """What ``pack`` did."""

    folder: Path
    bytes: int
    """Size of the whole copy."""
    written: int
    """Bytes written by this call; 0 where the copy was there already."""


def pack(
    splits: Sequence[PairedDataset],
    out: Path,
    *,
    workers: int = 1,
    progress: Progress = lambda what, done, of: None,
    announce: Callable[[int], None] = lambda bytes_to_write: None,
    waiting: Callable[[], None] = lambda: None,
) -> Packing:
    """Write or extend the packed copy of a data set's splits, at their size, in the folder ``out``.

    Call it again to go on after it was stopped; a copy of the same content that is there gets the size added.
    ``packed.json`` is written last: nobody reads half a copy. ``announce`` is called with the bytes that will be
    written, before they are. Raises DatasetError for a folder that holds something
    else, for a disk that is too small, and for files that changed since they were looked at.
    """
    check_folder(out, root=splits[0].files.root, splits=[split.split for split in splits])
    with locked(out / LOCK, waiting=waiting):
        known = _index_before(splits, out)
        jobs = [(split, _job(split, out, known)) for split in splits]
        missing = {array.place: array for _, job in jobs for array in job.arrays.values()}
        size = splits[0].size
        if not missing and size in known.sizes:
            return Packing(folder=out, bytes=_total(known.arrays), written=0)
        _check_space(missing, out)
        announce(_total(missing))
        for split, job in jobs:
            if job.arrays:
                _write_split(job, split, workers, progress)
        arrays = {**known.arrays, **with_checksums(missing, out, workers=workers, progress=progress)}
        index = replace(known, arrays=arrays, sizes=tuple(sorted({*known.sizes, size})))
        for split in splits:
            _write_tables(split, out)
            _compare(split, out, index)
        write_json(out / INDEX, index_to_plain(index))
        _remove_leftovers(out, index)
    return Packing(folder=out, bytes=_total(arrays), written=_total(missing))


def check_folder(out: Path, *, root: Path, splits: Sequence[str]) -> None:
    """Raises DatasetError where ``out`` holds something else than a packed copy, such as the files of ``root``."""
    if out.resolve() == root.resolve():
        raise DatasetError(f"--pack {out} is the folder of the files themselves; name a folder of its own for the copy")
    ours = {INDEX, UNFINISHED, LOCK, *splits}
    others = sorted(item.name for item in out.iterdir() if item.name not in ours) if out.is_dir() else []
    if others or (out.exists() and not out.is_dir()):
        raise DatasetError(
            f"--pack {out} holds other files ({', '.join(others[:5]) or 'it is one'}); name a folder that is empty or "
            "not there yet"
        )


@dataclass(frozen=True, kw_only=True)
class _Job:
    """The files of one split that have to be written; sent to the processes."""

    files: SplitFiles
    out: Path
    load: Size
    arrays: Mapping[str, PackedArray]
    """By kind: image, label, instance, instance_values at the load size; image_file, label_file as they are."""


@dataclass(frozen=True, kw_only=True)
class _Row:
    """One sample: where it goes."""

    index: int
    entry: Entry
    values_at: int
    files_at: tuple[int, int]
    """Where the content of the image's and the label map's file begin."""


def _index_before(splits: Sequence[PairedDataset], out: Path) -> PackIndex:
    """The index of the copy that is there, with the files that are whole; or one without files."""
    first = splits[0].files
    hashes = {split.split: split.manifest.content_hash for split in splits}
    fresh = PackIndex(
        dataset=first.name,
        labels=meaning(first),
        made_from={"root": str(first.root), "layout": first.layout.name, "pillow": PIL.__version__},
        content_hashes=hashes,
        pairs={split.split: len(split) for split in splits},
        sizes=(),
        arrays={},
    )
    if not (out / INDEX).is_file():
        return fresh
    known = read_index(out)
    if (known.dataset, dict(known.labels), dict(known.content_hashes)) != (fresh.dataset, dict(fresh.labels), hashes):
        raise DatasetError(
            f"--pack {out} holds a packed copy of other content: {_identity(known)}, where the files under "
            f"{first.root} are {_identity(fresh)}; name another folder, or remove that copy"
        )
    broken = broken_files(out, known.arrays)
    if broken:
        (out / INDEX).unlink()  # nobody shall read it while they are written again
    return replace(known, arrays={place: array for place, array in known.arrays.items() if place not in broken})


def _identity(index: PackIndex) -> str:
    hashes = ", ".join(f"{split} {content_hash[:12]}" for split, content_hash in index.content_hashes.items())
    return f"{index.dataset} ({hashes})"


def _job(split: PairedDataset, out: Path, known: PackIndex) -> _Job:
    """What has to be written of a split that is not there yet."""
    files, entries = split.files, split.manifest.entries
    height, width = load = load_for(split.split, split.size, files.augmentation_rule)
    shapes: dict[str, tuple[str, tuple[int, ...]]] = {
        "image": ("uint8", (len(entries), height, width, 3)),
        "label": ("uint8" if files.spec.ids <= 256 else "uint16", (len(entries), height, width)),
    }
    if files.has_instances:
        counts = [entry.instance_ids or 0 for entry in entries]
        small = np.min_scalar_type(max(counts) - 1).name
        shapes["instance"] = (small, (len(entries), height, width))
        shapes["instance_values"] = ("int32", (sum(counts),))
    arrays = {kind: _planned(place_of(split.split, load, kind), *shape) for kind, shape in shapes.items()}
    if split.split != TRAINED:
        for kind, lengths in _file_bytes(split).items():
            arrays[f"{kind}_file"] = _planned(place_of(split.split, None, kind), "uint8", (sum(lengths),))
    missing = {kind: array for kind, array in arrays.items() if array.place not in known.arrays}
    return _Job(files=files, out=out, load=load, arrays=missing)


def _planned(place: str, dtype: str, shape: tuple[int, ...]) -> PackedArray:
    return PackedArray(place=place, dtype=dtype, shape=shape, sha256="")


def _file_bytes(split: PairedDataset) -> dict[str, list[int]]:
    """Bytes of the files of each sample that is kept with its files, by kind."""
    root, entries = split.files.root, split.manifest.entries
    if split.split == TRAINED:
        return {}
    return {kind: [(root / getattr(entry, kind)).stat().st_size for entry in entries] for kind in ("image", "label")}


def _total(arrays: Mapping[str, PackedArray]) -> int:
    return sum(array.bytes for array in arrays.values())


def _check_space(arrays: Mapping[str, PackedArray], out: Path) -> None:
    needed = 0
    for place, array in arrays.items():
        path = out / place
        needed += array.bytes - min(array.bytes, path.stat().st_blocks * 512 if path.is_file() else 0)
    free = shutil.disk_usage(out).free
    if needed + _SPARE_BYTES > free:
        raise DatasetError(
            f"--pack {out}: the copy needs {needed / 1e9:,.1f} GB more, the disk has {free / 1e9:,.1f} GB free; make "
            "room, name a folder on another disk, or pack a smaller --size"
        )


def _write_split(job: _Job, split: PairedDataset, workers: int, progress: Progress) -> None:
    """Write the samples that no earlier process has written."""
    entries = split.manifest.entries
    planned = {kind: [array.place, array.dtype, list(array.shape)] for kind, array in sorted(job.arrays.items())}
    header = {"journal": "packing", "content": split.manifest.content_hash, "pillow": PIL.__version__, "files": planned}
    journal_path = job.out / UNFINISHED / f"{split.split}-{spelled(job.load)}.journal"
    with opened(journal_path, header) as journal:
        done = set(itertools.chain.from_iterable(journal.done))
        paths = {job.out / array.place: array.bytes for array in job.arrays.values()}
        if not all(path.is_file() and path.stat().st_size == length for path, length in paths.items()):
            done = set()
            journal.restart(())
            for path, length in paths.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("wb") as stream:
                    stream.truncate(length)
        values_at = starts_of(entry.instance_ids or 0 for entry in entries)
        lengths = _file_bytes(split)
        starts = [starts_of(lengths[kind]) if kind in lengths else (0,) * len(entries) for kind in ("image", "label")]
        rows = (
            _Row(index=i, entry=entry, values_at=values_at[i], files_at=(starts[0][i], starts[1][i]))
            for i, entry in enumerate(entries)
            if i not in done
        )
        what = f"pack {split.name}/{split.split} at {spelled(job.load)}"
        progress(what, len(done), len(entries))
        left = len(entries) - len(done)
        workers = useful_workers(workers, left)
        chunks = chunks_of(rows, max(1, min(_CHUNK_PAIRS, left // (4 * workers))))
        for indices in in_processes(partial(_pack_some, job), chunks, workers=workers):
            journal.add([indices])
            done.update(indices)
            progress(what, len(done), len(entries))


def _pack_some(job: _Job, rows: Sequence[_Row]) -> list[int]:
    """In a process: write these samples, through to the disk, and return their indices."""
    streams = {kind: os.open(job.out / array.place, os.O_WRONLY) for kind, array in job.arrays.items()}
    try:
        for row in rows:
            for kind, (at, content) in _pieces(job, row).items():
                if kind in streams:
                    os.pwrite(streams[kind], content, at)
        for stream in streams.values():
            os.fdatasync(stream)
    finally:
        for stream in streams.values():
            os.close(stream)
    return [row.index for row in rows]


def _pieces(job: _Job, row: _Row) -> dict[str, tuple[int, bytes]]:
    """What is written of a sample, and where, by kind."""
    entry, files = row.entry, job.files
    image = _content(files.root / entry.image, entry.image_sha256)
    label = _content(files.root / entry.label, entry.label_sha256)
    with Image.open(io.BytesIO(image)) as picture:
        arrays = {"image": prepare_image(picture, job.load, None)}
    labels = prepare_ids(files.label_ids(read_ids(io.BytesIO(label))), job.load, None)
    pieces = {"image_file": (row.files_at[0], image), "label_file": (row.files_at[1], label)}
    arrays["label"] = labels
    if files.has_instances and entry.instance is not None:
        content = _content(files.root / entry.instance, str(entry.instance_sha256))
        ids = prepare_ids(read_ids(io.BytesIO(content)).astype(np.int32), job.load, None)
        values, dense = _dense(ids)
        pieces["instance_values"] = (4 * row.values_at, values.tobytes())
        if "instance" in job.arrays:
            arrays["instance"] = dense.astype(job.arrays["instance"].dtype)
    for kind, array in arrays.items():
        pieces[kind] = (row.index * array.nbytes, np.ascontiguousarray(array).tobytes())
    return pieces


def _content(path: Path, sha256: str) -> bytes:
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise DatasetError(f"{path}: changed since it was looked at; run the same `prepare` again")
    return content


def _dense(ids: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[Any]]:
    """The values that occur, ascending, and the map (H, W) of their numbers in that list."""
    if ids.min() >= 0 and ids.max() < 1 << 22:  # several times as fast as sorting
        values = np.flatnonzero(np.bincount(ids.ravel())).astype(np.int32)
        numbers = np.zeros(int(values[-1]) + 1, np.int32)
        numbers[values] = np.arange(len(values), dtype=np.int32)
        return values, numbers[ids]
    values, dense = np.unique(ids, return_inverse=True)
    return values, dense.reshape(ids.shape)


def _write_tables(split: PairedDataset, out: Path) -> None:
    entries = split.manifest.entries
    write_compact(out / split.split / "manifest.json", manifest_to_plain(split.manifest))
    table = {
        "ids": [entry.stem for entry in entries],
        "sizes": [[entry.height, entry.width] for entry in entries],
        "instance_ids": [entry.instance_ids or 0 for entry in entries],
        "file_bytes": _file_bytes(split),
    }
    write_compact(out / split.split / "samples.json", table)


def _compare(split: PairedDataset, out: Path, index: PackIndex) -> None:
    """Read some samples back. Raises DatasetError where they are not what the files give."""
    packed = PackedDataset(
        files=replace(split.files, root=out, layout=Packed()),
        pairs=len(split),
        manifest_hash=split.manifest.content_hash,
        arrays=index.arrays,
    )
    scale = split.augmentation_rule.load_scale if split.split == TRAINED else 1.0
    for number in range(min(_COMPARED, len(split))):
        at = number * (len(split) - 1) // max(1, _COMPARED - 1)
        augmentation = Augmentation(flip=number == 1, load_scale=scale, crop_y=0.5, crop_x=0.5)
        if not _equal(packed.load(at, augmentation), split.load(at, augmentation)):
            raise DatasetError(
                f"{out}: sample {split.sample_id(at)!r} of {split.split} is not what its files give; the disk may "
                "be at fault: remove the folder and pack again"
            )


def _equal(one: Sample, other: Sample) -> bool:
    pairs = ((one.image, other.image), (one.labels, other.labels), (one.instances, other.instances))
    return one.id == other.id and all(
        b is None if a is None else b is not None and a.dtype == b.dtype and np.array_equal(a, b) for a, b in pairs
    )


def _remove_leftovers(out: Path, index: PackIndex) -> None:
    """The journals, and what an unfinished packing at another size left."""
    for path in out.glob("*/*/*.bin"):
        if path.relative_to(out).as_posix() not in index.arrays:
            path.unlink()
    shutil.rmtree(out / UNFINISHED, ignore_errors=True)
