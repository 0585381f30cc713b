"""The training loop of SIMS' networks: Adam, batches a function of (seed, step) alone."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.atomic import written_beside
from bench.sims.stage import Progress, Record, StageError, read_record
from bench.training.checkpoint import checkpoint_path, checkpoint_steps, load_checkpoint, state_sha256

NETWORK_FILE = "network.pt"
METRICS_FILE = "metrics.jsonl"
ROLE = "network"


@dataclass(frozen=True, kw_only=True)
class Learning:
    """How a network is trained."""

    steps: int
    """Optimisation steps: of one picture, of one pair (order), of two pairs (transformation)."""
    rate: float = 1e-4
    """Adam's learning rate (facts: CRN's)."""
    seed: int = 0
    """Of the weights and of every batch."""
    save_every_steps: int = 500
    log_every_steps: int = 50

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"--steps is {self.steps}; it must be at least 1")
        if not 0 < self.rate < 1:
            raise ValueError(f"--rate is {self.rate}; it must be above 0 and below 1 (published: 0.0001)")
        if self.seed < 0 or min(self.save_every_steps, self.log_every_steps) < 1:
            raise ValueError(
                f"seed is {self.seed}, save_every_steps {self.save_every_steps}, log_every_steps "
                f"{self.log_every_steps}; they must be at least 0, 1 and 1"
            )


def learn(
    folder: Path,
    network: nn.Module,
    losses_of: Callable[[int], dict[str, Tensor]],
    learning: Learning,
    *,
    identity: str,
    device: torch.device,
    progress: Progress = lambda *_: None,
) -> dict[str, float]:
    """Train ``network`` from its newest checkpoint in ``folder`` to the last step, and write NETWORK_FILE there.

    ``losses_of(step)`` gives the weighted terms of that step's loss; it draws from (seed, step) alone, so a training
    that was killed goes on as if it had not been, to the bit on the CPU. Returns the last means. Raises
    ArithmeticError where a loss is not finite, StageError where a checkpoint is another training's.
    """
    network.to(device).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=learning.rate)
    checkpoints = folder / "checkpoints"
    step = _resume(checkpoints, network, optimizer, identity, learning.steps)
    _keep_lines(folder / METRICS_FILE, step)
    sums: dict[str, float] = {}
    summed, means = 0, {}
    while step < learning.steps:
        # One update.
        losses = losses_of(step)
        total = torch.stack(list(losses.values())).sum()
        optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        step += 1

        # Losses, read and checked.
        for name, value in losses.items():
            sums[name] = sums.get(name, 0.0) + float(value.detach())
        summed += 1
        wrong = [name for name, value in sums.items() if not math.isfinite(value)]
        if wrong:
            raise ArithmeticError(
                f"{folder}: the loss {', '.join(wrong)} is not finite at step {step}; the last checkpoint is kept, a "
                "smaller --rate may help"
            )
        saving = step == learning.steps or step % learning.save_every_steps == 0
        if saving or step % learning.log_every_steps == 0:  # a resumed training writes the same lines
            means = {name: value / summed for name, value in sums.items()}
            with (folder / METRICS_FILE).open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({"step": step, **means}) + "\n")
            sums, summed = {}, 0
        shown = ", ".join(f"{name} {value:.3g}" for name, value in means.items())
        progress(step, learning.steps, f"step {step:,} of {learning.steps:,}  {shown}")

        # State.
        if saving:
            _save(checkpoints, network, optimizer, identity, step)
    _write(folder / NETWORK_FILE, {name: value.detach().cpu() for name, value in network.state_dict().items()})
    return means or _last_line(folder / METRICS_FILE)


def load_network(folder: Path, network: nn.Module) -> nn.Module:
    """Put the weights of a finished training into ``network``, in eval mode."""
    path = folder / NETWORK_FILE
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        network.load_state_dict(state)
    except (RuntimeError, OSError, EOFError, AttributeError) as error:
        raise StageError(f"{path}: cannot be read as this network ({error}); train it again with --again") from error
    return network.eval()


def pictures_called(ids: Sequence[str], names: Sequence[str]) -> NDArray[np.int64]:
    """Indices of the pictures to leave out of a training, ascending.

    Raises StageError for a name that no picture has, and where no picture would be left.
    """
    unknown = sorted(set(names) - set(ids))
    if unknown:
        raise StageError(
            f"--leave-out {unknown[0]}: no training picture has this id; the {len(ids)} ids are like {ids[0]}"
        )
    if len(set(names)) == len(ids):
        raise StageError(f"--leave-out names all {len(ids)} training pictures; leave some of them to learn from")
    return np.flatnonzero(np.isin(np.array(ids), list(names)))


def read_trained(folder: Path, made_by: str, method: str) -> Record:
    """The finished training in ``folder``, by the verb ``made_by``.

    Raises StageError where there is none, or one of another ``method``, whose weights mean something else.
    """
    record = read_record(folder, made_by)
    found = record.settings.get("method", "an earlier one")
    if found != method:
        raise StageError(
            f"{folder}: the method of its training is {found!r}, here it is {method!r}; run `./run_study.py sims "
            f"{made_by} --work {folder.parent}` again"
        )
    return record


def device_of(name: str) -> torch.device:
    """The device called auto, cpu or cuda. Raises ValueError for another name, or cuda where there is none."""
    if name not in ("auto", "cpu", "cuda"):
        raise ValueError(f"--device is {name!r}; choose auto, cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: torch sees no GPU here; use --device cpu, or see ./run_study.py doctor")
    return torch.device("cuda" if name == "cuda" or (name == "auto" and torch.cuda.is_available()) else "cpu")


def _resume(folder: Path, network: nn.Module, optimizer: torch.optim.Optimizer, identity: str, steps: int) -> int:
    """Load the newest checkpoint that is whole and not past ``steps``; returns its step, 0 where there is none."""
    for step in reversed([found for found in checkpoint_steps(folder) if found <= steps]):
        path = checkpoint_path(folder, step)
        try:
            state = load_checkpoint(path)
        except ValueError:
            path.unlink()  # half a file of a full disk; the one before is taken
            continue
        if state["run_id"] != identity:
            raise StageError(f"{path}: belongs to another training; run the stage with --again")
        network.load_state_dict(state["networks"][ROLE])
        optimizer.load_state_dict(state["optimizers"][ROLE])
        return step
    return 0


def _save(folder: Path, network: nn.Module, optimizer: torch.optim.Optimizer, identity: str, step: int) -> None:
    state: dict[str, Any] = {
        "run_id": identity,
        "step": step,
        "networks": {ROLE: {name: value.detach().cpu() for name, value in network.state_dict().items()}},
        "optimizers": {ROLE: optimizer.state_dict()},
    }
    state["sha256"] = state_sha256(state)
    _write(checkpoint_path(folder, step), state)
    for older in (found for found in checkpoint_steps(folder) if found < step):
        checkpoint_path(folder, older).unlink()


def _write(path: Path, state: dict[str, Any]) -> None:
    with written_beside(path) as temporary, temporary.open("wb") as stream:
        torch.save(state, stream)


def _keep_lines(path: Path, step: int) -> None:
    """Forget the metrics of steps that will be done again."""
    if path.is_file():
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        path.write_text("".join(line for line in lines if json.loads(line)["step"] <= step), encoding="utf-8")


def _last_line(path: Path) -> dict[str, float]:
    last = json.loads(path.read_text(encoding="utf-8").splitlines()[-1])
    return {name: value for name, value in last.items() if name != "step"}
