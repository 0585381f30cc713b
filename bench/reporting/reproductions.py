"""What others measured when they repeated the paper's scores: results/reproductions.csv, one line a report."""

from __future__ import annotations

import csv
from dataclasses import dataclass, fields
from pathlib import Path

REPRODUCTIONS_CSV = Path(__file__).resolve().parents[2] / "results" / "reproductions.csv"


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """One report, in the reporter's words; empty where nothing was reported."""

    who: str
    model: str
    dataset: str
    """Begins with the data set's name as in the paper's tables."""
    mIoU: str
    accu: str
    FID: str
    how: str
    protocol: str
    """The protocol here that comes nearest to how it was measured; empty for none."""
    source: str


def reproductions(dataset: str, path: Path = REPRODUCTIONS_CSV) -> tuple[Reproduction, ...]:
    """The reports on a data set, named as in the paper's tables, in the order of the file.

    Raises ValueError that names the file where its header is another one.
    """
    names = [item.name for item in fields(Reproduction)]
    with path.open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream)
        if list(reader.fieldnames or ()) != names:
            raise ValueError(f"{path}: the header is {reader.fieldnames}; it must be {','.join(names)}")
        lines = [Reproduction(**line) for line in reader]
    return tuple(line for line in lines if line.dataset == dataset or line.dataset.startswith(f"{dataset} "))
