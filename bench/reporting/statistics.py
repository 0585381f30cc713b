"""The few statistics of the tables. (scipy.special alone: importing scipy.stats takes longer than a whole report.)"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from statistics import fmean, stdev


def seed_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float] | None:
    """Student-t interval of the mean over seeds, or None with fewer than two values.

    It covers the spread over training seeds, not the finite number of judged images.
    """
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; a confidence level lies between 0 and 1, such as 0.95")
    if len(values) < 2:
        return None
    from scipy.special import stdtrit

    centre = fmean(values)
    half_width = float(stdtrit(len(values) - 1, 0.5 + level / 2)) * stdev(values) / math.sqrt(len(values))
    return centre - half_width, centre + half_width


def kendall_tau(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Kendall's rank correlation in its form tau-b (ties corrected), -1 to 1; None where one order is all ties."""
    if len(first) != len(second):
        raise ValueError(
            f"two orders of the same rows are needed; one has {len(first)} values, the other {len(second)}"
        )
    score = untied_first = untied_second = 0
    for (a, b), (c, d) in combinations(zip(first, second, strict=True), 2):
        sign_first, sign_second = (a > c) - (a < c), (b > d) - (b < d)
        score += sign_first * sign_second
        untied_first += sign_first != 0
        untied_second += sign_second != 0
    if not untied_first or not untied_second:
        return None
    return score / math.sqrt(untied_first * untied_second)


def competition_ranks(values: Sequence[float | None], *, higher_is_better: bool) -> list[int | None]:
    """Rank of each value, 1 for the best; equal values share a rank and the next one is skipped. None stays None."""
    present = [value for value in values if value is not None]
    return [
        None
        if value is None
        else 1 + sum((other > value) if higher_is_better else (other < value) for other in present)
        for value in values
    ]


def open_ranks(
    intervals: Sequence[tuple[float, float] | None], *, higher_is_better: bool
) -> list[tuple[int, int] | None]:
    """Best and worst rank that each interval leaves open, 1 for the best; None stays None.

    A row is before another one where its whole interval is on the better side; where two overlap, either may be first,
    so both ranks stay open. No correction is made for the number of rows.
    """
    present = [interval for interval in intervals if interval is not None]

    def before(first: tuple[float, float], second: tuple[float, float]) -> bool:
        return first[0] > second[1] if higher_is_better else first[1] < second[0]

    return [
        None
        if interval is None
        else (
            1 + sum(before(other, interval) for other in present),
            len(present) - sum(before(interval, other) for other in present),
        )
        for interval in intervals
    ]


def welch_interval(first: Sequence[float], second: Sequence[float], level: float = 0.95) -> tuple[float, float] | None:
    """Interval of mean(first) - mean(second) over seeds, spreads not taken for equal (Welch); None with one seed alone.

    The seeds of two rows are no pairs: another architecture draws other numbers from the same seed.
    """
    if len(first) < 2 or len(second) < 2:
        return None
    from scipy.special import stdtrit

    difference = fmean(first) - fmean(second)
    parts = [stdev(values) ** 2 / len(values) for values in (first, second)]
    if not sum(parts):
        return difference, difference
    freedom = sum(parts) ** 2 / sum(
        part**2 / (len(values) - 1) for part, values in zip(parts, (first, second), strict=True)
    )
    half_width = float(stdtrit(freedom, 0.5 + level / 2)) * math.sqrt(sum(parts))
    return difference - half_width, difference + half_width


def probability_of_improvement(first: Sequence[float], second: Sequence[float], *, higher_is_better: bool) -> float:
    """How often a value of ``first``, drawn at random, is better than one of ``second``; ties count half, 0 to 1.

    Over seeds: the chance that one training of the first row beats one of the second (Agarwal et al. 2021).
    """
    sign = 1.0 if higher_is_better else -1.0
    wins = [0.5 * (1 + ((gap := sign * (a - b)) > 0) - (gap < 0)) for a in first for b in second]
    return fmean(wins)
