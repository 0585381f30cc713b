"""The ranks of one job: the only module that asks torch.distributed who we are."""

from __future__ import annotations

import datetime
import os
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

    def any(self, flag: bool) -> bool:
        """Whether any rank's flag is set: how the ranks agree to stop at one step boundary."""
        if self.world == 1:
            return flag
        votes = torch.tensor([int(flag)], device=self.device)
        dist.all_reduce(votes)
        return bool(votes.item())

    def wrap(self, network: nn.Module) -> nn.Module:
        """``network`` with its gradients averaged over the ranks.

        Buffers are not broadcast: sync batch norm keeps them equal, plain batch norm keeps its own on each rank.
        """
        if self.world == 1:
            return network
        devices = [self.device] if self.device.type == "cuda" else None
        return DistributedDataParallel(network, device_ids=devices, broadcast_buffers=False)


def pick_device(name: str, local_rank: int = 0) -> torch.device:
    """``auto`` (a GPU if there is one), ``cpu`` or ``cuda``. Raises ValueError for ``cuda`` without one."""
    if name not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device is {name!r}; allowed are auto, cpu and cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("device is 'cuda' but torch sees no GPU on this machine; use cpu or auto")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", local_rank)


@contextmanager
def joined_ranks(device: str = "auto") -> Iterator[Ranks]:
    """The ranks as torchrun (or a launcher) describes them in RANK, WORLD_SIZE and LOCAL_RANK; alone without these.

    The process group (nccl on GPUs, gloo otherwise) is left again at the end.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
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
    try:
        yield Ranks(rank=rank, world=world, device=chosen)
    finally:
        dist.destroy_process_group()
