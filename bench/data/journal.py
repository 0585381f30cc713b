"""What a long job has done, one JSON value a line: killed at any moment, it goes on from there."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO


@dataclass(frozen=True, kw_only=True)
class Journal:
    """An open journal; made by ``opened``."""

    done: tuple[Any, ...]
    """What was written before this process opened it, in order."""
    header: Mapping[str, Any]
    stream: BinaryIO

    def add(self, values: Iterable[Any]) -> None:
        """Append the values; a kill of this process does not lose them."""
        self.stream.write(b"".join(_line(value) for value in values))
        self.stream.flush()

    def restart(self, values: Iterable[Any]) -> None:
        """Forget all but these values."""
        self.stream.seek(0)
        self.stream.truncate()
        self.add([dict(self.header), *values])


@contextlib.contextmanager
def opened(path: Path, header: Mapping[str, Any], *, waiting: Callable[[], None] = lambda: None) -> Iterator[Journal]:
    """The journal at ``path``, for this process alone until the block ends.

    A journal that begins with another ``header`` is about something else and starts afresh; a torn last line is left
    out. ``waiting`` is called where another process holds the journal; then this one waits for it. File systems
    without locks are used without.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    with os.fdopen(handle, "r+b") as stream:
        _lock(stream, waiting)
        kept, done = _read(stream, header)
        stream.seek(kept)
        stream.truncate()
        journal = Journal(done=tuple(done), header=header, stream=stream)
        if not kept:
            journal.restart(())
        try:
            yield journal
        finally:
            os.fsync(stream.fileno())


@contextlib.contextmanager
def locked(path: Path, *, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the file ``path``, which is made and stays, for the block; wait where another process holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as stream:
        _lock(stream, waiting)
        yield


def _line(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def _read(stream: BinaryIO, header: Mapping[str, Any]) -> tuple[int, list[Any]]:
    """How many bytes from the start are whole lines of this job, and the values in them after the header."""
    kept = 0
    values: list[Any] = []
    for number, line in enumerate(stream):
        try:
            value = json.loads(line) if line.endswith(b"\n") else None
        except ValueError:  # a disk that was full or lost power; what follows is looked at again
            value = None
        if value is None or (number == 0 and value != dict(header)):
            break
        kept += len(line)
        if number:
            values.append(value)
    return kept, values


def _lock(stream: BinaryIO, waiting: Callable[[], None]) -> None:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        waiting()
        fcntl.flock(stream, fcntl.LOCK_EX)
    except OSError:  # no locks on this file system: two processes would do the same work twice
        return
