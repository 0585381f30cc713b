"""Features of the real validation images, computed once: every row of a table is compared with the same ones."""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path

import numpy as np
import PIL
import torch
from numpy.typing import NDArray

from bench.atomic import cache_folder, written_beside
from bench.data.dataset import Dataset
from bench.evaluation.metric_table import EXTRACTORS
from bench.evaluation.weights import weights_sha256

FEATURES_VERSION = 1
"""Raise it with any change of an extractor or of how images are read that changes a feature."""


def features_file(dataset: Dataset, count: int, extractor: str, device: torch.device) -> Path:
    """Where the features of the first ``count`` real images are kept: by all that they depend on.

    That is the content and the size of the images, the network with its weights, and what decides the last digits: the
    kind of device, and the versions of torch, of Pillow and of our own way from files to features.
    """
    weights = [weights_sha256(name) for name in EXTRACTORS[extractor].weights]
    identity = [
        dataset.name,
        dataset.split,
        dataset.manifest_hash,
        dataset.size,
        count,
        extractor,
        weights,
        device.type,
        torch.__version__,
        PIL.__version__,
        FEATURES_VERSION,
    ]
    digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]
    return cache_folder() / "features" / f"{dataset.name}-{extractor}-{digest}.npy"


def kept_features(path: Path, count: int, dimensions: int) -> NDArray[np.float32] | None:
    """(count, D) features of the real images, or None where they are not there whole."""
    try:
        features: NDArray[np.float32] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None  # not there, or torn by a full disk: they are computed anew
    return features if features.shape == (count, dimensions) and features.dtype == np.float32 else None


def keep_features(path: Path, features: NDArray[np.float32]) -> None:
    """Write (N, D) features for the next evaluation; where that is not possible, it computes them again."""
    with contextlib.suppress(OSError), written_beside(path) as temporary, temporary.open("wb") as stream:
        np.save(stream, features, allow_pickle=False)
