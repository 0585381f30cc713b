"""Which of the paper's orderings hold here: every pair of rows that the published table orders, and ours beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean

from bench.evaluation.metric_table import METRICS
from bench.evaluation.protocols import get_protocol
from bench.reporting.cells import BLANK, VERDICTS, Cell, Column, Table, TableRow
from bench.reporting.collect import MeasuredRow
from bench.reporting.comparison import scores_of
from bench.reporting.measured_cells import footnote
from bench.reporting.published import counterpart_of, published_cell, published_datasets
from bench.reporting.statistics import probability_of_improvement, welch_interval
from bench.reporting.tables import Collected

HOLDS, OPEN, REVERSED = VERDICTS
_MEANINGS = (
    "A over B: in the published table A is better than B, on every data set that it prints for both (paper's "
    "differences on the right). Δ: our A minus B with the 95 % interval over seeds (Welch), P: share of the pairs of "
    "trainings in which A is better.",
    "holds: the interval lies on the paper's side of zero; reversed: on the other; open: zero is inside. No correction "
    "is made for the number of pairs: of twenty pairs without a difference one is expected to leave zero outside.",
)


def orderings_table(collected: Collected) -> Table:
    """A line for every pair that the study's published table orders, of every data set and metric that it prints.

    A data set that the paper does not have stands beside all of the paper's; a pair that they order differently is left
    out, and a note says so. Raises ValueError for a study without a published table.
    """
    study = collected.study
    if study.published_table is None:
        raise ValueError(f"--orderings: the study {study.name} stands beside no published table, so nothing is ordered")
    pairs: list[_Pair] = []
    mixed: list[str] = []
    for dataset, measured in collected.measured:
        protocol = get_protocol(dataset.protocol)
        for metric in protocol.metrics:
            counterpart = counterpart_of(metric, protocol)
            if counterpart is None:
                continue
            names = published_datasets(study.published_table, counterpart.metric)
            own = [dataset.published_dataset] if dataset.published_dataset else list(names)
            rows = [item for item in measured if item.published_method is not None]
            for one, other in combinations(rows, 2):
                gaps = _gaps(study.published_table, one, other, own, counterpart.metric)
                pair = _Pair(data=dataset.ref.name, metric=metric, first=one, second=other, paper=gaps)
                higher = METRICS[metric].higher_better
                signs = {(gap > 0) - (gap < 0) if higher else (gap < 0) - (gap > 0) for gap in gaps.values()}
                if signs == {1}:
                    pairs.append(pair)
                elif signs == {-1}:
                    pairs.append(pair.turned())
                elif signs:
                    mixed.append(f"{one.label} and {other.label}{'' if metric == 'mIoU' else f' by {metric}'}")
    columns = _columns(study.published_table, pairs)
    return Table(
        study=study.name,
        dataset=", ".join(dataset.ref.name for dataset, _ in collected.measured),
        protocol=", ".join(get_protocol(dataset.protocol).key for dataset, _ in collected.measured),
        title=f"{study.title}: the orderings of {study.published_table}",
        columns=columns,
        rows=tuple(pair.row(columns, several=len(collected.measured) > 1) for pair in pairs),
        notes=(*_summaries(pairs), *_left_out(mixed), *_MEANINGS, *filter(None, [study.scale_note])),
        footnotes=tuple(
            dict.fromkeys(
                f"{item.label}: {note}"
                for _, measured in collected.measured
                for item in measured
                if (note := footnote(item.seeds))
            )
        ),
    )


@dataclass(frozen=True, kw_only=True)
class _Pair:
    """Two rows by one metric, the one that the paper has in front first."""

    data: str
    metric: str
    first: MeasuredRow
    second: MeasuredRow
    paper: dict[str, float]
    """The paper's first minus second, by its data set."""

    def turned(self) -> _Pair:
        """The other row first."""
        paper = {name: -gap for name, gap in self.paper.items()}
        return _Pair(data=self.data, metric=self.metric, first=self.second, second=self.first, paper=paper)

    @property
    def values(self) -> tuple[list[float], list[float]]:
        """Of every judged seed."""
        first, second = (scores_of(item, self.metric) for item in (self.first, self.second))
        return first, second

    @property
    def verdict(self) -> int | None:
        """HOLDS, OPEN or REVERSED; None where there are not two seeds of each."""
        interval = welch_interval(*self.values)
        if interval is None:
            return None
        low, high = interval if METRICS[self.metric].higher_better else (-interval[1], -interval[0])
        return HOLDS if low > 0 else REVERSED if high < 0 else OPEN

    def row(self, columns: Sequence[Column], *, several: bool) -> TableRow:
        """The line of the table."""
        x, y = self.values
        cells = {}
        if x and y:
            delta, interval = fmean(x) - fmean(y), welch_interval(x, y)
            better = probability_of_improvement(x, y, higher_is_better=METRICS[self.metric].higher_better)
            cells = {
                "first": Cell(state="value", value=fmean(x)),
                "second": Cell(state="value", value=fmean(y)),
                "delta": Cell(
                    state="value", value=delta, interval=interval, interval_over="seeds" if interval is not None else ""
                ),
                "probability": Cell(state="value", value=better),
            }
            if self.verdict is not None:
                cells["verdict"] = Cell(state="value", value=self.verdict)
        cells |= {f"paper:{name}": Cell(state="value", value=gap) for name, gap in self.paper.items()}
        where = f"{self.data}, " if several else ""
        what = f"{where}{self.metric}: " if several or self.metric != "mIoU" else ""
        return TableRow(
            label=f"{what}{self.first.label} over {self.second.label}",
            cells=tuple(cells.get(column.key, BLANK) for column in columns),
        )


