"""Which pairs are asked: decided by the seed, and balanced exactly."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest

from bench.human.design import SENTINEL, Plan, Question, draw_places, draw_questions

SAMPLES = [f"val-{number:04d}" for number in range(700)]
AGAINST = ["CRN", "pix2pixHD", "SIMS"]


def drawn(
    plan: Plan, against: list[str] = AGAINST, samples: list[str] = SAMPLES
) -> tuple[list[Question], list[object]]:
    sheets, sentinels = draw_questions(plan, against, samples)
    places = draw_places(plan, sheets, sentinels)
    return [question for sheet in (*sheets, *sentinels) for question in sheet], list(places)


def test_the_papers_size_is_the_default() -> None:
    questions, places = drawn(Plan())
    counts = Counter(question.comparison for question in questions)
    assert {name: counts[name] for name in AGAINST} == dict.fromkeys(AGAINST, 500)
    asked = Counter(shown.question for place in places for shown in place.shown)  # type: ignore[attr-defined]
    assert set(asked.values()) == {5}
    assert len(places) == 15 * 5


@pytest.mark.parametrize(
    ("plan", "against"),
    [
        (Plan(), AGAINST),
        (Plan(questions=37, raters=3, per_rater=20, sentinels=3, seed=5), AGAINST[:2]),
        (Plan(questions=11, raters=5, per_rater=100, sentinels=1), AGAINST[:1]),
        (Plan(questions=9, raters=4, per_rater=9, sentinels=0), AGAINST),
    ],
)
def test_sides_are_balanced(plan: Plan, against: list[str]) -> None:
    """Over a comparison, over a rater's list and over a question's raters ours is left as often as right, as far as
    the numbers are even."""
    questions, places = drawn(plan, against)
    comparison = {question.id: question.comparison for question in questions}
    whole: dict[str, list[bool]] = defaultdict(list)
    by_question: dict[str, list[bool]] = defaultdict(list)
    for place in places:
        own: dict[str, list[bool]] = defaultdict(list)
        for shown in place.shown:  # type: ignore[attr-defined]
            for group in (whole[comparison[shown.question]], by_question[shown.question]):
                group.append(shown.ours_left)
            own[comparison[shown.question]].append(shown.ours_left)
        assert all(abs(2 * sum(sides) - len(sides)) <= 1 for sides in own.values())
    assert all(2 * sum(sides) - len(sides) in ((0,) if len(sides) % 2 == 0 else (-1, 1)) for sides in whole.values())
    assert all(abs(2 * sum(sides) - len(sides)) <= 1 for sides in by_question.values())


def test_sides_are_not_a_pattern() -> None:
    """Two raters of a sheet agree in sides about half of the time; a chessboard would make it never or always."""
    _, places = drawn(Plan(questions=200, per_rater=200), AGAINST[:1])
    first, second, third = ({shown.question: shown.ours_left for shown in place.shown} for place in places[:3])  # type: ignore[attr-defined]
    for one, other in ((first, second), (first, third)):
        same = sum(one[question] == other[question] for question in one) / len(one)
        assert 0.25 < same < 0.75


def test_every_question_is_met_once_in_each_part_of_the_list() -> None:
    plan = Plan(questions=100, raters=5, per_rater=100, sentinels=0)
    _, places = drawn(plan, AGAINST[:1])
    parts: dict[str, set[int]] = defaultdict(set)
    for place in places:
        for position, shown in enumerate(place.shown):  # type: ignore[attr-defined]
            parts[shown.question].add(5 * position // 100)
    assert all(found == {0, 1, 2, 3, 4} for found in parts.values())


def test_no_list_shows_a_map_twice_and_sentinels_are_spread() -> None:
    questions, places = drawn(Plan(questions=500, sentinels=5))
    by_id = {question.id: question for question in questions}
    for place in places:
        shown = [by_id[item.question] for item in place.shown]  # type: ignore[attr-defined]
        assert len({question.sample for question in shown}) == len(shown)
        at = [index for index, question in enumerate(shown) if question.comparison == SENTINEL]
        assert len(at) == 5
        assert at[0] > 0
        part = (len(shown) - 5) / 5
        assert all(part * number - 1 <= index - number <= part * (number + 1) + 1 for number, index in enumerate(at))


def test_the_seed_decides_everything() -> None:
    one, other = Plan(questions=40, seed=1), Plan(questions=40, seed=2)
    assert drawn(one) == drawn(one)
    assert drawn(one) != drawn(other)


def test_ids_do_not_tell_what_is_compared() -> None:
    questions, _ = drawn(Plan(questions=100))
    ordered = [question.comparison for question in sorted(questions, key=lambda item: item.id)]
    runs = sum(one != other for one, other in zip(ordered, ordered[1:], strict=False))
    assert runs > len(ordered) / 2


def test_more_questions_than_maps_are_refused() -> None:
    with pytest.raises(ValueError, match="--questions is 500, and there are 40 validation images"):
        draw_questions(Plan(), AGAINST, SAMPLES[:40])


@pytest.mark.parametrize(("field", "value"), [("questions", 0), ("raters", 0), ("per_rater", 0), ("sentinels", -1)])
def test_a_plan_of_nothing_is_refused(field: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"--{field.replace('_', '-')} is {value}; it must be at least"):
        Plan(**{field: value})
