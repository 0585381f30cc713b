"""What a job does, on whatever machine it was started: train one run, or make and judge one evaluation."""

from __future__ import annotations

import contextlib
import signal
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bench.atomic import written_beside
from bench.data.dataset import Dataset
from bench.data.opening import images_of, open_split
from bench.evaluation.evaluator import ImageSource, evaluate, folder_images, real_images
from bench.evaluation.generate import generate_split
from bench.evaluation.protocols import get_protocol
from bench.provenance import provenance
from bench.run_spec import RunSpec
from bench.store import Evaluation, EvaluationSpec, RunFolder, RunStatus, Store
from bench.training.checkpoint import checkpoint_path, checkpoint_steps, load_checkpoint
from bench.training.distributed import Ranks, joined_ranks
from bench.training.logs import Report
from bench.training.trainer import Hooks, best_step, train, z_dim_of

Progress = Callable[[int, int, str], None]
"""Called with (done, of, what) while a job goes on."""


def no_progress(done: int, of: int, what: str) -> None:
    """Draws nothing."""


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

    Under torchrun every process calls this. A failure is written to the run's folder and raised again.
    """
    folder = store.run(run)
    with joined_ranks(device) as ranks, stop_requests() as should_stop:
        try:
            train_split, val_split = open_split(run.dataset, "train"), open_split(run.dataset, "val")
            hooks = Hooks(
                should_stop=should_stop,
                report=_training_report(run, progress) if ranks.first else lambda step, values: None,
                score=_scorer(run, val_split, ranks) if run.training.eval_every_steps else None,
            )
            finished = train(run, folder, train_split, val_split, ranks, hooks)
        except BaseException as error:
            _record_failure(folder, run, error, ranks)
            raise
        if not finished and ranks.first:
            status = folder.status()
            folder.write_status(
                state="pending",
                step=max(checkpoint_steps(folder.checkpoints)),
                steps=run.training.steps,
                attempt=status.attempt,
            )
        return finished


def _record_failure(folder: RunFolder, run: RunSpec, error: BaseException, ranks: Ranks) -> None:
    folder.path.mkdir(parents=True, exist_ok=True)
    text = f"rank {ranks.rank} of {ranks.world}\n{''.join(traceback.format_exception(error))}"
    folder.error_file.write_text(text, encoding="utf-8")
    steps = checkpoint_steps(folder.checkpoints)
    if isinstance(error, KeyboardInterrupt):
        folder.write_status(state="pending", step=max(steps, default=0), steps=run.training.steps)
        return
    first_line = (str(error).strip().splitlines() or [""])[0]
    folder.create(run)
    folder.write_status(
        state="failed",
        step=max(steps, default=0),
        steps=run.training.steps,
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
    """Scores during training, by the data set's protocol, on the first 64 validation images."""
    from bench.evaluation.generate import generate_images
    from bench.evaluation.protocols import list_protocols

    protocol = next(item for item in list_protocols() if item.dataset == run.dataset.name)
    count = min(64, images_of(run.dataset, val_split))

    def score(generator: nn.Module, step: int) -> dict[str, float]:
        def source(index: int) -> NDArray[np.uint8]:
            return generate_images(generator, val_split, [index], ranks.device, z_dim=z_dim_of(run), noise_seed=0)[0]

        judgement = evaluate(source, val_split, protocol, count=count, device=ranks.device, peers=ranks)
        values = {} if judgement is None else {n: s.value for n, s in judgement.scores.items() if s.value is not None}
        shared: dict[str, float] = ranks.broadcast(values)
        return shared

    return score


def evaluate_job(
    spec: EvaluationSpec, run: RunSpec | None, store: Store, *, device: str = "auto", progress: Progress = no_progress
) -> Evaluation | None:
    """Generate the validation images of a run (None: take the real ones), judge them, write the evaluation.

    Returns the evaluation on rank 0, None on the others. A failure is written to the store and raised again.
    """
    try:
        with joined_ranks(device) as ranks:
            dataset = open_split(spec.dataset, "val")
            count = images_of(spec.dataset, dataset)
            step: int | None = None
            images: ImageSource
            note = ""
            if run is None:
                images = real_images(dataset)
            else:
                step, note = reported_step(store.run(run), spec)
                folder = _generate(run, store, spec, step, dataset, count, ranks, progress)
                images = folder_images(folder, dataset, count)
            return judge_and_store(spec, store, images, dataset, count, ranks, step=step, note=note, progress=progress)
    except Exception as error:
        store.write_evaluation_error(spec.eval_id, "".join(traceback.format_exception(error)))
        raise


