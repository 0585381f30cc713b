"""What was handed to a scheduler: one line before each submission, one with its number after. Free of torch.

    STORE/jobs/<key>/submissions.jsonl   lines of one job: token, then numbers, then how it ended
    STORE/jobs/<key>/logs/               script and logs of a job submitted by itself
    STORE/jobs/array-<token>/logs/       the same of the jobs of one array

The token is part of the job's name with the scheduler. So where the process died between submission and the line with
the number, the next one asks for jobs of that name, and nothing is submitted twice.
"""

from __future__ import annotations

import getpass
import json
import os
import secrets
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from bench.plain import from_plain, to_plain
from bench.scheduler import Scheduled
from bench.store import Store

Event = Literal["token", "submitted", "refused", "ended"]
_EVENTS = ("token", "submitted", "refused", "ended")
_LINE_BYTES = 65_536
"""More than any line of a submission has."""


def new_token() -> str:
    """Eight random hexadecimal digits."""
    return secrets.token_hex(4)


@dataclass(frozen=True, kw_only=True)
class Submission:
    """One handing-over of a job to a scheduler."""

    token: str
    name: str
    """The job's name with the scheduler; ends with the token."""
    scheduler: str
    """For people, such as ``SLURM``."""
    time: float
    """When the token was written; seconds since the epoch."""
    folder: str
    """Folder of the script and the logs, relative to the store."""
    user: str = field(default_factory=getpass.getuser)
    index: int | None = None
    """The element, for a job of an array."""
    links: int = 1
    """How many jobs were meant to stand in for one another, where a job may not requeue itself."""
    ids: tuple[str, ...] = ()
    """The scheduler's numbers, in order of their start (``4711_3`` in an array); none while they are not known."""
    after: tuple[str, ...] = ()
    """The scheduler's numbers of the jobs that it waits for."""
    code: str = ""
    """The snapshot it runs from, relative to the store."""
    cluster: str = ""
    """The cluster's name, where the scheduler has one: another one knows nothing of the job."""
    profile: str = ""
    queue: str = ""
    """Folder, relative to the store, of the process that starts it when its turn comes (the local backend)."""
    nodes: int = 1
    ranks_per_node: int = 1
    refused: str = ""
    """What the scheduler said where it did not take the job."""
    ended: Scheduled | None = None
    """How it ended, once the scheduler has said so."""

    @property
    def open(self) -> bool:
        """Whether it may still run, for all that the lines say."""
        return not self.refused and self.ended is None

    @property
    def lost(self) -> bool:
        """Whether its numbers are not known: to be asked for by name."""
        return self.open and not self.ids

    def scheduled(self) -> Scheduled:
        """What can be said without asking the scheduler."""
        if self.ended is not None:
            return self.ended
        return Scheduled(
            state="unknown",
            id=self.ids[0] if self.ids else "",
            ids=self.ids,
            since=self.time,
            scheduler=self.scheduler,
            after=self.after,
        )

    def log_files(self, root: Path) -> dict[int, list[Path]]:
        """Log files by rank; ``root`` is the store's. Empty before the job has started."""
        found: dict[int, list[Path]] = {}
        for number in self.ids:
            for path in sorted((root / self.folder).glob(f"{number}_*_log.*")):
                rank = path.name.removeprefix(f"{number}_").partition("_")[0]
                if rank.isdigit():
                    found.setdefault(int(rank), []).append(path)
        return found


