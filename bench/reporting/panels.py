"""Which columns stand side by side where a line is too short for all of them, and how headings break."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import groupby

from bench.reporting.cells import Column, Table
from bench.reporting.text import cell_text

GAP = 2
"""Characters between two columns."""


def heading_lines(column: Column) -> list[str]:
    """The heading, broken so that its column is no wider than the numbers need."""
    if column.kind in ("metric", "delta") and "@" in column.heading:
        return column.heading.replace("@", "\n@").split("\n")
    if column.kind == "paper" and " " in column.heading:
        return list(column.heading.rpartition(" ")[::2])
    if column.kind in ("parameters", "cost") and " " in column.heading:
        return column.heading.replace(" ", "\n", 1).split("\n")
    return [column.heading]


def group_lines(group: str, width: int) -> list[str]:
    """The shared heading of columns that take ``width`` characters together; ``N = 500`` is not torn apart."""
    kept = group.replace("N = ", "N\0=\0").replace(" to ", "\0to\0")
    lines = textwrap.wrap(kept, max(width, 1), break_long_words=False, break_on_hyphens=False)
    return [line.replace("\0", " ").rstrip(",") for line in lines]


def column_widths(table: Table, shown: Sequence[int], own: Sequence[int] | None = None) -> list[int]:
    """Characters of each shown column; the last of a group is widened where its heading needs it.

    ``own``: what every column of the table needs by itself, for a caller who asks often.
    """
    widths = [_own_width(table, index) if own is None else own[index] for index in shown]
    place = 0
    for group, members in groupby(shown, key=lambda index: table.columns[index].group):
        count = len(list(members))
        together = sum(widths[place : place + count]) + GAP * (count - 1)
        longest = max((len(line) for line in group_lines(group, together)), default=0)
        widths[place + count - 1] += max(0, longest - together)
        place += count
    return widths


def _own_width(table: Table, index: int) -> int:
    column = table.columns[index]
    texts = [cell_text(row.cells[index], column, table) for row in table.rows]
    return max(len(text) for text in (*texts, *heading_lines(column)))


def panels(table: Table, width: int) -> list[list[int]]:
    """The columns in as many parts as lines of ``width`` characters need; groups are kept together where they fit."""
    room = width - max(len(f"{row.label} {row.marks}") for row in table.rows)
    own = [_own_width(table, index) for index in range(len(table.columns))]

    def fits(shown: Sequence[int]) -> bool:
        return sum(GAP + one for one in column_widths(table, shown, own)) <= room

    found: list[list[int]] = []
    for _, members in groupby(range(len(table.columns)), key=lambda index: table.columns[index].group):
        group = list(members)
        if found and fits([*found[-1], *group]):
            found[-1] += group
            continue
        rest = group
        if found and not table.grouped and not fits(group):  # too long for a line, it begins where there is room
            while rest and fits([*found[-1], rest[0]]):
                found[-1].append(rest[0])
                rest = rest[1:]
        while rest:
            count = next((count for count in range(len(rest), 1, -1) if fits(rest[:count])), 1)
            found.append(rest[:count])
            rest = rest[count:]
    return found
