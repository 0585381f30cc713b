"""Precision and recall of a set of images by its features (Kynkaanniemi et al. 2019).

A set's manifold is the union of balls around its features, each reaching to the k-th nearest other feature of the
set. Precision is the share of judged images within the real manifold (are they like real ones?), recall the share of
real images within the judged one (does every kind of real image occur?).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.evaluation.feature_sets import Features, check_pair, in_float64

NEIGHBOURS = 3
"""k, as in the paper."""
_BLOCK_ROWS = 1024
_TIE = 1e-11
"""Distances this close, relative to the features' squared length, are computed again from their differences."""


def precision_recall(real: Features, fake: Features, *, neighbours: int = NEIGHBOURS) -> tuple[float, float]:
    """Precision and recall in percent, from features (N, D) and (M, D) of real and judged images.

    Every distance is looked at, in float64; a feature on the surface of a ball is within it, so that copies of real
    images count. Both depend on N and M; compare only equal ones. Raises ValueError for ``neighbours`` or fewer
    images on a side, other shapes, or values that are not finite.
    """
    if neighbours < 1:
        raise ValueError(f"neighbours is {neighbours}; it must be at least 1")
    check_pair(real, fake, least=neighbours + 1, score=f"precision and recall with k = {neighbours}")
    x, y = in_float64(real), in_float64(fake)
    return 100.0 * _share_within(y, x, neighbours), 100.0 * _share_within(x, y, neighbours)


def _squared_distances(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, M), by the lengths and the products: quick, with an error of some 1e-14 of the squared lengths."""
    lengths = (x**2).sum(axis=1)[:, None] + (y**2).sum(axis=1)
    distances: NDArray[np.float64] = lengths - 2.0 * (x @ y.T)
    return distances


def _squared_radii(features: NDArray[np.float64], neighbours: int) -> NDArray[np.float64]:
    """(N,): the squared distance of each feature to its k-th nearest other one, computed from their differences."""
    centred = features - features.mean(axis=0)
    radii = np.empty(len(features))
    for start in range(0, len(features), _BLOCK_ROWS):
        rows = slice(start, start + _BLOCK_ROWS)
        distances = _squared_distances(centred[rows], centred)
        own = np.arange(len(distances))
        distances[own, start + own] = np.inf
        chosen = np.argpartition(distances, neighbours - 1, axis=1)[:, neighbours - 1]
        radii[rows] = ((features[rows] - features[chosen]) ** 2).sum(axis=1)
    return radii


def _share_within(points: NDArray[np.float64], centres: NDArray[np.float64], neighbours: int) -> float:
    """The share of ``points`` that lie within a ball around one of ``centres``."""
    radii = _squared_radii(centres, neighbours)
    middle = centres.mean(axis=0)
    near_points, near_centres = points - middle, centres - middle
    longest = float((near_centres**2).sum(axis=1).max())
    within = 0
    for start in range(0, len(points), _BLOCK_ROWS):
        rows = near_points[start : start + _BLOCK_ROWS]
        inside = radii - _squared_distances(rows, near_centres)
        margin = _TIE * (longest + (rows**2).sum(axis=1))
        certain = (inside > margin[:, None]).any(axis=1)
        within += int(certain.sum())
        for place in np.flatnonzero(~certain & (inside >= -margin[:, None]).any(axis=1)):
            close = np.abs(inside[place]) <= margin[place]
            exact = ((points[start + place] - centres[close]) ** 2).sum(axis=1)
            within += bool((exact <= radii[close]).any())
    return within / len(points)
