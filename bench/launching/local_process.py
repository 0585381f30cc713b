"""The processes of one job of the local backend: one for each rank, started, watched and ended together.

Each is a session of its own, so a terminal's Ctrl-C reaches the backend alone, and the job outlives a backend that is
killed. Free of torch.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.launching.execute import EXIT_STOPPED
from bench.launching.gpus import Gpu
from bench.launching.job_file import JobFile
from bench.launching.watchdog import EXIT_CODE as EXIT_HUNG
from bench.lives import lives

PEERS_S = 15.0
"""How long the other ranks have to write down what they see once one has failed; then they are killed."""
_PORTS = range(12_000, 32_000)
"""Below what Linux gives to outgoing connections."""
_OF_A_RANK = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "GROUP_RANK")


@dataclass(frozen=True, kw_only=True)
class RankEnd:
    """How the process of a rank ended."""

    rank: int
    status: int
    """Exit status; the negative number of the signal that killed it."""

    @property
    def failed(self) -> bool:
        """Whether it neither came to its end nor stopped as it was asked."""
        return self.status not in (0, EXIT_STOPPED)

    @property
    def signal(self) -> int | None:
        """The signal that killed it."""
        return -self.status if self.status < 0 else None

    def told(self, ranks: int) -> str:
        """Such as ``rank 1 of 2 was killed by SIGKILL``."""
        who = f"rank {self.rank} of {ranks}" if ranks > 1 else "its process"
        if self.signal is not None:
            return f"{who} was killed by {signal.Signals(self.signal).name}"
        if self.status == EXIT_HUNG:
            return f"{who} was ended by its watchdog"
        return f"{who} ended with exit status {self.status}"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """How a job ended."""

    how: Literal["done", "stopped", "failed", "taken"]
    """``taken``: another process works at it."""
    first: RankEnd | None = None
    """The rank that failed first."""
    out_of_memory: bool = False
    """Whether the kernel has killed processes for want of memory meanwhile, and the first rank was killed."""


class JobProcesses:
    """The ranks of one job, running."""

    def __init__(
        self,
        file: JobFile,
        token: str,
        logs: Path,
        *,
        environment: Mapping[str, str],
        folder: Path,
        gpus: Sequence[Gpu] = (),
    ) -> None:
        """Start them: in ``folder``, with ``environment``, on ``gpus``, with a log each in ``logs``."""
        self.file, self.token, self.gpus = file, token, tuple(gpus)
        self.began = time.time()
        self._ends: list[RankEnd] = []
        self._failed_at: float | None = None
        self._asked = False
        self._kills_before = kernel_kills()
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        logs.mkdir(parents=True, exist_ok=True)
        port = free_port()
        try:
            for rank in range(file.ranks):
                variables = rank_variables(environment, rank, file.ranks, port, gpus)
                self._running[rank] = self._start(rank, logs / f"{token}_{rank}_log.out", variables, folder)
        except BaseException:
            self.kill()
            raise

    def _start(self, rank: int, log: Path, variables: dict[str, str], folder: Path) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "bench.launching.execute", str(self.file.path), "--submission", self.token]
        where = f" on GPU {', '.join(gpu.name for gpu in self.gpus)}" if self.gpus else ""
        head = f"local job {self.token}: rank {rank} of {self.file.ranks} on {socket.gethostname()}{where}"
        with log.open("ab") as stream:
            stream.write(f"== {head}, {time.strftime('%Y-%m-%d %H:%M:%S')}\n".encode())
            stream.flush()
            return subprocess.Popen(
                command,
                cwd=folder,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def running(self) -> bool:
        """Whether any rank still runs. Ends the others some seconds after one has failed: they wait for it in vain."""
        for rank, process in list(self._running.items()):
            status = process.poll()
            if status is not None:
                del self._running[rank]
                self._ends.append(RankEnd(rank=rank, status=status))
        if self._failed_at is None and any(end.failed for end in self._ends):
            self._failed_at = time.monotonic()
        if self._running and self._failed_at is not None and time.monotonic() - self._failed_at > PEERS_S:
            self.kill()
        return bool(self._running)

    def stop(self) -> None:
        """Ask every rank to stop at its next safe place, with its state saved."""
        if not self._asked:
            self._asked = True
            for process in self._running.values():
                process.terminate()

    def kill(self) -> None:
        """End every rank, and what it has started, at once."""
        for process in self._running.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    def verdict(self) -> Verdict:
        """How it ended; to be called when nothing runs any more."""
        assert not self._running
        first = next((end for end in self._ends if end.failed), None)
        if first is not None:
            if first.rank == 0 and self._was_taken():
                return Verdict(how="taken", first=first)
            if first.signal == signal.SIGTERM:  # asked before it could listen
                return Verdict(how="stopped", first=first)
            starved = first.signal == signal.SIGKILL and kernel_kills() > self._kills_before
            return Verdict(how="failed", first=first, out_of_memory=starved)
        stopped = any(end.status == EXIT_STOPPED for end in self._ends)
        return Verdict(how="stopped" if stopped else "done")

    def _was_taken(self) -> bool:
        own = [life for life in lives(self.file.folder) if life.submission == self.token]
        return bool(own) and own[-1].why.startswith("ClaimedError")


def rank_variables(
    environment: Mapping[str, str], rank: int, ranks: int, port: int, gpus: Sequence[Gpu]
) -> dict[str, str]:
    """``environment`` for one rank, as torchrun would make it."""
    found = {name: value for name, value in environment.items() if name not in _OF_A_RANK}
    found["PYTHONUNBUFFERED"] = "1"
    if gpus:
        found["CUDA_VISIBLE_DEVICES"] = ",".join(gpu.id for gpu in gpus)
    if ranks > 1:
        names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": ranks, "LOCAL_WORLD_SIZE": ranks, "MASTER_PORT": port}
        found |= {name: str(value) for name, value in names.items()}
        found["MASTER_ADDR"] = "127.0.0.1"
        if Path("/sys/class/net/lo").exists():  # a laptop's own name may not resolve
            found.setdefault("GLOO_SOCKET_IFNAME", "lo")
    return found


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    for port in random.sample(_PORTS, 50):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    raise OSError("none of 50 ports between 12000 and 32000 of 127.0.0.1 is free; is a firewall or sandbox in the way?")


def kernel_kills() -> int:
    """How often the kernel has killed a process of this machine for want of memory; 0 where it does not tell."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/vmstat").read_text(encoding="ascii").splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0
