"""The kernel distance between two sets of features (on Inception features: KID), in float64.

Binkowski et al. 2018: the squared maximum mean discrepancy with the kernel (x.y / D + 1)^3, estimated without bias.
Unlike a Frechet distance its expectation does not depend on the number of images, so sets of different size may be
compared; around 0 it may come out negative.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bench.evaluation.feature_sets import Features, check_pair, in_float64

SCALE = 1000.0
"""The distance is multiplied by this, as papers print it."""
_BLOCK_ROWS = 1024


def kernel_distance(real: Features, fake: Features) -> float:
    """1000 times the squared maximum mean discrepancy between features (N, D) and (M, D).

    The whole U-statistic: every pair of different images within a set and every pair across, once. The usual tools
    draw some subsets (100 of 1000 images) and report the mean of their U-statistics; over all draws its expectation
    is this very number, which needs no draw, no seed and no subset size, and has the smaller variance.

    Raises ValueError for fewer than two images on a side, other shapes, or values that are not finite.
    """
    check_pair(real, fake, least=2, score="a kernel distance")
    x, y = in_float64(real), in_float64(fake)
    return SCALE * (_mean_within(x) + _mean_within(y) - 2.0 * _mean_across(x, y))


def _blocks(x: NDArray[np.float64]) -> Iterator[tuple[int, NDArray[np.float64]]]:
    for start in range(0, len(x), _BLOCK_ROWS):
        yield start, x[start : start + _BLOCK_ROWS]


def _kernel(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, M)."""
    values: NDArray[np.float64] = x @ y.T / x.shape[1] + 1.0
    return values * values * values


def _mean_within(x: NDArray[np.float64]) -> float:
    """Mean of the kernel over pairs of different images; the blocks above the diagonal stand for those below."""
    total = 0.0
    for start, rows in _blocks(x):
        own = _kernel(rows, rows)
        total += float(own.sum() - np.trace(own))
        total += 2.0 * sum(float(_kernel(rows, columns).sum()) for other, columns in _blocks(x) if other > start)
    return total / (len(x) * (len(x) - 1))


def _mean_across(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    total = sum(float(_kernel(rows, columns).sum()) for _, rows in _blocks(x) for _, columns in _blocks(y))
    return total / (len(x) * len(y))
