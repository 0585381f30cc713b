"""Where the time of a training step goes, from hooks of its networks and optimisers."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import nn

from baselines.steps import TrainingStep
from bench.benchmarks.timing import Stopwatch


class Phases:
    """Seconds of each network's forward passes and of the optimisers, for each step.

    What no hook brackets before an optimiser's update is backward passes and losses.
    """

    def __init__(self, step: TrainingStep, watch: Stopwatch) -> None:
        self._watch = watch
        self._started: dict[str, float] = {}
        self._running: dict[str, float] = defaultdict(float)
        self._begun: float | None = None
        self._steps: list[dict[str, float]] = []
        for role, network in step.networks.named().items():
            self._follow(network, f"{role} forward")
        if step.perceptual is not None:
            self._follow(step.perceptual, "perceptual forward")
        for role, optimizer in step.optimizers.items():
            optimizer.register_step_pre_hook(partial(self._update, f"backward and losses, {role}'s step"))
            optimizer.register_step_post_hook(lambda *_: self._stop("optimiser"))

    def forget(self) -> None:
        """Leave out what was measured so far."""
        self._running.clear()
        self._steps.clear()
        self._begun = None

    def end_step(self, seconds: float) -> None:
        """A step is over; it took so long in all."""
        self._steps.append({**self._running, "other": seconds - sum(self._running.values())})
        self._running.clear()
        self._begun = None

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """What the block takes is a phase of its own."""
        self._start(name)
        yield
        self._stop(name)

    def medians(self) -> dict[str, float]:
        """The median seconds of each phase over the steps."""
        return {name: statistics.median(step.get(name, 0.0) for step in self._steps) for name in self._steps[0]}

    def _follow(self, network: nn.Module, name: str) -> None:
        network.register_forward_pre_hook(lambda *_: self._start(name))
        network.register_forward_hook(lambda *_: self._stop(name))

    def _start(self, name: str) -> None:
        now = self._watch.now()
        self._begun = now if self._begun is None else self._begun
        self._started[name] = now

    def _stop(self, name: str) -> None:
        self._running[name] += self._watch.now() - self._started[name]

    def _update(self, rest: str, *_: Any) -> None:
        self._start("optimiser")
        assert self._begun is not None
        self._running[rest] += self._started["optimiser"] - self._begun - sum(self._running.values())
