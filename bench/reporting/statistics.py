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
