"""The Frechet distance between Gaussians fitted to two sets of features, in float64.

Heusel et al. 2017: |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

Features = NDArray[np.floating]


def frechet_distance(real: Features, fake: Features) -> float:
    """The distance between features (N, D) and (M, D), with unbiased covariances.

    Where N or M does not exceed D the covariances are singular; then the trace of the root is the nuclear norm of the
    centred features' cross product, which is exact and needs no D x D matrix. Raises ValueError for fewer than two
    images, other shapes, or values that are not finite.
    """
    if real.ndim != 2 or fake.ndim != 2 or real.shape[1] != fake.shape[1]:
        raise ValueError(f"features have shapes {real.shape} and {fake.shape}; expected (N, D) and (M, D)")
    if min(len(real), len(fake)) < 2:
        raise ValueError(
            f"a Frechet distance needs at least 2 images on each side; there are {len(real)} and {len(fake)}"
        )
    real64, fake64 = real.astype(np.float64), fake.astype(np.float64)
    if not (np.isfinite(real64).all() and np.isfinite(fake64).all()):
        raise ValueError("features hold NaN or infinite values; no Frechet distance can be computed")
    difference = real64.mean(axis=0) - fake64.mean(axis=0)
    centred_real = (real64 - real64.mean(axis=0)) / np.sqrt(len(real64) - 1)
    centred_fake = (fake64 - fake64.mean(axis=0)) / np.sqrt(len(fake64) - 1)
    if min(len(real), len(fake)) <= real.shape[1]:
        root_trace = float(linalg.svdvals(centred_real @ centred_fake.T).sum())
        traces = float((centred_real**2).sum() + (centred_fake**2).sum())
        return max(0.0, float(difference @ difference) + traces - 2.0 * root_trace)
    return distance_from_moments(
        real64.mean(axis=0), centred_real.T @ centred_real, fake64.mean(axis=0), centred_fake.T @ centred_fake
    )


def distance_from_moments(
    mean1: NDArray[np.float64],
    covariance1: NDArray[np.float64],
    mean2: NDArray[np.float64],
    covariance2: NDArray[np.float64],
) -> float:
    """The distance from means (D,) and covariances (D, D).

    With S1 = L L^T the eigenvalues of S1 S2 are those of the symmetric L^T S2 L; where S1 has no Cholesky factor, its
    symmetric root takes the place of L.
    """
    difference = mean1 - mean2
    try:
        factor = linalg.cholesky(covariance1, lower=True)
    except linalg.LinAlgError:
        values, vectors = linalg.eigh(covariance1)
        factor = vectors * np.sqrt(np.clip(values, 0.0, None))
    products = linalg.eigvalsh(factor.T @ covariance2 @ factor)
    root_trace = float(np.sqrt(np.clip(products, 0.0, None)).sum())
    traces = float(np.trace(covariance1) + np.trace(covariance2))
    return max(0.0, float(difference @ difference) + traces - 2.0 * root_trace)
