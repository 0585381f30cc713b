"""One process at a time in a run's or an evaluation's folder, though machines die, hang and come back.

A claim is a file ``.claim-<epoch>`` that its holder renews. Whoever finds it dead creates the next epoch, which exactly
one process can, and deletes the old one. The former holder may still live (its node was cut off from the network, or
stopped for a while): it looks for its own claim before every write in the folder, does not find it, and ends without
having touched anything (:class:`FencedError`).

Between that look and the renaming of a file lies a moment. What slips through then is a whole file of the same run,
which its second life would have written too; a line of progress is overwritten seconds later.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from bench.atomic import explained, guarded

HEARTBEAT_S = 20.0
HEARTBEAT_LOST_S = 120.0
"""A process of another machine whose claim has not been renewed for so long is taken for dead."""

_ANSWER_S = 10.0
"""How long the end of a claim waits for a file system that does not answer."""
_NAME = re.compile(r"\.claim-(\d{6})")


class ClaimedError(ValueError):
    """Another living process works in the folder."""


class FencedError(RuntimeError):
    """This process held the folder once, and another one has taken it over since."""


@dataclass(frozen=True, kw_only=True)
class Claimant:
    """In whose name folders are claimed, and how patiently."""

    job: str = ""
    """A job that a scheduler starts again and again, such as ``slurm 4711``. A later life of it takes over from an
    earlier one at once: the scheduler has given that one up."""
    life: int = 0
    wait_s: float = 0.0
    """How long to wait for a holder that may be dead: somewhat longer than HEARTBEAT_LOST_S where nobody can wait and
    start the job again."""


@dataclass(frozen=True, kw_only=True)
class Holder:
    """The process that holds a claim."""

    host: str
    pid: int
    since: float
    """Seconds since the epoch."""
    machine: str = ""
    """Boot and space of process ids: only within the same one does ``pid`` mean anything."""
    token: str = ""
    job: str = ""
    life: int = 0


@dataclass(frozen=True, kw_only=True)
class Lease:
    """A claim that this process (or, on other ranks, the first rank of its job) has taken."""

    folder: Path
    epoch: int
    token: str

    @property
    def file(self) -> Path:
        """The claim's file."""
        return claim_file(self.folder, self.epoch)

    def check(self) -> None:
        """Raises FencedError when the claim is no longer this one's, OSError when the file system does not answer."""
        try:
            text = self.file.read_text(encoding="utf-8")
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ESTALE):  # ESTALE: deleted on another machine, over NFS
                raise
            text = ""
        if self.token not in text:
            newer = holder_of(self.folder)
            by = f"process {newer.pid} on {newer.host}" if newer is not None else "another process"
            raise FencedError(
                f"{self.folder}: {by} has taken this folder over from process {os.getpid()} on {socket.gethostname()}, "
                f"which gave no sign of life for a while (its node was cut off, or it was stopped). This process "
                f"ends without writing anything; nothing is lost, the other one goes on"
            )


_NOBODY = Claimant()
_claimant: ContextVar[Claimant] = ContextVar("claimant", default=_NOBODY)


@contextlib.contextmanager
def claiming_as(claimant: Claimant) -> Iterator[None]:
    """Claims inside the block are taken in the name of ``claimant``."""
    token = _claimant.set(claimant)
    try:
        yield
    finally:
        _claimant.reset(token)


def claim_file(folder: Path, epoch: int = 1) -> Path:
    """Where the claim of ``folder`` with that epoch is."""
    return folder / f".claim-{epoch:06d}"


def holder_of(folder: Path) -> Holder | None:
    """The living process that works in ``folder``, or None."""
    newest = max(_epochs(folder), default=None)
    return _living(claim_file(folder, newest), time.time()) if newest is not None else None


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[Lease]:
    """Hold the claim of ``folder`` for the block; a thread renews it, and every write under the folder checks it.

    A claim whose process is dead is taken over. Raises ClaimedError while another one lives, WriteError where nothing
    can be written.
    """
    with explained(folder, opening=True):
        folder.mkdir(parents=True, exist_ok=True)
        lease = _take(folder, _claimant.get())
    ended = threading.Event()
    beat = threading.Thread(target=_renew, args=(lease, ended), name="claim", daemon=True)
    beat.start()
    try:
        with guarded(folder, lease.check):
            yield lease
    finally:
        ended.set()
        beat.join(_ANSWER_S)
        with contextlib.suppress(FencedError, OSError):  # what cannot be given back is taken over when it is needed
            lease.check()
            lease.file.unlink()


