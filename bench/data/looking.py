"""The look at every file of a split: decoded once, by many processes, continued where an earlier look stopped."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from bench.data.files import PairFiles
from bench.data.journal import Journal
from bench.data.pool import chunks_of, in_processes, in_threads, useful_workers

if TYPE_CHECKING:
    from bench.data.manifest import Progress

Key = tuple[tuple[str, int, int], ...]
"""(place, bytes, time of change in ns) of each file of a pair: what is known of the pair holds while these stay."""

FACTS_VERSION = 1
"""Raise it when other facts are written down; journals of other versions start afresh."""

KINDS = ("image", "label map", "instance map")
IMAGE_MODES = ("RGB", "RGBA", "L", "P", "CMYK", "YCbCr")
ID_MODES = ("L", "P", "I;16", "I;16B", "I", "1")

_THREADS = 4
_LONGEST_CHUNK_PAIRS = 32
_ORIENTATION = 0x0112  # the EXIF tag that asks a viewer to turn the picture


@dataclass(frozen=True, kw_only=True, slots=True)
class FileFacts:
    """What one file is."""

    sha256: str
    mode: str
    """Pillow's mode, such as RGB, L, P, I;16."""
    width: int
    height: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PairFacts:
    """What the look found out about one pair, whatever a data set makes of it."""

    id: str
    key: Key
    files: tuple[FileFacts | None, ...]
    """Image, label map and perhaps instance map; None for a file that cannot be read."""
    errors: tuple[str, ...]
    """Why each of the files that are None cannot be read."""
    histogram: Mapping[int, int]
    """Pixels of each value in the label map; empty where it is not a map of ids."""
    instance_ids: int | None
    """How many values the instance map has; None where there is none."""
    picture: str
    """Hash of the decoded pixels: equal for equal pictures, whatever the file's name or format."""
    turned: bool
    """Whether the photograph's EXIF data asks viewers to turn it, which preprocessing does not."""


def paths_of(pair: PairFiles) -> list[Path]:
    """Image, label map and, where the data set has them, instance map."""
    return [pair.image, pair.label] + ([pair.instance] if pair.instance is not None else [])


def key_of(pair: PairFiles, root: Path) -> Key:
    """Place relative to ``root`` (absolute where a file lies elsewhere), bytes and time of change of a pair's files."""
    prefix = f"{root.as_posix().rstrip('/')}/"
    found = ((path.as_posix().removeprefix(prefix), os.stat(path)) for path in paths_of(pair))
    return tuple((place, status.st_size, status.st_mtime_ns) for place, status in found)


def look_at(
    pairs: Mapping[str, PairFiles],
    keys: Mapping[str, Key],
    journal: Journal,
    *,
    progress: Progress | None = None,
    workers: int | None = None,
) -> dict[str, PairFacts]:
    """The facts of every pair, in the order of ``pairs``; those in the journal are taken from there, others join it.

    ``workers`` processes share the work; None for threads of this one. ``progress`` is called with what was known
    before, if there was any, and then as the work goes on. A pair with unreadable files does not join the journal:
    the disk or the permissions may be at fault, and neither changes a file's time.
    """
    found = {facts.id: facts for facts in map(_from_plain, journal.done) if keys.get(facts.id) == facts.key}
    if len(journal.done) > 2 * len(pairs) + 100:
        journal.restart(_to_plain(facts) for facts in found.values())
    todo = [pair for name, pair in pairs.items() if name not in found]
    if found and todo and progress is not None:
        progress(len(found), len(pairs))
    share = len(todo) // (4 * (workers or _THREADS))
    tasks = (
        [(pair, keys[pair.id]) for pair in part] for part in chunks_of(todo, max(1, min(_LONGEST_CHUNK_PAIRS, share)))
    )
    looks = (
        in_threads(_look_at_chunk, tasks, workers=_THREADS)
        if workers is None
        else in_processes(_look_at_chunk, tasks, workers=useful_workers(workers, len(todo)))
    )
    for chunk in looks:
        journal.add(_to_plain(facts) for facts in chunk if not facts.errors)
        found.update((facts.id, facts) for facts in chunk)
        if progress is not None:
            progress(len(found), len(pairs))
    return {name: found[name] for name in pairs}


