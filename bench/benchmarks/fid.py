"""The Frechet distance from features against pytorch-fid's function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.benchmarks.timing import Stopwatch, environment, in_turn
from bench.evaluation.frechet import FeatureMoments, distance_of_moments

_MIXING = 0.3
"""How much of a feature comes from others: real features are correlated, and far from equally spread."""


def benchmark_fid(
    *, images: int, dimensions: int, repeats: int, watch: Stopwatch, progress: Callable[[str], None] = lambda line: None
) -> dict[str, Any]:
    """Seconds from two sets of features to the distance: ours, and pytorch-fid's function with numpy's covariances.

    Ours streams the moments whatever ``images`` is. Features are drawn, correlated and unequally spread. ``moments``
    and ``function`` are the two parts of each: from features to means and covariances, and from these to the
    distance. ``difference`` is relative. Raises ValueError for fewer than
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

    def their_moments() -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        wide = (rows.astype(np.float64) for rows in (real, fake))  # pytorch-fid keeps its features so
        return [(rows.mean(axis=0), np.cov(rows, rowvar=False)) for rows in wide]

    def our_moments() -> tuple[FeatureMoments, FeatureMoments]:
        moments = FeatureMoments(), FeatureMoments()
        moments[0].update(real)
        moments[1].update(fake)
        return moments

    known, streamed = their_moments(), our_moments()
    progress(f"{images} images, {dimensions} dimensions: pytorch-fid takes its time")
    seconds, found = in_turn(
        {
            "their moments": their_moments,
            "their distance": lambda: float(calculate_frechet_distance(*known[0], *known[1])),
            "our moments": our_moments,
            "our distance": lambda: distance_of_moments(*streamed),
        },
        repeats,
        watch,
    )
    reference = seconds["their moments"] + seconds["their distance"]
    fast = seconds["our moments"] + seconds["our distance"]
    distances = found["their distance"], found["our distance"]
    return {
        "benchmark": "fid",
        "images": images,
        "dimensions": dimensions,
        "repeats": repeats,
        "reference_s": reference,
        "fast_s": fast,
        "ratio": reference / fast,
        "moments": _pair(seconds["their moments"], seconds["our moments"]),
        "function": _pair(seconds["their distance"], seconds["our distance"]),
        "distance": distances[1],
        "difference": abs(distances[1] - distances[0]) / abs(distances[0]),
        "environment": environment(watch),
    }


def _pair(reference: float, fast: float) -> dict[str, float]:
    return {"reference_s": reference, "fast_s": fast, "ratio": reference / fast}


def _features(images: int, dimensions: int, seed: int) -> NDArray[np.float32]:
    """(images, dimensions) float32, not negative, as those of an Inception network are."""
    rng = np.random.default_rng(seed)
    spread = 1.0 / np.arange(1, dimensions + 1) ** 0.5
    mixed = rng.standard_normal((images, dimensions)) * spread
    mixed += _MIXING * mixed @ rng.standard_normal((dimensions, dimensions)) / dimensions**0.5
    features: NDArray[np.float32] = np.abs(mixed + 0.1 * seed).astype(np.float32)
    return features
