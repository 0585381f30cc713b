"""The job that trains one run, on whatever machine it was started."""

from __future__ import annotations

import contextlib
import signal
import traceback
from collections.abc import Callable, Iterator
from types import FrameType

import numpy as np
from numpy.typing import NDArray
from torch import nn

from bench.atomic import written_beside
from bench.data.dataset import Dataset
from bench.data.opening import images_of, open_split
from bench.evaluation.evaluator import evaluate
from bench.evaluation.generate import generate_images
from bench.evaluation.protocols import protocol_for
from bench.launching.claims import claimed_by_first
from bench.launching.progress import Progress, no_progress
from bench.run_spec import RunSpec
from bench.store import RunFolder, Store
from bench.training.checkpoint import checkpoint_steps
from bench.training.distributed import Ranks, joined_ranks
from bench.training.logs import Report
from bench.training.trainer import Hooks, train, z_dim_of

SCORED_IMAGES = 64
"""Validation images that scores during training are computed on."""


@contextlib.contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """A function that tells whether SIGINT or SIGTERM has come; a second SIGINT interrupts at once."""
    asked = False

    def handler(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked = True

    previous = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, old in previous.items():
            signal.signal(number, old)


def train_job(run: RunSpec, store: Store, *, device: str = "auto", progress: Progress = no_progress) -> bool:
    """Train a run to its end in the store; resumes from its newest checkpoint. Returns whether it is finished.

    Under torchrun every process calls this. A failure is written to the run's folder and raised again; so is
    ClaimedError while another living process trains the run.
    """
    folder = store.run(run)
    with joined_ranks(device) as ranks, claimed_by_first(folder.path, ranks), stop_requests() as should_stop:
        try:
            finished = _train(run, folder, ranks, should_stop, progress)
        except BaseException as error:
            _record_failure(folder, run, error, ranks)
            raise
        if not finished and ranks.first:
            folder.write_status(
                state="pending",
                step=max(checkpoint_steps(folder.checkpoints)),
                steps=run.training.steps,
                attempt=folder.attempts,
            )
        return finished


def _train(run: RunSpec, folder: RunFolder, ranks: Ranks, should_stop: Callable[[], bool], progress: Progress) -> bool:
    train_split, val_split = open_split(run.dataset, "train"), open_split(run.dataset, "val")
    hooks = Hooks(
        should_stop=should_stop,
        report=_training_report(run, progress) if ranks.first else lambda step, values: None,
        score=_scorer(run, val_split, ranks) if run.training.eval_every_steps else None,
    )
    return train(run, folder, train_split, val_split, ranks, hooks)


def _record_failure(folder: RunFolder, run: RunSpec, error: BaseException, ranks: Ranks) -> None:
    """Each rank's traceback in a file of its own; the status is rank 0's to write."""
    text = f"rank {ranks.rank} of {ranks.world}\n{''.join(traceback.format_exception(error))}"
    with written_beside(folder.rank_error_file(ranks.rank)) as temporary:
        temporary.write_text(text, encoding="utf-8")
    if not ranks.first:
        return
    if not folder.spec_file.is_file():
        folder.create(run)
    step = max(checkpoint_steps(folder.checkpoints), default=0)
    if isinstance(error, KeyboardInterrupt):
        folder.write_status(state="pending", step=step, steps=run.training.steps, attempt=folder.attempts)
        return
    first_line = (str(error).strip().splitlines() or [""])[0]
    folder.write_status(
        state="failed",
        step=step,
        steps=run.training.steps,
        attempt=max(folder.attempts, 1),
        error=f"{type(error).__name__}: {first_line}"[:300],
    )


def _training_report(run: RunSpec, progress: Progress) -> Report:
    text = ""

    def report(step: int, values: dict[str, float]) -> None:
        nonlocal text
        if values:
            losses = [f"{name.partition('/')[2]} {values[name]:.3f}" for name in sorted(values) if "/" in name]
            text = f"{values['images_per_s']:.1f} images/s  " + "  ".join(losses)
        progress(step, run.training.steps, text)

    return report


def _scorer(run: RunSpec, val_split: Dataset, ranks: Ranks) -> Callable[[nn.Module, int], dict[str, float]]:
    """Scores during training, by the data set's protocol, on the first validation images."""
    protocol = protocol_for(run.dataset.name)
    count = min(SCORED_IMAGES, images_of(run.dataset, val_split))

    def score(generator: nn.Module, step: int) -> dict[str, float]:
        def source(index: int) -> NDArray[np.uint8]:
            return generate_images(generator, val_split, [index], ranks.device, z_dim=z_dim_of(run), noise_seed=0)[0]

        judgement = evaluate(source, val_split, protocol, count=count, device=ranks.device, peers=ranks)
        values = {} if judgement is None else {n: s.value for n, s in judgement.scores.items() if s.value is not None}
        shared: dict[str, float] = ranks.broadcast(values)
        return shared

    return score
