"""How often ours is preferred, with two intervals: for votes as if independent, and for raters and questions.

The exact binomial interval (Clopper and Pearson 1934) takes every vote for an independent one. Votes are not: a rater
has habits, a question may be easy. The other interval resamples raters and, apart from that, questions, adds the two
variances and takes off once the variance of single votes, which both contain (two-way clusters; Cameron, Gelbach and
Miller 2011); Student's t with Satterthwaite's degrees of freedom allows for few raters, the logit for the ends at 0 and
100 %. tests/human/test_preference.py simulates how often each holds the truth.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
LEVEL = 0.95
DRAWS = 2000


@dataclass(frozen=True, kw_only=True)
class Preference:
    """The votes of one comparison."""

    votes: int
    ours: int
    """Votes for ours."""
    raters: int
    questions: int
    majority: float
    """Share of questions whose majority prefers ours; a tie counts half."""
    exact: tuple[float, float]
    """Clopper-Pearson interval of the share, as if votes were independent."""
    clustered: tuple[float, float] | None
    """Bootstrap interval over raters and questions; None where there is none, see ``reason``."""
    reason: str = ""

    @property
    def share(self) -> float:
        """Share of votes for ours, 0 to 1."""
        return self.ours / self.votes


def preference(
    votes: Iterable[tuple[str, str, bool]], *, draws: int = DRAWS, seed: int = 0, level: float = LEVEL
) -> Preference:
    """From (rater, question, whether ours was preferred) triples. Raises ValueError without any."""
    triples = list(votes)
    if not triples:
        raise ValueError("no votes: a preference needs at least one")
    raters = {name: row for row, name in enumerate(sorted({rater for rater, _, _ in triples}))}
    questions = {name: column for column, name in enumerate(sorted({question for _, question, _ in triples}))}
    asked = np.zeros((len(raters), len(questions)), np.int64)
    ours = np.zeros_like(asked)
    for rater, question, preferred in triples:
        asked[raters[rater], questions[question]] += 1
        ours[raters[rater], questions[question]] += preferred
    clustered, reason = clustered_interval(ours, asked, draws=draws, seed=seed, level=level)
    of_question = ours.sum(axis=0) / asked.sum(axis=0)
    return Preference(
        votes=int(asked.sum()),
        ours=int(ours.sum()),
        raters=len(raters),
        questions=len(questions),
        majority=float(np.mean((of_question > 0.5) + 0.5 * (of_question == 0.5))),
        exact=exact_interval(int(ours.sum()), int(asked.sum()), level=level),
        clustered=clustered,
        reason=reason,
    )


def exact_interval(successes: int, trials: int, *, level: float = LEVEL) -> tuple[float, float]:
    """Clopper-Pearson interval of a share. Raises ValueError for counts that are none."""
    if not 0 <= successes <= trials or trials < 1:
        raise ValueError(f"{successes} of {trials} is no share; successes run from 0 to the trials, of at least 1")
    from scipy.special import betaincinv

    tail = (1 - level) / 2
    low = float(betaincinv(successes, trials - successes + 1, tail)) if successes else 0.0
    high = float(betaincinv(successes + 1, trials - successes, 1 - tail)) if successes < trials else 1.0
    return low, high


def clustered_interval(
    ours: Counts, asked: Counts, *, draws: int = DRAWS, seed: int = 0, level: float = LEVEL
) -> tuple[tuple[float, float] | None, str]:
    """(interval, nothing) of the share of votes for ours, or (None, reason).

    ``asked`` and ``ours`` (raters, questions): votes, and those for ours; every row and column has a vote.
    """
    votes, share = int(asked.sum()), float(ours.sum() / asked.sum())
    if min(asked.shape) < 2:
        what = "rater" if asked.shape[0] < 2 else "question"
        return None, f"one {what} alone says nothing of how {what}s differ"
    if share in (0.0, 1.0):
        return None, "all votes agree, so nothing can be resampled"
    rng = np.random.default_rng(seed)
    of_raters = _resampled_variance(ours.sum(axis=1), asked.sum(axis=1), draws, rng)
    of_questions = _resampled_variance(ours.sum(axis=0), asked.sum(axis=0), draws, rng)
    of_votes = share * (1 - share) / max(votes - 1, 1)
    variance = max(of_raters + of_questions - of_votes, of_raters, of_questions, of_votes)
    freedom = variance**2 / (
        of_raters**2 / (asked.shape[0] - 1) + of_questions**2 / (asked.shape[1] - 1) + of_votes**2 / max(votes - 1, 1)
    )
    from scipy.special import expit, logit, stdtrit

    reach = float(stdtrit(max(freedom, 1.0), 0.5 + level / 2)) * math.sqrt(variance) / (share * (1 - share))
    centre = float(logit(share))
    return (float(expit(centre - reach)), float(expit(centre + reach))), ""


def _resampled_variance(ours: Counts, asked: Counts, draws: int, rng: np.random.Generator) -> float:
    """Variance of the share when clusters are drawn with replacement, corrected for their number."""
    clusters = len(asked)
    weights = rng.multinomial(clusters, np.full(clusters, 1 / clusters), size=draws)
    shares = (weights @ ours) / (weights @ asked)
    return float(shares.var(ddof=1)) * clusters / (clusters - 1)
