"""Who is counted: raters told apart by sentinels, by how far they came, and by how they agree with the others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bench.human.answers import Answer
from bench.human.design import SENTINEL, HumanStudy


@dataclass(frozen=True, kw_only=True)
class Filters:
    """What a rater needs to be counted; shares from 0 (no filter) to 1."""

    sentinels: float = 0.8
    """Least share of sentinels answered right; who met none is counted."""
    answered: float = 0.5
    """Least share of the questions of the places that were begun (of the page; a platform hands out single ones)."""
    agreement: float = 0.0
    """Least share of agreement with the majority of the others. 0 by default: where two systems are equally good,
    careful raters agree half of the time, and dropping those who disagree moves the result."""

    def __post_init__(self) -> None:
        for name in ("sentinels", "answered", "agreement"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(f"--min-{name} is {value}; it must be from 0 (no filter) to 1")


@dataclass(frozen=True, kw_only=True)
class Rater:
    """One rater of one study."""

    study: str
    name: str
    places: tuple[str, ...]
    answers: int
    """Sentinels not counted."""
    wanted: int
    """Questions of the places, sentinels not counted."""
    sentinels: int
    sentinels_right: int
    agreement: float | None
    """Share of the answers that agree with the majority of the other raters; None where nobody else answered."""
    left: float
    """Share of all answers that chose the left picture."""
    median_seconds: float | None
    dropped: str
    """Why the rater is not counted; empty for those who are."""


def look_at_raters(study: HumanStudy, answers: Iterable[Answer], filters: Filters) -> list[Rater]:
    """Every rater of the study, by name. Agreement is with all raters, whether they are counted or not."""
    by_rater: dict[str, list[Answer]] = defaultdict(list)
    for answer in answers:
        if answer.study == study.id:
            by_rater[answer.rater].append(answer)
    votes: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for own in by_rater.values():
        for answer in own:
            votes[answer.question][chose_ours(study, answer)] += 1
    return [_rater(study, name, by_rater[name], votes, filters) for name in sorted(by_rater)]


def chose_ours(study: HumanStudy, answer: Answer) -> bool:
    """Whether the answer prefers ours (of a sentinel: the real photograph)."""
    return answer.left == study.ours_left[(answer.place, answer.question)]


def _rater(
    study: HumanStudy, name: str, own: Sequence[Answer], votes: Mapping[str, Sequence[int]], filters: Filters
) -> Rater:
    sentinels = [item for item in own if study.by_id[item.question].comparison == SENTINEL]
    asked = [item for item in own if study.by_id[item.question].comparison != SENTINEL]
    right = sum(chose_ours(study, item) for item in sentinels)
    places = tuple(sorted({item.place for item in own}))
    sizes = {place.name: place.shown for place in study.places if place.name in places}
    wanted = sum(study.by_id[shown.question].comparison != SENTINEL for place in places for shown in sizes[place])
    seconds = [item.seconds for item in own if item.seconds is not None]
    rater = Rater(
        study=study.id,
        name=name,
        places=places,
        answers=len(asked),
        wanted=wanted,
        sentinels=len(sentinels),
        sentinels_right=right,
        agreement=_agreement(study, asked, votes),
        left=sum(item.left for item in own) / len(own),
        median_seconds=median(seconds) if seconds else None,
        dropped="",
    )
    return _judged(rater, filters)


def _agreement(study: HumanStudy, asked: Sequence[Answer], votes: Mapping[str, Sequence[int]]) -> float | None:
    """Agreement with the majority of the others; a tie among them counts half."""
    points = []
    for answer in asked:
        mine = chose_ours(study, answer)
        others = list(votes[answer.question])
        others[mine] -= 1
        if sum(others):
            points.append(0.5 if others[0] == others[1] else float(others[mine] > others[not mine]))
    return sum(points) / len(points) if points else None


def _judged(rater: Rater, filters: Filters) -> Rater:
    from dataclasses import replace

    if rater.sentinels and rater.sentinels_right < filters.sentinels * rater.sentinels:
        return replace(rater, dropped=f"{rater.sentinels_right} of {rater.sentinels} sentinels right")
    if rater.answers < filters.answered * rater.wanted:
        return replace(rater, dropped=f"{rater.answers} of {rater.wanted} questions answered")
    if rater.agreement is not None and rater.agreement < filters.agreement:
        return replace(rater, dropped=f"agrees with the others in {100 * rater.agreement:.0f} %")
    return rater
