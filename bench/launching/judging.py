"""Judging outside a study: a run of the store, real photographs, a folder of images, a released checkpoint file."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch import nn

from baselines.registry import get_variant
from baselines.variant import Variant
from bench.data.conventions import LabelConvention
from bench.data.dataset import Dataset
from bench.data.entry import DatasetEntry
from bench.data.fitting import fitted
from bench.data.opening import images_of, open_split, validation_ref
from bench.data.registry import dataset_spec
from bench.evaluation.evaluator import ImageSource, real_images
from bench.evaluation.generate import CHUNK_IMAGES, generate_split
from bench.evaluation.image_folder import open_image_folder
from bench.evaluation.importing import stored_images
from bench.evaluation.judges.checkpoint import read_tensors_only
from bench.evaluation.protocol import Protocol
from bench.evaluation.protocols import protocol_for
from bench.evaluation.weights import file_sha256, weights_sha256
from bench.imports import Imported, evaluation_of_import
from bench.launching.claims import claimed_by_first
from bench.launching.evaluation_job import counted, evaluate_job, judge_and_store
from bench.launching.progress import Progress, no_progress
from bench.plain import content_hash
from bench.run_spec import DatasetRef
from bench.store import Evaluation, EvaluationSpec, Store
from bench.training.distributed import Ranks, joined_ranks
from spade_core.released import load_released_state_dict


@dataclass(frozen=True, kw_only=True)
class Judging:
    """What every kind of judging shares."""

    store: Store
    device: str = "auto"
    batch_images: int = CHUNK_IMAGES
    """Images that feature extractors see at once; the numbers do not depend on it."""
    again: bool = False
    """Judge even where the store holds the evaluation already."""
    progress: Progress = no_progress

    def __post_init__(self) -> None:
        if self.batch_images < 1:
            raise ValueError(f"batch_images is {self.batch_images}; it must be at least 1")


def judge_run(
    judging: Judging,
    name: str,
    *,
    protocol: str | None,
    weights: str,
    step: int | None,
    val_images: int | None,
    noise_seed: int,
) -> Evaluation:
    """Generate and judge the validation images of a run of the store (name, or enough of it)."""
    if weights not in ("raw", "ema"):
        raise ValueError(f"--weights is {weights!r}; allowed are raw and ema")
    run = judging.store.find_run(name).spec()
    chosen = _for_generated(protocol_for(run.dataset.name, protocol))
    data = run.dataset
    if val_images is not None:
        fewer = validation_ref(data.name, size=data.size, val_images=val_images, root=data.root)
        data = replace(data, val_images=fewer.val_images, val_manifest=fewer.val_manifest)
    spec = EvaluationSpec(
        subject=run.name,
        run_id=run.run_id,
        weights="ema" if weights == "ema" else "raw",
        selection=run.training.selection,
        step=step,
        protocol=chosen.key,
        protocol_sha256=content_hash(chosen),
        dataset=data,
        noise_seed=noise_seed,
        weights_sha256={file: weights_sha256(file) for file in chosen.weights_files},
    )
    return _once(
        judging,
        spec,
        lambda ranks: evaluate_job(spec, run, judging.store, device=judging.device, progress=judging.progress),
    )


def judge_real(judging: Judging, ref: DatasetRef, *, protocol: str | None) -> Evaluation:
    """Judge the real validation images: the upper bound of a protocol, or how good its judge is (``judge-check-*``)."""
    chosen = protocol_for(ref.name, protocol)
    dataset = open_split(ref, "val")
    spec = _spec("real", None, chosen, ref)
    return _judge(judging, spec, dataset, lambda ranks: real_images(dataset, chosen), note="real images")


def judge_images(judging: Judging, folder: Path, ref: DatasetRef, *, protocol: str | None) -> Evaluation:
    """Judge images named by sample id. Raises ImageFolderError that lists every file that does not fit."""
    chosen = _for_generated(protocol_for(ref.name, protocol))
    dataset = open_split(ref, "val")
    files = open_image_folder(folder, dataset, images_of(ref, dataset))
    spec = _spec(f"external:{folder.resolve().name}", files.sha256[:12], chosen, ref)
    note = "; ".join(("imported images", *files.warnings))
    return _judge(judging, spec, dataset, lambda ranks: files.read, note=note)


def judge_imported(judging: Judging, imported: Imported, *, protocol: str | None, root: str | None) -> Evaluation:
    """Judge the pictures that were imported. Raises ValueError where they are not those any more."""
    _for_generated(protocol_for(imported.dataset.name, protocol))
    ref = replace(imported.dataset, root=root or imported.dataset.root)
    spec = evaluation_of_import(imported, protocol, ref)
    files = stored_images(judging.store, imported, ref)
    note = f"external, imported pictures: {imported.told}"
    return _judge(judging, spec, open_split(ref, "val"), lambda ranks: files.read, note=note)


def judge_checkpoint(
    judging: Judging,
    path: Path,
    variant: str,
    ref: DatasetRef,
    *,
    width: int | None,
    labels: str | None,
    protocol: str | None,
    noise_seed: int,
) -> Evaluation:
    """Generate with a released generator file and judge.

    ``labels`` names how the file wants its label ids (`show dataset` lists the conventions; None: as the released
    code feeds them). Raises ValueError when file and architecture differ, before anything is judged.
    """
    if not path.is_file():
        raise ValueError(f"{path}: there is no such checkpoint file")
    chosen = _for_generated(protocol_for(ref.name, protocol))
    convention = label_convention(dataset_spec(ref.name), labels)
    dataset = open_split(ref, "val")
    architecture = fitted(get_variant(variant), ref.upsampling)
    if width is not None:
        architecture = architecture.scaled(width=width)
    generator = released_generator(path, architecture, dataset, ref.size)
    digest = content_hash([file_sha256(path), architecture.name, architecture.generator, convention.name])
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem)
    spec = _spec(f"checkpoint:{stem}", digest[:12], chosen, ref, noise_seed=noise_seed)
    folder = judging.store.evaluation_folder(spec.eval_id) / "generated"
    count = images_of(ref, dataset)

    def generated(ranks: Ranks) -> ImageSource:
        generate_split(
            generator.to(ranks.device).eval(),
            dataset,
            folder,
            ranks.device,
            count=count,
            z_dim=_z_dim(architecture),
            noise_seed=noise_seed,
            label_of=np.asarray(convention.of_label),
            rank=ranks.rank,
            world=ranks.world,
            report=counted(judging.progress, ranks, count, first=0, what="generate"),
        )
        ranks.barrier()
        return open_image_folder(folder, dataset, count).read

    note = f"{path.name} as {architecture.name}, label ids {convention.name}"
    return _judge(judging, spec, dataset, generated, note=note)


def released_generator(path: Path, variant: Variant, dataset: Dataset, size: tuple[int, int]) -> nn.Module:
    """The generator of ``variant`` with the weights of a released file. Raises ValueError naming both."""
    state = read_tensors_only(path)
    generator = variant.generator.build(dataset.spec, size)
    try:
        load_released_state_dict(generator, state)
    except Exception as error:
        raise ValueError(
            f"{path}: cannot be read as a released generator of {variant.name} for {dataset.name} "
            f"({dataset.spec.channels} label channels): {error}"
        ) from error
    return generator


def label_convention(entry: DatasetEntry, name: str | None) -> LabelConvention:
    """How a checkpoint wants the label ids; None: as the released code. Raises ValueError that lists the names."""
    chosen = name or entry.default_convention
    if chosen not in entry.label_conventions:
        known = "; ".join(f"{item.name} ({item.source})" for item in entry.label_conventions.values())
        raise ValueError(f"--labels is {name!r}; {entry.name} has: {known}")
    return entry.label_conventions[chosen]


def _judge(
    judging: Judging, spec: EvaluationSpec, dataset: Dataset, source: Callable[[Ranks], ImageSource], *, note: str
) -> Evaluation:
    """Judge what ``source`` gives, unless the store holds that evaluation."""

    def work(ranks: Ranks) -> Evaluation | None:
        with claimed_by_first(judging.store.evaluation_folder(spec.eval_id), ranks):
            return judge_and_store(
                spec,
                judging.store,
                source(ranks),
                dataset,
                images_of(spec.dataset, dataset),
                ranks,
                note=note,
                batch_images=judging.batch_images,
                progress=judging.progress,
            )

    return _once(judging, spec, work)


def _once(judging: Judging, spec: EvaluationSpec, work: Callable[[Ranks], Evaluation | None]) -> Evaluation:
    """The evaluation ``spec`` on every rank: the store's, unless it is to be made again, or what ``work`` makes.

    Rank 0 alone looks into the store: where another process judges the same, ranks might find different things there.
    """
    with joined_ranks(judging.device) as ranks:
        found: Evaluation | None = None
        if ranks.first and not judging.again:
            found = judging.store.evaluation(spec.eval_id)
        found = ranks.broadcast(found) or ranks.broadcast(work(ranks))
        assert found is not None, "rank 0 returns what it judged"
        return found


def _for_generated(protocol: Protocol) -> Protocol:
    """``protocol``, if it judges generated images. Raises ValueError for one of real photographs alone."""
    if protocol.subject == "real":
        raise ValueError(
            f"protocol {protocol.key} judges the real photographs at their own size, to see whether its judge gives "
            f"its published scores; use it with --real"
        )
    return protocol


def _spec(
    subject: str, run_id: str | None, protocol: Protocol, ref: DatasetRef, *, noise_seed: int = 0
) -> EvaluationSpec:
    return EvaluationSpec(
        subject=subject,
        run_id=run_id,
        protocol=protocol.key,
        protocol_sha256=content_hash(protocol),
        dataset=ref,
        noise_seed=noise_seed,
        weights_sha256={file: weights_sha256(file) for file in protocol.weights_files},
    )


def _z_dim(variant: Variant) -> int | None:
    if getattr(variant.generator, "source", "segmap") != "z":
        return None
    return int(getattr(variant.generator, "z_dim", 256))
