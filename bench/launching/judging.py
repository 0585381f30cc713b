"""Judging outside a study: a run of the store, a folder of images, a released checkpoint file."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import Path

import torch

from baselines.registry import get_variant
from bench.data.fitting import fitted
from bench.data.opening import dataset_ref, images_of, open_split
from bench.evaluation.evaluator import folder_images
from bench.evaluation.generate import generate_split
from bench.evaluation.protocols import Protocol, protocol_for
from bench.evaluation.weights import file_sha256, weights_sha256
from bench.launching.evaluation_job import evaluate_job, judge_and_store
from bench.launching.progress import Progress, no_progress
from bench.plain import content_hash
from bench.run_spec import DatasetRef
from bench.store import Evaluation, EvaluationSpec, Store
from bench.training.distributed import joined_ranks
from spade_core.released import load_released_state_dict


def judge_run(
    store: Store,
    name: str,
    *,
    protocol: str | None,
    weights: str,
    step: int | None,
    val_images: int | None,
    noise_seed: int,
    device: str,
    progress: Progress = no_progress,
) -> Evaluation | None:
    """Generate and judge the validation images of a run of the store (name, or enough of it)."""
    if weights not in ("raw", "ema"):
        raise ValueError(f"--weights is {weights!r}; allowed are raw and ema")
    run = store.find_run(name).spec()
    chosen = protocol_for(run.dataset.name, protocol)
    data = run.dataset
    if val_images is not None:
        data = dataset_ref(data.name, size=data.size, val_images=val_images, root=data.root)
        data = replace(run.dataset, val_images=data.val_images, val_manifest=data.val_manifest)
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
    return evaluate_job(spec, run, store, device=device, progress=progress)


def judge_images(
    store: Store, folder: Path, ref: DatasetRef, *, protocol: str | None, device: str, progress: Progress = no_progress
) -> Evaluation | None:
    """Judge PNG files named by sample id. Raises ValueError that lists every missing, extra or mis-sized file."""
    chosen = protocol_for(ref.name, protocol)
    dataset = open_split(ref, "val")
    count = images_of(ref, dataset)
    images = folder_images(folder, dataset, count)
    digest = _folder_digest(folder)
    spec = _external_spec(f"external:{folder.resolve().name}", digest, chosen, ref, noise_seed=0)
    with joined_ranks(device) as ranks:
        return judge_and_store(spec, store, images, dataset, count, ranks, note="imported images", progress=progress)


def judge_checkpoint(
    store: Store,
    path: Path,
    variant: str,
    ref: DatasetRef,
    *,
    width: int | None,
    protocol: str | None,
    noise_seed: int,
    device: str,
    progress: Progress = no_progress,
) -> Evaluation | None:
    """Generate with a released generator file and judge. Raises ValueError when file and architecture differ."""
    if not path.is_file():
        raise ValueError(f"{path}: there is no such checkpoint file")
    chosen = protocol_for(ref.name, protocol)
    dataset = open_split(ref, "val")
    count = images_of(ref, dataset)
    architecture = fitted(get_variant(variant), ref.upsampling)
    if width is not None:
        architecture = architecture.scaled(width=width)
    digest = file_sha256(path)
    generator = architecture.generator.build(dataset.spec, ref.size)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        load_released_state_dict(generator, state)
    except Exception as error:
        raise ValueError(f"{path}: cannot be read as a released generator of {variant}: {error}") from error
    z_dim = (
        int(getattr(architecture.generator, "z_dim", 256))
        if getattr(architecture.generator, "source", "") == "z"
        else None
    )
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem)
    spec = _external_spec(f"checkpoint:{stem}", digest, chosen, ref, noise_seed=noise_seed)
    folder = store.evaluation_folder(spec.eval_id) / "generated"
    with joined_ranks(device) as ranks:
        generator.to(ranks.device).eval()
        generate_split(
            generator,
            dataset,
            folder,
            ranks.device,
            count=count,
            z_dim=z_dim,
            noise_seed=noise_seed,
            rank=ranks.rank,
            world=ranks.world,
        )
        ranks.barrier()
        images = folder_images(folder, dataset, count)
        return judge_and_store(
            spec, store, images, dataset, count, ranks, note=f"{path.name} as {variant}", progress=progress
        )


def _external_spec(
    subject: str, digest: str, protocol: Protocol, ref: DatasetRef, *, noise_seed: int
) -> EvaluationSpec:
    return EvaluationSpec(
        subject=subject,
        run_id=digest[:12],
        protocol=protocol.key,
        protocol_sha256=content_hash(protocol),
        dataset=ref,
        noise_seed=noise_seed,
        weights_sha256={file: weights_sha256(file) for file in protocol.weights_files},
    )


def _folder_digest(folder: Path) -> str:
    """One digest of the folder's images: of their names and their contents."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.is_file():
            digest.update(f"{path.name} {file_sha256(path)}\n".encode())
    return digest.hexdigest()