class JobRecords:
    """The ``submissions.jsonl`` of every job of a store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._folder = os.fspath(store.job_folder(""))

    def file(self, key: str) -> Path:
        """Where the lines of the job ``key`` are."""
        return self.store.job_folder(key) / "submissions.jsonl"

    def array_folder(self, token: str) -> Path:
        """Folder of an array's script and logs."""
        return self.store.job_folder(f"array-{token}") / "logs"

    def logs_folder(self, key: str) -> Path:
        """Folder of the script and logs of a job that is no element of an array."""
        return self.store.job_folder(key) / "logs"

    def read(self, key: str) -> list[Submission]:
        """Every submission of the job, oldest first. Raises ValueError that names file and line."""
        path = f"{self._folder}{os.sep}{key}{os.sep}submissions.jsonl"  # that of file(): most jobs have none, so soon
        try:
            with open(path, encoding="utf-8") as stream:
                lines = stream.read().splitlines()
        except FileNotFoundError:
            return []
        found: dict[str, Submission] = {}
        for number, line in enumerate(lines, start=1):
            try:
                data = json.loads(line)
            except json.JSONDecodeError:
                if number == len(lines):  # cut off: the process was killed, or the disk is full
                    break
                raise ValueError(
                    f"{path}: line {number} is not JSON: {line[:80]!r}; take the line out, or restore the file"
                ) from None
            _apply(found, data, f"{path}: line {number}")
        return list(found.values())

    def latest(self, key: str) -> Submission | None:
        """The newest submission that the scheduler did not refuse, or None."""
        return next((item for item in reversed(self.read(key)) if not item.refused), None)

    def of(self, keys: Iterable[str]) -> dict[str, Submission]:
        """:meth:`latest` of each job that has one."""
        found = {key: self.latest(key) for key in keys}
        return {key: item for key, item in found.items() if item is not None}

    def keys(self) -> Iterator[str]:
        """Every job of the store that was ever handed over."""
        folder = self.store.job_folder("")
        if folder.is_dir():
            for path in sorted(folder.iterdir()):
                if (path / "submissions.jsonl").is_file():
                    yield path.name

    def intend(self, key: str, submission: Submission) -> None:
        """Write the line before the submission: the token, and all that is known beforehand."""
        data = {name: value for name, value in to_plain(submission).items() if name not in ("refused", "ended")}
        self._append(key, {"event": "token", **data}, lasting=True)

    def submitted(self, key: str, token: str, ids: Iterable[str]) -> None:
        """Write the scheduler's numbers."""
        self._append(key, {"event": "submitted", "token": token, "ids": list(ids)})

    def refused(self, key: str, token: str, why: str) -> None:
        """Note that the scheduler did not take it."""
        self._append(key, {"event": "refused", "token": token, "why": why})

    def ended(self, key: str, token: str, how: Scheduled) -> None:
        """Note how it ended, so that nobody needs to ask again."""
        self._append(key, {"event": "ended", "token": token, "how": to_plain(how)})

    def _append(self, key: str, data: dict[str, Any], *, lasting: bool = False) -> None:
        """One line, in the place of a torn one before it.

        With ``lasting`` it is on the disk when this returns, should the machine die: a token must be, a number that is
        lost is found again by the token.
        """
        path = self.file(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps({**data, "written": round(time.time(), 3)}, allow_nan=False) + "\n"
        with path.open("ab+") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - _LINE_BYTES))
            tail = stream.read()
            stream.truncate(size - len(tail) + tail.rfind(b"\n") + 1)
            stream.write(line.encode())
            if lasting:
                stream.flush()
                os.fsync(stream.fileno())


def _apply(found: dict[str, Submission], data: dict[str, Any], where: str) -> None:
    """Add what one line says. Raises ValueError for a line that this module does not write."""
    event, token = data.get("event"), str(data.get("token", ""))
    if event == "token":
        given = {name: value for name, value in data.items() if name not in ("event", "written")}
        found[token] = from_plain(Submission, given, where)
    elif event not in _EVENTS or token not in found:
        known = f"its token is {token!r}, known are: {', '.join(found) or 'none'}"
        raise ValueError(f"{where}: event is {event!r}, allowed are {', '.join(_EVENTS)}; {known}; take the line out")
    elif event == "submitted":
        found[token] = replace(found[token], ids=tuple(data["ids"]))
    elif event == "refused":
        found[token] = replace(found[token], refused=str(data["why"]) or "no word of why")
    else:
        found[token] = replace(found[token], ended=from_plain(Scheduled, data["how"], where))
