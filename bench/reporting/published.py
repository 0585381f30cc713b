"""The published numbers of results/published.csv: one line a printed cell, blank where unknown."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from bench.evaluation.protocol import Protocol

PUBLISHED_CSV = Path(__file__).resolve().parents[2] / "results" / "published.csv"
_FIELDS = ("table", "method", "dataset", "metric", "value", "note", "source")


RUNNING_TEXT = "running text"
"""In the place of a table: what the paper says of a row of Table 1 outside its tables."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """One cell of a published table."""

    table: str
    method: str
    dataset: str
    """Empty for what belongs to the method alone, such as its number of parameters."""
    metric: str
    value: float | None
    """None where the number is not known to us."""
    text: str
    """The number as printed, with its trailing zeros."""
    note: str
    source: str

    @property
    def name(self) -> str:
        """Which cell it is: ``Table 3, pix2pixHD, COCO-Stuff mIoU``."""
        return f"{self.table}, {self.method}, {f'{self.dataset} ' if self.dataset else ''}{self.metric}"


@dataclass(frozen=True, kw_only=True)
class Counterpart:
    """The published metric that one of ours is compared with."""

    metric: str
    caveat: str = ""
    """What may differ in meaning; printed wherever the comparison is."""


_ACCURACY_CAVEAT = (
    "the paper's accu is compared with accu@all here: its Cityscapes values suggest that unlabelled pixels were "
    "counted as errors, which the text does not say"
)
_FID_CAVEATS = {
    "FID@tv2019": "the paper's FID is compared with FID@tv2019 (torchvision's Inception, which pytorch-fid used when "
    "the paper was written) and with FID@tf (pytorch-fid today); which one it is, is our guess",
    "FID@tf": "the paper's FID is compared with FID@tf; an older pytorch-fid used torchvision's Inception (FID@tv2019)",
}


def counterpart_of(metric: str, protocol: Protocol) -> Counterpart | None:
    """The published metric that ``metric`` is compared with under ``protocol``; None where it is with nothing.

    Of the two accuracies only the protocol's ``paper_accuracy`` has one.
    """
    if metric == "mIoU":
        return Counterpart(metric="mIoU")
    if metric == protocol.paper_accuracy:
        return Counterpart(metric="accu", caveat=_ACCURACY_CAVEAT if metric == "accu@all" else "")
    if metric in _FID_CAVEATS:
        both = "FID@tv2019" in protocol.metrics
        return Counterpart(metric="FID", caveat=_FID_CAVEATS["FID@tv2019" if both else "FID@tf"])
    return None


def published_cells(path: Path = PUBLISHED_CSV) -> tuple[Published, ...]:
    """Every cell of the file, in its order.

    Raises ValueError that lists all lines with a wrong header, a doubled cell or a value that is no number.
    """
    return _read(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _read(path: Path, mtime_ns: int) -> tuple[Published, ...]:
    with path.open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream)
        if tuple(reader.fieldnames or ()) != _FIELDS:
            raise ValueError(f"{path}: the header is {reader.fieldnames}; it must be {','.join(_FIELDS)}")
        lines = list(reader)
    problems: list[str] = []
    cells: dict[tuple[str, str, str, str], Published] = {}
    for number, line in enumerate(lines, start=2):
        key = (line["table"], line["method"], line["dataset"], line["metric"])
        value = _number(line["value"])
        if value is None and line["value"]:
            problems.append(f"line {number}: value {line['value']!r} is no number; leave it blank if it is unknown")
        if key in cells:
            problems.append(f"line {number}: the cell {', '.join(key)} occurs twice")
        text = line["value"]
        cells[key] = Published(
            table=key[0],
            method=key[1],
            dataset=key[2],
            metric=key[3],
            value=value,
            text=text,
            note=line["note"],
            source=line["source"],
        )
    if problems:
        raise ValueError(f"{path}:\n  " + "\n  ".join(problems))
    return tuple(cells.values())


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def published_cell(table: str, method: str, dataset: str, metric: str, path: Path = PUBLISHED_CSV) -> Published | None:
    """The cell, or None where the table has none; ``dataset`` is empty for ``params_m``."""
    wanted = (table, method, dataset, metric)
    found = (cell for cell in published_cells(path) if (cell.table, cell.method, cell.dataset, cell.metric) == wanted)
    return next(found, None)


def published_datasets(table: str, metric: str = "mIoU", path: Path = PUBLISHED_CSV) -> tuple[str, ...]:
    """Data sets for which ``table`` prints ``metric``, in its order."""
    names = [cell.dataset for cell in published_cells(path) if cell.table == table and cell.metric == metric]
    return tuple(dict.fromkeys(name for name in names if name))


def published_methods(table: str, path: Path = PUBLISHED_CSV) -> tuple[str, ...]:
    """The methods of ``table``, in its order."""
    return tuple(dict.fromkeys(cell.method for cell in published_cells(path) if cell.table == table))


def contradicting_cells(found: Published, rows: Sequence[str], path: Path = PUBLISHED_CSV) -> tuple[Published, ...]:
    """Cells elsewhere in the paper that say another number of the same model, data set and metric.

    ``rows`` are the published rows that the model stands for (:attr:`baselines.variant.Variant.table_rows`).
    """
    other: list[Published] = []
    named = [tuple(row.split(": ", 1)) for row in rows if ": " in row]
    for table, method in [*named, *((RUNNING_TEXT, method) for _, method in named)]:
        cell = published_cell(table, method, found.dataset, found.metric, path) if table != found.table else None
        if cell is not None and cell.value is not None and cell.value != found.value:
            other.append(cell)
    return tuple(other)
