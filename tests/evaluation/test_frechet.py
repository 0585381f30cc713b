"""The Frechet distance against pytorch-fid's, against exact arithmetic, and where it is known; streamed moments."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
from numpy.typing import NDArray
from pytorch_fid.fid_score import calculate_frechet_distance

from bench.evaluation.frechet import (
    STREAMED_IMAGES,
    FeatureMoments,
    distance_from_moments,
    distance_of_moments,
    frechet_distance,
)

MANY = STREAMED_IMAGES


def features(images: int, length: int, seed: int, *, rank: int | None = None) -> NDArray[np.float64]:
    """Correlated features with a mean; of a lower rank where asked."""
    random = np.random.RandomState(seed)
    mixing = random.standard_normal((rank or length, length)) / np.sqrt(length)
    drawn: NDArray[np.float64] = random.standard_normal((images, rank or length)) @ mixing + 0.1 * random.rand(length)
    return drawn


def oracle(real: NDArray[np.float64], fake: NDArray[np.float64]) -> float:
    moments = [(x.mean(axis=0), np.cov(x, rowvar=False)) for x in (real, fake)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy: an argument of sqrtm is going; singular matrices
        return float(calculate_frechet_distance(*moments[0], *moments[1]))


def streamed(x: NDArray[np.float64], batch: int) -> FeatureMoments:
    moments = FeatureMoments()
    for start in range(0, len(x), batch):
        moments.update(x[start : start + batch])
    return moments


@pytest.mark.parametrize(("real", "fake"), [(MANY, MANY), (MANY, 3000), (2500, MANY)])
@pytest.mark.parametrize("length", [40, 160])
def test_equals_pytorch_fid_with_many_images(real: int, fake: int, length: int) -> None:
    a, b = features(real, length, 1), features(fake, length, 2)
    assert frechet_distance(a, b) == pytest.approx(oracle(a, b), rel=1e-9)
    assert distance_of_moments(streamed(a, 8), streamed(b, 100)) == pytest.approx(oracle(a, b), rel=1e-9)


@pytest.mark.slow
def test_equals_pytorch_fid_at_its_own_size() -> None:
    a, b = (np.maximum(features(5000, 2048, seed), 0.0) for seed in (1, 2))
    assert frechet_distance(a, b) == pytest.approx(oracle(a, b), rel=1e-9)


@pytest.mark.parametrize(("real", "fake"), [(200, 200), (200, 90), (41, 300), (MANY, 60)])
def test_equals_pytorch_fid_with_few_images_of_short_features(real: int, fake: int) -> None:
    a, b = features(real, 40, 1), features(fake, 40, 2)
    assert frechet_distance(a, b) == pytest.approx(oracle(a, b), rel=1e-9)


@pytest.mark.parametrize(("real", "fake"), [(30, 30), (30, 20), (30, 200), (200, 30), (2, 2)])
def test_equals_pytorch_fid_with_fewer_images_than_features(real: int, fake: int) -> None:
    """The oracle takes the square root of a singular matrix, which costs it half of its digits."""
    a, b = features(real, 64, 3), features(fake, 64, 4)
    assert frechet_distance(a, b) == pytest.approx(oracle(a, b), rel=1e-4)


def test_one_dimension_has_the_closed_form_on_both_routes() -> None:
    """(m1 - m2)^2 + (s1 - s2)^2, which needs no root of a matrix."""
    for images in (50, MANY + 7):
        a, b = features(images, 1, 5), 3.0 * features(images + 9, 1, 6)
        expected = (a.mean() - b.mean()) ** 2 + (a.std(ddof=1) - b.std(ddof=1)) ** 2
        assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-12)


def test_the_number_of_images_alone_decides_the_route(monkeypatch: pytest.MonkeyPatch) -> None:
    """And both routes agree at the border, in whatever relation N and D stand."""
    for length in (16, 700):
        a, b = features(MANY, length, 5), features(MANY, length, 6)
        found = {}
        for name in ("_from_features", "distance_of_moments"):
            with monkeypatch.context() as patch:
                patch.setattr(f"bench.evaluation.frechet.{name}", lambda *_: -1.0)
                found[name] = frechet_distance(a, b), frechet_distance(a[:-1], b), frechet_distance(a, b[:-1])
        by_moments, few, fewer = found["_from_features"]
        assert (few, fewer) == (-1.0, -1.0)
        assert found["distance_of_moments"][0] == -1.0
        with monkeypatch.context() as patch:
            patch.setattr("bench.evaluation.frechet.STREAMED_IMAGES", MANY + 1)
            assert frechet_distance(a, b) == pytest.approx(by_moments, rel=1e-11)


def test_singular_covariances_of_many_images() -> None:
    """Features of rank 5 and one that never varies: no Cholesky factor, the exact route gives the same."""
    a, b = (np.hstack([features(MANY, 20, seed, rank=5), np.ones((MANY, 1))]) for seed in (7, 8))
    found = frechet_distance(a, b)
    assert found == pytest.approx(oracle(a, b), rel=1e-4)
    assert distance_of_moments(streamed(a, 64), streamed(a, 64)) == pytest.approx(0.0, abs=1e-10)
    few = frechet_distance(a[: MANY - 1], b)
    assert few == pytest.approx(distance_of_moments(streamed(a[: MANY - 1], 50), streamed(b, 50)), rel=1e-9)


@pytest.mark.parametrize("ranks", [(40, 7), (7, 40), (12, 9)])
def test_one_singular_covariance_of_many_images_costs_no_digits(ranks: tuple[int, int]) -> None:
    """The roots of eigenvalues that only rounding lifts from zero would give 1e-8; the route over features has none."""
    a, b = (features(MANY, 40, seed, rank=rank) for seed, rank in zip((7, 8), ranks, strict=True))
    exact = frechet_distance(a[: MANY - 1], b[: MANY - 1])
    found = distance_of_moments(streamed(a[: MANY - 1], 64), streamed(b[: MANY - 1], 64))
    assert found == pytest.approx(exact, rel=1e-11)


def test_what_another_rank_gets_holds_no_features() -> None:
    x = features(300, 64, 20)
    moments = streamed(x, 100)
    sent = pickle.dumps(moments)
    assert len(sent) < 2 * 64 * 64 * 8
    moments.update(x)
    np.testing.assert_allclose(moments.covariance, np.cov(np.vstack([x, x]), rowvar=False), rtol=1e-11, atol=1e-13)


def test_diagonal_gaussians_have_the_closed_form() -> None:
    zeros = np.zeros(3)
    found = distance_from_moments(zeros, np.diag([1.0, 4.0, 9.0]), np.array([3.0, 4.0, 0.0]), np.diag([4.0, 4.0, 1.0]))
    assert found == pytest.approx(25.0 + (1 - 2) ** 2 + 0 + (3 - 1) ** 2, rel=1e-12)
    assert distance_from_moments(zeros, np.zeros((3, 3)), zeros, np.eye(3)) == pytest.approx(3.0, rel=1e-12)


@pytest.mark.parametrize("images", [10, 200, MANY])
def test_equal_sets_are_at_distance_0_and_the_distance_is_symmetric(images: int) -> None:
    a, b = features(images, 32, 9), features(images, 32, 10)
    assert frechet_distance(a, a.copy()) == pytest.approx(0.0, abs=1e-11)
    assert frechet_distance(a, a[::-1]) == pytest.approx(0.0, abs=1e-11)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-11)


@pytest.mark.parametrize("images", [200, MANY])
def test_a_shift_adds_its_square(images: int) -> None:
    a = features(images, 16, 11)
    assert frechet_distance(a, a + 0.5) == pytest.approx(16 * 0.25, rel=1e-9)


def test_float32_features_are_computed_in_float64() -> None:
    a, b = ((features(200, 16, seed) + 1000.0).astype(np.float32) for seed in (12, 13))
    assert frechet_distance(a, b) == pytest.approx(oracle(a.astype(np.float64), b.astype(np.float64)), rel=1e-7)
    moments = FeatureMoments()
    moments.update(a)
    np.testing.assert_allclose(moments.covariance, np.cov(a.astype(np.float64), rowvar=False), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("batch", [1, 7, 512, 1300])
def test_streamed_moments_are_numpys(batch: int) -> None:
    x = features(1300, 24, 15) + 100.0
    moments = streamed(x, batch)
    assert moments.count == 1300
    np.testing.assert_allclose(moments.mean, x.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(moments.covariance, np.cov(x, rowvar=False), rtol=1e-11, atol=1e-13)


def test_the_order_of_merging_does_not_matter() -> None:
    x, y = features(3000, 24, 16) + 10.0, features(3000, 24, 17)
    fixed = streamed(y, 100)
    found = []
    for order in ([0, 1, 2, 3], [3, 1, 0, 2], [2, 3, 1, 0]):
        parts = [streamed(x[rank::4], 11) for rank in range(4)]
        whole = FeatureMoments()
        for rank in order:
            whole.merge(pickle.loads(pickle.dumps(parts[rank])))
        assert whole.count == 3000
        assert [part.count for part in parts] == [750] * 4, "what is merged keeps what it has seen"
        found.append(distance_of_moments(whole, fixed))
    assert found == pytest.approx([found[0]] * 3, rel=1e-12)
    assert found[0] == pytest.approx(frechet_distance(x, y), rel=1e-12)


def test_ranks_without_images_change_nothing() -> None:
    x = features(900, 8, 18)
    whole = streamed(x, 100)
    before = whole.covariance.copy()
    whole.merge(FeatureMoments())
    whole.update(x[:0])
    assert np.array_equal(whole.covariance, before)
    empty = FeatureMoments()
    empty.merge(whole)
    np.testing.assert_allclose(empty.covariance, before, rtol=1e-13)


def test_updating_does_not_touch_the_callers_features() -> None:
    x = features(600, 8, 19)
    before = x.copy()
    frechet_distance(x, x)
    streamed(x, 600)
    assert np.array_equal(x, before)


def test_errors_are_explained() -> None:
    good = features(10, 4, 14)
    with pytest.raises(ValueError, match=r"shapes \(10, 4\) and \(10, 3\); expected \(N, D\) and \(M, D\)"):
        frechet_distance(good, good[:, :3])
    with pytest.raises(ValueError, match="at least 2 images on each side; there are 10 and 1"):
        frechet_distance(good, good[:1])
    bad = good.copy()
    bad[[2, 5], 1] = np.nan, np.inf
    with pytest.raises(ValueError, match="features of 2 of 10 images hold NaN or infinite values"):
        frechet_distance(good, bad)
    moments = streamed(good, 5)
    with pytest.raises(ValueError, match="features of 2 of 10 images hold NaN"):
        moments.update(bad)
    with pytest.raises(ValueError, match="features have 3 dimensions; those before had 4"):
        moments.update(good[:, :3])
    with pytest.raises(ValueError, match="features have 3 dimensions; those before had 4"):
        moments.merge(streamed(good[:, :3], 5))
    with pytest.raises(ValueError, match=r"features have shape \(4,\); expected \(N, D\)"):
        moments.update(good[0])
    with pytest.raises(ValueError, match="at least 2 images on each side; there are 10 and 1"):
        distance_of_moments(moments, streamed(good[:1], 1))
    with pytest.raises(ValueError, match="features have 4 and 3 dimensions; they must be equal"):
        distance_of_moments(moments, streamed(good[:, :3], 5))
    with pytest.raises(ValueError, match="a covariance needs at least 2 images; there are 0"):
        _ = FeatureMoments().covariance
