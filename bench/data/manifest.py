"""What a split of files consists of: every file's hash, what is wrong, what is odd, and the identity of its content.

The manifest is recorded in a JSON file and made again only when a file's name, size or time of change differs; then
only those pairs are looked at again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import PIL

from bench.atomic import cache_folder, written_beside
from bench.data.complaints import pair_problems, refuse, split_warnings
from bench.data.dataset import DatasetError
from bench.data.journal import opened
from bench.data.looking import FACTS_VERSION, Key, PairFacts, key_of, look_at

if TYPE_CHECKING:
    from bench.data.paired import SplitFiles

MANIFEST_VERSION = 3
Progress = Callable[[int, int], None]
"""Called with (pairs looked at, pairs in all)."""


@dataclass(frozen=True, kw_only=True, slots=True)
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
    picture: str
    """Hash of the photograph's decoded pixels; equal for equal pictures in files of any kind."""
    instance_ids: int | None
    """How many values the instance map has."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a split consists of."""

    name: str
    split: str
    layout: str
    """Name of the layout that the files were found in."""
    official_pairs: int | None
    """Pairs in the split as published; None where nobody published one."""
    entries: tuple[Entry, ...]
    label_pixels: dict[int, int]
    """Pixels of each label value, as stored in the files."""
    label_images: dict[int, int]
    """Label maps in which each value occurs."""
    image_modes: dict[str, int]
    """Photographs of each Pillow mode (RGB, L, ...); all are read as RGB."""
    warnings: tuple[str, ...]
    """What is odd and stops nobody: an incomplete split, equal pictures; one sentence each."""
    content_hash: str
    """SHA-256 over ids, contents, classes, don't-care value and the layout's identity; free of paths and times."""


def build_manifest(
    files: SplitFiles,
    *,
    manifest_dir: Path | None = None,
    progress: Progress | None = None,
    workers: int | None = None,
    waiting: Callable[[], None] = lambda: None,
) -> Manifest:
    """Look at every file, or reuse the record of an earlier look while names, sizes and times are unchanged.

    ``manifest_dir`` (default: $SPADE_BENCH_CACHE, else ~/.cache/spade-bench) receives the record, and a journal of
    what was looked at: a look that was stopped goes on from there. ``workers`` processes share the work; None for
    threads of this process. ``waiting`` is called where another process looks at the same files; this one then waits.
    Raises DatasetError listing every problem of every file at once; where they are many, in a file that it names.
    """
    pairs, problems = files.layout.pairs(files.root, files.split)
    keys = {name: key_of(pair, files.root) for name, pair in pairs.items()}
    settings = [MANIFEST_VERSION, files.name, files.split, files.classes, files.values, files.dont_care_value]
    settings += files.layout.identity(files.root, files.split)
    record = record_path(files, manifest_dir)
    mark = _mark(keys, settings, files.official_pairs)
    recorded = _read_record(record, mark) if not problems else None
    if recorded is not None:
        return recorded
    _check_writable(record.parent)
    header = {"journal": "looks at files", "version": FACTS_VERSION, "pillow": PIL.__version__}
    with opened(record.with_suffix(".looks"), header, waiting=waiting) as journal:
        recorded = _read_record(record, mark) if not problems else None
        if recorded is not None:  # made by the process that this one waited for
            return recorded
        facts = look_at(pairs, keys, journal, progress=progress, workers=workers)
        found = [("unpaired or missing", problem) for problem in problems]
        for name, pair in pairs.items():
            found += pair_problems(files, pair, facts[name])
        refuse(files, found, record.with_suffix(".problems.txt"))
        manifest = _manifest(files, list(facts.values()), settings)
        write_compact(record, {"mark": mark, "manifest": manifest_to_plain(manifest)})
    return manifest


def record_path(files: SplitFiles, manifest_dir: Path | None = None) -> Path:
    """Where the record of these files is kept."""
    if manifest_dir is None:
        manifest_dir = cache_folder() / "manifests"
    place = f"{files.root.absolute()}\n{files.layout!r}"
    tag = hashlib.sha256(place.encode()).hexdigest()[:12]
    return manifest_dir / f"{files.name}-{files.split}-{tag}.json"


def manifest_to_plain(manifest: Manifest) -> dict[str, Any]:
    """The manifest as JSON values; the entries as a table of columns, which is small and fast to read."""
    plain = {item.name: getattr(manifest, item.name) for item in fields(manifest) if item.name != "entries"}
    columns = {item.name: [getattr(entry, item.name) for entry in manifest.entries] for item in fields(Entry)}
    return {**plain, "warnings": list(manifest.warnings), "entries": columns}


