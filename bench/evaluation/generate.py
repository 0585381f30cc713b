"""Validation images of a generator, as PNG files that the evaluator (and anybody else) can read."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from bench.atomic import written_beside
from bench.data.dataset import Dataset
from spade_core.labels import LabelMap

_Z_STREAM = 0x5EED
CHUNK_IMAGES = 8
"""Images of one forward pass. Chunks are cut before they are shared among the ranks, so a forward pass sees the same
images whatever the number of ranks, and the numbers agree to the bit."""


def chunks_of(count: int, rank: int, world: int, images: int = CHUNK_IMAGES) -> list[range]:
    """This rank's chunks of the indices 0 to ``count - 1``: every ``world``-th chunk, without padding."""
    starts = range(0, count, images)
    return [range(start, min(start + images, count)) for start in list(starts)[rank::world]]


def noise_for(sample_id: str, noise_seed: int, z_dim: int) -> NDArray[np.float32]:
    """z of one sample, (z_dim,): a function of the study's seed and the sample's name alone."""
    key = (_Z_STREAM, noise_seed, zlib.crc32(sample_id.encode()))
    return np.random.default_rng(key).standard_normal(z_dim).astype(np.float32)


def truncated(images: torch.Tensor) -> NDArray[np.uint8]:
    """(N, 3, H, W) in [-1, 1] to (N, H, W, 3) uint8, truncated as in the released code."""
    scaled = (images.detach().float().cpu().numpy().transpose(0, 2, 3, 1) + 1.0) / 2.0 * 255.0
    return np.clip(scaled, 0, 255).astype(np.uint8)


@contextmanager
def exact_float32() -> Iterator[None]:
    """No TensorFloat-32 inside the block, whatever training allowed: a score does not depend on who computes it."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


@torch.no_grad()
def generate_images(
    generator: nn.Module,
    dataset: Dataset,
    indices: Sequence[int],
    device: torch.device,
    *,
    z_dim: int | None,
    noise_seed: int,
    label_of: NDArray[np.integer] | None = None,
) -> list[NDArray[np.uint8]]:
    """Images (H, W, 3) uint8 for the label maps at ``indices``, in eval mode (running statistics, as released).

    ``label_of`` (label ids,) gives the id that the generator wants for each id of the data set; None: the same.
    """
    was_training = generator.training
    generator.eval()
    try:
        samples = [dataset.load(index) for index in indices]
        ids = np.stack([sample.labels.astype(np.int64) for sample in samples])
        labels = torch.from_numpy(ids if label_of is None else label_of.astype(np.int64)[ids]).to(device)
        instances = None
        if dataset.spec.instance_edges:
            stacked = np.stack([np.asarray(sample.instances).astype(np.int64) for sample in samples])
            instances = torch.from_numpy(stacked).to(device)
        z = None
        if z_dim is not None:
            drawn = np.stack([noise_for(sample.id, noise_seed, z_dim) for sample in samples])
            z = torch.from_numpy(drawn).to(device)
        with exact_float32():
            return list(truncated(generator(LabelMap(labels, instances, dataset.spec), z)))
    finally:
        generator.train(was_training)


def generate_split(
    generator: nn.Module,
    dataset: Dataset,
    folder: Path,
    device: torch.device,
    *,
    count: int,
    z_dim: int | None,
    noise_seed: int,
    label_of: NDArray[np.integer] | None = None,
    rank: int = 0,
    world: int = 1,
    report: Callable[[int], None] = lambda images: None,
) -> None:
    """Write ``<sample id>.png`` for the first ``count`` samples; chunks that are there already are left alone."""
    folder.mkdir(parents=True, exist_ok=True)
    for chunk in chunks_of(count, rank, world):
        paths = [folder / f"{dataset.sample_id(index)}.png" for index in chunk]
        if not all(path.is_file() for path in paths):
            images = generate_images(
                generator, dataset, chunk, device, z_dim=z_dim, noise_seed=noise_seed, label_of=label_of
            )
            for path, image in zip(paths, images, strict=True):
                with written_beside(path) as temporary:
                    Image.fromarray(image).save(temporary, format="PNG")
        report(len(chunk))
