"""The lives of a job that is started again and again: when, where, how each ended. Free of torch.

STORE/jobs/<key>/lives.jsonl   a line when a life begins, one when it ends
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal

from bench.atomic import explained
from bench.plain import from_plain, to_plain

End = Literal["", "done", "stopped", "cancelled", "failed"]


class TooManyLivesError(ValueError):
    """A job was started so often, or so often in vain, that it is not started again."""


@dataclass(frozen=True, kw_only=True)
class Life:
    """One start of a job, on all its ranks."""

    number: int
    """1, 2, ... over all submissions."""
    began: float
    """Seconds since the epoch."""
    host: str
    """Of the first rank."""
    pid: int
    ranks: int = 1
    submission: str = ""
    """Token of the submission, which may have many lives; empty where each life was started by hand."""
    scheduled_id: str = ""
    """The scheduler's number, such as ``4711_3``."""
    restart: int = 0
    """How often the scheduler had started that number before."""
    saved: int = 0
    """What was there already: the newest checkpoint's step, or images of an evaluation."""
    ended: float | None = None
    end: End = ""
    """Empty while it lasts, and for ever where the process was killed."""
    why: str = ""
    """Such as ``SIGUSR2; put back into the queue`` or the error."""


def lives_file(folder: Path) -> Path:
    """Where the lives of the job in ``folder`` are."""
    return folder / "lives.jsonl"


def lives(folder: Path) -> list[Life]:
    """Every life of the job in ``folder``, oldest first. A torn last line is left out; ValueError for any other."""
    path = lives_file(folder)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    found: dict[int, Life] = {}
    for number, line in enumerate(lines, start=1):
        try:
            data = json.loads(line)
        except json.JSONDecodeError:
            if number == len(lines):  # the process was killed, or the disk was full
                break
            raise ValueError(f"{path}: line {number} is not JSON: {line[:80]!r}; take the line out") from None
        if "began" in data:
            life = from_plain(Life, data, f"{path}: line {number}")
            found[life.number] = life
        else:
            found[data["number"]] = replace(found[data["number"]], **data)
    return list(found.values())


@dataclass(frozen=True, kw_only=True)
class Start:
    """By whom a life is started."""

    submission: str = ""
    scheduled_id: str = ""
    restart: int = 0


BY_HAND = Start()


def begin_life(
    folder: Path, start: Start = BY_HAND, *, ranks: int = 1, saved: int = 0, max_lives: int = 1000, max_idle: int = 20
) -> Life:
    """Note that the job in ``folder`` begins a life.

    Raises TooManyLivesError when this submission has had ``max_lives`` lives, or ``max_idle`` in a row that saved
    nothing new, or was cancelled; a life that was started by hand is never refused.
    """
    before = lives(folder)
    life = Life(
        number=before[-1].number + 1 if before else 1,
        began=round(time.time(), 3),
        host=socket.gethostname(),
        pid=os.getpid(),
        ranks=ranks,
        submission=start.submission,
        scheduled_id=start.scheduled_id,
        restart=start.restart,
        saved=saved,
    )
    own = [item for item in before if start.submission and item.submission == start.submission]
    if own:
        _check(life, own, folder, max_lives, max_idle)
    data = {name: value for name, value in to_plain(life).items() if name not in ("ended", "end", "why")}
    _append(lives_file(folder), data)
    return life


def end_life(folder: Path, life: Life, end: End, why: str = "") -> None:
    """Note how ``life`` ended."""
    data = {"number": life.number, "ended": round(time.time(), 3), "end": end, "why": why}
    _append(lives_file(folder), data)


def _check(life: Life, own: Sequence[Life], folder: Path, max_lives: int, max_idle: int) -> None:
    """Whether the submission may begin ``life`` after the lives it has had."""
    idle = len(list(takewhile(lambda item: item.saved == life.saved, reversed(own))))
    if own[-1].end == "cancelled" and own[-1].scheduled_id != life.scheduled_id:
        problem = "it was cancelled, and what was to stand in for it is not started"
    elif len(own) >= max_lives:
        problem = f"it has been started {len(own)} times, which is the limit (max_lives)"
    elif idle >= max_idle:
        problem = f"its last {idle} lives saved nothing new (max_idle_lives is {max_idle})"
    else:
        return
    last = f"life {own[-1].number} on {own[-1].host}: {own[-1].why or own[-1].end or 'killed without a word'}"
    raise TooManyLivesError(
        f"job {folder.name}: {problem}; the last was {last}. Look at its logs in {folder / 'logs'}, "
        f"then submit it again to begin to count anew"
    )


def _append(path: Path, data: dict[str, Any]) -> None:
    """One line, on the disk when this returns; begun on a line of its own after a torn one."""
    with explained(path, opening=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+") as stream:
            size = stream.seek(0, os.SEEK_END)
            torn = False
            if size:
                stream.seek(size - 1)
                torn = stream.read(1) != b"\n"
            if torn:
                stream.seek(0)
                whole = stream.read().rpartition(b"\n")[0]
                stream.truncate(len(whole) + 1 if whole else 0)
            stream.write(json.dumps(data, allow_nan=False).encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
