"""One look at every file of a paired data set: what is there, what is wrong, and the identity of its content.

The look is recorded in a JSON file and taken again only when a file's name, size or time of change differs.
"""

from __future__ import annotations

import hashlib
import json
import os
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
    from bench.data.paired import PairedFolders

MANIFEST_VERSION = 1
Progress = Callable[[int, int], None]
"""Called with (pairs looked at, pairs in all)."""

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
LABEL_SUFFIXES = (".png", ".bmp", ".tif", ".tiff")
_NAME_ENDINGS = ("_leftImg8bit", "_gtFine_labelIds", "_gtFine_instanceIds")
_IMAGE_MODES = ("RGB", "RGBA", "L", "P", "CMYK", "YCbCr")
_ID_MODES = ("L", "P", "I;16", "I;16B", "I", "1")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One pair: file names within their folders, size in pixels, and the content's hashes."""

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
    """SHA-256 over stems, contents, number of classes and don't-care value; free of paths and times."""


def build_manifest(
    folders: PairedFolders, *, manifest_dir: Path | None = None, progress: Progress | None = None, threads: int = 4
) -> Manifest:
    """Look at every file, or reuse the record of an earlier look while names, sizes and times are unchanged.

    ``manifest_dir`` (default: $SPADE_BENCH_CACHE, else ~/.cache/spade-bench) receives the record. Raises DatasetError
    listing every problem of every file at once.
    """
    paths, problems = _list_pairs(folders)
    record_path = _record_path(folders, manifest_dir)
    fingerprint = {
        str(path): [path.stat().st_size, path.stat().st_mtime_ns] for pair in paths.values() for path in pair
    }
    settings = [MANIFEST_VERSION, folders.name, folders.split, folders.classes, folders.values, folders.dont_care_value]
    if not problems:
        recorded = _read_record(record_path, fingerprint, settings)
        if recorded is not None:
            return recorded
    entries, pixels, found = _look_at_all(folders, paths, progress, threads)
    problems += found
    if problems:
        shown = "\n".join(f"  - {problem}" for problem in problems)
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        raise DatasetError(f"dataset {folders.name!r}, split {folders.split!r}: {count} in its files\n{shown}")
    manifest = Manifest(
        name=folders.name,
        split=folders.split,
        entries=tuple(entries),
        label_pixels=pixels,
        content_hash=_content_hash(entries, settings),
    )
    record = {"fingerprint": fingerprint, "settings": settings, "manifest": asdict(manifest)}
    write_json(record_path, record)
    return manifest


def pair_stem(path: Path) -> str:
    """The name that partners share: without extension and without the endings of the Cityscapes files."""
    for ending in _NAME_ENDINGS:
        if path.stem.endswith(ending):
            return path.stem.removesuffix(ending)
    return path.stem


def _list_pairs(folders: PairedFolders) -> tuple[dict[str, list[Path]], list[str]]:
    """Files by stem, [image, label] or [image, label, instances], of the stems that are complete; and problems."""
    kinds: list[tuple[str, Path, tuple[str, ...]]] = [
        ("image", folders.images, IMAGE_SUFFIXES),
        ("label map", folders.labels, LABEL_SUFFIXES),
    ]
    if folders.instances is not None:
        kinds.append(("instance map", folders.instances, LABEL_SUFFIXES))
    problems: list[str] = []
    found: dict[str, dict[str, Path]] = {}
    usable = True
    for kind, folder, suffixes in kinds:
        found[kind], reported = _list_folder(kind, folder, suffixes)
        problems += reported
        usable = usable and bool(found[kind])
    if not usable:
        return {}, problems
    stems = sorted(set().union(*(files.keys() for files in found.values())))
    pairs = {}
    for stem in stems:
        missing = [(kind, folder) for kind, folder, _ in kinds if stem not in found[kind]]
        if not missing:
            pairs[stem] = [found[kind][stem] for kind, _, _ in kinds]
            continue
        present = next(found[kind][stem] for kind, _, _ in kinds if stem in found[kind])
        for kind, folder in missing:
            problems.append(f"{present}: no {kind} named {stem!r} in {folder}; add it or remove its partners")
    return pairs, problems


