"""What the trainer's tests do in processes of their own: train until killed, train on several ranks.

Processes come from a fork server that has imported torch and computed nothing: they start at once and are clean.
"""

from __future__ import annotations

import datetime
import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

import torch
from torch import distributed as dist

from bench.run_spec import RunSpec
from bench.store import Store
from bench.training.distributed import Ranks
from bench.training.trainer import Hooks, train
from tests.tiny import splits


def context() -> ForkServerContext:
    """The fork server that has this module imported."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload([__name__])
    return server


def train_here(run: RunSpec, root: Path, hooks: Hooks | None = None, ranks: Ranks | None = None) -> bool:
    """Train ``run`` in the store ``root``, in this process."""
    torch.set_num_threads(1)
    return train(run, Store(root).run(run), *splits(run), ranks or Ranks(), hooks)


def train_until_killed(run: RunSpec, root: Path, kill_in_step: int) -> None:
    """Train, and die by SIGKILL after the update of a step, before anything of it is written."""

    def report(step: int, values: dict[str, float]) -> None:
        if step == kill_in_step:
            os.kill(os.getpid(), signal.SIGKILL)

    train_here(run, root, Hooks(report=report))


def start(target: Callable[..., None], *arguments: object) -> ForkServerProcess:
    """A started process that calls ``target``."""
    process = context().Process(target=target, args=arguments)
    process.start()
    return process


def rank_main(rank: int, world: int, folder: Path, work: Callable[[Ranks, Path], None]) -> None:
    """One rank of a gloo group that meets in ``folder``."""
    torch.set_num_threads(1)
    timeout = datetime.timedelta(seconds=120)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world, timeout=timeout)
    work(Ranks(rank=rank, world=world), folder)
    dist.destroy_process_group()


def on_ranks(world: int, folder: Path, work: Callable[[Ranks, Path], None]) -> None:
    """``work`` on every rank of a group of ``world`` processes; fails when one of them does."""
    processes = [start(rank_main, rank, world, folder, work) for rank in range(world)]
    for process in processes:
        process.join(timeout=180)
    codes = [process.exitcode for process in processes]
    for process in processes:
        if process.is_alive():
            process.kill()
    assert codes == [0] * world, f"exit codes of the ranks: {codes}"
