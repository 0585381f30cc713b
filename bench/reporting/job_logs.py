"""The logs of one job, as they grow over its lives: lines of metrics, and what each rank wrote."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.job_records import JobRecords, Submission
from bench.lives import Life, lives, lives_file
from bench.store import Store
from bench.targets import Target

_TAIL_BYTES = 262_144


def metrics_line(row: dict[str, Any]) -> str:
    """One line of ``metrics.jsonl`` for people."""
    values = "  ".join(f"{key} {value:.4g}" for key, value in row.items() if key not in ("step", "time"))
    return f"step {row['step']}: {values}"


def tail_lines(path: Path, count: int, *, end: int | None = None) -> list[str]:
    """The last lines of a text file, which may be long; up to the byte ``end``, where it is given."""
    with path.open("rb") as stream:
        size = stream.seek(0, os.SEEK_END) if end is None else end
        first = max(0, size - max(_TAIL_BYTES, 400 * count))
        stream.seek(first)
        text = stream.read(size - first).decode("utf-8", errors="replace")
    return text.splitlines()[-count:] if count > 0 else []


def rank_logs(store: Store, key: str) -> tuple[Submission | None, dict[int, list[Path]]]:
    """The newest submission of a job that was started, and its log files by rank; earlier ones may have more."""
    for submission in reversed(JobRecords(store).read(key)):
        files = submission.log_files(store.root)
        if files:
            return submission, files
    return None, {}


def rank_files(store: Store, key: str, rank: int) -> list[Path]:
    """The log files of one rank in the newest submission that has any. Raises ValueError where there is no such
    rank."""
    submission, files = rank_logs(store, key)
    if submission is None:
        raise ValueError(
            f"job {key} has no raw logs: it was started in a terminal, which has its output, or has not begun yet"
        )
    if rank not in files:
        raise ValueError(f"job {key} has no log of rank {rank}; there are ranks {', '.join(map(str, sorted(files)))}")
    return files[rank]


def life_text(life: Life) -> str:
    """Such as ``life 2 began on node7 at 12:03:11 (SLURM job 4711, restart 1), 400 saved before``."""
    where = f"life {life.number} began on {life.host} at {clock(life.began)}"
    scheduled = f" (job {life.scheduled_id}, restart {life.restart})" if life.scheduled_id else ""
    return f"{where}{scheduled}, {life.saved} saved before"


def end_text(life: Life) -> str:
    """How a life ended, such as ``life 2 stopped at 12:04:00: SIGUSR2; ...``."""
    at = f" at {clock(life.ended)}" if life.ended is not None else ""
    return f"life {life.number} {life.end}{at}{f': {life.why}' if life.why else ''}"


def clock(moment: float) -> str:
    """Date and time of a moment in seconds since the epoch, here."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))


class MetricsTail:
    """New lines of a run's metrics. A resumed run drops lines of steps that it does again; those are shown again."""

    def __init__(self, path: Callable[[], Path | None]) -> None:
        """``path`` is looked up anew each time: the run may not have begun."""
        self._path = path
        self._inode, self._offset, self._rest, self._time = 0, 0, "", 0.0

    def new(self) -> list[dict[str, Any]]:
        """Whole lines that were written since the last call."""
        path = self._path()
        if path is None:
            return []
        try:
            with path.open("rb") as stream:
                status = os.fstat(stream.fileno())
                if status.st_ino != self._inode or status.st_size < self._offset:
                    self._inode, self._offset, self._rest = status.st_ino, 0, ""
                stream.seek(self._offset)
                data = stream.read()
        except FileNotFoundError:
            return []
        self._offset += len(data)
        *whole, self._rest = (self._rest + data.decode("utf-8", errors="replace")).split("\n")
        rows = []
        for line in whole:
            try:
                row = json.loads(line)
            except json.JSONDecodeError:  # torn by a kill; the next life takes it out
                continue
            if row.get("time", 0.0) > self._time:
                rows.append(row)
        if rows:
            self._time = max(row.get("time", 0.0) for row in rows)
        return rows


class LogTail:
    """New text of one rank's logs, over all submissions from the newest on."""

    def __init__(self, files: Callable[[], Sequence[Path]]) -> None:
        """``files`` are looked up anew each time."""
        self._files = files
        self._offsets: dict[Path, int] = {}

    def last(self, count: int) -> list[tuple[Path, str]]:
        """(file, its last lines) of what is there now; :meth:`new` goes on from there."""
        found = []
        for path in self._files():
            self._offsets[path] = path.stat().st_size
            lines = tail_lines(path, count, end=self._offsets[path])
            found.append((path, "".join(f"{line}\n" for line in lines)))
        return found

    def new(self) -> list[tuple[Path, str, bool]]:
        """(file, text, whether the file is new) of each file that has grown."""
        found = []
        for path in self._files():
            before = self._offsets.get(path)
            with path.open("rb") as stream:
                stream.seek(before or 0)
                data = stream.read()
            if data or before is None:
                self._offsets[path] = (before or 0) + len(data)
                found.append((path, data.decode("utf-8", errors="replace"), before is None))
        return found


class LivesTail:
    """Beginnings and ends of a job's lives that were not told yet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._began = self._ended = 0
        self._seen = -1

    def new(self) -> list[str]:
        """A line for each, in their order."""
        try:
            stamp = lives_file(self.folder).stat().st_mtime_ns
        except FileNotFoundError:
            return []
        if stamp == self._seen:
            return []
        self._seen = stamp
        told = []
        for life in lives(self.folder):
            if life.number > self._began:
                self._began = life.number
                told.append(life_text(life))
            if life.end and life.number > self._ended:
                self._ended = life.number
                told.append(end_text(life))
        return told


@dataclass(frozen=True, kw_only=True)
class Following:
    """What ``logs --follow`` prints: ``pieces`` gives new text, ``over`` says why there will be no more."""

    pieces: Callable[[], Sequence[str]]
    over: Callable[[], str]
    """Nothing while it may go on."""


def follow(
    target: Target,
    store: Store,
    following: Following,
    write: Callable[[str], None],
    *,
    every_s: float = 1.0,
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Write what is new until the job is over; returns why it is. Starts of further lives are announced."""
    told = LivesTail(store.job_folder(target.key))
    told.new()
    while True:
        over = following.over()
        for line in told.new():
            write(f"== {line}\n")
        for piece in following.pieces():
            write(piece)
        if over:
            write(f"== {over}\n")
            return over
        sleep(every_s)
