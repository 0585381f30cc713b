"""Tables for the terminal. Free of pandas."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from bench.reporting.cells import Cell, Column, Table
from bench.reporting.text import cell_text, reason_lines

_GAP = 2
"""Characters between two columns."""
_STATE_STYLES = {"pending": "dim", "running": "cyan", "failed": "red", "n/a": "dim"}
_STANDING_STYLES = {"best": "bold green", "second": "underline"}


def rich_tables(table: Table, width: int) -> list[RichTable]:
    """The table, or, where ``width`` characters are too few, its columns in as many parts as they need."""
    parts: list[list[int]] = []
    room = 0
    label_width = max(len(f"{row.label} {row.marks}") for row in table.rows) + _GAP
    for index, column in enumerate(table.columns):
        needed = _width(table, index) + _GAP
        new_group = bool(parts) and column.group != table.columns[parts[-1][-1]].group
        if not parts or needed > room or (new_group and not _rest_fits(table, index, room)):
            parts.append([])
            room = width - label_width
        parts[-1].append(index)
        room -= needed
    return [_rich_table(table, part, table.title if part is parts[0] else "(continued)") for part in parts]


def _width(table: Table, index: int) -> int:
    column = table.columns[index]
    texts = [cell_text(row.cells[index], column, table) for row in table.rows]
    return max(len(text) for text in (*texts, *_heading(column).split("\n")))


def _rest_fits(table: Table, start: int, room: int) -> bool:
    return sum(_width(table, index) + _GAP for index in range(start, len(table.columns))) <= room


def _rich_table(table: Table, shown: Sequence[int], title: str) -> RichTable:
    rich = RichTable(
        title=title, title_style="bold", title_justify="left", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True
    )
    rich.add_column("", no_wrap=True, vertical="bottom")
    for index in shown:
        column = table.columns[index]
        rich.add_column(_heading(column), justify="right", no_wrap=True)
    for position, row in enumerate(table.rows):
        last_generated = not row.real and position + 1 < len(table.rows) and table.rows[position + 1].real
        label = Text(f"{row.label} {row.marks}".rstrip(), style="italic" if row.real else "")
        cells = [_styled(row.cells[index], table.columns[index], table, row.real) for index in shown]
        rich.add_row(label, *cells, end_section=last_generated)
    return rich


def _heading(column: Column) -> str:
    lines = (
        column.heading.replace("@", "\n@") if column.kind in ("metric", "delta") else column.heading.replace(" ", "\n")
    )
    return f"{column.group}\n{lines}" if column.group else lines


def _styled(cell: Cell, column: Column, table: Table, real: bool) -> Text:
    style = _STATE_STYLES.get(cell.state, "") or _STANDING_STYLES.get(cell.standing, "")
    return Text(cell_text(cell, column, table), style=style or ("italic" if real else ""))


def print_tables(tables: Iterable[Table], console: Console) -> None:
    """Every table with its notes."""
    for table in tables:
        for rich in rich_tables(table, console.width):
            console.print(rich)
        for line in reason_lines(table):
            console.print(Text(line, style="dim"))
        for note in table.notes:
            console.print(Text(note, style="dim"))
        console.print()
