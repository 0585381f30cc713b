"""A study: which variants, on which data, judged how, beside which published numbers. Free of torch and pandas."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches

from baselines.recipe import Recipe
from baselines.variant import Variant
from bench.evaluation.protocols import get_protocol
from bench.run_spec import DatasetRef, RunSpec, Training


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of the study's table."""

    label: str
    """As the table prints it; the published label where the row is published."""
    variant: Variant
    """The registered variant, perhaps scaled."""
    recipe: Recipe
    training: Training | None = None
    """Only where the row trains differently from the others of its data set."""
    published_method: str | None = None
    """The method's name in the published table, None where the paper has no such row."""


@dataclass(frozen=True, kw_only=True)
class StudyDataset:
    """One data set of a study with the protocol that judges it."""

    ref: DatasetRef
    training: Training
    protocol: str
    """``name`` of the protocol."""
    published_dataset: str | None = None
    """The data set's name in the published table, None where the paper has no such column."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """Rows times data sets times seeds."""

    name: str
    title: str
    question: str
    """The question that the table answers, in one sentence."""
    rows: tuple[Row, ...]
    datasets: tuple[StudyDataset, ...]
    seeds: tuple[int, ...] = (0,)
    published_table: str | None = None
    """Such as ``"Table 3"``; its cells are in results/published.csv."""
    real_row: bool = True
    """Whether the judge's scores on the real validation images are a row."""
    scale_note: str = ""
    """How the study differs in scale from the published one; printed under every table."""

    def __post_init__(self) -> None:
        labels = [row.label for row in self.rows]
        doubled = sorted({label for label in labels if labels.count(label) > 1})
        if doubled:
            raise ValueError(f"study {self.name!r}: row label {', '.join(doubled)} occurs twice; labels must differ")
        if not self.rows or not self.datasets or not self.seeds:
            raise ValueError(f"study {self.name!r} needs at least one row, one data set and one seed")
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"study {self.name!r}: seeds {self.seeds} repeat a value")
        for dataset in self.datasets:
            protocol = get_protocol(dataset.protocol)
            if protocol.dataset != dataset.ref.name:
                raise ValueError(
                    f"study {self.name!r}: protocol {protocol.key} judges {protocol.dataset}, not {dataset.ref.name}"
                )

    def run(self, row: Row, dataset: StudyDataset, seed: int) -> RunSpec:
        """The training run of one cell and seed."""
        return RunSpec(
            variant=row.variant.name,
            generator=row.variant.generator,
            recipe=row.recipe,
            dataset=dataset.ref,
            training=row.training or dataset.training,
            seed=seed,
        )

    def cells(self) -> Iterator[tuple[Row, StudyDataset, int, RunSpec]]:
        """Every (row, data set, seed, run), seed by seed, so that a first complete table appears early."""
        for seed in self.seeds:
            for dataset in self.datasets:
                for row in self.rows:
                    yield row, dataset, seed, self.run(row, dataset, seed)


def _study_names() -> list[str]:
    import studies

    return sorted(info.name for info in pkgutil.iter_modules(studies.__path__) if not info.name.startswith("_"))


def get_study(name: str) -> Study:
    """The study of ``studies/NAME.py``. Raises ValueError that lists the studies for an unknown name."""
    names = _study_names()
    if name not in names:
        close = get_close_matches(name, names, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"no study is called {name!r}{hint}\nstudies: {', '.join(names)}")
    study: Study = importlib.import_module(f"studies.{name}").study()
    return study


def list_studies() -> list[tuple[str, str]]:
    """(name, first line of its docstring) of every study; no data set is opened for it."""
    found = []
    for name in _study_names():
        text = importlib.import_module(f"studies.{name}").__doc__ or ""
        found.append((name, text.strip().splitlines()[0] if text.strip() else ""))
    return found
