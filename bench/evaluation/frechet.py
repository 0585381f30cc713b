"""The Frechet distance between Gaussians fitted to two sets of features, in float64.

Heusel et al. 2017: |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)), with unbiased covariances S. Two routes lead there:

- Few images (fewer than ``STREAMED_IMAGES`` on either side): from the features themselves, which are few enough to
  keep. With A and B the centred features over the roots of N - 1 and M - 1, the trace of the root is the nuclear norm
  of A B^T. That is exact for every N, M and D; the covariances, singular for N <= D, are never formed.
- Many images: from their means and covariances, which are streamed (``FeatureMoments``); no feature is kept. With
  S1 = L L^T the trace of the root is the sum of the roots of the eigenvalues of L^T S2 L, which is symmetric.

The number of images alone decides, whatever D is, so that the route is known before the first image is seen. Where a
covariance of many images is singular nevertheless (N <= D, or features that never vary), its eigenvectors take the
place of the Cholesky factor.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from bench.evaluation.feature_sets import Features, check_features, check_pair, in_float64

STREAMED_IMAGES = 2048
"""From this many images on each side the distance comes from streamed moments; below, from the features."""
_BLOCK_ROWS = 2048
"""Features that are gathered before they are folded into a covariance; bounds memory and time, not the result."""


class FeatureMoments:
    """Mean and covariance of features that come batch by batch, on any number of ranks, in float64.

    Blocks are joined by the formula of Chan, Golub and LeVeque (1979), which subtracts no large numbers; the order of
    batches and of merging changes the result by rounding only (below 1e-12 of its size).
    """

    def __init__(self) -> None:
        self._count = 0
        self._mean: NDArray[np.float64] = np.zeros(0)
        self._scatter: NDArray[np.float64] = np.zeros((0, 0), order="F")  # its lower triangle
        self._block: NDArray[np.float64] = np.zeros((0, 0))
        self._waiting = 0  # rows of the block that are not folded yet

    def __getstate__(self) -> dict[str, Any]:
        """What another rank needs: everything folded, without the block."""
        self._fold()
        return {**self.__dict__, "_block": np.zeros((0, 0))}

    @property
    def count(self) -> int:
        """Images seen."""
        return self._count + self._waiting

    @property
    def mean(self) -> NDArray[np.float64]:
        """(D,)."""
        self._fold()
        return self._mean

    @property
    def covariance(self) -> NDArray[np.float64]:
        """(D, D), unbiased. Raises ValueError for fewer than two images."""
        lower = self.lower_covariance
        return np.tril(lower) + np.tril(lower, -1).T

    @property
    def lower_covariance(self) -> NDArray[np.float64]:
        """(D, D) whose lower triangle is the covariance's; what stands above it means nothing. Raises as that does."""
        if self.count < 2:
            raise ValueError(f"a covariance needs at least 2 images; there are {self.count}")
        self._fold()
        lower: NDArray[np.float64] = self._scatter / (self._count - 1)
        return lower

    def update(self, features: Features) -> None:
        """Take up features (N, D). Raises ValueError for other shapes and for values that are not finite."""
        check_features(features)
        dimensions = self._block.shape[1] if self._waiting else len(self._mean)
        if self.count and features.shape[1] != dimensions:
            raise ValueError(f"features have {features.shape[1]} dimensions; those before had {dimensions}")
        if self._block.shape[1] != features.shape[1]:
            self._block = np.empty((_BLOCK_ROWS + 1, features.shape[1]))
        start = 0
        while start < len(features):
            taken = features[start : start + _BLOCK_ROWS - self._waiting]
            self._block[self._waiting : self._waiting + len(taken)] = taken
            self._waiting += len(taken)
            start += len(taken)
            if self._waiting == _BLOCK_ROWS:
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
        """Centre the block, add the row that joins its scatter to the one so far, and add the block's scatter."""
        if not self._waiting:
            return
        rows, count = self._block[: self._waiting + 1], self._waiting
        self._waiting = 0
        mean = rows[:count].mean(axis=0)
        rows[:count] -= mean
        rows[count] = self._join(count, mean)
        self._scatter = linalg.blas.dsyrk(1.0, rows.T, beta=1.0, c=self._scatter, lower=True, overwrite_c=True)

    def _join(self, count: int, mean: NDArray[np.float64]) -> NDArray[np.float64]:
        """Bring in the mean of ``count`` further images; returns the vector whose outer product joins the scatters."""
        if not self._count:
            self._mean, self._scatter = np.zeros_like(mean), np.zeros((len(mean), len(mean)), order="F")
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
    check_pair(real, fake, least=2, score="a Frechet distance")
    if min(len(real), len(fake)) < STREAMED_IMAGES:
        return _from_features(in_float64(real), in_float64(fake))
    moments = FeatureMoments(), FeatureMoments()
    for one, features in zip(moments, (real, fake), strict=True):
        one.update(features)
    return distance_of_moments(*moments)


