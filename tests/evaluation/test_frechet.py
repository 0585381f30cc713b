"""The Frechet distance against pytorch-fid's, and where it is known."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from numpy.typing import NDArray
from pytorch_fid.fid_score import calculate_frechet_distance

from bench.evaluation.frechet import distance_from_moments, frechet_distance


def features(images: int, length: int, seed: int, *, rank: int | None = None) -> NDArray[np.float64]:
    """Correlated features with a mean; of a lower rank where asked."""
    random = np.random.RandomState(seed)
    mixing = random.standard_normal((rank or length, length)) / np.sqrt(length)
    drawn: NDArray[np.float64] = random.standard_normal((images, rank or length)) @ mixing + 0.1 * random.rand(length)
    return drawn


def oracle(real: NDArray[np.float64], fake: NDArray[np.float64]) -> float:
    moments = [(x.mean(axis=0), np.cov(x, rowvar=False)) for x in (real, fake)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return float(calculate_frechet_distance(*moments[0], *moments[1]))


@pytest.mark.parametrize(("real", "fake"), [(200, 200), (200, 90), (41, 300)])
def test_equals_pytorch_fid_with_more_images_than_features(real: int, fake: int) -> None:
    a, b = features(real, 40, 1), features(fake, 40, 2)
    assert frechet_distance(a, b) == pytest.approx(oracle(a, b), rel=1e-9)


@pytest.mark.parametrize(("real", "fake"), [(30, 30), (30, 20), (30, 200), (200, 30)])
def test_equals_pytorch_fid_with_fewer_images_than_features(real: int, fake: int) -> None:
    """The oracle takes the square root of a singular matrix, which costs it half of its digits."""
    a, b = features(real, 64, 3), features(fake, 64, 4)
    assert frechet_distance(a, b) == pytest.approx(oracle(a, b), rel=1e-4)


def test_both_routes_agree_where_both_can_go() -> None:
    a, b = features(64, 64, 5), features(65, 64, 6)
    moments = [(x.mean(axis=0), np.cov(x, rowvar=False)) for x in (a, b)]
    assert frechet_distance(a, b) == pytest.approx(distance_from_moments(*moments[0], *moments[1]), rel=1e-6)


def test_singular_covariances_of_many_images() -> None:
    a, b = features(300, 20, 7, rank=5), features(300, 20, 8, rank=5)
    assert frechet_distance(a, b) == pytest.approx(oracle(a, b), rel=1e-4)


def test_diagonal_gaussians_have_the_closed_form() -> None:
    zeros = np.zeros(3)
    found = distance_from_moments(zeros, np.diag([1.0, 4.0, 9.0]), np.array([3.0, 4.0, 0.0]), np.diag([4.0, 4.0, 1.0]))
    assert found == pytest.approx(25.0 + (1 - 2) ** 2 + 0 + (3 - 1) ** 2, rel=1e-12)


@pytest.mark.parametrize("images", [10, 200])
def test_equal_sets_are_at_distance_0_and_the_distance_is_symmetric(images: int) -> None:
    a, b = features(images, 32, 9), features(images, 32, 10)
    assert frechet_distance(a, a.copy()) == pytest.approx(0.0, abs=1e-9)
    assert frechet_distance(a, a[::-1]) == pytest.approx(0.0, abs=1e-9)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-9)


def test_a_shift_adds_its_square() -> None:
    a = features(200, 16, 11)
    assert frechet_distance(a, a + 0.5) == pytest.approx(16 * 0.25, rel=1e-9)


def test_float32_features_are_computed_in_float64() -> None:
    a, b = ((features(200, 16, seed) + 1000.0).astype(np.float32) for seed in (12, 13))
    assert frechet_distance(a, b) == pytest.approx(oracle(a.astype(np.float64), b.astype(np.float64)), rel=1e-7)


def test_errors_are_explained() -> None:
    good = features(10, 4, 14)
    with pytest.raises(ValueError, match=r"shapes \(10, 4\) and \(10, 3\); expected \(N, D\) and \(M, D\)"):
        frechet_distance(good, good[:, :3])
    with pytest.raises(ValueError, match="at least 2 images on each side; there are 10 and 1"):
        frechet_distance(good, good[:1])
    with pytest.raises(ValueError, match="features hold NaN or infinite values"):
        frechet_distance(good, np.where(good > 0, np.nan, good))
