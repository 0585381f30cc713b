"""Two rows of a study against each other: difference, interval and probability of improvement of every score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from bench.evaluation.metric_table import METRICS
from bench.evaluation.protocols import Protocol, get_protocol
from bench.reporting.cells import BLANK, Cell, Column, IntervalOver, Table, TableRow, reasons_of
from bench.reporting.collect import MeasuredRow
from bench.reporting.intervals import Intervals, Limits
from bench.reporting.measured_cells import footnote, state_without_value
from bench.reporting.resampling import image_interval
from bench.reporting.statistics import probability_of_improvement, seed_interval, welch_interval
from bench.reporting.tables import Collected
from bench.store import Evaluation
from bench.study import StudyDataset

COLUMNS = ("first", "second", "images", "p_images", "seeds", "p_seeds", "both")


def comparison_table(collected: Collected, first: str, second: str) -> Table:
    """A line for every data set and metric that both rows have.

    ``first`` and ``second`` are labels of the study's rows, or what only one label begins with. Raises ValueError that
    lists the labels for another text, and where both name one row.
    """
    labels = list(dict.fromkeys(item.label for _, measured in collected.measured for item in measured))
    a, b = (_label(text, labels) for text in (first, second))
    if a == b:
        raise ValueError(f"--compare: {first!r} and {second!r} are one row, {a!r}; name two")
    rows: list[TableRow] = []
    notes: list[str] = []
    for dataset, measured in collected.measured:
        of = {item.label: item for item in measured}
        if a not in of or b not in of:
            continue
        pair = _Pair(dataset=dataset, first=of[a], second=of[b], intervals=collected.intervals)
        rows += pair.rows()
        notes += pair.notes()
    if not any(row.cells[0].value is not None and row.cells[1].value is not None for row in rows):
        notes.insert(0, "Nothing to compare yet: no score is there for both rows.")
    shown = [cell for column in zip(*(row.cells for row in rows), strict=True) for cell in column]
    datasets = [dataset.ref.name for dataset, _ in collected.measured]
    protocols = [get_protocol(dataset.protocol).key for dataset, _ in collected.measured]
    return Table(
        study=collected.study.name,
        dataset=", ".join(datasets),
        protocol=", ".join(protocols),
        title=f"{collected.study.title}: {a} against {b}",
        columns=_columns(a, b),
        rows=tuple(rows),
        notes=(*dict.fromkeys(notes), *_MEANINGS),
        reasons=reasons_of(shown),
    )


_MEANINGS = (
    "Δ: the first row minus the second, with half the width of its 95 % interval. Over images: other images "
    "for these trainings (jackknife of the difference, image by image). Over seeds: other trainings judged on these "
    "images (Welch's interval of two means; two trainings each at least). Over both: the two added as variances.",
    "P: probability that the first row is better. Over images: share of 1,000 bootstrap resamples, the same for "
    "both. Over seeds: share of the pairs of trainings. Ties count half; 0.5 is no difference.",
    "Metrics on features (Frechet distances and such) have no counts of each image, so nothing over images.",
)


def _label(text: str, labels: Sequence[str]) -> str:
    found = [label for label in labels if label == text] or [label for label in labels if label.startswith(text)]
    if len(found) == 1:
        return found[0]
    what = f"begins more than one row ({', '.join(found)})" if found else "is no row"
    raise ValueError(f"--compare: {text!r} {what}; the rows are:\n  " + "\n  ".join(labels))


def _columns(first: str, second: str) -> tuple[Column, ...]:
    over_images, over_seeds, over_both = "over images", "over seeds", "over both"
    return (
        Column(key="first", heading=first, kind="metric", decimals=2, meaning=f"mean of {first} over its seeds"),
        Column(key="second", heading=second, kind="metric", decimals=2, meaning=f"mean of {second} over its seeds"),
        Column(key="images", heading="Δ", kind="delta", decimals=2, group=over_images),
        Column(key="p_images", heading="P", kind="probability", decimals=2, group=over_images),
        Column(key="seeds", heading="Δ", kind="delta", decimals=2, group=over_seeds),
        Column(key="p_seeds", heading="P", kind="probability", decimals=2, group=over_seeds),
        Column(key="both", heading="Δ", kind="delta", decimals=2, group=over_both),
    )


@dataclass(frozen=True, kw_only=True)
class _Pair:
    """Two rows on one data set."""

    dataset: StudyDataset
    first: MeasuredRow
    second: MeasuredRow
    intervals: Intervals

    @property
    def protocol(self) -> Protocol:
        return get_protocol(self.dataset.protocol)

    def rows(self) -> list[TableRow]:
        """A line for every metric of the protocol."""
        return [
            TableRow(label=f"{self.dataset.ref.name}, {self._heading(metric)}", cells=self._cells(metric))
            for metric in self.protocol.metrics
        ]

    def notes(self) -> list[str]:
        """The protocol, and where the numbers come from."""
        told = [f"{self.dataset.ref.name}: protocol {self.protocol.key}."]
        told += [f"{item.label}: {note}." for item in (self.first, self.second) if (note := footnote(item.seeds))]
        one, other = ([found for found in item.evaluations] for item in (self.first, self.second))
        if one and other and not self.intervals.same_images([*one, *other]):
            told.append(
                f"{self.dataset.ref.name}: nothing over images, for the counts of each image are not in the store for "
                "both rows, or the images are not the same."
            )
        return told

    @staticmethod
    def _heading(metric: str) -> str:
        return f"{metric} {'↑' if METRICS[metric].higher_better else '↓'}"

    def _cells(self, metric: str) -> tuple[Cell, ...]:
        a, b = (_with_score(item, metric) for item in (self.first, self.second))
        x, y = ([_score(found, metric) for found in evaluations] for evaluations in (a, b))
        shown = [
            self._mean(values, found, item, metric) for values, found, item in ((x, a, self.first), (y, b, self.second))
        ]
        if not x or not y:
            return (*shown, *[BLANK] * (len(COLUMNS) - len(shown)))
        higher = METRICS[metric].higher_better
        delta = fmean(x) - fmean(y)
        over_images, p_images = self._over_images(metric, a, b, delta)
        over_seeds = welch_interval(x, y)
        p_seeds = probability_of_improvement(x, y, higher_is_better=higher) if max(len(x), len(y)) > 1 else None
        over_both = None
        if over_images is not None and over_seeds is not None:
            half_width = math.hypot(over_images[1] - delta, over_seeds[1] - delta)
            over_both = (delta - half_width, delta + half_width)
        return (
            *shown,
            _delta(delta, over_images, "images"),
            _probability(p_images),
            _delta(delta, over_seeds, "seeds"),
            _probability(p_seeds),
            _delta(delta, over_both, "seeds and images"),
        )

    @staticmethod
    def _mean(values: Sequence[float], evaluations: Sequence[Evaluation], item: MeasuredRow, metric: str) -> Cell:
        if not values:
            state, detail = state_without_value(metric, item)
            return Cell(state=state, detail=detail)
        return Cell(
            state="value",
            value=fmean(values),
            interval=seed_interval(values),
            interval_over="seeds" if len(values) > 1 else "",
            n_seeds=len(values),
            n_seeds_planned=len(item.seeds),
            n_images=min(found.images for found in evaluations),
        )

    def _over_images(
        self, metric: str, first: Sequence[Evaluation], second: Sequence[Evaluation], delta: float
    ) -> tuple[Limits | None, float | None]:
        if not self.intervals.same_images([*first, *second]):
            return None, None
        class_mean = self.protocol.class_mean
        without = [self.intervals.mean_over(item, metric, class_mean, "left out") for item in (first, second)]
        anew = [self.intervals.mean_over(item, metric, class_mean, "drawn anew") for item in (first, second)]
        if without[0] is None or without[1] is None or anew[0] is None or anew[1] is None:
            return None, None
        gaps = anew[0] - anew[1] if METRICS[metric].higher_better else anew[1] - anew[0]
        odds = float((gaps > 0).mean() + 0.5 * (gaps == 0).mean())
        return image_interval(delta, without[0] - without[1]), odds


def scores_of(item: MeasuredRow, metric: str) -> list[float]:
    """Of every seed that was judged by the data set's protocol and has a value."""
    return [_score(found, metric) for found in _with_score(item, metric)]


def _with_score(item: MeasuredRow, metric: str) -> list[Evaluation]:
    return [
        seed.evaluation
        for seed in item.seeds
        if seed.evaluation is not None
        and not seed.other_protocol
        and (score := seed.evaluation.scores.get(metric)) is not None
        and score.value is not None
    ]


def _score(evaluation: Evaluation, metric: str) -> float:
    value = evaluation.scores[metric].value
    assert value is not None
    return value


def _delta(value: float, interval: Limits | None, over: IntervalOver) -> Cell:
    if interval is None:
        return BLANK
    return Cell(state="value", value=value, interval=interval, interval_over=over)


def _probability(value: float | None) -> Cell:
    return BLANK if value is None else Cell(state="value", value=value)
