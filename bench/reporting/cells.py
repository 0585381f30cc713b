"""The table that every output format is drawn from: cells with all that a reader may ask of a number."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

CellState = Literal["value", "pending", "running", "failed", "n/a", "blank"]
"""``blank``: nothing is to be expected here (no published number, no parameters of the real images)."""
ColumnKind = Literal["parameters", "metric", "images", "paper", "delta", "cost", "probability", "verdict"]
VERDICTS = {1: "holds", 0: "open", -1: "reversed"}
"""How the values of a column of verdicts read."""
Standing = Literal["", "best", "second"]
IntervalOver = Literal["", "seeds", "images", "seeds and images"]
"""What was drawn at random, so what else the interval speaks for: other trainings, other images, or both."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One entry of a table."""

    state: CellState
    value: float | None = None
    """Mean over the finished seeds, in the column's unit."""
    interval: tuple[float, float] | None = None
    """Limits of the 95 % interval; None where there is none."""
    interval_over: IntervalOver = ""
    """``seeds``: Student-t; ``images``: jackknife over the judged images; empty without one."""
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
    published_cell: str = ""
    """Which printed cell ``published`` and ``delta`` refer to: ``Table 3, pix2pixHD, COCO-Stuff mIoU``."""
    published_source: str = ""
    footnote: str = ""
    """Runs, step, weights, protocol, commit and number of images behind the value; the printed cell's source."""
    standing: Standing = ""
    """Among the rows of its column, the real images left out; ties at the printed precision share it."""
    rank: tuple[int, int] | None = None
    """Best and worst rank that the intervals leave open, 1 for the best; None without an interval."""
    other_protocol: str = ""
    """``name@version`` that judged it where that is not its column's; only where mixing was asked for."""

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
    dataset: str = ""
    """Empty for what belongs to no data set, such as the paper's number of parameters."""
    protocol: str = ""
    """``name@version`` behind a metric and what is computed from it."""


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
    """Whether the images were made elsewhere and only judged here."""
    cells: tuple[Cell, ...]


@dataclass(frozen=True, kw_only=True)
class Table:
    """The rows of a study on one data set, or (``grouped``) on several side by side."""

    study: str
    dataset: str
    """Its name; the names, separated by commas, of a grouped table."""
    protocol: str
    """``name@version``; those of a grouped table separated by commas."""
    grouped: bool = False
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


def reasons_of(cells: Iterable[Cell]) -> tuple[str, ...]:
    """Why cells have no value, each reason once, in the order of the cells."""
    return tuple(
        dict.fromkeys(cell.detail for cell in cells if cell.detail and cell.state in ("pending", "failed", "n/a"))
    )
