"""How different the images of one label map are: mean distances between all pairs of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray

from bench.evaluation.features import build_extractor
from bench.evaluation.perceptual_similarity import build_similarity
from bench.evaluation.weights import MissingWeightsError, missing_reason

Images = NDArray[np.uint8]
Distance = Callable[[Images], float]
"""Images (N, H, W, 3) of one label map to the mean distance over their pairs."""

LPIPS, PIXELS, FEATURES = "LPIPS@alex", "L1@pixels", "L2@efficientnet-lite0"
MEANINGS = {
    LPIPS: "perceptual distance (Zhang et al. 2018)",
    PIXELS: "mean absolute difference of pixel values, 0 to 1",
    FEATURES: "Euclidean distance between the mean features of EfficientNet-Lite0 (not a perceptual distance)",
}


def distances(device: torch.device, size: tuple[int, int]) -> tuple[dict[str, Distance], dict[str, str]]:
    """The distances that can be had here, and by name the reasons for those that cannot.

    LPIPS where AlexNet's weights are on this machine and images are of its least size; the distance of features where
    the package of EfficientNet-Lite0 is installed; that of pixels always.
    """
    found: dict[str, Distance] = {PIXELS: pixel_distance}
    missing: dict[str, str] = {}
    try:
        similarity = build_similarity(LPIPS, device)
        similarity(*[np.zeros((1, *size, 3), np.uint8)] * 2)
        found[LPIPS] = lambda images: float(np.mean([similarity(a[None], b[None])[0] for a, b in _pairs(images)]))
    except MissingWeightsError:
        missing[LPIPS] = f"{missing_reason('alexnet')} (./run_study.py fetch-weights alexnet)"
    except ValueError as error:
        missing[LPIPS] = str(error)
    try:
        extract = build_extractor("efficientnet-lite0", device)
        found[FEATURES] = lambda images: feature_distance(extract(images))
    except ValueError as error:
        missing[FEATURES] = str(error).partition("\n")[0]
    return {name: found[name] for name in MEANINGS if name in found}, missing


def pixel_distance(images: Images) -> float:
    """Mean over all pairs of the mean absolute difference of pixel values, in 0 to 1."""
    pairs = [np.abs(a.astype(np.float64) - b.astype(np.float64)).mean() / 255.0 for a, b in _pairs(images)]
    return float(np.mean(pairs))


def feature_distance(features: NDArray[np.float32]) -> float:
    """Mean over all pairs of the Euclidean distance between feature vectors (N, D)."""
    pairs = combinations(features.astype(np.float64), 2)
    return float(np.mean([np.linalg.norm(a - b) for a, b in pairs]))


def _pairs(images: Images) -> Sequence[tuple[Images, Images]]:
    if len(images) < 2:
        raise ValueError(f"a distance between images needs two of them; {len(images)} given")
    return list(combinations(images, 2))
