"""Full-state checkpoints: everything a run needs to go on as if it had never stopped."""

from __future__ import annotations

import copy
import hashlib
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from baselines.steps import TrainingStep
from bench.atomic import check_write, written_beside
from bench.training.distributed import Ranks
from bench.training.ema import MovingAverage
from spade_core.sync_batch_norm import SyncBatchNorm2d

_NAME = re.compile(r"step_(\d{8})\.pt")
DAMAGED = ".damaged"
"""Added to the name of a checkpoint that was found so."""


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
    between ranks (batch norm without synchronisation), and a checksum of all that. The file appears whole or not at
    all. Raises WriteError on rank 0 where it cannot be written; the checkpoints before it stay as they are.
    """
    per_rank = ranks.gather({"random": _random_state(ranks.device), "buffers": _own_buffers(work)})
    if ranks.first:
        state = {
            "run_id": run_id,
            "step": step,
            "networks": {role: network.state_dict() for role, network in work.networks.named().items()},
            "optimizers": {role: optimizer.state_dict() for role, optimizer in work.optimizers.items()},
            "own": work.state_dict(),
            "average": average.network.state_dict() if average is not None else None,
            "ranks": per_rank,
        }
        state = _on_cpu(state)
        state["sha256"] = state_sha256(state)
        # Written through a stream of ours: of its own, torch hides what the system says of a full disk.
        with written_beside(checkpoint_path(folder, step)) as temporary, temporary.open("wb") as stream:
            torch.save(state, stream)
    ranks.barrier()


def load_checkpoint(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """The state in ``path``. Raises ValueError naming the file when it is damaged or no checkpoint of this project.

    An OSError (the disk does not answer, the file is not there) is passed on: it says nothing about the content.
    """
    try:
        with path.open("rb") as stream:
            state = torch.load(stream, map_location=device, weights_only=True)
    except (OSError, MemoryError):
        raise
    except Exception as error:
        if isinstance(error.__cause__ or error.__context__, OSError):
            raise
        raise ValueError(f"{path}: cannot be read as a checkpoint ({type(error).__name__}: {error})") from error
    if not isinstance(state, dict) or not {"run_id", "step", "networks"} <= set(state):
        raise ValueError(
            f"{path}: not a checkpoint of a run (a released network file? use --checkpoint with --variant)"
        )
    if "sha256" in state and state["sha256"] != state_sha256(state):
        raise ValueError(f"{path}: is damaged: its content does not have the checksum that was stored with it")
    return state


def state_sha256(state: Mapping[str, Any]) -> str:
    """Checksum of everything in ``state`` (on the CPU) but its field of that name.

    The file format checks its structure alone: a bit that flipped within a tensor would be read without a word.
    """
    digest = hashlib.sha256()
    for place, value in _leaves({key: value for key, value in state.items() if key != "sha256"}):
        digest.update(place.encode())
        if isinstance(value, Tensor):
            digest.update(f"{value.dtype}{tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        else:
            digest.update(repr(value).encode())
    return digest.hexdigest()


def _leaves(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Everything in nested dicts, lists and tuples, with its place."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, f"{place}/{key}")
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _leaves(item, f"{place}/{index}")
    else:
        yield place, value


def _on_cpu(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().cpu()
    if isinstance(value, dict):
        moved = copy.copy(value)  # a module's state has versions of its layers as an attribute
        moved.update((key, _on_cpu(item)) for key, item in value.items())
        return moved
    if isinstance(value, (list, tuple)):
        return type(value)(_on_cpu(item) for item in value)
    return value


def resume(
    folder: Path,
    *,
    run_id: str,
    work: TrainingStep,
    average: MovingAverage | None,
    ranks: Ranks,
    on_damage: Callable[[str], None] = lambda text: warnings.warn(text, stacklevel=3),
) -> int:
    """Load the newest valid checkpoint into ``work`` and ``average``; returns its step, 0 when there is none.

    A damaged one is put aside (DAMAGED is added to its name), told to ``on_damage`` on rank 0, and the one before
    is taken. Raises ValueError when a checkpoint belongs to another run.
    """
    state = _newest_valid(folder, on_damage) if ranks.first else None
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


def _newest_valid(folder: Path, on_damage: Callable[[str], None]) -> dict[str, Any] | None:
    damaged: list[str] = []
    state = None
    for step in reversed(checkpoint_steps(folder)):
        path = checkpoint_path(folder, step)
        try:
            state = load_checkpoint(path)
            break
        except ValueError as error:
            check_write(path)
            path.replace(path.with_name(f"{path.name}{DAMAGED}"))
            damaged.append(str(error))
    if damaged:
        taken = f"the one of step {state['step']} is taken" if state is not None else "the run begins anew"
        on_damage(f"{'; '.join(damaged)}; put aside as {DAMAGED}, {taken}")
    return state


def _restore(state: dict[str, Any], work: TrainingStep, average: MovingAverage | None, ranks: Ranks) -> None:
    for role, network in work.networks.named().items():
        network.load_state_dict(state["networks"][role])
    for role, optimizer in work.optimizers.items():
        optimizer.load_state_dict(state["optimizers"][role])
    if state.get("own"):
        work.load_state_dict(state["own"])
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
    """Delete all but the newest ``keep`` checkpoints and the steps in ``always``; damaged ones older than these too."""
    check_write(folder / "any")
    steps = checkpoint_steps(folder)
    for step in steps[:-keep]:
        if step not in always:
            checkpoint_path(folder, step).unlink(missing_ok=True)
    for path in folder.glob(f"step_*.pt{DAMAGED}"):
        if path.name < checkpoint_path(folder, steps[-keep:][0]).name:
            path.unlink(missing_ok=True)


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
