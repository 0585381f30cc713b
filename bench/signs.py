"""Signs of life of every rank of a job: who it is, how far it is, when it was last heard of. Free of torch.

    STORE/jobs/<key>/ranks/rank-00003.json   written when the rank starts and every few seconds until it ends

They say which rank fell silent first where nobody could write a traceback: a machine without power, a process that was
killed. They are never waited for, and a sign that cannot be written is no failure.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from bench.claim import HEARTBEAT_LOST_S, process_lives, this_machine
from bench.lives import BY_HAND, Start
from bench.plain import from_plain, to_plain

EVERY_S = 10.0
"""Between two signs of a rank."""

SignEnd = Literal["", "done", "stopped", "failed"]


@dataclass(frozen=True, kw_only=True)
class Sign:
    """What one rank last said of itself."""

    rank: int
    ranks: int
    host: str
    machine: str
    """As :func:`bench.claim.this_machine` says; ``pid`` means something only there."""
    pid: int
    began: float
    """Seconds since the epoch."""
    last: float
    """When it was last heard of."""
    submission: str = ""
    restart: int = 0
    done: int = 0
    """Units of work that are done (rank 0 alone knows) ..."""
    of: int = 0
    """... of so many."""
    doing: str = ""
    end: SignEnd = ""
    """Empty while it lives, and for ever where it was killed."""
    why: str = ""
    """The error that ended it."""

    def lives(self, now: float) -> bool:
        """Whether the process lives: looked up on its own machine, judged by its last sign elsewhere."""
        if self.machine == this_machine():
            return process_lives(self.pid, self.began)
        return not self.end and now - self.last < HEARTBEAT_LOST_S


def signs_folder(folder: Path) -> Path:
    """Where the signs of the job in ``folder`` are."""
    return folder / "ranks"


def signs(folder: Path, submission: str | None = None) -> list[Sign]:
    """The signs of the newest life of the job in ``folder``, by rank; with ``submission`` only of a life of that one.

    Empty where no rank has started. A file that is being written this moment is left out.
    """
    found = [sign for path in sorted(signs_folder(folder).glob("rank-*.json")) if (sign := _read(path)) is not None]
    if not found:
        return []
    newest = max(found, key=lambda sign: sign.began)
    if submission is not None and newest.submission != submission:
        return []
    return [sign for sign in found if (sign.submission, sign.restart) == (newest.submission, newest.restart)]


def _read(path: Path) -> Sign | None:
    try:
        return from_plain(Sign, json.loads(path.read_text(encoding="utf-8")), str(path))
    except (OSError, ValueError):
        return None


class LifeSign:
    """Tells from a thread of its own that this rank lives."""

    def __init__(self, folder: Path, start: Start = BY_HAND, *, every_s: float = EVERY_S) -> None:
        rank, ranks = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        self.file = signs_folder(folder) / f"rank-{rank:05d}.json"
        now = round(time.time(), 3)
        self._sign = Sign(
            rank=rank,
            ranks=ranks,
            host=socket.gethostname(),
            machine=this_machine(),
            pid=os.getpid(),
            began=now,
            last=now,
            submission=start.submission,
            restart=start.restart,
        )
        self.outcome: SignEnd = "done"
        """How the block ends unless it raises."""
        self._every_s = every_s
        self._ended = threading.Event()
        self._mine: int | None = None
        self._thread = threading.Thread(target=self._beat, name="sign of life", daemon=True)

    def progress(self, done: int, of: int, doing: str) -> None:
        """What the next sign will say of the work."""
        self._sign = replace(self._sign, done=done, of=of, doing=doing)

    def begin(self) -> None:
        """The first sign; the others follow by themselves."""
        self._write(self._sign)
        self._thread.start()

    def ending(self, end: SignEnd, why: str = "") -> None:
        """The last sign of this process."""
        self._ended.set()
        self._thread.join()
        self._sign = replace(self._sign, end=end, why=why[:400])
        if self._is_mine():
            self._write(self._sign)

    def _beat(self) -> None:
        while not self._ended.wait(self._every_s):
            if not self._is_mine():  # a later life of the job has taken over
                return
            self._write(self._sign)

    def _is_mine(self) -> bool:
        try:
            return self._mine is None or self.file.stat().st_ino == self._mine
        except OSError:
            return True

    def _write(self, sign: Sign) -> None:
        """Renamed over the last one, without waiting for the disk."""
        text = json.dumps(to_plain(replace(sign, last=round(time.time(), 3))))
        temporary = None
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=self.file.parent, prefix=".rank-", suffix=".part")
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(text)
                self._mine = os.fstat(stream.fileno()).st_ino
            os.chmod(temporary, 0o644)
            os.replace(temporary, self.file)
        except OSError:  # a full disk, say: the job itself will say so
            if temporary is not None:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)


@contextlib.contextmanager
def sign_of_life(folder: Path, start: Start = BY_HAND) -> Iterator[LifeSign]:
    """This rank gives signs of life for the block; the last one tells :attr:`LifeSign.outcome`, or what was raised."""
    sign = LifeSign(folder, start)
    sign.begin()
    try:
        yield sign
    except BaseException as error:
        line = (str(error).strip().splitlines() or [""])[0]
        sign.ending("failed", f"{type(error).__name__}: {line}")
        raise
    sign.ending(sign.outcome)
