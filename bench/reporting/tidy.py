"""Tables as one tidy frame: a line for every cell, with everything that is known of it."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from bench.reporting.cells import Cell, Column, Table, TableRow

FIELDS = (
    "study",
    "dataset",
    "protocol",
    "row",
    "variant",
    "marks",
    "real",
    "external",
    "column",
    "kind",
    "metric",
    "unit",
    "higher_is_better",
    "state",
    "value",
    "low",
    "high",
    "interval_over",
    "rank_best",
    "rank_worst",
    "n_seeds",
    "n_seeds_planned",
    "n_images",
    "published",
    "delta",
    "published_cell",
    "published_source",
    "standing",
    "detail",
    "footnote",
)


def tidy(tables: Iterable[Table]) -> pd.DataFrame:
    """One line a cell, columns :data:`FIELDS`; numbers unrounded, missing where unknown.

    ``protocol`` is the one that judged the cell. Grouped tables are left out: their cells are those of the others.
    """
    lines = [
        _line(table, row, column, cell)
        for table in tables
        if not table.grouped
        for row in table.rows
        for column, cell in zip(table.columns, row.cells, strict=True)
    ]
    frame = pd.DataFrame(lines, columns=list(FIELDS))
    for name in ("n_seeds", "n_seeds_planned", "n_images", "rank_best", "rank_worst"):
        frame[name] = frame[name].astype("Int64")
    return frame


def _line(table: Table, row: TableRow, column: Column, cell: Cell) -> dict[str, object]:
    low, high = cell.interval or (None, None)
    rank_best, rank_worst = cell.rank or (None, None)
    return {
        "study": table.study,
        "dataset": table.dataset,
        "protocol": cell.other_protocol or table.protocol,
        "row": row.label,
        "variant": row.variant,
        "marks": row.marks,
        "real": row.real,
        "external": row.external,
        "column": column.key,
        "kind": column.kind,
        "metric": column.metric,
        "unit": column.unit,
        "higher_is_better": column.higher_is_better,
        "state": cell.state,
        "value": cell.value,
        "low": low,
        "high": high,
        "interval_over": cell.interval_over,
        "rank_best": rank_best,
        "rank_worst": rank_worst,
        "n_seeds": cell.n_seeds,
        "n_seeds_planned": cell.n_seeds_planned,
        "n_images": cell.n_images,
        "published": cell.published,
        "delta": cell.delta,
        "published_cell": cell.published_cell,
        "published_source": cell.published_source,
        "standing": cell.standing,
        "detail": cell.detail,
        "footnote": cell.footnote,
    }


def csv_text(tables: Iterable[Table]) -> str:
    """The tidy frame as CSV with a header line; parameters and counts keep all their digits."""
    return str(tidy(tables).to_csv(index=False, lineterminator="\n"))