def _gaps(
    table: str, first: MeasuredRow, second: MeasuredRow, datasets: Sequence[str], metric: str
) -> dict[str, float]:
    found = {}
    for name in datasets:
        one, other = (published_cell(table, item.published_method or "", name, metric) for item in (first, second))
        if one is not None and other is not None and one.value is not None and other.value is not None:
            found[name] = one.value - other.value
    return found


def _columns(table: str, pairs: Sequence[_Pair]) -> tuple[Column, ...]:
    ours = (
        Column(key="first", heading="A", kind="metric", meaning="mean over the seeds of the row in front in the paper"),
        Column(key="second", heading="B", kind="metric", meaning="mean over the seeds of the other row"),
        Column(key="delta", heading="Δ", kind="delta", group="A minus B, over seeds"),
        Column(key="probability", heading="P", kind="probability", decimals=2, group="A minus B, over seeds"),
        Column(key="verdict", heading="the paper's order", kind="verdict"),
    )
    names = dict.fromkeys(name for pair in pairs for name in pair.paper)
    return (
        *ours,
        *(Column(key=f"paper:{name}", heading=name, kind="delta", group=f"paper, {table}") for name in names),
    )


def _summaries(pairs: Sequence[_Pair]) -> list[str]:
    """Such as ``Of the paper's 15 orderings by mIoU: holds 4, open 10, reversed 1.``"""
    told = []
    for metric in dict.fromkeys(pair.metric for pair in pairs):
        verdicts = Counter(pair.verdict for pair in pairs if pair.metric == metric)
        parts = [f"{word} {verdicts[verdict]}" for verdict, word in VERDICTS.items() if verdicts[verdict]]
        if verdicts[None]:
            parts.append(f"not decided without two judged seeds of both rows {verdicts[None]}")
        told.append(f"Of the paper's {verdicts.total()} orderings by {metric}: {', '.join(parts)}.")
    return told or ["The published table orders no two rows of this study."]


def _left_out(mixed: Sequence[str]) -> list[str]:
    if not mixed:
        return []
    return [f"Left out, since the paper's data sets order them differently or tie: {'; '.join(mixed)}."]
