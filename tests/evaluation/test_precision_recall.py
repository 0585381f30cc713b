"""Precision and recall against brute force, on sets whose answer is plain, and where distances tie."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bench.evaluation import precision_recall as module
from bench.evaluation.precision_recall import precision_recall

Array = NDArray[np.float64]


def features(images: int, length: int, seed: int, *, shift: float = 0.0) -> Array:
    drawn: Array = np.random.default_rng(seed).standard_normal((images, length)) + shift
    return drawn


def brute_force(real: Array, fake: Array, k: int) -> tuple[float, float]:
    def squared(a: Array, b: Array) -> float:
        return float(((a - b) ** 2).sum())

    def share(points: Array, centres: Array) -> float:
        radii = [sorted(squared(c, o) for j, o in enumerate(centres) if j != i)[k - 1] for i, c in enumerate(centres)]
        return sum(any(squared(p, c) <= r for c, r in zip(centres, radii, strict=True)) for p in points) / len(points)

    return 100.0 * share(fake, real), 100.0 * share(real, fake)


@pytest.mark.parametrize(("real", "fake", "length"), [(40, 40, 5), (25, 60, 8), (4, 30, 3)])
@pytest.mark.parametrize("k", [1, 3])
def test_equals_brute_force(real: int, fake: int, length: int, k: int) -> None:
    x, y = features(real, length, 1), features(fake, length, 2, shift=0.8)
    found = precision_recall(x, y, neighbours=k)
    assert found == pytest.approx(brute_force(x, y, k))
    assert 0.0 < found[0] < 100.0


def test_k_is_3_by_default() -> None:
    x, y = features(40, 5, 1), features(40, 5, 2, shift=0.8)
    assert precision_recall(x, y) == precision_recall(x, y, neighbours=3)
    assert precision_recall(x, y) != precision_recall(x, y, neighbours=1)


grid = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=4, max_size=12)


@settings(max_examples=150, deadline=None)
@given(grid, grid)
def test_ties_and_copies_are_decided_as_by_brute_force(
    real: list[tuple[int, int]], fake: list[tuple[int, int]]
) -> None:
    """Features on a grid far from 0: radii of 0, and distances that equal radii exactly."""
    x, y = (1000.0 + np.array(points, dtype=float) for points in (real, fake))
    assert precision_recall(x, y) == pytest.approx(brute_force(x, y, 3))


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = features(50, 6, 3), features(41, 6, 4, shift=0.7)
    whole = precision_recall(x, y)
    for rows in (1, 7, 41):
        monkeypatch.setattr(module, "_BLOCK_ROWS", rows)
        assert precision_recall(x, y) == whole


def test_real_images_are_as_good_and_as_many_as_themselves() -> None:
    x = features(60, 10, 5)
    assert precision_recall(x, x) == (100.0, 100.0)
    assert precision_recall(np.ones((10, 4)), np.ones((9, 4))) == (100.0, 100.0)


def test_one_good_image_over_and_over_is_precise_but_recalls_nothing() -> None:
    x = features(60, 10, 6)
    precision, recall = precision_recall(x, np.repeat(x[:1], 60, axis=0))
    assert precision == 100.0
    assert recall == pytest.approx(100.0 / 60)


def test_far_images_are_neither() -> None:
    x = features(60, 10, 7)
    assert precision_recall(x, x + 50.0) == (0.0, 0.0)


def test_images_that_also_wander_off_recall_everything_but_lose_precision() -> None:
    x = features(60, 10, 8)
    precision, recall = precision_recall(x, np.concatenate([x, x + 50.0]))
    assert precision == 50.0
    assert recall == 100.0


def test_errors_are_explained() -> None:
    good = features(5, 3, 11)
    with pytest.raises(ValueError, match="recall with k = 3 needs at least 4 images on each side; there are 5 and 3"):
        precision_recall(good, good[:3])
    with pytest.raises(ValueError, match="neighbours is 0; it must be at least 1"):
        precision_recall(good, good, neighbours=0)
    with pytest.raises(ValueError, match=r"shapes \(5, 3\) and \(5, 2\)"):
        precision_recall(good, good[:, :2])
    with pytest.raises(ValueError, match="features of 5 of 5 images hold NaN"):
        precision_recall(good, good * np.nan)
