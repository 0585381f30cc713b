"""A table as a page shows it: texts, what columns are sorted by, what rows are filtered by, a note for every cell.

Made from a :class:`bench.reporting.cells.Table` here and from a leaderboard elsewhere, so both look and work the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from bench.reporting.cells import Cell, Column, Table, TableRow
from bench.reporting.text import cell_text, number_text, reason_lines

Note = tuple[tuple[str, str], ...]
"""What is known of a cell, as (what, text)."""
STATES = ("value", "running", "pending", "failed", "n/a")
"""What rows can be filtered by, in the order of the menu."""


@dataclass(frozen=True, kw_only=True)
class ViewCell:
    """One entry."""

    text: str
    order: float | str | None = None
    """What its column is sorted by; None sorts last, whichever way."""
    look: str = ""
    """CSS classes."""
    spoken: str = ""
    """What a reader who does not see bold and underline is told."""
    note: Note = ()


@dataclass(frozen=True, kw_only=True)
class ViewColumn:
    """One column, the first (row labels) left out."""

    heading: str
    group: str = ""
    meaning: str = ""
    best_first: str = "descending"
    """Which way the first click sorts: ``ascending`` or ``descending``."""
    words: bool = False
    """Whether it holds words, not numbers."""


@dataclass(frozen=True, kw_only=True)
class ViewRow:
    """One line."""

    label: str
    marks: str = ""
    found_by: str = ""
    """Further words that the text filter looks at."""
    note: Note = ()
    cells: tuple[ViewCell, ...]
    states: tuple[str, ...] = ()
    provenance: str = ""
    pinned: bool = False
    """Whether it stays below the others however they are sorted."""


@dataclass(frozen=True, kw_only=True)
class TableView:
    """A table with what stands below it."""

    id: str
    """Unique on its page: letters, digits and hyphens."""
    title: str
    columns: tuple[ViewColumn, ...]
    rows: tuple[ViewRow, ...]
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    footnotes: tuple[str, ...] = ()
    downloads: tuple[tuple[str, str], ...] = ()
    """(what, address relative to the page)."""

    @property
    def groups(self) -> list[tuple[str, int]]:
        """(heading, number of columns) of neighbours that share one; empty where none does."""
        if not any(column.group for column in self.columns):
            return []
        return [
            (group, len(list(members))) for group, members in groupby(self.columns, key=lambda column: column.group)
        ]

    @property
    def states(self) -> list[str]:
        """The states that occur."""
        found = {state for row in self.rows for state in row.states}
        return [state for state in STATES if state in found] + sorted(found - set(STATES))

    @property
    def provenances(self) -> list[str]:
        """The provenances that occur, in the order of the rows."""
        return list(dict.fromkeys(row.provenance for row in self.rows if row.provenance))

    @property
    def note_lines(self) -> dict[str, Note]:
        """Every note by the id of its button: ``ID-r2c0`` for the third row's first cell, ``ID-r2`` for its label."""
        found: dict[str, Note] = {}
        for number, row in enumerate(self.rows):
            if row.note:
                found[f"{self.id}-r{number}"] = row.note
            for index, cell in enumerate(row.cells):
                if cell.note:
                    found[f"{self.id}-r{number}c{index}"] = cell.note
        return found


def table_view(
    table: Table,
    identity: str,
    *,
    provenance: Callable[[TableRow], str] = lambda row: "",
    about: Callable[[TableRow], Note] = lambda row: (),
    downloads: Sequence[tuple[str, str]] = (),
) -> TableView:
    """The view of a study's table; ``provenance`` and ``about`` say what its rows are."""
    return TableView(
        id=identity,
        title=table.title,
        columns=tuple(_column(column) for column in table.columns),
        rows=tuple(_row(table, row, provenance(row), about(row)) for row in table.rows),
        reasons=tuple(reason_lines(table)),
        notes=table.notes,
        footnotes=table.footnotes,
        downloads=tuple(downloads),
    )


def _column(column: Column) -> ViewColumn:
    ascending = column.higher_is_better is False or column.kind == "parameters"
    return ViewColumn(
        heading=column.heading.replace(" ↑", "\u00a0↑").replace(" ↓", "\u00a0↓"),
        group=column.group,
        meaning=column.meaning,
        best_first="ascending" if ascending else "descending",
    )


def _row(table: Table, row: TableRow, provenance: str, about: Note) -> ViewRow:
    told = [cell.state for cell, column in zip(row.cells, table.columns, strict=True) if column.kind == "metric"]
    return ViewRow(
        label=row.label,
        marks=row.marks,
        found_by=row.variant,
        note=about,
        cells=tuple(_cell(table, cell, column) for cell, column in zip(row.cells, table.columns, strict=True)),
        states=tuple(dict.fromkeys(state for state in told if state != "blank")),
        provenance=provenance,
        pinned=row.real,
    )


def _cell(table: Table, cell: Cell, column: Column) -> ViewCell:
    looks = [cell.state.replace("/", ""), cell.standing]
    spoken = {"best": "best", "second": "second best"}.get(cell.standing, "")
    return ViewCell(
        text=cell_text(cell, column, table),
        order=cell.value,
        look=" ".join(look for look in looks if look and look != "value"),
        spoken=spoken,
        note=tuple(_note(cell, column)),
    )


def _note(cell: Cell, column: Column) -> Iterable[tuple[str, str]]:
    """All that is known of a cell, one line a fact; nothing for cells that say it all themselves."""
    unit = f" {column.unit}" if column.unit else ""
    if column.kind == "parameters" and cell.value is not None:
        yield "parameters", f"{cell.value:,.0f}"
    if column.kind == "metric" and cell.value is not None:
        yield "value", f"{cell.value:.{column.decimals + 2}f}{unit}"
    if cell.interval is not None:
        low, high = cell.interval
        yield "95 % interval", f"{low:.{column.decimals + 1}f} to {high:.{column.decimals + 1}f}{unit}"
    if cell.n_seeds_planned:
        yield "seeds", f"{cell.n_seeds} of {cell.n_seeds_planned}"
    if cell.n_images is not None and column.kind == "metric":
        yield "images", f"{cell.n_images:,}"
    if cell.state not in ("value", "blank"):
        yield "state", cell.detail or cell.state
    elif cell.detail:
        yield "other seeds", cell.detail
    if cell.published is not None and column.kind == "metric":
        yield "paper", number_text(cell.published, column)
    if cell.published_source:
        yield "published in", cell.published_source
    if cell.delta is not None:
        yield "ours minus the paper's", f"{cell.delta:+.{column.decimals}f}{unit}"
    if cell.footnote:
        yield "from", cell.footnote
