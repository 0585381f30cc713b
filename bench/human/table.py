"""Table 2's layout: a line a data set, a column a comparison, beside the published percentages."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.human.answers import Answer
from bench.human.design import SENTINEL, HumanStudy
from bench.human.preference import DRAWS, Preference, exact_interval, preference
from bench.human.raters import Filters, Rater, chose_ours, look_at_raters
from bench.reporting.cells import BLANK, Cell, Column, Table, TableRow
from bench.reporting.published import Published, published_cell, published_datasets, published_methods

TABLE = "Table 2"
METRIC = "% preferring SPADE"
_VERSUS = "Ours vs "
_OURS = ("ours", "spade")
PREFERENCE_FIELDS = (
    "study",
    "dataset",
    "ours",
    "against",
    "percent",
    "clustered_low",
    "clustered_high",
    "exact_low",
    "exact_high",
    "votes",
    "votes_for_ours",
    "raters",
    "questions",
    "percent_of_questions_by_majority",
    "published",
    "delta",
)
RATER_FIELDS = (
    "study",
    "rater",
    "places",
    "answers",
    "wanted",
    "sentinels",
    "sentinels_right",
    "agreement",
    "left",
    "median_seconds",
    "counted",
    "why_not",
)


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One comparison of one study."""

    study: HumanStudy
    against: str
    preference: Preference | None
    """None where no answer is counted."""
    published: Published | None
    """The paper's cell, where ours is SPADE and the paper has the comparison; its value may be unknown."""

    @property
    def percent(self) -> float | None:
        return None if self.preference is None else 100 * self.preference.share


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What the answers to some studies say."""

    compared: tuple[Compared, ...]
    raters: tuple[Rater, ...]
    left: tuple[int, int]
    """(answers that chose the left picture, answers), of counted raters, sentinels left out."""
    filters: Filters
    notes: tuple[str, ...]


def score(
    studies: Sequence[HumanStudy],
    answers: Sequence[Answer],
    *,
    filters: Filters | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    notes: Sequence[str] = (),
) -> Scored:
    """Every comparison of every study from the answers of the raters who pass the filters."""
    chosen = filters or Filters()
    compared: list[Compared] = []
    raters: list[Rater] = []
    left = total = 0
    for study in studies:
        own = look_at_raters(study, answers, chosen)
        raters += own
        counted = {rater.name for rater in own if not rater.dropped}
        votes: dict[str, list[tuple[str, str, bool]]] = {name: [] for name in study.against}
        for answer in answers:
            if answer.study != study.id or answer.rater not in counted:
                continue
            comparison = study.by_id[answer.question].comparison
            if comparison != SENTINEL:
                votes[comparison].append((answer.rater, answer.question, chose_ours(study, answer)))
                left, total = left + answer.left, total + 1
        compared += [
            Compared(
                study=study,
                against=name,
                preference=preference(votes[name], draws=draws, seed=seed) if votes[name] else None,
                published=published_preference(study, name),
            )
            for name in study.against
        ]
    return Scored(
        compared=tuple(compared), raters=tuple(raters), left=(left, total), filters=chosen, notes=tuple(notes)
    )


def published_preference(study: HumanStudy, against: str) -> Published | None:
    """The paper's cell of this comparison; None where ours is not called SPADE, or the paper has no such cell."""
    if study.ours.lower() not in _OURS:
        return None
    methods = {name.removeprefix(_VERSUS).lower(): name for name in published_methods(TABLE)}
    method = methods.get(against.lower())
    return published_cell(TABLE, method, study.title, METRIC) if method else None


def preference_tables(scored: Scored) -> list[Table]:
    """One table for each system whose preference was measured."""
    names = dict.fromkeys(item.study.ours for item in scored.compared)
    return [_table(name, scored, [item for item in scored.compared if item.study.ours == name]) for name in names]


def _table(ours: str, scored: Scored, compared: Sequence[Compared]) -> Table:
    printed = [name.removeprefix(_VERSUS) for name in published_methods(TABLE)]
    others = _ordered((item.against for item in compared), printed)
    titles = _ordered((item.study.title for item in compared), published_datasets(TABLE, METRIC))
    known = [name for name in others if any(item.published for item in compared if item.against == name)]
    columns = [_column(f"vs:{name}", f"vs {name}", "metric") for name in others]
    columns += [_column(f"paper:{name}", f"vs {name}", "paper", f"paper, {TABLE}") for name in known]
    columns += [_column(f"delta:{name}", f"Δ vs {name}", "delta", f"paper, {TABLE}") for name in known]
    rows, reasons = [], []
    for title in titles:
        own = {item.against: item for item in compared if item.study.title == title}
        cells = [_cell(column, own) for column in columns]
        reasons += [cell.detail for cell in cells if cell.detail]
        rows.append(TableRow(label=title, cells=tuple(cells)))
    return Table(
        study="human",
        dataset=", ".join(titles),
        protocol="two-alternative forced choice",
        title=f"Human preference for {ours}, percent of votes",
        columns=tuple(columns),
        rows=tuple(rows),
        notes=tuple([*_meanings(scored, known), *(_line(item) for item in compared), *scored.notes]),
        reasons=tuple(dict.fromkeys(reasons)),
    )