def _list_folder(kind: str, folder: Path, suffixes: tuple[str, ...]) -> tuple[dict[str, Path], list[str]]:
    if not folder.is_dir():
        return {}, [f"{folder}: no such folder; it should hold the {kind}s ({', '.join(suffixes)})"]
    files: dict[str, Path] = {}
    problems = []
    with os.scandir(folder) as listing:
        paths = sorted(Path(item.path) for item in listing if item.is_file() and not item.name.startswith("."))
    for path in paths:
        if path.suffix.lower() not in suffixes:
            continue
        stem = pair_stem(path)
        if stem in files:
            problems.append(f"{path}: a second {kind} named {stem!r} beside {files[stem].name}; keep one of them")
            continue
        files[stem] = path
    if not files:
        problems.append(f"{folder}: holds no {kind}s; allowed are {', '.join(suffixes)}; put the files there")
    return files, problems


def _look_at_all(
    folders: PairedFolders, pairs: Mapping[str, list[Path]], progress: Progress | None, threads: int
) -> tuple[list[Entry], dict[int, int], list[str]]:
    entries: list[Entry] = []
    problems: list[str] = []
    pixels: Counter[int] = Counter()
    with ThreadPoolExecutor(max_workers=threads) as pool:
        looks = pool.map(lambda item: _look_at_pair(folders, item[0], item[1]), pairs.items())
        for done, (entry, histogram, found) in enumerate(looks, start=1):
            problems += found
            pixels.update(histogram)
            if entry is not None:
                entries.append(entry)
            if progress is not None:
                progress(done, len(pairs))
    return entries, dict(sorted(pixels.items())), problems


def _look_at_pair(
    folders: PairedFolders, stem: str, paths: list[Path]
) -> tuple[Entry | None, dict[int, int], list[str]]:
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
            problems += _range_problems(folders, path, histogram)
    for path, other in zip(paths[1:], sizes[1:], strict=True):
        if other is not None and sizes[0] is not None and other != sizes[0]:
            problems.append(
                f"{path}: {_wide_high(other)}, but its image {paths[0]} is {_wide_high(sizes[0])}; they must agree"
            )
    if problems or sizes[0] is None:
        return None, histogram, problems
    names = [path.name for path in paths]
    entry = Entry(
        stem=stem,
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


def _remedy(kind: str) -> str:
    return "save it as RGB" if kind == "image" else "save the ids themselves, one channel, not their colours"


def _wide_high(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]} (width x height)"


def _histogram(ids: np.ndarray[Any, Any]) -> dict[int, int]:
    values, counts = np.unique(ids, return_counts=True)
    return {int(value): int(count) for value, count in zip(values, counts, strict=True)}


def _range_problems(folders: PairedFolders, path: Path, histogram: Mapping[int, int]) -> list[str]:
    wrong = [value for value in histogram if not 0 <= value < folders.values and value != folders.dont_care_value]
    if not wrong:
        return []
    shown = ", ".join(f"{value} ({histogram[value]} pixels)" for value in wrong[:8])
    shown += f" and {len(wrong) - 8} more values" if len(wrong) > 8 else ""
    allowed = f"0 to {folders.values - 1}"
    if folders.dont_care_value is not None:
        allowed += f", and {folders.dont_care_value} for don't care"
    return [f"{path}: label {shown}; allowed are {allowed}; correct the file or the number of classes"]


def _content_hash(entries: list[Entry], settings: list[Any]) -> str:
    parts = [[e.stem, e.image_sha256, e.label_sha256, e.instance_sha256] for e in entries]
    return hashlib.sha256(json.dumps([settings[3:], parts]).encode()).hexdigest()


def _record_path(folders: PairedFolders, manifest_dir: Path | None) -> Path:
    if manifest_dir is None:
        manifest_dir = cache_folder() / "manifests"
    places = [str(p.absolute()) for p in (folders.images, folders.labels, folders.instances) if p is not None]
    tag = hashlib.sha256("\n".join(places).encode()).hexdigest()[:12]
    return manifest_dir / f"{folders.name}-{folders.split}-{tag}.json"


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
