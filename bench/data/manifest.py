"""One look at every file of a paired data set: what is there, what is wrong, and the identity of its content.

The look is recorded in a JSON file and taken again only when a file's name, size or time of change differs.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from bench.atomic import cache_folder, write_json
from bench.data.dataset import DatasetError

if TYPE_CHECKING:
    from bench.data.files import PairFiles
    from bench.data.paired import SplitFiles

MANIFEST_VERSION = 2
Progress = Callable[[int, int], None]
"""Called with (pairs looked at, pairs in all)."""

_IMAGE_MODES = ("RGB", "RGBA", "L", "P", "CMYK", "YCbCr")
_ID_MODES = ("L", "P", "I;16", "I;16B", "I", "1")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One pair: its id, where its files are, size in pixels, and the content's hashes.

    Places are relative to the root, with slashes (absolute where a file lies elsewhere): read ``root / entry.image``.
    """

    stem: str
    image: str
    label: str
    instance: str | None
    height: int
    width: int
    image_sha256: str
    label_sha256: str
    instance_sha256: str | None


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a split consists of."""

    name: str
    split: str
    entries: tuple[Entry, ...]
    label_pixels: dict[int, int]
    """Pixels of each label value, as stored in the files."""
    content_hash: str
    """SHA-256 over ids, contents, classes, don't-care value and the layout's identity; free of paths and times."""


def build_manifest(
    files: SplitFiles, *, manifest_dir: Path | None = None, progress: Progress | None = None, threads: int = 4
) -> Manifest:
    """Look at every file, or reuse the record of an earlier look while names, sizes and times are unchanged.

    ``manifest_dir`` (default: $SPADE_BENCH_CACHE, else ~/.cache/spade-bench) receives the record. Raises DatasetError
    listing every problem of every file at once.
    """
    pairs, problems = files.layout.pairs(files.root, files.split)
    record_path = _record_path(files, manifest_dir)
    fingerprint = {
        str(path): [path.stat().st_size, path.stat().st_mtime_ns] for pair in pairs.values() for path in _paths(pair)
    }
    settings = [MANIFEST_VERSION, files.name, files.split, files.classes, files.values, files.dont_care_value]
    settings += files.layout.identity(files.root, files.split)
    if not problems:
        recorded = _read_record(record_path, fingerprint, settings)
        if recorded is not None:
            return recorded
    entries, pixels, found = _look_at_all(files, pairs, progress, threads)
    problems += found
    if problems:
        shown = "\n".join(f"  - {problem}" for problem in problems)
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        raise DatasetError(f"dataset {files.name!r}, split {files.split!r}: {count} in its files\n{shown}")
    manifest = Manifest(
        name=files.name,
        split=files.split,
        entries=tuple(entries),
        label_pixels=pixels,
        content_hash=_content_hash(entries, settings),
    )
    record = {"fingerprint": fingerprint, "settings": settings, "manifest": asdict(manifest)}
    write_json(record_path, record)
    return manifest


def _look_at_all(
    files: SplitFiles, pairs: Mapping[str, PairFiles], progress: Progress | None, threads: int
) -> tuple[list[Entry], dict[int, int], list[str]]:
    entries: list[Entry] = []
    problems: list[str] = []
    pixels: Counter[int] = Counter()
    with ThreadPoolExecutor(max_workers=threads) as pool:
        looks = pool.map(lambda pair: _look_at_pair(files, pair), pairs.values())
        for done, (entry, histogram, found) in enumerate(looks, start=1):
            problems += found
            pixels.update(histogram)
            if entry is not None:
                entries.append(entry)
            if progress is not None:
                progress(done, len(pairs))
    return entries, dict(sorted(pixels.items())), problems


def _look_at_pair(files: SplitFiles, pair: PairFiles) -> tuple[Entry | None, dict[int, int], list[str]]:
    paths = _paths(pair)
    problems: list[str] = []
    sizes: list[tuple[int, int] | None] = []
    hashes: list[str] = []
    histogram: dict[int, int] = {}
    for kind, path in zip(("image", "label map", "instance map"), paths, strict=False):
        allowed = _IMAGE_MODES if kind == "image" else _ID_MODES
        try:
            content = path.read_bytes()
            with Image.open(path) as picture:
                picture.load()
                mode, size = picture.mode, picture.size
                ids = np.asarray(picture) if kind == "label map" and mode in allowed else None
        except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
            problems.append(f"{path}: not readable as an image ({error}); replace the file")
            sizes.append(None)
            continue
        hashes.append(hashlib.sha256(content).hexdigest())
        sizes.append(size)
        if mode not in allowed:
            problems.append(f"{path}: {kind} of mode {mode}; allowed are {', '.join(allowed)}; {_remedy(kind)}")
        elif ids is not None:
            histogram = _histogram(ids)
            problems += _range_problems(files, path, histogram)
    for path, other in zip(paths[1:], sizes[1:], strict=True):
        if other is not None and sizes[0] is not None and other != sizes[0]:
            problems.append(
                f"{path}: {_wide_high(other)}, but its image {paths[0]} is {_wide_high(sizes[0])}; they must agree"
            )
    if problems or sizes[0] is None:
        return None, histogram, problems
    names = [_place(path, files.root) for path in paths]
    entry = Entry(
        stem=pair.id,
        image=names[0],
        label=names[1],
        instance=names[2] if len(names) > 2 else None,
        height=sizes[0][1],
        width=sizes[0][0],
        image_sha256=hashes[0],
        label_sha256=hashes[1],
        instance_sha256=hashes[2] if len(hashes) > 2 else None,
    )
    return entry, histogram, []


def _paths(pair: PairFiles) -> list[Path]:
    """Image, label map and, where the data set has them, instance map."""
    return [pair.image, pair.label] + ([pair.instance] if pair.instance is not None else [])


def _place(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def _remedy(kind: str) -> str:
    return "save it as RGB" if kind == "image" else "save the ids themselves, one channel, not their colours"


def _wide_high(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]} (width x height)"


def _histogram(ids: np.ndarray[Any, Any]) -> dict[int, int]:
    values, counts = np.unique(ids, return_counts=True)
    return {int(value): int(count) for value, count in zip(values, counts, strict=True)}


def _range_problems(files: SplitFiles, path: Path, histogram: Mapping[int, int]) -> list[str]:
    wrong = [value for value in histogram if not 0 <= value < files.values and value != files.dont_care_value]
    if not wrong:
        return []
    shown = ", ".join(f"{value} ({histogram[value]} pixels)" for value in wrong[:8])
    shown += f" and {len(wrong) - 8} more values" if len(wrong) > 8 else ""
    allowed = f"0 to {files.values - 1}"
    if files.dont_care_value is not None:
        allowed += f", and {files.dont_care_value} for don't care"
    return [f"{path}: label {shown}; allowed are {allowed}; correct the file or the number of classes"]


def _content_hash(entries: list[Entry], settings: list[Any]) -> str:
    parts = [[e.stem, e.image_sha256, e.label_sha256, e.instance_sha256] for e in entries]
    return hashlib.sha256(json.dumps([settings[3:], parts]).encode()).hexdigest()


def _record_path(files: SplitFiles, manifest_dir: Path | None) -> Path:
    if manifest_dir is None:
        manifest_dir = cache_folder() / "manifests"
    place = f"{files.root.absolute()}\n{files.layout!r}"
    tag = hashlib.sha256(place.encode()).hexdigest()[:12]
    return manifest_dir / f"{files.name}-{files.split}-{tag}.json"


def _read_record(path: Path, fingerprint: Mapping[str, list[int]], settings: list[Any]) -> Manifest | None:
    """The recorded manifest if it is about these files as they are now."""
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError:
        return None  # half a file from a broken disk: look again
    if record.get("settings") != settings or record.get("fingerprint") != fingerprint:
        return None
    fields = dict(record["manifest"])
    fields["entries"] = tuple(Entry(**entry) for entry in fields["entries"])
    fields["label_pixels"] = {int(value): count for value, count in fields["label_pixels"].items()}
    return Manifest(**fields)