def reported_step(folder: RunFolder, spec: EvaluationSpec) -> tuple[int, str]:
    """(step, note) of the checkpoint that is judged: by the selection rule. Raises ValueError when there is none."""
    steps = checkpoint_steps(folder.checkpoints)
    if spec.step is not None:
        if spec.step not in steps:
            raise ValueError(f"run {folder.name} has no checkpoint of step {spec.step}; it has: {steps or 'none'}")
        return spec.step, f"step {spec.step}, asked for"
    if spec.selection == "best":
        best = best_step(folder)
        if best is None:
            raise ValueError(f"run {folder.name}: selection is 'best' but no checkpoint was scored during training")
        return best[0], "best mIoU during training, on the first validation images: selected on the reported split"
    if not steps or folder.status().state != "done":
        raise ValueError(
            f"run {folder.name} is not finished; train it first (steps with a checkpoint: {steps or 'none'})"
        )
    return steps[-1], "the last step"


def load_generator(run: RunSpec, path: Path, weights: str, dataset: Dataset, device: torch.device) -> nn.Module:
    """The generator of a checkpoint of this project, in eval mode. Raises ValueError when it holds no such weights."""
    state = load_checkpoint(path)
    stored = state["networks"]["generator"] if weights == "raw" else state["average"]
    if stored is None:
        raise ValueError(f"{path}: holds no moving average; judge the raw weights instead")
    generator = run.generator.build(dataset.spec, run.dataset.size)
    generator.load_state_dict(stored)
    return generator.to(device).eval()


def _generate(
    run: RunSpec,
    store: Store,
    spec: EvaluationSpec,
    step: int,
    dataset: Dataset,
    count: int,
    ranks: Ranks,
    progress: Progress,
) -> Path:
    run_folder = store.run(run)
    folder = run_folder.generated(step, spec.weights, images=count, noise_seed=spec.noise_seed)
    generator = load_generator(run, checkpoint_path(run_folder.checkpoints, step), spec.weights, dataset, ranks.device)
    done = 0

    def report(images: int) -> None:
        nonlocal done
        done += images * ranks.world
        progress(min(done, count), 2 * count, "generate")

    generate_split(
        generator,
        dataset,
        folder,
        ranks.device,
        count=count,
        z_dim=z_dim_of(run),
        noise_seed=spec.noise_seed,
        rank=ranks.rank,
        world=ranks.world,
        report=report,
    )
    ranks.barrier()
    return folder


def judge_and_store(
    spec: EvaluationSpec,
    store: Store,
    images: ImageSource,
    dataset: Dataset,
    count: int,
    ranks: Ranks,
    *,
    step: int | None = None,
    note: str = "",
    progress: Progress = no_progress,
) -> Evaluation | None:
    """Judge ``images`` by the protocol of ``spec`` and write counts and scores; returns the evaluation on rank 0."""
    done = 0

    def report(judged: int) -> None:
        nonlocal done
        done += judged * ranks.world
        progress(count + min(done, count), 2 * count, "judge")

    protocol = get_protocol(spec.protocol)
    judgement = evaluate(images, dataset, protocol, count=count, device=ranks.device, peers=ranks, report=report)
    if judgement is None:
        return None
    if judgement.counts is not None:
        with written_beside(store.confusion_file(spec.eval_id)) as temporary, temporary.open("wb") as stream:
            np.savez_compressed(
                stream,
                total=judgement.counts.sum(axis=0),
                per_image=judgement.counts.astype(np.uint32),
                sample_ids=np.array(judgement.sample_ids),
                scored_classes=np.array(dataset.scored_classes),
            )
    evaluation = Evaluation(
        eval_id=spec.eval_id,
        spec=spec,
        images=count,
        step=step,
        scores=judgement.scores,
        class_iou=judgement.class_iou,
        class_pixels=judgement.class_pixels,
        selection_note=note,
        seconds=round(judgement.seconds, 3),
        provenance=provenance(),
    )
    store.write_evaluation(evaluation)
    return evaluation


__all__ = ["RunStatus", "evaluate_job", "judge_and_store", "train_job"]
