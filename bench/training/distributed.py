"""The ranks of one job: the only module that asks torch.distributed who we are."""

from __future__ import annotations

import datetime
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """This process among its peers."""

    rank: int = 0
    world: int = 1
    device: torch.device = torch.device("cpu")

    @property
    def first(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def barrier(self) -> None:
        """Wait for every rank."""
        if self.world > 1:
            dist.barrier()

    def gather(self, value: Any) -> list[Any]:
        """The ``value`` of every rank, in order of rank, on every rank. Values are pickled."""
        if self.world == 1:
            return [value]
        values: list[Any] = [None] * self.world
        dist.all_gather_object(values, value)
        return values

    def broadcast(self, value: Any) -> Any:
        """Rank 0's ``value`` on every rank. The value is pickled."""
        if self.world == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, src=0)
        return values[0]

    def mean(self, values: Tensor) -> Tensor:
        """The mean of a tensor over the ranks."""
        if self.world > 1:
            values = values.clone()
            dist.all_reduce(values)
            values /= self.world
        return values

    def largest(self, values: list[float]) -> list[float]:
        """Each of ``values`` at its largest over the ranks."""
        if self.world == 1:
            return values
        shared = torch.tensor(values, device=self.device)
        dist.all_reduce(shared, op=dist.ReduceOp.MAX)
        found: list[float] = shared.tolist()
        return found

    def wrap(self, network: nn.Module) -> nn.Module:
        """``network`` with its gradients averaged over the ranks.

        Buffers are not broadcast: sync batch norm keeps them equal, plain batch norm keeps its own on each rank.
        """
        if self.world == 1:
            return network
        devices = [self.device] if self.device.type == "cuda" else None
        return DistributedDataParallel(network, device_ids=devices, broadcast_buffers=False)


VOTE_EVERY_STEPS = 10
"""Several ranks agree on stopping at most so rarely: each vote makes the host wait for the GPU ..."""
VOTE_EVERY_S = 2.0
"""... and about so often where steps are slow: a scheduler's notice may be a few seconds."""


class StopVote:
    """At which steps the ranks agree whether to stop; all of them reckon with the same, slowest rank's pace."""

    def __init__(self, ranks: Ranks, *, first_step: int) -> None:
        self._ranks = ranks
        self._last, self._next = first_step, first_step + 1
        self._since = time.monotonic()

    def agreed(self, step: int, asked: bool) -> bool:
        """Whether all ranks stop after ``step``. Every rank calls this after every step."""
        if self._ranks.world == 1:
            return asked
        if step < self._next:
            return False
        now = time.monotonic()
        stop, seconds = self._ranks.largest([float(asked), now - self._since])
        pace = seconds / (step - self._last)
        wanted = int(VOTE_EVERY_S / pace) if pace > 0 else VOTE_EVERY_STEPS
        self._last, self._since = step, now
        self._next = step + min(max(wanted, 1), VOTE_EVERY_STEPS)
        return stop > 0


def pick_device(name: str, local_rank: int = 0) -> torch.device:
    """``auto`` (a GPU if there is one), ``cpu`` or ``cuda``. Raises ValueError for ``cuda`` without one.

    Where the scheduler shows each rank one GPU alone, that one is taken whatever the rank.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device is {name!r}; allowed are auto, cpu and cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("device is 'cuda' but torch sees no GPU on this machine; use cpu or auto")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    count = torch.cuda.device_count()
    if count > 1 and local_rank >= count:
        raise ValueError(
            f"rank {local_rank} of this machine has no GPU of its own: torch sees {count}; start at most {count} ranks "
            f"here, or ask for more GPUs"
        )
    return torch.device("cuda", local_rank if count > 1 else 0)


_LOST_PEER = re.compile(
    r"closed by peer|reset by peer|Broken pipe|Connection refused|remote process exited|unhandled system error|"
    r"Socket Timeout|Timed out waiting|failed to recv|timed out in"
)


def is_lost_peer(error: BaseException) -> bool:
    """Whether a collective operation failed because another rank was gone."""
    return isinstance(error, RuntimeError) and _LOST_PEER.search(str(error)) is not None


def world_size() -> int:
    """Number of ranks, as torchrun (or a launcher) describes it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


@contextmanager
def joined_ranks(device: str = "auto") -> Iterator[Ranks]:
    """The ranks as torchrun (or a launcher) describes them in RANK, WORLD_SIZE and LOCAL_RANK; alone without these.

    The process group (nccl on GPUs, gloo otherwise) is left again at the end. After an error it is not taken down
    with nccl, which would wait for operations that the peers will never finish: the process has to end.
    """
    world = world_size()
    rank = int(os.environ.get("RANK", "0"))
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    chosen = pick_device(device, local_rank)
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    if world == 1 or dist.is_initialized():
        yield Ranks(rank=rank, world=world, device=chosen)
        return
    backend = "nccl" if chosen.type == "cuda" else "gloo"
    dist.init_process_group(backend, rank=rank, world_size=world, timeout=datetime.timedelta(minutes=30))
    failed = True
    try:
        yield Ranks(rank=rank, world=world, device=chosen)
        failed = False
    finally:
        if not failed or backend == "gloo":
            dist.destroy_process_group()
