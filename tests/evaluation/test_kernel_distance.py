"""The kernel distance against a plain double loop; it is unbiased, and the mean over subsets that other tools take."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.evaluation import kernel_distance as module
from bench.evaluation.kernel_distance import kernel_distance

Array = NDArray[np.float64]


def features(images: int, length: int, seed: int, *, shift: float = 0.0) -> Array:
    drawn: Array = np.random.default_rng(seed).standard_normal((images, length)) + shift
    return drawn


def double_loop(x: Array, y: Array) -> float:
    """1000 times the unbiased estimate, pair by pair."""

    def kernel(a: Array, b: Array) -> float:
        return (sum(float(p) * float(q) for p, q in zip(a, b, strict=True)) / len(a) + 1.0) ** 3

    within = [
        sum(kernel(s[i], s[j]) for i in range(len(s)) for j in range(len(s)) if i != j) / (len(s) * (len(s) - 1))
        for s in (x, y)
    ]
    across = sum(kernel(a, b) for a in x for b in y) / (len(x) * len(y))
    return 1000.0 * (within[0] + within[1] - 2.0 * across)


@pytest.mark.parametrize(("real", "fake"), [(12, 12), (9, 20), (2, 2)])
def test_equals_the_double_loop(real: int, fake: int) -> None:
    x, y = features(real, 5, 1), features(fake, 5, 2, shift=0.3)
    assert kernel_distance(x, y) == pytest.approx(double_loop(x, y), rel=1e-10)
    assert kernel_distance(y, x) == pytest.approx(kernel_distance(x, y), rel=1e-12)


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = features(50, 8, 3), features(41, 8, 4, shift=0.2)
    whole = kernel_distance(x, y)
    for rows in (1, 7, 25, 41):
        monkeypatch.setattr(module, "_BLOCK_ROWS", rows)
        assert kernel_distance(x, y) == pytest.approx(whole, rel=1e-11)


def test_it_is_the_mean_over_all_subsets() -> None:
    """Tools that draw random subsets estimate this number."""
    x, y = features(6, 4, 5), features(6, 4, 6, shift=0.5)
    draws = [
        kernel_distance(x[list(a)], y[list(b)]) for a in combinations(range(6), 4) for b in combinations(range(6), 4)
    ]
    assert np.mean(draws) == pytest.approx(kernel_distance(x, y), rel=1e-10)
    assert np.std(draws) > 0


@pytest.mark.parametrize(("real", "fake"), [(10, 10), (10, 40)])
def test_it_is_unbiased_however_few_the_images(real: int, fake: int) -> None:
    """One distribution twice: 0 on average over draws, and negative about as often as positive."""
    random = np.random.default_rng(7)
    drawn = np.array(
        [kernel_distance(random.standard_normal((real, 6)), random.standard_normal((fake, 6))) for _ in range(3000)]
    )
    error = drawn.std() / np.sqrt(len(drawn))
    assert abs(drawn.mean()) < 3.5 * error
    assert 0.2 < (drawn < 0).mean() < 0.8


def test_the_expectation_of_two_shifted_gaussians_is_known() -> None:
    """For x ~ N(0, 1) and y ~ N(m, 1) in one dimension the kernel's mean follows from their moments."""
    m = 0.7
    random = np.random.default_rng(8)
    drawn = np.array(
        [kernel_distance(random.standard_normal((20, 1)), random.standard_normal((30, 1)) + m) for _ in range(3000)]
    )

    def mean_of_cube(a: float, b: float) -> float:  # E (xy + 1)^3 of independent N(a, 1), N(b, 1)
        first, second = (a, a * a + 1, a**3 + 3 * a), (b, b * b + 1, b**3 + 3 * b)
        return first[2] * second[2] + 3 * first[1] * second[1] + 3 * first[0] * second[0] + 1

    expected = 1000.0 * (mean_of_cube(0, 0) + mean_of_cube(m, m) - 2 * mean_of_cube(0, m))
    assert abs(drawn.mean() - expected) < 3.5 * drawn.std() / np.sqrt(len(drawn))


def test_float32_features_are_computed_in_float64() -> None:
    x, y = (features(40, 16, seed).astype(np.float32) * 30.0 for seed in (9, 10))
    assert kernel_distance(x, y) == pytest.approx(double_loop(x.astype(float), y.astype(float)), rel=1e-10)


def test_errors_are_explained() -> None:
    good = features(5, 3, 11)
    with pytest.raises(ValueError, match="a kernel distance needs at least 2 images on each side; there are 5 and 1"):
        kernel_distance(good, good[:1])
    with pytest.raises(ValueError, match=r"shapes \(5, 3\) and \(5, 2\)"):
        kernel_distance(good, good[:, :2])
    with pytest.raises(ValueError, match="features of 1 of 5 images hold NaN"):
        kernel_distance(good, np.where(np.arange(5)[:, None] == 2, np.nan, good))
