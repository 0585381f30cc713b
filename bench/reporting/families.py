"""Rows of a study that are one architecture at several widths: figures join them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from bench.plain import content_hash, to_plain
from bench.study import Row

WIDTH = "width"


def width_of(row: Row) -> int | None:
    """Channels of the generator's first (SPADE: last) layer, as its settings say; None where they have no width."""
    width = getattr(row.variant.generator, WIDTH, None)
    return width if isinstance(width, int) else None


def families(rows: Sequence[Row]) -> list[tuple[int, ...]]:
    """Positions of the rows whose generators differ in their width alone and that are trained by one recipe.

    Each family is ordered by width; a row without such relatives is in none, and so are rows of equal width.
    """
    found: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        if width_of(row) is not None:
            found.setdefault(_architecture(row), []).append(index)
    return [
        tuple(sorted(members, key=lambda index: (width_of(rows[index]), index)))
        for members in found.values()
        if len({width_of(rows[index]) for index in members}) == len(members) > 1
    ]


def _architecture(row: Row) -> str:
    settings: Any = row.variant.generator
    rest = {item.name: to_plain(getattr(settings, item.name)) for item in fields(settings) if item.name != WIDTH}
    return content_hash([type(settings).__name__, rest, row.recipe])
