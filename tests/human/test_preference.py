"""The intervals hold the truth as often as they say, by simulation of raters and questions that differ."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from bench.human.preference import clustered_interval, exact_interval, preference

Counts = NDArray[np.int64]


def simulated(
    rng: np.random.Generator, raters: int, questions: int, each: int, centre: float, spreads: tuple[float, float]
) -> tuple[Counts, Counts]:
    """(ours, asked): ``each`` raters a question, in sheets; effects of raters and of questions are normal in logits."""
    effects = rng.normal(0, spreads[0], raters)[:, None] + rng.normal(0, spreads[1], questions)
    sheets = raters // each
    asked = (np.arange(raters)[:, None] // each == np.arange(questions) % sheets).astype(np.int64)
    preferred = rng.random((raters, questions)) < 1 / (1 + np.exp(-centre - effects))
    return asked * preferred, asked


def truth(centre: float, spreads: tuple[float, float]) -> float:
    """The share over all raters and questions, by quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    return float(np.sum(weights / weights.sum() / (1 + np.exp(-centre - np.hypot(*spreads) * nodes))))


@pytest.mark.parametrize(
    ("raters", "questions", "each", "centre", "spreads"),
    [
        (5, 100, 5, 1.0, (0.6, 1.0)),  # five raters answer everything
        (30, 120, 5, 1.0, (0.6, 1.0)),  # six sheets of five
        (75, 500, 5, 1.4, (0.4, 1.0)),  # the paper's size
        (5, 100, 5, 0.0, (0.0, 1.0)),
    ],
)
def test_the_clustered_interval_holds_the_truth_and_the_exact_one_does_not(
    raters: int, questions: int, each: int, centre: float, spreads: tuple[float, float]
) -> None:
    """Of 250 studies; with 95 % of them to hold, 90 % is 3.6 standard errors below."""
    rng, aim = np.random.default_rng(1), truth(centre, spreads)
    held = held_exact = 0
    for trial in range(250):
        ours, asked = simulated(rng, raters, questions, each, centre, spreads)
        interval, _ = clustered_interval(ours, asked, draws=200, seed=trial)
        assert interval is not None
        held += interval[0] <= aim <= interval[1]
        low, high = exact_interval(int(ours.sum()), int(asked.sum()))
        held_exact += low <= aim <= high
    assert held / 250 >= 0.90
    assert held_exact / 250 < 0.90


def test_without_clusters_it_is_little_wider_than_the_exact_one() -> None:
    rng = np.random.default_rng(2)
    widths = []
    for trial in range(40):
        ours, asked = simulated(rng, 75, 500, 5, 0.5, (0.0, 0.0))
        interval, _ = clustered_interval(ours, asked, draws=200, seed=trial)
        exact = exact_interval(int(ours.sum()), int(asked.sum()))
        assert interval is not None
        widths.append((interval[1] - interval[0]) / (exact[1] - exact[0]))
    assert 0.9 < np.mean(widths) < 1.3


@pytest.mark.parametrize(("successes", "trials"), [(0, 10), (3, 10), (10, 10), (1994, 2500)])
def test_the_exact_interval_is_scipys(successes: int, trials: int) -> None:
    expected = stats.binomtest(successes, trials).proportion_ci(0.95, method="exact")
    assert exact_interval(successes, trials) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_counts_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="3 of 2 is no share"):
        exact_interval(3, 2)
    with pytest.raises(ValueError, match="no votes"):
        preference([])


def test_what_cannot_be_resampled_has_a_reason() -> None:
    alone = preference([("a", "q1", True), ("a", "q2", False)])
    assert alone.clustered is None
    assert "one rater alone" in alone.reason
    agreed = preference([("a", "q1", True), ("b", "q2", True)])
    assert agreed.clustered is None
    assert "all votes agree" in agreed.reason
    assert agreed.exact[1] == 1.0


def test_shares_and_majorities_are_counted() -> None:
    votes = [("a", "q1", True), ("b", "q1", True), ("c", "q1", False), ("a", "q2", True), ("b", "q2", False)]
    found = preference(votes)
    assert (found.votes, found.ours, found.raters, found.questions) == (5, 3, 3, 2)
    assert found.share == 0.6
    assert found.majority == 0.75


def test_the_same_votes_give_the_same_interval_in_any_order() -> None:
    rng = np.random.default_rng(0)
    votes = [(f"r{rater}", f"q{question}", bool(rng.random() < 0.7)) for rater in range(4) for question in range(20)]
    assert preference(votes) == preference(votes[::-1])
