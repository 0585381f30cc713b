"""Intervals, rank agreement and ranks against scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from bench.reporting.statistics import competition_ranks, kendall_tau, seed_interval


@pytest.mark.parametrize("count", [2, 3, 10])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_interval_is_scipys_student_t_interval(count: int, level: float) -> None:
    values = np.random.default_rng(count).normal(40, 3, count)
    low, high = stats.t.interval(level, count - 1, loc=values.mean(), scale=stats.sem(values))
    assert seed_interval(values.tolist(), level) == pytest.approx((low, high), rel=1e-12)


def test_one_seed_has_no_interval() -> None:
    assert seed_interval([43.0]) is None


def test_level_outside_0_to_1_is_refused() -> None:
    with pytest.raises(ValueError, match="level is 95; a confidence level lies between 0 and 1"):
        seed_interval([1.0, 2.0], 95)


@pytest.mark.parametrize("seed", range(5))
def test_kendall_tau_is_scipys_also_with_ties(seed: int) -> None:
    first, second = np.random.default_rng(seed).integers(0, 4, (2, 8)).tolist()
    assert kendall_tau(first, second) == pytest.approx(stats.kendalltau(first, second).statistic, abs=1e-12)


def test_kendall_tau_of_all_ties_is_undefined() -> None:
    assert kendall_tau([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]) is None
    assert math.isnan(stats.kendalltau([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]).statistic)


def test_kendall_tau_needs_equal_lengths() -> None:
    with pytest.raises(ValueError, match="one has 1 values, the other 2"):
        kendall_tau([1.0], [1.0, 2.0])


def test_equal_values_share_a_rank_and_the_next_is_skipped() -> None:
    assert competition_ranks([3.0, None, 5.0, 5.0, 4.0], higher_is_better=True) == [4, None, 1, 1, 3]
    assert competition_ranks([3.0, None, 5.0, 5.0, 4.0], higher_is_better=False) == [1, None, 3, 3, 2]
