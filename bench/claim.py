"""One process at a time in a run's or an evaluation's folder, with a sign of life that other machines can see."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HEARTBEAT_S = 20.0
HEARTBEAT_LOST_S = 120.0
"""A process of another machine whose claim has not been renewed for so long is taken for dead."""


class ClaimedError(ValueError):
    """Another living process works in the folder."""


@dataclass(frozen=True, kw_only=True)
class Holder:
    """The process that holds a claim."""

    host: str
    pid: int
    since: float
    """Seconds since the epoch."""


def claim_file(folder: Path) -> Path:
    """Where the claim of ``folder`` is."""
    return folder / ".claim"


def holder_of(folder: Path) -> Holder | None:
    """The living process that works in ``folder``, or None."""
    path = claim_file(folder)
    try:
        holder = Holder(**json.loads(path.read_text(encoding="utf-8")))
        renewed = path.stat().st_mtime
    except FileNotFoundError:
        return None
    except (json.JSONDecodeError, TypeError):  # being written this very moment, or torn by a full disk
        return None if time.time() - path.stat().st_mtime > HEARTBEAT_S else Holder(host="?", pid=0, since=time.time())
    if holder.host != socket.gethostname():
        return holder if time.time() - renewed < HEARTBEAT_LOST_S else None
    return holder if process_lives(holder.pid, holder.since) else None


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Hold the claim of ``folder`` for the block; a thread renews it.

    A claim whose process is dead is taken over. Raises ClaimedError while another one lives.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = claim_file(folder)
    holder = holder_of(folder)
    if holder is not None:
        raise ClaimedError(
            f"{folder}: process {holder.pid} on {holder.host} has worked here for {time.time() - holder.since:.0f} s; "
            f"wait for it, or stop it first"
        )
    path.unlink(missing_ok=True)
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        raise ClaimedError(f"{folder}: another process has begun to work here this very moment") from None
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        json.dump({"host": socket.gethostname(), "pid": os.getpid(), "since": time.time()}, stream)
    ended = threading.Event()
    beat = threading.Thread(target=_renew, args=(path, ended), daemon=True)
    beat.start()
    try:
        yield
    finally:
        ended.set()
        beat.join()
        path.unlink(missing_ok=True)


def _renew(path: Path, ended: threading.Event) -> None:
    while not ended.wait(HEARTBEAT_S):
        with contextlib.suppress(FileNotFoundError):  # the folder was deleted under a running job: its own error tells
            os.utime(path)


def process_lives(pid: int, since: float) -> bool:
    """Whether process ``pid`` of this machine lives and is not a younger one that got its number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not _started_after(pid, since)


def _started_after(pid: int, moment: float) -> bool:
    """Whether the process is younger than ``moment``. False where /proc does not tell."""
    try:
        ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
        (boot,) = [line.split()[1] for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime ")]
    except (OSError, ValueError, IndexError):
        return False
    return int(boot) + ticks / os.sysconf("SC_CLK_TCK") > moment + 2.0
