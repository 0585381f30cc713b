"""What a run writes about itself: JSON lines, TensorBoard, its status, a progress line."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from baselines.steps import TrainingStep
from bench.atomic import check_write, explained, written_beside
from bench.store import RunFolder
from bench.training.distributed import Ranks


class DivergedError(ArithmeticError):
    """A loss became NaN or infinite; going on would only spoil the checkpoint."""


class Meter:
    """Means of the losses since the last reading, summed on the device so that no step waits for the host."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._steps = 0
        self._since = time.perf_counter()

    def add(self, losses: dict[str, Tensor]) -> None:
        """Count the losses of one step."""
        for name, value in losses.items():
            self._sums[name] = self._sums.get(name, torch.zeros_like(value)) + value
        self._steps += 1

    def read(self, ranks: Ranks) -> tuple[dict[str, float], float]:
        """(mean losses over steps and ranks, seconds per step) since the last reading, which this one resets."""
        names = sorted(self._sums)
        means = ranks.mean(torch.stack([self._sums[name].float() for name in names]) / self._steps).tolist()
        now = time.perf_counter()
        seconds = (now - self._since) / self._steps
        self._sums, self._steps, self._since = {}, 0, now
        return dict(zip(names, means, strict=True)), seconds


def check_finite(losses: dict[str, float], *, since: int, step: int) -> None:
    """Raises DivergedError naming the losses and the steps between which they stopped being finite."""
    bad = [f"{name} = {value}" for name, value in losses.items() if not math.isfinite(value)]
    if bad:
        raise DivergedError(
            f"not finite between steps {since + 1} and {step}: {', '.join(bad)}. The last checkpoint is from before. "
            f"Lower the learning rates, train in float32, or look at the pictures in samples/"
        )


def check_finite_weights(work: TrainingStep, step: int) -> None:
    """Raises DivergedError naming parameters that are not finite: a finite loss can still have had a bad gradient."""
    bad = [
        f"{role}.{name}"
        for role, network in work.networks.named().items()
        for name, parameter in network.named_parameters()
        if not torch.isfinite(parameter).all()
    ]
    if bad:
        more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
        raise DivergedError(
            f"weights are not finite after step {step}: {', '.join(bad[:3])}{more}. The last checkpoint is from "
            f"before. Lower the learning rates, or train in float32"
        )


class RunLog:
    """The files of one run; only rank 0 writes any."""

    def __init__(
        self, folder: RunFolder, ranks: Ranks, *, first_step: int, steps: int, attempt: int, note: str = ""
    ) -> None:
        self.folder, self.ranks, self.steps, self.attempt, self.note = folder, ranks, steps, attempt, note
        self._heartbeat = 0.0
        self._rate: float | None = None
        self._writer: SummaryWriter | None = None
        if ranks.first:
            _forget_after(folder, first_step)
            self._writer = SummaryWriter(str(folder.tensorboard), purge_step=first_step + 1)
            self.beat(first_step)

    def record(self, step: int, values: dict[str, float], about: Mapping[str, Any] | None = None) -> None:
        """One line of ``metrics.jsonl`` and the same in TensorBoard, which does not get what is told ``about`` it."""
        if self._writer is None:
            return
        path = self.folder.metrics_file
        check_write(path)
        with explained(path, opening=True), path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"step": step, "time": round(time.time(), 3), **values, **(about or {})}) + "\n")
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()
        self._rate = values.get("images_per_s", self._rate)

    def beat(self, step: int, seconds_per_step: float | None = None, *, every_s: float = 5.0) -> None:
        """Write the status, at most once in ``every_s`` seconds: the run's sign of life."""
        if not self.ranks.first or time.monotonic() - self._heartbeat < every_s:
            return
        self._heartbeat = time.monotonic()
        eta = seconds_per_step * (self.steps - step) if seconds_per_step else None
        self.folder.write_status(
            state="running",
            step=step,
            steps=self.steps,
            images_per_s=self._rate,
            eta_s=eta,
            attempt=self.attempt,
            note=self.note,
        )

    def close(self) -> None:
        """Write out what TensorBoard still holds back."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def finish(self, step: int) -> None:
        """The run is done."""
        self.close()
        if self.ranks.first:
            self.folder.write_status(
                state="done",
                step=step,
                steps=self.steps,
                images_per_s=self._rate,
                attempt=self.attempt,
                note=self.note,
            )


def _forget_after(folder: RunFolder, step: int) -> None:
    """Drop metric lines of steps that will be done again, so that no step is there twice."""
    rows = folder.metrics()
    kept = [row for row in rows if row["step"] <= step]
    if rows or folder.metrics_file.is_file():
        with written_beside(folder.metrics_file) as temporary:
            temporary.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")


def memory_mib(device: torch.device) -> float:
    """Peak memory so far in MiB: of the GPU, or of this process on the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


Report = Callable[[int, dict[str, Any]], None]
"""Called after each step with the step and the newest values (images_per_s, losses), to draw progress."""
