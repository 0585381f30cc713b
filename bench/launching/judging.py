"""Judging outside a study: a run of the store, a folder of images, a released checkpoint file."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from baselines.registry import get_variant
from bench.data.opening import images_of, open_split
from bench.evaluation.evaluator import folder_images
from bench.evaluation.generate import generate_split
from bench.evaluation.protocols import Protocol, get_protocol, list_protocols
from bench.evaluation.weights import file_sha256, weights_sha256
from bench.launching.jobs import Progress, evaluate_job, judge_and_store, no_progress
from bench.run_spec import DatasetRef
from bench.store import Evaluation, EvaluationSpec, Store
from bench.training.distributed import joined_ranks
from spade_core.released import load_released_state_dict


def protocol_for(dataset: str, name: str | None) -> Protocol:
    """The protocol called ``name``, or the data set's first. Raises ValueError where it judges other data."""
    if name is None:
        fitting = [item for item in list_protocols() if item.dataset == dataset]
        if not fitting:
            known = ", ".join(f"{item.key} ({item.dataset})" for item in list_protocols())
            raise ValueError(f"no protocol judges data set {dataset!r} yet; there are: {known}")
        return fitting[0]
    protocol = get_protocol(name)
    if protocol.dataset != dataset:
        raise ValueError(f"protocol {protocol.key} judges {protocol.dataset}, not {dataset}")
    return protocol


def _weights_of(protocol: Protocol) -> dict[str, str]:
    names = {protocol.judge_weights, protocol.feature_weights}
    if "FID@tf" in protocol.metrics:
        names.add("inception-fid")
    return {name: weights_sha256(name) for name in sorted(names)}


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
    count = val_images or run.dataset.val_images
    spec = EvaluationSpec(
        subject=run.name,
        run_id=run.run_id,
        weights="ema" if weights == "ema" else "raw",
        selection=run.training.selection,
        step=step,
        protocol=chosen.key,
        dataset=run.dataset,
        reference=run.dataset.val_manifest,
        val_images=count,
        noise_seed=noise_seed,
        weights_sha256=_weights_of(chosen),
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
    architecture = get_variant(variant)
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
        dataset=ref,
        reference=ref.val_manifest,
        val_images=ref.val_images,
        noise_seed=noise_seed,
        weights_sha256=_weights_of(protocol),
    )


def _folder_digest(folder: Path) -> str:
    """One digest of the folder's images: of their names and their contents."""
    import hashlib

    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.is_file():
            digest.update(f"{path.name} {file_sha256(path)}\n".encode())
    return digest.hexdigest()
