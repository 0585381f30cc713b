"""The Frechet distance between Gaussians fitted to two sets of features, in float64.

Heusel et al. 2017: |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)), with unbiased covariances S. Two routes lead there:

- Few images (fewer than ``STREAMED_IMAGES`` on either side): from the features themselves, which are few enough to
  keep. With A and B the centred features over the roots of N - 1 and M - 1, the trace of the root is the nuclear norm
  of A B^T. That is exact for every N, M and D; the covariances, singular for N <= D, are never formed.
- Many images: from their means and covariances, which are streamed (``FeatureMoments``); no feature is kept. With
  S1 = L1 L1^T and S2 = L2 L2^T the trace of the root is the nuclear norm of L1^T L2.

The number of images alone decides, whatever D is, so that the route is known before the first image is seen. Where a
covariance of many images is singular nevertheless (N <= D, or features that never vary), its eigenvectors take the
place of the Cholesky factor.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from bench.evaluation.feature_sets import Features, checked_features, checked_pair

STREAMED_IMAGES = 2048
"""From this many images on each side the distance comes from streamed moments; below, from the features."""
_BLOCK_ROWS = 512
"""Features that are gathered before they are folded into a covariance; bounds memory and time, not the result."""


class FeatureMoments:
    """Mean and covariance of features that come batch by batch, on any number of ranks, in float64.

    Blocks are joined by the formula of Chan, Golub and LeVeque (1979), which subtracts no large numbers; the order of
    batches and of merging changes the result by rounding only (below 1e-12 of its size).
    """

    def __init__(self) -> None:
        self._count = 0
        self._mean: NDArray[np.float64] = np.zeros(0)
        self._scatter: NDArray[np.float64] = np.zeros((0, 0))
        self._waiting: list[NDArray[np.float64]] = []

    @property
    def count(self) -> int:
        """Images seen."""
        return self._count + sum(len(rows) for rows in self._waiting)

    @property
    def mean(self) -> NDArray[np.float64]:
        """(D,)."""
        self._fold()
        return self._mean

    @property
    def covariance(self) -> NDArray[np.float64]:
        """(D, D), unbiased. Raises ValueError for fewer than two images."""
        if self.count < 2:
            raise ValueError(f"a covariance needs at least 2 images; there are {self.count}")
        self._fold()
        covariance: NDArray[np.float64] = self._scatter / (self._count - 1)
        return covariance

    def update(self, features: Features) -> None:
        """Take up features (N, D). Raises ValueError for other shapes and for values that are not finite."""
        rows = checked_features(features)
        dimensions = self._waiting[0].shape[1] if self._waiting else len(self._mean)
        if self.count and rows.shape[1] != dimensions:
            raise ValueError(f"features have {rows.shape[1]} dimensions; those before had {dimensions}")
        if len(rows):
            self._waiting.append(rows)
        if sum(len(waiting) for waiting in self._waiting) >= _BLOCK_ROWS:
            self._fold()

    def merge(self, other: FeatureMoments) -> None:
        """Take up everything that ``other`` has seen; ``other`` keeps it."""
        self._fold()
        other._fold()
        if not other._count:
            return
        if self._count and len(self._mean) != len(other._mean):
            raise ValueError(f"features have {len(other._mean)} dimensions; those before had {len(self._mean)}")
        between = self._join(other._count, other._mean)
        self._scatter += other._scatter + np.outer(between, between)

    def _fold(self) -> None:
        if not self._waiting:
            return
        rows = np.concatenate(self._waiting)
        self._waiting = []
        mean = rows.mean(axis=0)
        rows -= mean
        rows = np.vstack([rows, self._join(len(rows), mean)])
        self._scatter += rows.T @ rows

    def _join(self, count: int, mean: NDArray[np.float64]) -> NDArray[np.float64]:
        """Bring in the mean of ``count`` further images; returns the vector whose outer product joins the scatters."""
        if not self._count:
            self._mean, self._scatter = np.zeros_like(mean), np.zeros((len(mean), len(mean)))
        total = self._count + count
        difference = mean - self._mean
        between: NDArray[np.float64] = difference * np.sqrt(self._count * count / total)
        self._mean = self._mean + difference * (count / total)
        self._count = total
        return between


def frechet_distance(real: Features, fake: Features) -> float:
    """The distance between features (N, D) and (M, D), by the route that fits the number of images.

    Raises ValueError for fewer than two images on a side, other shapes, or values that are not finite.
    """
    real, fake = checked_pair(real, fake, least=2, score="a Frechet distance")
    if min(len(real), len(fake)) < STREAMED_IMAGES:
        return _from_features(real, fake)
    moments = FeatureMoments(), FeatureMoments()
    for one, features in zip(moments, (real, fake), strict=True):
        for start in range(0, len(features), _BLOCK_ROWS):
            one.update(features[start : start + _BLOCK_ROWS])
    return distance_of_moments(*moments)


def distance_of_moments(real: FeatureMoments, fake: FeatureMoments) -> float:
    """The distance from streamed moments. Raises ValueError for fewer than two images on a side or different D."""
    if min(real.count, fake.count) < 2:
        raise ValueError(
            f"a Frechet distance needs at least 2 images on each side; there are {real.count} and {fake.count}"
        )
    if len(real.mean) != len(fake.mean):
        raise ValueError(f"features have {len(real.mean)} and {len(fake.mean)} dimensions; they must be equal")
    return distance_from_moments(real.mean, real.covariance, fake.mean, fake.covariance)


def distance_from_moments(
    mean1: NDArray[np.float64],
    covariance1: NDArray[np.float64],
    mean2: NDArray[np.float64],
    covariance2: NDArray[np.float64],
) -> float:
    """The distance from means (D,) and covariances (D, D)."""
    cross = _factor(covariance1).T @ _factor(covariance2)
    return _distance(
        mean1 - mean2,
        float(np.trace(covariance1) + np.trace(covariance2)),
        float(np.sqrt(np.clip(linalg.eigvalsh(cross @ cross.T), 0.0, None)).sum()),
    )


def _from_features(real: NDArray[np.float64], fake: NDArray[np.float64]) -> float:
    means = real.mean(axis=0), fake.mean(axis=0)
    centred = [(x - mean) / np.sqrt(len(x) - 1) for x, mean in zip((real, fake), means, strict=True)]
    traces = sum(float((x**2).sum()) for x in centred)
    # R of a QR factorisation has the same nuclear norm in its place, and at most D rows.
    small = [linalg.qr(x, mode="r")[0][: x.shape[1]] if len(x) > x.shape[1] else x for x in centred]
    return _distance(means[0] - means[1], traces, float(linalg.svdvals(small[0] @ small[1].T).sum()))


def _factor(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """F with F F^T = covariance."""
    rounding = len(covariance) * np.finfo(np.float64).eps
    try:
        lower: NDArray[np.float64] = linalg.cholesky(covariance, lower=True)
    except linalg.LinAlgError:
        lower = np.zeros_like(covariance)
    if (np.diag(lower) ** 2 > rounding * np.diag(covariance).max()).all():
        return lower
    values, vectors = linalg.eigh(covariance)
    kept = values > rounding * values.max()
    factor: NDArray[np.float64] = np.where(kept, vectors, 0.0) * np.sqrt(np.where(kept, values, 0.0))
    return factor


def _distance(difference: NDArray[np.float64], traces: float, root_trace: float) -> float:
    return max(0.0, float(difference @ difference) + traces - 2.0 * root_trace)