def _ordered(names: Iterable[str], printed: Sequence[str]) -> list[str]:
    """Each name once, those of the paper first and in its order."""
    lower = [name.lower() for name in printed]
    found = list(dict.fromkeys(names))
    return sorted(found, key=lambda name: lower.index(name.lower()) if name.lower() in lower else len(lower))


def _column(key: str, heading: str, kind: str, group: str = "") -> Column:
    return Column(
        key=key,
        heading=heading,
        kind=kind,  # type: ignore[arg-type]
        metric="preference",
        unit="%",
        decimals=1 if kind != "paper" else 2,
        group=group,
        meaning="percent of votes that prefer ours",
    )


def _cell(column: Column, own: dict[str, Compared]) -> Cell:
    name = column.key.partition(":")[2]
    item = own.get(name)
    if item is None:
        return BLANK
    published = item.published.value if item.published else None
    if column.kind == "paper":
        return BLANK if published is None else Cell(state="value", value=published, published=published)
    if column.kind == "delta":
        known = item.percent is not None and published is not None
        return Cell(state="value", value=item.percent - published) if known else BLANK  # type: ignore[operator]
    if item.preference is None:
        return Cell(state="pending", detail="pending (no answer is counted)")
    interval = item.preference.clustered
    return Cell(
        state="value",
        value=item.percent,
        interval=(100 * interval[0], 100 * interval[1]) if interval else None,
        published=published,
        delta=None if published is None or item.percent is None else item.percent - published,
        published_source=item.published.source if item.published and published is not None else "",
        footnote=_line(item),
    )


def _meanings(scored: Scored, known: Sequence[str]) -> list[str]:
    filters = scored.filters
    notes = [
        "±: half the width of the 95 % bootstrap interval over raters and questions. The exact binomial interval, as "
        "in a count of independent votes, is told below; it is too narrow where raters or questions differ."
    ]
    if known:
        notes.append(
            f"Δ: ours minus {TABLE} of the paper, which prints no interval and does not say how raters were filtered "
            "beyond their approval rate. An empty cell of the paper is not available there."
        )
    dropped = [rater for rater in scored.raters if rater.dropped]
    told = "".join(f"; {rater.name} left out: {rater.dropped}" for rater in dropped)
    notes.append(
        f"Raters: {len(scored.raters) - len(dropped)} of {len(scored.raters)} are counted (at least "
        f"{100 * filters.sentinels:.0f} % of the sentinels right, {100 * filters.answered:.0f} % of a list answered, "
        f"{100 * filters.agreement:.0f} % agreement with the others){told}."
    )
    left, total = scored.left
    if total:
        low, high = exact_interval(left, total)
        notes.append(
            f"Left picture chosen in {100 * left / total:.1f} % of the answers ({100 * low:.1f} to {100 * high:.1f}); "
            "sides are balanced, so a habit of one side does not favour a system."
        )
    return notes


def _line(item: Compared) -> str:
    """Everything that is known of one comparison, in a sentence."""
    head = f"{item.study.title}, {item.study.ours} vs {item.against} (study {item.study.id})"
    found = item.preference
    if found is None:
        return f"{head}: no answer is counted."
    low, high = (100 * end for end in found.exact)
    told = f"{found.ours} of {found.votes} votes, {100 * found.share:.1f} %; exact binomial {low:.1f} to {high:.1f}"
    if found.clustered is not None:
        low, high = (100 * end for end in found.clustered)
        told += f", over raters and questions {low:.1f} to {high:.1f}"
    else:
        told += f", over raters and questions none ({found.reason})"
    return (
        f"{head}: {told}; {found.raters} rater{'s'[: found.raters != 1]}, {found.questions} of "
        f"{item.study.plan.questions} questions, the majority prefers ours in {100 * found.majority:.1f} % of them."
    )


def preferences_csv(scored: Scored) -> str:
    """A line a comparison, columns :data:`PREFERENCE_FIELDS`; percentages unrounded, empty where unknown."""
    lines = []
    for item in scored.compared:
        found, published = item.preference, item.published.value if item.published else None
        ends = [*(found.clustered or (None, None)), *found.exact] if found else [None] * 4
        lines.append(
            [
                item.study.id,
                item.study.title,
                item.study.ours,
                item.against,
                item.percent,
                *(None if end is None else 100 * end for end in ends),
                found.votes if found else 0,
                found.ours if found else 0,
                found.raters if found else 0,
                found.questions if found else 0,
                100 * found.majority if found else None,
                published,
                None if published is None or item.percent is None else item.percent - published,
            ]
        )
    return _csv(PREFERENCE_FIELDS, lines)


def raters_csv(scored: Scored) -> str:
    """A line a rater and study, columns :data:`RATER_FIELDS`."""
    return _csv(
        RATER_FIELDS,
        [
            [
                rater.study,
                rater.name,
                " ".join(rater.places),
                rater.answers,
                rater.wanted,
                rater.sentinels,
                rater.sentinels_right,
                rater.agreement,
                rater.left,
                rater.median_seconds,
                "no" if rater.dropped else "yes",
                rater.dropped,
            ]
            for rater in scored.raters
        ],
    )


def _csv(header: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(lines)
    return stream.getvalue()