def look_at_pair(pair: PairFiles, key: Key) -> PairFacts:
    """Read and decode the files of one pair, whole."""
    files: list[FileFacts | None] = []
    errors: list[str] = []
    histogram: dict[int, int] = {}
    instance_ids, picture_hash, turned = None, "", False
    for kind, path in zip(KINDS, paths_of(pair), strict=False):
        try:
            content = path.read_bytes()
            with Image.open(io.BytesIO(content)) as picture:
                picture.load()
                if kind == "image":
                    picture_hash, turned = _picture_hash(picture), _turned(picture)
                elif picture.mode in ID_MODES and kind == "label map":
                    histogram = _histogram(picture)
                elif picture.mode in ID_MODES:
                    instance_ids = len(_histogram(picture))
        except (
            Exception
        ) as error:  # Pillow raises OSError, SyntaxError, ValueError, struct.error, zlib.error and others
            files.append(None)
            errors.append(f"{path}: not readable as an image ({_reason(error)}); replace the file")
            continue
        facts = FileFacts(
            sha256=hashlib.sha256(content).hexdigest(), mode=picture.mode, width=picture.width, height=picture.height
        )
        files.append(facts)
    return PairFacts(
        id=pair.id,
        key=key,
        files=tuple(files),
        errors=tuple(errors),
        histogram=histogram,
        instance_ids=instance_ids,
        picture=picture_hash,
        turned=turned,
    )


def _look_at_chunk(chunk: Sequence[tuple[PairFiles, Key]]) -> list[PairFacts]:
    return [look_at_pair(pair, key) for pair, key in chunk]


def _reason(error: Exception) -> str:
    text = str(error)
    if "<_io.BytesIO" in text:  # Pillow's text for content that is no picture names the stream
        return "it is empty or not a picture"
    return text or type(error).__name__


def _turned(picture: Image.Image) -> bool:
    try:
        return bool(picture.getexif().get(_ORIENTATION, 1) != 1)
    except Exception:  # damaged EXIF data, of any kind: they turn nothing, and the picture itself is whole
        return False


def _picture_hash(picture: Image.Image) -> str:
    pixels = picture if picture.mode == "RGB" else picture.convert("RGB")
    return hashlib.sha256(f"{pixels.size}".encode() + pixels.tobytes()).hexdigest()[:32]


def _histogram(picture: Image.Image) -> dict[int, int]:
    """Pixels of each value of a map of ids."""
    if picture.mode in ("L", "P"):
        return {value: count for value, count in enumerate(picture.histogram()) if count}
    ids = np.asarray(picture)
    if ids.dtype == np.bool_:
        ids = ids.astype(np.uint8)
    if int(ids.min()) >= 0 and int(ids.max()) < 1 << 22:  # ten times as fast as sorting them
        counts = np.bincount(ids.ravel())
        values = np.flatnonzero(counts)
        counts = counts[values]
    else:
        values, counts = np.unique(ids, return_counts=True)
    return {int(value): int(count) for value, count in zip(values, counts, strict=True)}


def _to_plain(facts: PairFacts) -> list[Any]:
    files = [file and [file.sha256, file.mode, file.width, file.height] for file in facts.files]
    pixels = [*facts.histogram.items()]
    return [facts.id, facts.key, files, pixels, facts.instance_ids, facts.picture, facts.turned]


def _from_plain(line: list[Any]) -> PairFacts:
    name, key, files, pixels, instance_ids, picture, turned = line
    return PairFacts(
        id=name,
        key=tuple((place, size, time) for place, size, time in key),
        files=tuple(
            FileFacts(sha256=sha256, mode=mode, width=width, height=height) for sha256, mode, width, height in files
        ),
        errors=(),
        histogram=dict(pixels),
        instance_ids=instance_ids,
        picture=picture,
        turned=turned,
    )
