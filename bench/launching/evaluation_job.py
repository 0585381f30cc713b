"""The job that makes and judges the images of one evaluation."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from bench.atomic import written_beside
from bench.data.dataset import Dataset
from bench.data.opening import images_of, open_split
from bench.evaluation.evaluator import ImageSource, Judgement, evaluate, real_images
from bench.evaluation.generate import CHUNK_IMAGES, generate_split
from bench.evaluation.image_folder import open_image_folder
from bench.evaluation.protocols import get_protocol
from bench.evaluation.reading import READING_THREADS
from bench.launching.claims import claimed_by_first
from bench.launching.progress import Progress, no_progress
from bench.provenance import provenance
from bench.run_spec import RunSpec
from bench.store import Evaluation, EvaluationSpec, RunFolder, Store
from bench.training.checkpoint import checkpoint_path, checkpoint_steps, load_checkpoint
from bench.training.distributed import Ranks, joined_ranks
from bench.training.trainer import best_step, z_dim_of


def evaluate_job(
    spec: EvaluationSpec, run: RunSpec | None, store: Store, *, device: str = "auto", progress: Progress = no_progress
) -> Evaluation | None:
    """Generate the validation images of a run (None: take the real ones), judge them, write the evaluation.

    Returns the evaluation on rank 0, None on the others. A failure is written to the store and raised again; so is
    ClaimedError while another living process judges.
    """
    with joined_ranks(device) as ranks, claimed_by_first(store.evaluation_folder(spec.eval_id), ranks):
        try:
            dataset = open_split(spec.dataset, "val")
            count = images_of(spec.dataset, dataset)
            step: int | None = None
            images: ImageSource
            note = ""
            if run is None:
                images = real_images(dataset, get_protocol(spec.protocol))
            else:
                step, note = reported_step(store.run(run), spec)
                folder = _generate(run, store, spec, step, dataset, count, ranks, progress)
                images = open_image_folder(folder, dataset, count).read
            return judge_and_store(spec, store, images, dataset, count, ranks, step=step, note=note, progress=progress)
        except Exception as error:
            if ranks.first:
                store.write_evaluation_error(spec.eval_id, "".join(traceback.format_exception(error)))
            raise


def reported_step(folder: RunFolder, spec: EvaluationSpec) -> tuple[int, str]:
    """(step, note) of the checkpoint that is judged: by the selection rule. Raises ValueError when there is none."""
    steps = checkpoint_steps(folder.checkpoints)
    if spec.step is not None:
        if spec.step not in steps:
            raise ValueError(f"run {folder.name} has no checkpoint of step {spec.step}; it has: {steps or 'none'}")
        return spec.step, f"step {spec.step}, asked for"
    if not steps or folder.status().state != "done":
        raise ValueError(
            f"run {folder.name} is not finished; train it first, or ask for one of its steps with a checkpoint "
            f"({steps or 'none'})"
        )
    if spec.selection == "best":
        best = best_step(folder)
        if best is None:
            raise ValueError(f"run {folder.name}: selection is 'best' but no checkpoint was scored during training")
        return best[0], "best mIoU during training, on the first validation images: selected on the reported split"
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
    folder = run_folder.generated(step, spec)
    generator = load_generator(run, checkpoint_path(run_folder.checkpoints, step), spec.weights, dataset, ranks.device)
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
        report=counted(progress, ranks, count, first=0, what="generate"),
    )
    ranks.barrier()
    return folder


def counted(progress: Progress, ranks: Ranks, count: int, *, first: int, what: str) -> Callable[[int], None]:
    """A counter of images for half of an evaluation's progress line; ranks other than 0 draw nothing."""
    done = 0

    def report(images: int) -> None:
        nonlocal done
        done += images * ranks.world
        if ranks.first:
            progress(first + min(done, count), 2 * count, what)

    return report


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
    batch_images: int = CHUNK_IMAGES,
    progress: Progress = no_progress,
) -> Evaluation | None:
    """Judge ``images`` by the protocol of ``spec`` and write counts and scores; returns the evaluation on rank 0."""
    judgement = evaluate(
        images,
        dataset,
        get_protocol(spec.protocol),
        count=count,
        device=ranks.device,
        peers=ranks,
        batch_images=batch_images,
        reading_threads=READING_THREADS,
        report=counted(progress, ranks, count, first=count, what="judge"),
    )
    if judgement is None:
        return None
    _write_counts(store.confusion_file(spec.eval_id), judgement)
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
        stage_seconds={name: round(seconds, 3) for name, seconds in judgement.stage_seconds.items()},
        provenance=provenance(),
    )
    store.write_evaluation(evaluation)
    return evaluation


def _write_counts(path: Path, judgement: Judgement) -> None:
    """The confusion counts, summed, and of each image as rows (image, label id, judge class, pixels).

    ``class_of`` is the judge class of each label id, -1 for unlabelled ones; ``classes`` are the judge's names.
    """
    if judgement.total is None or judgement.per_image is None:
        return
    with written_beside(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(
            stream,
            total=judgement.total,
            per_image=judgement.per_image,
            sample_ids=np.array(judgement.sample_ids),
            class_of=np.array([-1 if place is None else place for place in judgement.class_of]),
            classes=np.array(list(judgement.class_iou)),
        )
