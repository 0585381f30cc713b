"""The Frechet distance from features against pytorch-fid's function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.benchmarks.timing import Stopwatch, environment, in_turn
from bench.evaluation.frechet import frechet_distance

_MIXING = 0.3
"""How much of a feature comes from others: real features are correlated, and far from equally spread."""


def benchmark_fid(
    *, images: int, dimensions: int, repeats: int, watch: Stopwatch, progress: Callable[[str], None] = lambda line: None
) -> dict[str, Any]:
    """Seconds from two sets of features to the distance: ours, and pytorch-fid's function with numpy's covariances.

    Features are drawn, correlated and unequally spread. ``difference`` is relative. Raises ValueError for fewer than
    two images or no dimension, and where pytorch-fid or the scipy that it needs is not installed.
    """
    if images < 2 or dimensions < 1 or repeats < 1:
        raise ValueError(
            f"benchmark fid: images {images}, dimensions {dimensions}, repeats {repeats}; there must be at least 2 "
            "images, 1 dimension and 1 repeat"
        )
    try:
        from pytorch_fid.fid_score import calculate_frechet_distance
    except ImportError as error:
        raise ValueError(f"benchmark fid compares with pytorch-fid, which is not installed ({error})") from error
    real, fake = _features(images, dimensions, 0), _features(images, dimensions, 1)

    def theirs() -> float:
        wide = (rows.astype(np.float64) for rows in (real, fake))  # pytorch-fid keeps its features so
        moments = [(rows.mean(axis=0), np.cov(rows, rowvar=False)) for rows in wide]
        return float(calculate_frechet_distance(*moments[0], *moments[1]))

    progress(f"{images} images, {dimensions} dimensions: pytorch-fid takes its time")
    seconds, found = in_turn({"reference": theirs, "fast": lambda: frechet_distance(real, fake)}, repeats, watch)
    return {
        "benchmark": "fid",
        "images": images,
        "dimensions": dimensions,
        "repeats": repeats,
        "reference_s": seconds["reference"],
        "fast_s": seconds["fast"],
        "ratio": seconds["reference"] / seconds["fast"],
        "distance": found["fast"],
        "difference": abs(found["fast"] - found["reference"]) / abs(found["reference"]),
        "environment": environment(watch),
    }


def _features(images: int, dimensions: int, seed: int) -> NDArray[np.float32]:
    """(images, dimensions) float32, not negative, as those of an Inception network are."""
    rng = np.random.default_rng(seed)
    spread = 1.0 / np.arange(1, dimensions + 1) ** 0.5
    mixed = rng.standard_normal((images, dimensions)) * spread
    mixed += _MIXING * mixed @ rng.standard_normal((dimensions, dimensions)) / dimensions**0.5
    features: NDArray[np.float32] = np.abs(mixed + 0.1 * seed).astype(np.float32)
    return features