def manifest_from_plain(plain: Mapping[str, Any]) -> Manifest:
    """The manifest that ``manifest_to_plain`` gave."""
    columns = plain["entries"]
    rows = zip(*(columns[item.name] for item in fields(Entry)), strict=True)
    names = [item.name for item in fields(Entry)]
    return Manifest(
        **{
            **plain,
            "entries": tuple(Entry(**dict(zip(names, row, strict=True))) for row in rows),
            "label_pixels": {int(value): count for value, count in plain["label_pixels"].items()},
            "label_images": {int(value): count for value, count in plain["label_images"].items()},
            "warnings": tuple(plain["warnings"]),
        }
    )


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        reason = "" if os.access(folder, os.W_OK) else "Permission denied"
    except OSError as error:
        reason = error.strerror or type(error).__name__
    if reason:
        raise DatasetError(
            f"{folder}: what is known of the files cannot be kept there ({reason}); set SPADE_BENCH_CACHE to a folder "
            "that you may write into"
        )


def write_compact(path: Path, data: Any) -> None:
    """``data`` as JSON without spaces: tables of many pairs stay small, and are read fast."""
    with written_beside(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
        json.dump(data, stream, separators=(",", ":"), allow_nan=False)


def write_copy(manifest: Manifest, path: Path) -> None:
    """The manifest for people and version control: JSON with one line for each pair, and the sizes counted."""
    sizes = Counter(f"{entry.height}x{entry.width}" for entry in manifest.entries)
    plain = {item.name: getattr(manifest, item.name) for item in fields(manifest) if item.name != "entries"}
    head = json.dumps({**plain, "pairs": len(manifest.entries), "sizes": dict(sizes.most_common())}, indent=2)
    names = [item.name for item in fields(Entry)]
    lines = (json.dumps({name: getattr(entry, name) for name in names}) for entry in manifest.entries)
    with written_beside(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
        stream.write(head.removesuffix("\n}") + ',\n  "entries": [\n    ')
        stream.write(",\n    ".join(lines))
        stream.write("\n  ]\n}\n")


def leaks(train: Manifest, val: Manifest) -> list[str]:
    """A warning for pictures that are in both splits, naming the first of them; empty where there is none."""
    trained = {entry.picture: entry.image for entry in train.entries}
    shared = [(trained[entry.picture], entry.image) for entry in val.entries if entry.picture in trained]
    if not shared:
        return []
    named = "; ".join(f"{ours} = {theirs}" for ours, theirs in shared[:5])
    more = f"; and {len(shared) - 5:,} more" if len(shared) > 5 else ""
    return [
        f"{len(shared):,} of {len(val.entries):,} validation pictures are also in the training split ({named}{more}): "
        "scores on them say nothing about new images; remove them from one of the splits"
    ]


def _manifest(files: SplitFiles, facts: list[PairFacts], settings: list[Any]) -> Manifest:
    entries = tuple(_entry(one) for one in facts)
    pixels: Counter[int] = Counter()
    images: Counter[int] = Counter()
    for one in facts:
        pixels.update(one.histogram)
        images.update(one.histogram.keys())
    return Manifest(
        name=files.name,
        split=files.split,
        layout=files.layout.name,
        official_pairs=files.official_pairs,
        entries=entries,
        label_pixels=dict(sorted(pixels.items())),
        label_images=dict(sorted(images.items())),
        image_modes=dict(sorted(Counter(one.files[0].mode for one in facts if one.files[0] is not None).items())),
        warnings=tuple(split_warnings(files, facts)),
        content_hash=_content_hash(entries, settings),
    )


def _entry(facts: PairFacts) -> Entry:
    image, label = facts.files[:2]
    instance = facts.files[2] if len(facts.files) > 2 else None
    assert image is not None, "pairs with unreadable files were refused"
    assert label is not None, "pairs with unreadable files were refused"
    places = [place for place, _, _ in facts.key]
    return Entry(
        stem=facts.id,
        image=places[0],
        label=places[1],
        instance=places[2] if len(places) > 2 else None,
        height=image.height,
        width=image.width,
        image_sha256=image.sha256,
        label_sha256=label.sha256,
        instance_sha256=instance.sha256 if instance is not None else None,
        picture=facts.picture,
        instance_ids=facts.instance_ids,
    )


def _content_hash(entries: Iterable[Entry], settings: list[Any]) -> str:
    parts = [[e.stem, e.image_sha256, e.label_sha256, e.instance_sha256] for e in entries]
    return hashlib.sha256(json.dumps([settings[3:], parts]).encode()).hexdigest()


def _mark(keys: Mapping[str, Key], settings: list[Any], official_pairs: int | None) -> str:
    """What the record must carry to be about these files as they are now."""
    return hashlib.sha256(json.dumps([settings, official_pairs, list(keys.items())]).encode()).hexdigest()


def _read_record(path: Path, mark: str) -> Manifest | None:
    """The recorded manifest if it is about these files as they are now."""
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None  # half a file from a broken disk: look again
    return manifest_from_plain(record["manifest"]) if record.get("mark") == mark else None
