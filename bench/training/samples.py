"""Pictures of a run on its way: label map, generated image, real image, for the same validation maps each time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from bench.atomic import written_beside
from bench.data.dataset import Dataset
from bench.evaluation.generate import generate_images


def save_samples(
    generator: nn.Module, dataset: Dataset, path: Path, device: torch.device, z_dim: int | None, count: int = 6
) -> None:
    """Write a PNG with one column per map: label map above generated above real image.

    The first ``count`` validation maps are shown; z, where needed, is seeded by their names.
    """
    indices = list(range(min(count, len(dataset))))
    generated = generate_images(generator, dataset, indices, device, z_dim=z_dim, noise_seed=0)
    columns = []
    for index, image in zip(indices, generated, strict=True):
        sample = dataset.load(index)
        columns.append(np.concatenate([dataset.palette[sample.labels], image, sample.image], axis=0))
    with written_beside(path) as temporary:
        Image.fromarray(np.concatenate(columns, axis=1)).save(temporary, format="PNG")
