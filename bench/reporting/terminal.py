"""Tables for the terminal. Free of pandas."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from bench.reporting.cells import Cell, Column, Table
from bench.reporting.panels import GAP, column_widths, group_lines, heading_lines, panels
from bench.reporting.text import cell_text, reason_lines

_STATE_STYLES = {"pending": "dim", "running": "cyan", "failed": "red", "n/a": "dim"}
_STANDING_STYLES = {"best": "bold green", "second": "underline"}


def renderables(table: Table, width: int) -> list[RenderableType]:
    """The table, or, where ``width`` characters are too few, its columns in as many parts as they need."""
    parts = panels(table, width)
    found: list[RenderableType] = []
    for part in parts:
        widths = column_widths(table, part)
        found.append(Text(table.title if part is parts[0] else "(continued)", style="bold"))
        found += _group_heading(table, part, widths)
        found.append(_rich_table(table, part, widths))
    return found


def _label_width(table: Table) -> int:
    return max(len(f"{row.label} {row.marks}".rstrip()) for row in table.rows)


def _group_heading(table: Table, shown: Sequence[int], widths: Sequence[int]) -> list[Text]:
    """Lines above the columns: what each group shares, in its middle, and a rule across it."""
    blocks: list[tuple[list[str], int]] = []
    place = 0
    for group, members in groupby(shown, key=lambda index: table.columns[index].group):
        count = len(list(members))
        together = sum(widths[place : place + count]) + GAP * (count - 1)
        lines = group_lines(group, together)
        blocks.append(([*lines, "─" * together] if lines else [], together))
        place += count
    height = max(len(lines) for lines, _ in blocks)
    if not height:
        return []
    found = []
    for level in range(height):
        text = " " * (_label_width(table) + 1)
        for lines, together in blocks:
            at = level - (height - len(lines))
            text += " " * GAP + (lines[at] if at >= 0 else "").center(together)
        found.append(Text(text.rstrip()))
    return found


def _rich_table(table: Table, shown: Sequence[int], widths: Sequence[int]) -> RichTable:
    rich = RichTable(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    rich.add_column("", no_wrap=True, vertical="bottom", min_width=_label_width(table))
    for index, width in zip(shown, widths, strict=True):
        heading = "\n".join(heading_lines(table.columns[index]))
        rich.add_column(heading, justify="right", no_wrap=True, vertical="bottom", min_width=width)
    for position, row in enumerate(table.rows):
        last_generated = not row.real and position + 1 < len(table.rows) and table.rows[position + 1].real
        label = Text(f"{row.label} {row.marks}".rstrip(), style="italic" if row.real else "")
        cells = [_styled(row.cells[index], table.columns[index], table, row.real) for index in shown]
        rich.add_row(label, *cells, end_section=last_generated)
    return rich


def _styled(cell: Cell, column: Column, table: Table, real: bool) -> Text:
    style = _STATE_STYLES.get(cell.state, "") or _STANDING_STYLES.get(cell.standing, "")
    return Text(cell_text(cell, column, table), style=style or ("italic" if real else ""))


def print_tables(tables: Iterable[Table], console: Console) -> None:
    """Every table with its notes."""
    for table in tables:
        for rich in renderables(table, console.width):
            console.print(rich, soft_wrap=isinstance(rich, Text))
        for line in reason_lines(table):
            console.print(Text(line, style="dim"))
        for note in table.notes:
            console.print(Text(note, style="dim"))
        if table.footnotes and not table.grouped:
            console.print(Text("Where the numbers come from:", style="dim"))
            for line in table.footnotes:
                console.print(Text(f"  {line}", style="dim"))
        console.print()
