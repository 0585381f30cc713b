"""A study: which variants, on which data, judged how, beside which published numbers. Free of torch and pandas."""

from __future__ import annotations

import importlib
import math
import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cached_property
from typing import Any

from baselines.recipe import Recipe
from baselines.registry import get_variant
from baselines.variant import Variant
from bench.data.fitting import fitted
from bench.evaluation.protocols import get_protocol
from bench.imports import check_name
from bench.plain import from_plain, to_plain
from bench.run_spec import DatasetRef, RunSpec, Training, norm_group_images


class UnknownStudyError(ValueError):
    """No study has that name; the message lists those that there are."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of the study's table."""

    label: str
    """As the table prints it; the published label where the row is published."""
    variant: Variant
    """The registered variant, perhaps scaled."""
    recipe: Recipe
    published_method: str | None = None
    """The method's name in the published table, None where the paper has no such row."""
    batch_images: int | None = None
    """Global batch of this row; None: as the others. Its steps are then as many as draw equally many images."""

    def __post_init__(self) -> None:
        if self.batch_images is not None and self.batch_images < 1:
            raise ValueError(f"row {self.label!r}: batch_images is {self.batch_images}; it must be at least 1, or None")


@dataclass(frozen=True, kw_only=True)
class StudyDataset:
    """One data set of a study with the protocol that judges it."""

    ref: DatasetRef
    training: Training
    """Of every row; each row's own norm group follows from it."""
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
    ranks: int = 1
    """Processes that share each run's batch; it matters to rows whose batch norm is not synchronised."""
    published_table: str | None = None
    """Such as ``"Table 3"``; its cells are in results/published.csv."""
    real_row: bool = True
    """Whether the judge's scores on the real validation images are a row."""
    imports: tuple[str, ...] = ()
    """Names of systems that this project does not train, such as ``SIMS``: rows of their own, filled by the pictures
    that ``import-images`` takes in under that name."""
    scale_note: str = ""
    """How the study differs in scale from the published one; printed under every table."""

    def __post_init__(self) -> None:
        labels = [*(row.label for row in self.rows), *self.imports]
        doubled = sorted({label for label in labels if labels.count(label) > 1})
        if doubled:
            raise ValueError(f"study {self.name!r}: row label {', '.join(doubled)} occurs twice; labels must differ")
        if not self.rows or not self.datasets or not self.seeds:
            raise ValueError(f"study {self.name!r} needs at least one row, one data set and one seed")
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"study {self.name!r}: seeds {self.seeds} repeat a value")
        for name in self.imports:
            check_name(name)
        for dataset in self.datasets:
            protocol = get_protocol(dataset.protocol)
            if not protocol.judges(dataset.ref.name):
                raise ValueError(
                    f"study {self.name!r}: protocol {protocol.key} judges {protocol.dataset}, not {dataset.ref.name}"
                )

    def run(self, row: Row, dataset: StudyDataset, seed: int) -> RunSpec:
        """The training run of one cell and seed."""
        known = self._runs.get((id(row), id(dataset)))
        if known is None or known[0] is not row or known[1] is not dataset:
            known = row, dataset, self._first_run(row, dataset)
            self._runs[id(row), id(dataset)] = known
        return replace(known[2], seed=seed)

    @cached_property
    def _runs(self) -> dict[tuple[int, int], tuple[Row, StudyDataset, RunSpec]]:
        """A run of each cell, by addresses: seeds share all the rest, and its parts of their identity."""
        return {}

    def _first_run(self, row: Row, dataset: StudyDataset) -> RunSpec:
        training = dataset.training
        if row.batch_images is not None:
            images = training.steps * training.batch_images
            training = replace(training, batch_images=row.batch_images, steps=math.ceil(images / row.batch_images))
        variant = fitted(row.variant, dataset.ref.upsampling)
        norm = getattr(variant.generator, "norm", "instance")
        group = norm_group_images(norm, training.batch_images, training.accumulate, self.ranks)
        return RunSpec(
            variant=variant.name,
            generator=variant.generator,
            recipe=row.recipe,
            dataset=dataset.ref,
            training=replace(training, norm_group_images=group),
            seed=0,
        )

    def cells(self) -> Iterator[tuple[Row, StudyDataset, int, RunSpec]]:
        """Every (row, data set, seed, run), seed by seed, so that a first complete table appears early."""
        for seed in self.seeds:
            for dataset in self.datasets:
                for row in self.rows:
                    yield row, dataset, seed, self.run(row, dataset, seed)

    def to_json(self) -> dict[str, Any]:
        """Plain values, for a copied store."""
        plain: dict[str, Any] = to_plain(self)
        rows = [{**item, "variant": row.variant.name} for item, row in zip(plain["rows"], self.rows, strict=True)]
        generators = [to_plain(row.variant.generator) for row in self.rows]
        return {**plain, "rows": rows, "generators": generators}

    @classmethod
    def from_json(cls, data: Mapping[str, Any], where: str) -> Study:
        """The inverse of :meth:`to_json`, over the variants registered now. Raises ValueError that names the place."""
        rows = []
        for row, settings in zip(data["rows"], data["generators"], strict=True):
            variant = get_variant(row["variant"])
            generator = from_plain(type(variant.generator), settings, f"{where}: generator of {row['variant']}")
            recipe = from_plain(Recipe, row["recipe"], f"{where}: recipe of {row['label']}")
            rows.append(Row(**{**row, "variant": replace(variant, generator=generator), "recipe": recipe}))
        datasets = tuple(from_plain(StudyDataset, item, f"{where}: datasets") for item in data["datasets"])
        rest = {name: value for name, value in data.items() if name not in _TUPLES}
        imports = tuple(data.get("imports", ()))
        return cls(rows=tuple(rows), datasets=datasets, seeds=tuple(data["seeds"]), imports=imports, **rest)


_TUPLES = ("rows", "datasets", "seeds", "imports", "generators")


def _study_names() -> list[str]:
    import studies

    return sorted(info.name for info in pkgutil.iter_modules(studies.__path__) if not info.name.startswith("_"))


def get_study(name: str) -> Study:
    """The study of ``studies/NAME.py``. Raises UnknownStudyError for another name."""
    names = _study_names()
    if name not in names:
        close = get_close_matches(name, names, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise UnknownStudyError(f"no study is called {name!r}{hint}\nstudies: {', '.join(names)}")
    study: Study = importlib.import_module(f"studies.{name}").study()
    return study


def list_studies() -> list[tuple[str, str]]:
    """(name, first line of its docstring) of every study; no data set is opened for it."""
    found = []
    for name in _study_names():
        text = importlib.import_module(f"studies.{name}").__doc__ or ""
        found.append((name, text.strip().splitlines()[0] if text.strip() else ""))
    return found
