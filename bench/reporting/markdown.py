"""Tables as Markdown."""

from __future__ import annotations

from bench.reporting.cells import Cell, Column, Table
from bench.reporting.text import cell_text, reason_lines

_SPECIAL = "\\|*_`<>[]"


def escape(text: str) -> str:
    """``text`` with every character that Markdown would interpret inside a table escaped."""
    return "".join(f"\\{character}" if character in _SPECIAL else character for character in text).replace("\n", " ")


def markdown(table: Table) -> str:
    """A section: title, table, numbered reasons, notes and where the numbers come from."""
    headings = [_heading(column) for column in table.columns]
    lines = [f"## {escape(table.title)}", "", _line(["", *headings]), _line(["---", *["---:"] * len(headings)])]
    for row in table.rows:
        label = escape(f"{row.label} {row.marks}".rstrip())
        cells = [_cell(cell, column, table) for cell, column in zip(row.cells, table.columns, strict=True)]
        lines.append(_line([f"_{label}_" if row.real else label, *cells]))
    lines.append("")
    lines += [f"- {escape(line)}" for line in (*reason_lines(table), *table.notes)]
    if table.footnotes:
        lines += ["", "Where the numbers come from:", ""]
        lines += [f"- {escape(line)}" for line in table.footnotes]
    return "\n".join(lines) + "\n"


def _line(entries: list[str]) -> str:
    return "| " + " | ".join(entries) + " |"


def _heading(column: Column) -> str:
    return escape(f"{column.group}: {column.heading}" if column.group else column.heading)


def _cell(cell: Cell, column: Column, table: Table) -> str:
    text = escape(cell_text(cell, column, table))
    if cell.standing == "best":
        return f"**{text}**"
    return f"_{text}_" if cell.standing == "second" else text
