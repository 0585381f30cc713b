"""Features of two sets of images, checked before they are compared."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.floating]
"""(N, D): one row an image."""


def check_features(features: Features) -> None:
    """Raises ValueError where ``features`` are not (N, D) or hold values that are not finite."""
    if features.ndim != 2 or features.shape[1] == 0:
        raise ValueError(f"features have shape {features.shape}; expected (N, D)")
    wrong = int((~np.isfinite(features)).any(axis=1).sum())
    if wrong:
        raise ValueError(
            f"features of {wrong} of {len(features)} images hold NaN or infinite values; nothing can be compared: "
            "look at these images and at the extractor's weights file"
        )


def check_pair(real: Features, fake: Features, *, least: int, score: str) -> None:
    """Both sets must be (N, D) and (M, D).

    Raises ValueError as ``check_features`` does, for different D, and for fewer than ``least`` images on a side.
    """
    if real.ndim != 2 or fake.ndim != 2 or real.shape[1] != fake.shape[1]:
        raise ValueError(f"features have shapes {real.shape} and {fake.shape}; expected (N, D) and (M, D)")
    if min(len(real), len(fake)) < least:
        raise ValueError(f"{score} needs at least {least} images on each side; there are {len(real)} and {len(fake)}")
    check_features(real)
    check_features(fake)


def in_float64(features: Features) -> NDArray[np.float64]:
    """``features`` in float64; the same array where they are."""
    return features.astype(np.float64, copy=False)
