"""Full-state checkpoints: everything a run needs to go on as if it had never stopped."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from baselines.steps import TrainingStep
from bench.atomic import written_beside
from bench.training.distributed import Ranks
from bench.training.ema import MovingAverage
from spade_core.sync_batch_norm import SyncBatchNorm2d

_NAME = re.compile(r"step_(\d{8})\.pt")


def checkpoint_path(folder: Path, step: int) -> Path:
    """File of the checkpoint after ``step`` steps."""
    return folder / f"step_{step:08d}.pt"


def checkpoint_steps(folder: Path) -> list[int]:
    """Steps that have a checkpoint, ascending."""
    return sorted(int(match.group(1)) for path in folder.glob("step_*.pt") if (match := _NAME.fullmatch(path.name)))


def save_checkpoint(
    folder: Path, *, run_id: str, step: int, work: TrainingStep, average: MovingAverage | None, ranks: Ranks
) -> None:
    """Write the state of all ranks after ``step`` steps; every rank must call this.

    Holds networks, optimisers, moving average, and for each rank its random generators and those buffers that differ
    between ranks (batch norm without synchronisation). The file appears whole or not at all.
    """
    per_rank = ranks.gather({"random": _random_state(ranks.device), "buffers": _own_buffers(work)})
    if ranks.first:
        state = {
            "run_id": run_id,
            "step": step,
            "networks": {role: network.state_dict() for role, network in work.networks.named().items()},
            "optimizers": {role: optimizer.state_dict() for role, optimizer in work.optimizers.items()},
            "average": average.network.state_dict() if average is not None else None,
            "ranks": per_rank,
        }
        with written_beside(checkpoint_path(folder, step)) as temporary:
            torch.save(state, temporary)
    ranks.barrier()


def load_checkpoint(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """The state in ``path``. Raises ValueError naming the file when it is not a checkpoint of this project."""
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:
        raise ValueError(f"{path}: cannot be read as a checkpoint ({type(error).__name__}: {error})") from error
    if not isinstance(state, dict) or not {"run_id", "step", "networks"} <= set(state):
        raise ValueError(
            f"{path}: not a checkpoint of a run (a released network file? use --checkpoint with --variant)"
        )
    return state


def resume(folder: Path, *, run_id: str, work: TrainingStep, average: MovingAverage | None, ranks: Ranks) -> int:
    """Load the newest readable checkpoint into ``work`` and ``average``; returns its step, 0 when there is none.

    An unreadable newest one is reported and the one before is taken. Raises ValueError when a checkpoint belongs to
    another run.
    """
    state = _newest_readable(folder) if ranks.first else None
    step: int = ranks.broadcast(state["step"] if state is not None else 0)
    if step == 0:
        return 0
    if state is None:
        state = load_checkpoint(checkpoint_path(folder, step))
    if state["run_id"] != run_id:
        path = checkpoint_path(folder, step)
        raise ValueError(f"{path}: belongs to run {state['run_id']}, not to {run_id}; it cannot be resumed here")
    _restore(state, work, average, ranks)
    return step


def _newest_readable(folder: Path) -> dict[str, Any] | None:
    """The newest checkpoint that can be read; what an interrupted write left behind is deleted."""
    for leftover in folder.glob(".step_*.part"):
        leftover.unlink(missing_ok=True)
    for step in reversed(checkpoint_steps(folder)):
        try:
            return load_checkpoint(checkpoint_path(folder, step))
        except ValueError as error:
            warnings.warn(f"{error}; trying the checkpoint before it", stacklevel=3)
    return None


def _restore(state: dict[str, Any], work: TrainingStep, average: MovingAverage | None, ranks: Ranks) -> None:
    for role, network in work.networks.named().items():
        network.load_state_dict(state["networks"][role])
    for role, optimizer in work.optimizers.items():
        optimizer.load_state_dict(state["optimizers"][role])
    if average is not None:
        average.network.load_state_dict(state["average"])
    if len(state["ranks"]) != ranks.world:
        warnings.warn(
            f"the checkpoint was written by {len(state['ranks'])} ranks and is resumed by {ranks.world}: the result "
            f"is as good, but not equal to the bit",
            stacklevel=3,
        )
    own = state["ranks"][ranks.rank % len(state["ranks"])]
    for role, network in work.networks.named().items():
        buffers = dict(network.named_buffers())
        for name, value in own["buffers"].get(role, {}).items():
            buffers[name].copy_(value)
    torch.set_rng_state(own["random"]["cpu"].cpu())
    if ranks.device.type == "cuda" and own["random"]["cuda"] is not None:
        torch.cuda.set_rng_state(own["random"]["cuda"].cpu(), ranks.device)


def prune_checkpoints(folder: Path, keep: int, always: set[int]) -> None:
    """Delete all but the newest ``keep`` checkpoints and the steps in ``always``."""
    for step in checkpoint_steps(folder)[:-keep]:
        if step not in always:
            checkpoint_path(folder, step).unlink(missing_ok=True)


def _random_state(device: torch.device) -> dict[str, Tensor | None]:
    return {
        "cpu": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
    }


def _own_buffers(work: TrainingStep) -> dict[str, dict[str, Tensor]]:
    """Running statistics of batch norms that every rank keeps for itself."""
    found: dict[str, dict[str, Tensor]] = {}
    for role, network in work.networks.named().items():
        for path, module in network.named_modules():
            if isinstance(module, nn.BatchNorm2d) and not isinstance(module, SyncBatchNorm2d):
                for name, value in module.named_buffers(recurse=False):
                    found.setdefault(role, {})[f"{path}.{name}"] = value.detach().cpu().clone()
    return found
