"""From a study and a store to tables: every row of the study is always there, whatever the store holds of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bench.cost import RunCost, study_costs
from bench.evaluation.protocols import get_protocol
from bench.reporting.cells import Cell, Column, Table, TableRow, reasons_of
from bench.reporting.collect import Collector, MeasuredRow
from bench.reporting.columns import IMAGES, PARAMETERS, PUBLISHED_PARAMETERS, study_columns
from bench.reporting.grouped import grouped_table
from bench.reporting.intervals import Intervals
from bench.reporting.measured_cells import Asked, delta_cell, footnote, measured_cell
from bench.reporting.notes import table_notes
from bench.reporting.options import DEFAULT, ReportOptions
from bench.reporting.statistics import competition_ranks, open_ranks
from bench.store import Store
from bench.study import Study

__all__ = ["IMAGES", "PARAMETERS", "PUBLISHED_PARAMETERS", "Collected", "study_table", "study_tables"]

UPPER_BOUND = " (upper bound)"


def study_tables(study: Study, store: Store, options: ReportOptions = DEFAULT) -> list[Table]:
    """One table for each data set of the study."""
    return Collected(study, store, options).tables()


class Collected:
    """What a store holds of a study, read once and drawn as often as needed."""

    def __init__(self, study: Study, store: Store, options: ReportOptions = DEFAULT) -> None:
        self.study, self.store, self.options = study, store, options
        self.collector = Collector(store, mix_protocols=options.mix_protocols)
        self.measured = [
            (dataset, self.collector.rows(study, dataset, external=options.external)) for dataset in study.datasets
        ]
        self.intervals = Intervals(store, options.interval)
        self._unreadable = self.collector.unreadable
        self._costs: dict[tuple[str, str], RunCost] | None = None
        self._made: dict[str, dict[tuple[str, str], Cell]] = {dataset.ref.name: {} for dataset in study.datasets}

    def tables(self, *, cost: bool | None = None) -> list[Table]:
        """One table for each data set; ``cost``: with columns of cost, whatever the options say."""
        options = self.options if cost is None else replace(self.options, cost=cost)
        costs = self._known_costs() if options.cost else {}
        tables = [
            study_table(
                Asked(
                    study=self.study,
                    dataset=dataset,
                    protocol=get_protocol(dataset.protocol),
                    intervals=self.intervals,
                    costs=costs,
                    made=self._made[dataset.ref.name],
                ),
                measured,
                options,
            )
            for dataset, measured in self.measured
        ]
        notes = tuple(
            f"Passed over, since it cannot be read: {why}."
            for why in dict.fromkeys((*self._unreadable, *self.intervals.counts.unreadable))
        )
        return [replace(table, notes=table.notes + notes) for table in tables]

    def report_tables(self) -> list[Table]:
        """As a reader wants them: of several data sets first one table with all of them side by side."""
        tables = self.tables()
        if len(tables) == 1:
            return tables
        common = [note for note in tables[0].notes if all(note in table.notes for table in tables)]
        apart = [replace(table, notes=tuple(note for note in table.notes if note not in common)) for table in tables]
        return [grouped_table(self.study, tables), *apart]

    def _known_costs(self) -> dict[tuple[str, str], RunCost]:
        if self._costs is None:
            self._costs = {(cost.label, cost.dataset): cost for cost in study_costs(self.study, self.store)}
        return self._costs


def study_table(asked: Asked, measured: Sequence[MeasuredRow], options: ReportOptions = DEFAULT) -> Table:
    """The study's table on one data set, the real images last."""
    study, dataset, protocol = asked.study, asked.dataset, asked.protocol
    columns = study_columns(study, dataset, protocol, measured, options)
    rows = [_row(asked, columns, item) for item in measured]
    rows = _with_standings(columns, rows)
    shown = [cell for column in zip(*(row.cells for row in rows), strict=True) for cell in column]
    height, width = dataset.ref.size
    return Table(
        study=study.name,
        dataset=dataset.ref.name,
        protocol=protocol.key,
        title=f"{study.title} · {dataset.ref.name}, {height}×{width} px · protocol {protocol.key}",
        columns=tuple(columns),
        rows=tuple(rows),
        notes=tuple(table_notes(asked, columns, rows, measured)),
        reasons=reasons_of(shown),
        footnotes=tuple(f"{item.label}: {note}" for item in measured if (note := footnote(item.seeds))),
    )


def _row(asked: Asked, columns: Sequence[Column], item: MeasuredRow) -> TableRow:
    cells = {column.key: measured_cell(asked, column, item) for column in columns if column.kind != "delta"}
    cells |= {column.key: delta_cell(cells[column.metric]) for column in columns if column.kind == "delta"}
    variant = item.row.variant if item.row and not item.external else None
    return TableRow(
        label=item.label + (UPPER_BOUND if item.real else ""),
        variant=variant.name if variant else item.external,
        marks=item.marks,
        real=item.real,
        external=bool(item.external),
        cells=tuple(cells[column.key] for column in columns),
    )


def _with_standings(columns: Sequence[Column], rows: Sequence[TableRow]) -> list[TableRow]:
    """Mark the best and the second best of every metric; one value alone is not the best of anything."""
    cells = [list(row.cells) for row in rows]
    for index, column in enumerate(columns):
        if column.kind != "metric":
            continue
        ranked = [row.cells[index] if _ranked(row, row.cells[index]) else None for row in rows]
        values = [
            round(cell.value, column.decimals) if cell is not None and cell.value is not None else None
            for cell in ranked
        ]
        if sum(value is not None for value in values) < 2:
            continue
        _set_open_ranks(cells, index, ranked, higher_is_better=bool(column.higher_is_better))
        ranks = competition_ranks(values, higher_is_better=bool(column.higher_is_better))
        for line, rank in zip(cells, ranks, strict=True):
            if rank in (1, 2):
                line[index] = replace(line[index], standing="best" if rank == 1 else "second")
    return [replace(row, cells=tuple(line)) for row, line in zip(rows, cells, strict=True)]


def _ranked(row: TableRow, cell: Cell) -> bool:
    """Real images are a bound, not a rival; what another protocol judged is not comparable."""
    return not row.real and cell.value is not None and not cell.other_protocol


def _set_open_ranks(
    cells: list[list[Cell]], index: int, ranked: Sequence[Cell | None], *, higher_is_better: bool
) -> None:
    intervals = [cell.interval if cell is not None else None for cell in ranked]
    if sum(interval is not None for interval in intervals) < 2:
        return
    for line, ranks in zip(cells, open_ranks(intervals, higher_is_better=higher_is_better), strict=True):
        if ranks is not None:
            line[index] = replace(line[index], rank=ranks)
