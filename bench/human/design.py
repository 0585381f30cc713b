"""Which pairs are asked, of whom, in which order and with which picture on the left: decided by a seed alone.

Words: a *question* is one label map with two pictures. A *sheet* is a set of questions for one sitting, a *place* one
rater's copy of a sheet: the same questions as the other places of the sheet, in an order and with sides of its own.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from bench.plain import content_hash, from_plain, to_plain

SENTINEL = ""
"""In place of a comparison: the real photograph against its label map filled with average colours."""
_SWAPS_PER_CELL = 10


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How large a study is. The defaults are the paper's: 500 questions a comparison, 5 raters each, no time limit."""

    questions: int = 500
    """Of each comparison; each shows another label map."""
    raters: int = 5
    """Who answer each question."""
    per_rater: int = 100
    """Questions of a sheet at most, sentinels not counted."""
    sentinels: int = 5
    """Pairs with an obvious answer in each sheet."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("questions", 1), ("raters", 1), ("per_rater", 1), ("sentinels", 0), ("seed", 0)):
            value = getattr(self, name)
            if value < least:
                option = f"--{name.replace('_', '-')}"
                raise ValueError(f"{option} is {value}; it must be at least {least}")


@dataclass(frozen=True, kw_only=True)
class Question:
    """One label map with two pictures."""

    id: str
    """Says nothing of what is compared: ids are given out in random order."""
    comparison: str
    """The system that ours is compared with; :data:`SENTINEL` for a pair with an obvious answer."""
    sample: str
    """Id of the validation sample."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A question as one rater sees it."""

    question: str
    ours_left: bool
    """Whether ours (of a sentinel: the real photograph) is the left picture."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """One rater's list, in the order in which it is asked."""

    name: str
    """``<sheet>-<number>``, both from 1."""
    shown: tuple[Shown, ...]


@dataclass(frozen=True, kw_only=True)
class HumanStudy:
    """Everything that was asked, with the key to the answers; kept in ``study.json``."""

    dataset: str
    """A registered data set."""
    title: str
    """The data set's name as the paper prints it."""
    maps: str
    """Hash of the validation split's content."""
    size_px: tuple[int, int]
    """(height, width) of the pictures."""
    ours: str
    """Name of the system whose preference is measured."""
    against: tuple[str, ...]
    """Names of the others, one comparison each."""
    sources: Mapping[str, str]
    """Where each system's pictures came from, with a hash of them, by name."""
    ask: str
    """What the page asks."""
    time_limit_s: float | None
    """Seconds for which the pictures are shown; None: until the answer."""
    plan: Plan
    questions: tuple[Question, ...]
    places: tuple[Place, ...]
    notes: tuple[str, ...] = field(default=(), metadata={"semantic": False})

    @cached_property
    def id(self) -> str:
        """12 hexadecimal digits; other pictures, pairs, sides or orders give another one."""
        return content_hash(self)[:12]

    @cached_property
    def by_id(self) -> dict[str, Question]:
        return {question.id: question for question in self.questions}

    @cached_property
    def ours_left(self) -> dict[tuple[str, str], bool]:
        """By (place, question)."""
        return {(place.name, shown.question): shown.ours_left for place in self.places for shown in place.shown}

    def to_json(self) -> dict[str, Any]:
        """Plain values, with the id for the reader of the file."""
        return {"study": self.id, **to_plain(self)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any], where: str) -> HumanStudy:
        """The inverse of :meth:`to_json`. Raises ValueError where the stored id is not what the fields give."""
        if not isinstance(data, Mapping) or "study" not in data:
            raise ValueError(f"{where}: not the key of a human study (it has no field 'study')")
        found = from_plain(cls, {name: value for name, value in data.items() if name != "study"}, where)
        if found.id != data["study"]:
            raise ValueError(
                f"{where}: its id is {data['study']} but its fields give {found.id}; the file was edited, and the "
                f"answers can no longer be told apart: restore it from a copy"
            )
        return found


