"""Writes that another process may read: made beside the target, then renamed over it, so nobody sees half a file.

A folder may be guarded: then every write under it asks first whether it is still allowed (see bench/claim.py).
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

_guards: dict[Path, Callable[[], None]] = {}


class WriteError(OSError):
    """A file could not be written: the disk is full, a quota is used up, the folder is read-only or not ours."""


def cache_folder() -> Path:
    """Where what can be computed again is kept: $SPADE_BENCH_CACHE, else ~/.cache/spade-bench."""
    return Path(os.environ.get("SPADE_BENCH_CACHE") or "~/.cache/spade-bench").expanduser()


@contextlib.contextmanager
def guarded(folder: Path, check: Callable[[], None]) -> Iterator[None]:
    """Inside the block every write under ``folder`` calls ``check`` first, which raises where it must not happen."""
    key = folder.absolute()
    previous = _guards.get(key)
    _guards[key] = check
    try:
        yield
    finally:
        if previous is None:
            _guards.pop(key, None)
        else:
            _guards[key] = previous


def check_write(path: Path) -> None:
    """Ask the guards of the folders above ``path``; for writes and deletions that do not go through this module."""
    if _guards:
        for folder in path.absolute().parents:
            if folder in _guards:
                _guards[folder]()


@contextlib.contextmanager
def explained(path: Path, *, opening: bool = False) -> Iterator[None]:
    """Turn an error of the system inside the block into a :class:`WriteError` that says what to do about ``path``.

    With ``opening`` the permissions of the folder count too; without it the block may also read other files.
    """
    reasons = {**_ON_WRITING, **_ON_OPENING} if opening else _ON_WRITING
    try:
        yield
    except WriteError:
        raise
    except (OSError, RuntimeError) as error:  # torch.save wraps the system's error in a RuntimeError
        number = _cause(error, reasons)
        if number is None:
            raise
        raise WriteError(number, f"{path}: cannot be written, {reasons[number](path.parent)}") from error


@contextlib.contextmanager
def written_beside(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """A temporary path in the folder of ``path``; renamed to ``path`` when the block ends without an error.

    Without ``durable`` the disk is not waited for, and a machine that loses its power may leave an empty file: for many
    small files whose writer looks at their sizes before it goes on, and ends with ``os.sync``.
    The temporary file is gone afterwards in any case. Raises WriteError where the disk, a quota or a permission stands
    in the way, and whatever the guard of the folder raises, right before the renaming too.
    """
    check_write(path)
    with explained(path, opening=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        os.close(handle)
    temporary = Path(name)
    with explained(path):
        try:
            yield temporary
            temporary.chmod(0o644)
            if durable:
                with temporary.open("rb") as stream:
                    os.fsync(stream.fileno())
            check_write(path)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def remove_unfinished(folder: Path) -> list[Path]:
    """Delete the temporary files that killed processes left under ``folder``; returns them. For its holder alone."""
    found = sorted(folder.rglob(".*.part")) if folder.is_dir() else []
    for path in found:
        check_write(path)
        path.unlink(missing_ok=True)
    return found


def write_json(path: Path, data: Any) -> None:
    """``data`` as indented JSON; NaN and infinities are refused with a ValueError."""
    text = json.dumps(data, indent=2, allow_nan=False)
    with written_beside(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path | str) -> Any:
    """The JSON value in ``path``. Raises ValueError that names the file when it is not JSON."""
    try:
        with open(path, "rb", buffering=0) as stream:
            return json.loads(stream.read())
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: not valid JSON ({error}); delete it or restore it from a copy") from error


def _cause(error: BaseException | None, reasons: Mapping[int, object]) -> int | None:
    """The error number that explains ``error``: its own, or that of what it was raised from."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in reasons:
            return error.errno
        error = error.__cause__ or error.__context__
    return None


def _full(folder: Path) -> str:
    try:
        free = f" ({shutil.disk_usage(folder).free / 2**20:.1f} MiB are free without the unfinished file)"
    except OSError:
        free = ""
    return f"no space is left on its disk{free}; {_REMEDY}"


_REMEDY = "free some, or move the store to another disk, then run again; what was saved before is whole and is used"
_ON_WRITING: dict[int, Callable[[Path], str]] = {
    errno.ENOSPC: _full,
    errno.EDQUOT: lambda folder: f"your quota there is used up; {_REMEDY}",
    errno.EFBIG: lambda folder: "it would be larger than the file system (or `ulimit -f`) allows; raise the limit",
    errno.EROFS: lambda folder: "its disk is mounted read-only; mount it for writing, or name another store (--store)",
}
_ON_OPENING: dict[int, Callable[[Path], str]] = {
    errno.EACCES: lambda folder: f"you may not write in {folder}; change its permissions, or name another --store",
    errno.EPERM: lambda folder: f"writing in {folder} is not permitted; change that, or name another --store",
}
