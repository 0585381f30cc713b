"""The job that trains one run, on whatever machine it was started."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from bench.data.dataset import Dataset
from bench.data.opening import images_of, open_split
from bench.evaluation.evaluator import evaluate
from bench.evaluation.generate import generate_images
from bench.evaluation.protocols import get_protocol, protocol_for
from bench.launching.claims import claimed_by_first
from bench.launching.failures import Failures
from bench.launching.progress import Progress, no_progress
from bench.launching.stopping import StopRequest, stop_requests
from bench.launching.watchdog import Hang, Watchdog
from bench.run_spec import RunSpec
from bench.store import Store
from bench.training.distributed import Ranks, joined_ranks, world_size
from bench.training.logs import Report
from bench.training.trainer import Hooks, train, z_dim_of

SCORED_IMAGES = 64
"""Validation images that scores during training are computed on."""
HANG_AFTER_S = 1200.0
"""One of several ranks without a step for so long is taken to hang, unless the job says otherwise."""
START_S = 600.0
"""Before the first step a rank has at least so long: it may have to wait for peers, or for a dead holder's claim."""


def train_job(
    run: RunSpec,
    store: Store,
    *,
    device: str = "auto",
    progress: Progress = no_progress,
    hang_after_s: float | None = None,
) -> bool:
    """Train a run to its end in the store; resumes from its newest checkpoint. Returns whether it is finished.

    Under torchrun every process calls this. A failure is written to the run's folder and raised again; so is
    ClaimedError while another living process trains the run, and FencedError when another one has taken it over (then
    nothing is written). A rank that makes no step for ``hang_after_s`` seconds (None: HANG_AFTER_S for one of several,
    no limit for one alone) says where it stands and ends its process, so that its peers do not wait for ever.
    """
    folder = store.run(run)
    with (
        stop_requests() as stop,
        _watched(hang_after_s) as watch,
        joined_ranks(device) as ranks,
        claimed_by_first(folder.path, ranks, prepare=folder.forget_errors),
    ):
        failures = watch.failures = Failures(run, folder, ranks)
        try:
            finished = _train(run, store, ranks, stop, progress, watch.alive)
        except KeyboardInterrupt:
            failures.interrupted("interrupted at once; what was done since the last checkpoint is done again")
            raise
        except BaseException as error:
            failures.error(error)
            raise
        watch.failures = None  # should the ranks hang in parting, the run is none the worse for it
        if not finished:
            failures.interrupted(f"stopped by {stop.signal or 'another rank'}, its state is saved")
    return finished


class _Watch:
    """The watchdog of this rank, if it has one, and whom it tells."""

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self.dog: Watchdog | None = None
        self.failures: Failures | None = None
        """None while the run's folder is not this job's: then a hang is told in the log alone."""

    def alive(self, what: str) -> None:
        if self.dog is not None:
            if what.startswith("step"):
                self.dog.limit_s = self.limit_s
            self.dog.beat(what)

    def hang(self, hang: Hang) -> None:
        if self.failures is not None:
            self.failures.hang(hang)


@contextlib.contextmanager
def _watched(hang_after_s: float | None) -> Iterator[_Watch]:
    watch = _Watch(hang_after_s if hang_after_s is not None else HANG_AFTER_S)
    if hang_after_s is None and world_size() == 1:
        yield watch
        return
    with Watchdog(max(watch.limit_s, START_S), watch.hang) as watch.dog:
        yield watch


def _train(
    run: RunSpec, store: Store, ranks: Ranks, stop: StopRequest, progress: Progress, alive: Callable[[str], None]
) -> bool:
    train_split, val_split = open_split(run.dataset, "train"), open_split(run.dataset, "val")
    scored = bool(run.training.eval_every_steps)
    hooks = Hooks(
        should_stop=lambda: stop.asked,
        report=_training_report(run, progress) if ranks.first else lambda step, values: None,
        alive=alive,
        score=_scorer(run, val_split, ranks) if scored else None,
        scored_by=_scored_by(run, val_split) if scored else {},
    )
    return train(run, store.run(run), train_split, val_split, ranks, hooks)


def _training_report(run: RunSpec, progress: Progress) -> Report:
    text = ""

    def report(step: int, values: dict[str, float]) -> None:
        nonlocal text
        if values:
            losses = [f"{name.partition('/')[2]} {values[name]:.3f}" for name in sorted(values) if "/" in name]
            text = f"{values['images_per_s']:.1f} images/s  " + "  ".join(losses)
        progress(step, run.training.steps, text)

    return report


def _scored_by(run: RunSpec, val_split: Dataset) -> dict[str, Any]:
    """What scores during training are made by: the data set's default protocol, on the first validation images."""
    count = min(SCORED_IMAGES, images_of(run.dataset, val_split))
    return {"protocol": protocol_for(run.dataset.name).key, "images": count}


def _scorer(run: RunSpec, val_split: Dataset, ranks: Ranks) -> Callable[[nn.Module, int], dict[str, float]]:
    """Scores the generator during training."""
    told = _scored_by(run, val_split)
    protocol, count = get_protocol(told["protocol"]), int(told["images"])

    def score(generator: nn.Module, step: int) -> dict[str, float]:
        def source(index: int) -> NDArray[np.uint8]:
            return generate_images(generator, val_split, [index], ranks.device, z_dim=z_dim_of(run), noise_seed=0)[0]

        judgement = evaluate(source, val_split, protocol, count=count, device=ranks.device, peers=ranks)
        values = {} if judgement is None else {n: s.value for n, s in judgement.scores.items() if s.value is not None}
        shared: dict[str, float] = ranks.broadcast(values)
        return shared

    return score
