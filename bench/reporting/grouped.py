"""One table for a study on several data sets, laid out as the paper's: methods down, data sets side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bench.evaluation.metric_table import METRICS
from bench.evaluation.protocols import get_protocol
from bench.reporting.cells import BLANK, Cell, Column, Table, TableRow, reasons_of
from bench.reporting.columns import PARAMETERS, PUBLISHED_PARAMETERS
from bench.reporting.published import counterpart_of
from bench.study import Study

COUNTED_ON = "ade20k"
"""The paper prints the parameters of its generators on ADE20K."""


def grouped_table(study: Study, tables: Sequence[Table]) -> Table:
    """The tables of the data sets side by side: of each what the paper's table has, its number and the difference.

    Every group of columns is headed by data set, protocol and number of images. Scores that the paper's table does not
    have stand in the data set's own table; so do the second and further of ours that one of the paper's is compared
    with. Without a published table: mIoU and the first distance.
    """
    picked = [_picked(study, index, table) for index, table in enumerate(tables)]
    leading, notes = _leading(tables)
    columns = [column for column, _ in leading]
    for table, keys in zip(tables, picked, strict=True):
        group = _group(table, study.datasets[tables.index(table)].published_dataset or table.dataset)
        columns += [_renamed(table.columns[table.column(key)], table, group) for key in keys]
    rows = []
    for label in _labels(tables):
        found = [_row(table, label) for table in tables]
        some = next(row for row in found if row is not None)
        cells = [cells_of[label] for _, cells_of in leading]
        for table, row, keys in zip(tables, found, picked, strict=True):
            cells += [BLANK if row is None else row.cells[table.column(key)] for key in keys]
        rows.append(replace(some, cells=tuple(cells)))
    shown = [cell for column in zip(*(row.cells for row in rows), strict=True) for cell in column]
    return Table(
        study=study.name,
        dataset=", ".join(table.dataset for table in tables),
        protocol=", ".join(table.protocol for table in tables),
        grouped=True,
        title=study.title,
        columns=tuple(columns),
        rows=tuple(rows),
        notes=_notes(tables, notes),
        reasons=reasons_of(shown),
        footnotes=tuple(f"{table.dataset}: {line}" for table in tables for line in table.footnotes),
    )


def _notes(tables: Sequence[Table], own: Sequence[str]) -> tuple[str, ...]:
    """Each once, the question and the protocols first; the ranks of each data set are with its own table."""
    told = [note for table in tables for note in table.notes if not note.startswith("Ranks ")]
    first = ("Question: ", "Protocol ")
    return tuple(sorted(dict.fromkeys([*told, *own]), key=lambda note: not note.startswith(first)))


def _labels(tables: Sequence[Table]) -> list[str]:
    """Every row once, the real images last."""
    rows = {row.label: row for table in tables for row in table.rows}
    return sorted(rows, key=lambda label: (rows[label].real, rows[label].external))


def _row(table: Table, label: str) -> TableRow | None:
    return next((row for row in table.rows if row.label == label), None)


def _picked(study: Study, index: int, table: Table) -> list[str]:
    """Keys of the columns of one data set's table that stand in the grouped one."""
    dataset = study.datasets[index]
    protocol = get_protocol(dataset.protocol)
    keys = {column.key for column in table.columns}
    picked: list[str] = []
    taken: set[str] = set()
    for metric in protocol.metrics:
        counterpart = counterpart_of(metric, protocol)
        if counterpart is None or f"delta:{metric}" not in keys or counterpart.metric in taken:
            continue
        taken.add(counterpart.metric)
        picked += [metric, f"paper:{dataset.published_dataset}:{counterpart.metric}", f"delta:{metric}"]
    if picked:
        return picked
    distance = [name for name in protocol.metrics if METRICS[name].kind == "frechet"][:1]
    return [name for name in protocol.metrics if name == "mIoU"] + distance


def _group(table: Table, name: str) -> str:
    """``ADE20K, paper2019-ade20k@1, N = 2,000``."""
    counts = sorted({cell.n_images for row in table.rows for cell in row.cells if cell.n_images})
    if not counts:
        told = "nothing judged yet"
    elif len(counts) == 1:
        told = f"N = {counts[0]:,}"
    else:
        told = f"N = {counts[0]:,} to {counts[-1]:,}"
    return f"{name}, {table.protocol}, {told}"


def _renamed(column: Column, table: Table, group: str) -> Column:
    """The column inside its group: the data set is said above, so the published table takes its place."""
    heading = column.heading
    if column.kind == "paper":
        heading = f"{column.group.removeprefix('paper, ')} {column.metric}"
    return replace(column, key=f"{table.dataset}|{table.protocol}|{column.key}", heading=heading, group=group)


def _leading(tables: Sequence[Table]) -> tuple[list[tuple[Column, dict[str, Cell]]], list[str]]:
    """Parameters, ours and the paper's, in front of the data sets; a note where ours differ between them."""
    by_dataset = [
        {row.label: cell for row in table.rows for cell in [row.cells[table.column(PARAMETERS)]]} for table in tables
    ]
    main = next((index for index, table in enumerate(tables) if table.dataset == COUNTED_ON), 0)
    table, cells = tables[main], by_dataset[main]
    differ = any(
        cell.value is not None and other.value is not None and cell.value != other.value
        for others in by_dataset
        for label, other in others.items()
        if (cell := cells.get(label, BLANK))
    )
    labels = _labels(tables)
    # where the chosen data set has nothing yet, and no other count contradicts it, any count will do
    ours = {
        label: next(
            (
                found
                for found in [cells.get(label, BLANK), *(() if differ else (o.get(label, BLANK) for o in by_dataset))]
                if found.value is not None
            ),
            BLANK,
        )
        for label in labels
    }
    column = table.columns[table.column(PARAMETERS)]
    heading = f"{column.heading} on {table.dataset}" if differ else column.heading
    found = [(replace(column, heading=heading), ours)]
    notes = []
    if differ:
        notes.append(
            f"#param: our generators on {table.dataset}; data sets with other labels have other counts, which their "
            "own tables give."
        )
    if any(column.key == PUBLISHED_PARAMETERS for column in table.columns):
        at = table.column(PUBLISHED_PARAMETERS)
        published = table.columns[at]
        printed = {row.label: row.cells[at] for row in table.rows}
        heading = f"{published.group.removeprefix('paper, ')} #param"
        found.append(
            (replace(published, heading=heading, group=""), {label: printed.get(label, BLANK) for label in labels})
        )
    return found, notes
