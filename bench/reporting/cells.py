"""The table that every output format is drawn from: cells with all that a reader may ask of a number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

CellState = Literal["value", "pending", "running", "failed", "n/a", "blank"]
"""``blank``: nothing is to be expected here (no published number, no parameters of the real images)."""
ColumnKind = Literal["parameters", "metric", "images", "paper", "delta"]
Standing = Literal["", "best", "second"]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One entry of a table."""

    state: CellState
    value: float | None = None
    """Mean over the finished seeds, in the column's unit."""
    interval: tuple[float, float] | None = None
    """95 % Student-t interval over seeds; None with fewer than two."""
    n_seeds: int = 0
    """Seeds in the mean."""
    n_seeds_planned: int = 0
    n_images: int | None = None
    """Images judged for each seed."""
    detail: str = ""
    """Why there is no (complete) value, such as ``running 61 %`` or ``failed (out of memory)``."""
    published: float | None = None
    """The published number of this very row, data set and metric."""
    delta: float | None = None
    """value - published; None unless both are there."""
    published_source: str = ""
    footnote: str = ""
    """Runs, step, weights, protocol, commit and number of images behind the value."""
    standing: Standing = ""
    """Among the rows of its column, the real images left out; ties at the printed precision share it."""

    def __post_init__(self) -> None:
        assert (self.value is not None) == (self.state == "value"), self
        assert self.delta is None or self.published is not None, self

    @property
    def half_width(self) -> float | None:
        """Half the interval's width."""
        return (self.interval[1] - self.interval[0]) / 2 if self.interval else None

    @property
    def complete(self) -> bool:
        """Whether every planned seed is in the value."""
        return self.n_seeds >= self.n_seeds_planned


BLANK = Cell(state="blank")


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a table, the first (row labels) left out."""

    key: str
    """Unique in the table, such as ``mIoU`` or ``paper:ADE20K:mIoU``."""
    heading: str
    kind: ColumnKind
    metric: str = ""
    """Our metric's name (kinds ``metric`` and ``delta``) or the published one (``paper``)."""
    unit: str = ""
    decimals: int = 1
    higher_is_better: bool | None = None
    group: str = ""
    """A heading shared by neighbouring columns."""
    meaning: str = ""


@dataclass(frozen=True, kw_only=True)
class TableRow:
    """One line: a label and one cell for every column."""

    label: str
    variant: str = ""
    """Registered name; empty for the real images."""
    marks: str = ""
    """Signs behind the label that a note explains."""
    real: bool = False
    """Whether this is the line of the real images."""
    external: bool = False
    """Whether its numbers are of pictures made outside this project and imported."""
    cells: tuple[Cell, ...]


@dataclass(frozen=True, kw_only=True)
class Table:
    """The rows of a study on one data set."""

    study: str
    dataset: str
    protocol: str
    """``name@version``."""
    title: str
    columns: tuple[Column, ...]
    rows: tuple[TableRow, ...]
    notes: tuple[str, ...] = ()
    """What a reader must know to read the numbers, one sentence or two each."""
    reasons: tuple[str, ...] = ()
    """Details of cells without a value; the cells refer to them by number, from 1."""
    footnotes: tuple[str, ...] = ()
    """Where each row's numbers come from."""

    def __post_init__(self) -> None:
        for row in self.rows:
            assert len(row.cells) == len(self.columns), (row.label, len(row.cells), len(self.columns))

    def column(self, key: str) -> int:
        """Position of the column ``key``. Raises KeyError with the keys there are."""
        keys = [column.key for column in self.columns]
        if key not in keys:
            raise KeyError(f"{key!r}; the table has {', '.join(keys)}")
        return keys.index(key)

    def cell(self, label: str, key: str) -> Cell:
        """The cell of the row ``label`` in the column ``key``. Raises KeyError with what there is."""
        for row in self.rows:
            if row.label == label:
                return row.cells[self.column(key)]
        raise KeyError(f"{label!r}; the table has {', '.join(row.label for row in self.rows)}")

    def reason_number(self, cell: Cell) -> int | None:
        """Number of the reason that the cell refers to, or None."""
        return self.reasons.index(cell.detail) + 1 if cell.detail in self.reasons else None