def _take(folder: Path, claimant: Claimant) -> Lease:
    """Create the next epoch's claim as soon as nobody living holds one; ClaimedError after the claimant's wait."""
    deadline = time.monotonic() + claimant.wait_s
    while True:
        older = _epochs(folder)
        newest = max(older, default=0)
        lease = Lease(folder=folder, epoch=newest + 1, token=uuid.uuid4().hex)
        mine = Holder(
            host=socket.gethostname(),
            pid=os.getpid(),
            since=time.time(),
            machine=this_machine(),
            token=lease.token,
            job=claimant.job,
            life=claimant.life,
        )
        holder = _publish(lease, mine, claim_file(folder, newest))
        if holder is None and max(_epochs(folder), default=0) == lease.epoch:
            for epoch in older:
                claim_file(folder, epoch).unlink(missing_ok=True)
            return lease
        if holder is None:  # slower than two others: a newer epoch is there already
            lease.file.unlink(missing_ok=True)
            continue
        if time.monotonic() >= deadline:
            raise ClaimedError(f"{folder}: {_at_work(holder)}; wait for it, or stop it first")
        time.sleep(min(1.0, claimant.wait_s))


def _at_work(holder: Holder) -> str:
    elsewhere = f" (if it is dead, that shows {HEARTBEAT_LOST_S:.0f} s after its last sign of life)"
    return (
        f"process {holder.pid} on {holder.host} has worked here for {time.time() - holder.since:.0f} s"
        f"{elsewhere if holder.machine != this_machine() else ''}"
    )


def _publish(lease: Lease, mine: Holder, current: Path) -> Holder | None:
    """Create the claim's file, whole, unless somebody living holds ``current`` or was faster; returns that one.

    The age of ``current`` is told by the clock of the file system, which stamps the new file too.
    """
    handle, name = tempfile.mkstemp(dir=lease.folder, prefix=".claim-", suffix=".part")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(asdict(mine), stream)
        holder = _living(current, temporary.stat().st_mtime)
        if holder is not None and not (holder.job and holder.job == mine.job and holder.life < mine.life):
            return holder
        try:
            _link(temporary, lease.file)
        except FileExistsError:
            return _read(lease.file) or Holder(host="?", pid=0, since=time.time())
        return None
    finally:
        temporary.unlink(missing_ok=True)


def _link(temporary: Path, target: Path) -> None:
    """``temporary`` under the name ``target`` as well, which must not exist: atomic on network file systems too."""
    try:
        os.link(temporary, target)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
            raise
        with target.open("x", encoding="utf-8") as stream:  # a file system without hard links
            stream.write(temporary.read_text(encoding="utf-8"))


def _epochs(folder: Path) -> list[int]:
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    return [int(match.group(1)) for name in names if (match := _NAME.fullmatch(name))]


def _read(path: Path) -> Holder | None:
    """What the claim's file says; None when it is not there or torn."""
    try:
        return Holder(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, json.JSONDecodeError, TypeError):
        return None


def _living(path: Path, now: float) -> Holder | None:
    """The holder that a claim's file names, if it lives: by its process here, by its last renewal elsewhere."""
    try:
        silent_s = now - path.stat().st_mtime
    except OSError:
        return None
    holder = _read(path)
    if holder is None:  # being written this very moment, or torn by a full disk
        return Holder(host="?", pid=0, since=now) if silent_s < HEARTBEAT_S else None
    if holder.machine == this_machine():
        return holder if process_lives(holder.pid, holder.since) else None
    return holder if silent_s < HEARTBEAT_LOST_S else None


def _renew(lease: Lease, ended: threading.Event) -> None:
    while not ended.wait(HEARTBEAT_S):
        try:
            lease.check()
            os.utime(lease.file)
        except FencedError:
            return
        except OSError:  # the file system does not answer: tried again; until then others may take the claim over
            continue


@lru_cache(maxsize=1)
def this_machine() -> str:
    """Host, boot and space of process ids, so that neither a reboot nor a container is taken for this one."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def process_lives(pid: int, since: float) -> bool:
    """Whether process ``pid`` of this machine lives, has not ended already (unread by its parent), and is not a
    younger one that got its number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:  # where /proc does not tell, it is taken for the one
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        (boot,) = [line.split()[1] for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime ")]
        started = int(boot) + int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return True
    return fields[0] != "Z" and started <= since + 2.0