def draw_questions(plan: Plan, against: Sequence[str], samples: Sequence[str]) -> tuple[list[list[Question]], ...]:
    """(sheets, sentinels of each sheet): which samples are asked in which comparison.

    Every comparison uses the same ``plan.questions`` samples, drawn without replacement; no sheet shows a sample twice
    where there are at least as many sheets as comparisons. Raises ValueError with fewer samples than questions.
    """
    if len(samples) < plan.questions:
        raise ValueError(
            f"--questions is {plan.questions}, and there are {len(samples)} validation images; a label map is asked "
            f"once in each comparison, so give --questions {len(samples)} or fewer"
        )
    rng = random.Random(f"questions {plan.seed}")
    drawn = rng.sample(list(samples), len(samples))
    asked, others = drawn[: plan.questions], drawn[plan.questions :]
    count = -(-len(against) * plan.questions // plan.per_rater)
    count = min(count, plan.questions)
    slices = [asked[part::count] for part in range(count)]
    spare = list(others)
    pairs: list[list[tuple[str, str]]] = []
    for sheet in range(count):
        own = [(name, sample) for place, name in enumerate(against) for sample in slices[(sheet + place) % count]]
        pool = spare if len(spare) >= plan.sentinels else (others or asked)
        chosen = rng.sample(pool, min(plan.sentinels, len(pool)))
        spare = [sample for sample in spare if sample not in set(chosen)]
        pairs.append([*own, *((SENTINEL, sample) for sample in chosen)])
    total = sum(map(len, pairs))
    numbers = iter(rng.sample(range(1, total + 1), total))
    digits = len(str(total))
    made = [
        [Question(id=f"q{next(numbers):0{digits}d}", comparison=name, sample=sample) for name, sample in sheet]
        for sheet in pairs
    ]
    return (
        [[question for question in sheet if question.comparison != SENTINEL] for sheet in made],
        [[question for question in sheet if question.comparison == SENTINEL] for sheet in made],
    )


def draw_places(
    plan: Plan, sheets: Sequence[Sequence[Question]], sentinels: Sequence[Sequence[Question]]
) -> list[Place]:
    """Every rater's list: sides and order balanced.

    Left and right: over all raters of a comparison ours is on the left in exactly half of the answers (one more or
    less where their number is odd), so it is for each rater, and each question has both sides among its raters.
    Order: a sheet is cut in as many parts as it has raters, and each part is met by each rater at another time.
    """
    rng = random.Random(f"places {plan.seed}")
    odd: dict[str, int] = {}
    places = []
    width = len(str(len(sheets)))
    for number, (questions, obvious) in enumerate(zip(sheets, sentinels, strict=True), start=1):
        left: dict[str, Sequence[bool]] = {}
        for name in dict.fromkeys(question.comparison for question in (*questions, *obvious)):
            own = [question for question in (*questions, *obvious) if question.comparison == name]
            start = odd.get(name, 0)
            odd[name] = start + (len(own) * plan.raters) % 2
            sides = balanced_sides(len(own), plan.raters, start % 2, rng)
            left |= {question.id: row for question, row in zip(own, sides, strict=True)}
        orders = list(_orders(questions, obvious, plan.raters, rng))
        for rater, order in enumerate(orders):
            shown = tuple(Shown(question=item.id, ours_left=left[item.id][rater]) for item in order)
            places.append(Place(name=f"{number:0{width}d}-{rater + 1}", shown=shown))
    return places


def balanced_sides(rows: int, columns: int, start: int, rng: random.Random) -> list[list[bool]]:
    """A random matrix of both values in which every row, every column and the whole are half true.

    An odd number leaves one more of one value, which ``start`` (0 or 1) chooses for the whole. A chessboard has these
    sums; exchanging the corners of random rectangles keeps them.
    """
    matrix = [[(row + column + start) % 2 == 0 for column in range(columns)] for row in range(rows)]
    if rows < 2 or columns < 2:
        return matrix
    for _ in range(_SWAPS_PER_CELL * rows * columns):
        top, bottom = rng.randrange(rows), rng.randrange(rows)
        one, other = rng.randrange(columns), rng.randrange(columns)
        a, b, c, d = matrix[top][one], matrix[top][other], matrix[bottom][one], matrix[bottom][other]
        if a == d and b == c and a != b:
            matrix[top][one] = matrix[bottom][other] = b
            matrix[top][other] = matrix[bottom][one] = a
    return matrix


def _orders(
    questions: Sequence[Question], sentinels: Sequence[Question], raters: int, rng: random.Random
) -> Iterator[list[Question]]:
    """One order for each rater: the parts of a shuffled sheet in turn, shuffled within, sentinels spread between."""
    base = list(questions)
    rng.shuffle(base)
    parts = [base[part * len(base) // raters : (part + 1) * len(base) // raters] for part in range(raters)]
    for rater in range(raters):
        order: list[Question] = []
        for turn in range(raters):
            part = list(parts[(rater + turn) % raters])
            rng.shuffle(part)
            order += part
        obvious = list(sentinels)
        rng.shuffle(obvious)
        yield list(_spread(order, obvious, rng))


def _spread(order: Sequence[Question], sentinels: Sequence[Question], rng: random.Random) -> Iterator[Question]:
    """The sentinels at random moments of equal stretches of the list, the first question never one of them."""
    stretches = len(sentinels)
    moments = [
        rng.randint(
            max(1, number * len(order) // stretches), max(1, (number + 1) * len(order) // stretches - (stretches > 1))
        )
        for number in range(stretches)
    ]
    waiting = list(zip(moments, sentinels, strict=True))
    for place, question in enumerate(order):
        while waiting and waiting[0][0] <= place:
            yield waiting.pop(0)[1]
        yield question
    yield from (question for _, question in waiting)