def distance_of_moments(real: FeatureMoments, fake: FeatureMoments) -> float:
    """The distance from streamed moments. Raises ValueError for fewer than two images on a side or different D."""
    if min(real.count, fake.count) < 2:
        raise ValueError(
            f"a Frechet distance needs at least 2 images on each side; there are {real.count} and {fake.count}"
        )
    if len(real.mean) != len(fake.mean):
        raise ValueError(f"features have {len(real.mean)} and {len(fake.mean)} dimensions; they must be equal")
    return distance_from_moments(real.mean, real.lower_covariance, fake.mean, fake.lower_covariance)


def distance_from_moments(
    mean1: NDArray[np.float64],
    covariance1: NDArray[np.float64],
    mean2: NDArray[np.float64],
    covariance2: NDArray[np.float64],
) -> float:
    """The distance from means (D,) and covariances (D, D), of which the lower triangles are read."""
    traces = float(np.trace(covariance1) + np.trace(covariance2))
    return _distance(mean1 - mean2, traces, _root_trace(covariance1, covariance2))


def _from_features(real: NDArray[np.float64], fake: NDArray[np.float64]) -> float:
    means = real.mean(axis=0), fake.mean(axis=0)
    centred = [(x - mean) / np.sqrt(len(x) - 1) for x, mean in zip((real, fake), means, strict=True)]
    traces = sum(float((x**2).sum()) for x in centred)
    # R of a QR factorisation has the same nuclear norm in its place, and at most D rows.
    small = [linalg.qr(x, mode="r")[0][: x.shape[1]] if len(x) > x.shape[1] else x for x in centred]
    return _distance(means[0] - means[1], traces, float(linalg.svdvals(small[0] @ small[1].T).sum()))


def _root_trace(covariance1: NDArray[np.float64], covariance2: NDArray[np.float64]) -> float:
    """tr((S1 S2)^(1/2)) from the lower triangles."""
    lower = _cholesky(covariance1)
    if lower is not None:
        (reduce,) = linalg.get_lapack_funcs(("sygst",), (covariance2,))
        product, _ = reduce(covariance2, lower, itype=2, lower=1)  # L^T S2 L
        values = linalg.eigvalsh(product, driver="ev", overwrite_a=True, check_finite=False)
        if values[0] > _rounding(values) or _cholesky(covariance2) is not None:
            return float(np.sqrt(np.clip(values, 0.0, None)).sum())
    # The roots of eigenvalues that are zero but for rounding would cost half of the digits; singular values do not.
    cross = _factor(covariance1).T @ _factor(covariance2)
    return float(linalg.svdvals(cross).sum()) if cross.size else 0.0


def _cholesky(covariance: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """L with L L^T = covariance, of which only the lower triangle counts; None where it is singular."""
    try:
        lower: NDArray[np.float64] = linalg.cho_factor(covariance, lower=True, check_finite=False)[0]
    except linalg.LinAlgError:
        return None
    return lower if (np.diag(lower) ** 2 > _rounding(np.diag(covariance))).all() else None


def _factor(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """F (D, rank) with F F^T = covariance."""
    lower = _cholesky(covariance)
    if lower is not None:
        return np.tril(lower)
    values, vectors = linalg.eigh(covariance)
    kept = values > _rounding(values)
    factor: NDArray[np.float64] = vectors[:, kept] * np.sqrt(values[kept])
    return factor


def _rounding(values: NDArray[np.float64]) -> float:
    """Below this a variance among ``values`` is zero but for rounding."""
    return float(len(values) * np.finfo(np.float64).eps * values.max())


def _distance(difference: NDArray[np.float64], traces: float, root_trace: float) -> float:
    return max(0.0, float(difference @ difference) + traces - 2.0 * root_trace)
