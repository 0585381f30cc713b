"""What the store holds of each row: the evaluations of its seeds, or why there are none yet."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from bench.imports import Imported, evaluation_of_import, read_import
from bench.plain import semantic
from bench.plan import REAL_LABEL, evaluation_of, weights_of
from bench.reporting.cells import CellState
from bench.run_spec import RunSpec
from bench.store import Evaluation, EvaluationSpec, Store
from bench.study import Row, Study, StudyDataset


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One seed of one row, or the real images."""

    seed: int | None
    run: RunSpec | None
    evaluation: Evaluation | None
    state: CellState
    """``value`` where there is an evaluation."""
    detail: str = ""
    provenance: dict[str, Any]
    """The run's; empty for the real images and before the first step."""
    other_weights: bool = False
    """Whether the evaluation used other judge or extractor files than those on this machine."""

    @property
    def generator_parameters(self) -> int | None:
        count = self.provenance.get("generator_parameters")
        return count if isinstance(count, int) else None


@dataclass(frozen=True, kw_only=True)
class MeasuredRow:
    """One row of the study on one data set, with all its seeds.

    ``row`` is None for the real images and for systems that the study names in ``imports``.
    """

    label: str
    row: Row | None
    seeds: tuple[Measured, ...]
    external: str = ""
    """Name of the system whose imported pictures are judged; empty for our own rows and the real images."""
    imported: Imported | None = None
    """What was imported; None for our own rows, and until something is."""

    @property
    def real(self) -> bool:
        """Whether this is the row of the real images."""
        return self.row is None and not self.external

    @property
    def published_method(self) -> str | None:
        """The method's name in a published table; of systems from outside it is their own."""
        return self.row.published_method if self.row is not None else self.external or None

    @property
    def evaluations(self) -> list[Evaluation]:
        return [seed.evaluation for seed in self.seeds if seed.evaluation is not None]

    @property
    def generator_parameters(self) -> int | None:
        counts = (seed.generator_parameters for seed in self.seeds)
        return next((count for count in counts if count is not None), None)


class Collector:
    """Reads a store, each file at most once."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.unreadable: list[str] = []
        """Evaluations that were passed over, with the reason."""
        self._weights: dict[str, dict[str, str]] = {}
        """By protocol: which files are here is asked once, not for every seed."""

    def rows(self, study: Study, dataset: StudyDataset) -> list[MeasuredRow]:
        """Every row of the study in its order, the real images last."""
        rows = [self._row(study, row, dataset) for row in study.rows]
        rows += [self._external(name, None, name, dataset) for name in study.imports]
        if study.real_row:
            rows.append(MeasuredRow(label=REAL_LABEL, row=None, seeds=(self._real(dataset),)))
        return rows

    def _row(self, study: Study, row: Row, dataset: StudyDataset) -> MeasuredRow:
        """The row's runs, or, where the store has none of them, the pictures imported under the variant's name."""
        runs = [study.run(row, dataset, seed) for seed in study.seeds]
        seeds = tuple(self._seed(run, dataset) for run in runs)
        name = row.variant.name
        pairs = zip(seeds, runs, strict=True)
        unused = all(seed.state == "pending" and not self.store.run(run).exists() for seed, run in pairs)
        if unused and read_import(self.store, name, dataset.ref) is not None:
            return self._external(row.label, row, name, dataset)
        return MeasuredRow(label=row.label, row=row, seeds=seeds)

    def _external(self, label: str, row: Row | None, name: str, dataset: StudyDataset) -> MeasuredRow:
        """The row of pictures from outside: judged, or what is to be done about it."""
        imported = read_import(self.store, name, dataset.ref)
        state: CellState = "pending"
        evaluation, other, data = None, False, dataset.ref.name
        if imported is None:
            detail = f"pending (not imported: import-images --variant {name} --dataset {data} --dir DIR)"
        elif not imported.fits(dataset.ref):
            detail = f"pending (the imported pictures of {name} are of other validation images)"
        else:
            spec = evaluation_of_import(imported, dataset.protocol)
            evaluation, other = self._evaluation(spec)
            error = "" if evaluation else self.store.evaluation_error(spec.eval_id)
            state = "value" if evaluation else "failed" if error else "pending"
            detail = f"pending (imported, not judged: evaluate --imported {name} --dataset {data})"
            if error or evaluation:
                detail = f"failed (evaluation: {_brief(error)})" if error else ""
        one = Measured(
            seed=None,
            run=None,
            evaluation=evaluation,
            state=state,
            detail=detail,
            provenance={},
            other_weights=other,
        )
        return MeasuredRow(label=label, row=row, seeds=(one,), external=name, imported=imported)

    def _real(self, dataset: StudyDataset) -> Measured:
        spec = evaluation_of(None, dataset)
        evaluation, other = self._evaluation(spec)
        error = "" if evaluation else self.store.evaluation_error(spec.eval_id)
        state: CellState = "value" if evaluation else "failed" if error else "pending"
        return Measured(
            seed=None,
            run=None,
            evaluation=evaluation,
            state=state,
            detail=f"failed (evaluation: {_brief(error)})" if error else "",
            provenance={},
            other_weights=other,
        )

    def _seed(self, run: RunSpec, dataset: StudyDataset) -> Measured:
        weights = self._weights.get(dataset.protocol)
        if weights is None:
            weights = self._weights[dataset.protocol] = weights_of(dataset)
        spec = evaluation_of(run, dataset, weights)
        evaluation, other = self._evaluation(spec)
        state: CellState
        state, detail = ("value", "") if evaluation else self._state(run, spec)
        return Measured(
            seed=run.seed,
            run=run,
            evaluation=evaluation,
            state=state,
            detail=detail,
            provenance=self.store.run(run).provenance(),
            other_weights=other,
        )

    def _state(self, run: RunSpec, spec: EvaluationSpec) -> tuple[CellState, str]:
        status = self.store.run(run).status()
        if status.state == "running":
            return "running", f"running {100 * status.fraction:.0f} %"
        if status.state == "failed":
            return "failed", f"failed ({_brief(status.error)})"
        error = self.store.evaluation_error(spec.eval_id)
        if error:
            return "failed", f"failed (evaluation: {_brief(error)})"
        return "pending", "pending (trained, not judged yet)" if status.state == "done" else ""

    def _evaluation(self, spec: EvaluationSpec) -> tuple[Evaluation | None, bool]:
        """The evaluation, or one that differs in its judge and extractor files only (a store copied from elsewhere)."""
        exact = self.store.evaluation(spec.eval_id)
        if exact is not None:
            return exact, False
        wanted = _identity(spec)
        others = [found for found in self._of_subject(spec.subject) if _identity(found.spec) == wanted]
        return (min(others, key=_missing_files), True) if others else (None, False)

    def _of_subject(self, subject: str) -> list[Evaluation]:
        """Every evaluation of a subject that can be read."""
        found = (self._readable(eval_id) for eval_id in self._by_subject.get(subject, ()))
        return [evaluation for evaluation in found if evaluation is not None]

    def _readable(self, eval_id: str) -> Evaluation | None:
        """The evaluation; None for one of an older version of the project, say: no reason to show nothing."""
        try:
            return self.store.evaluation(eval_id)
        except ValueError as error:
            told = str(error).splitlines()[0]
            if told not in self.unreadable:
                self.unreadable.append(told)
            return None

    @cached_property
    def _by_subject(self) -> dict[str, list[str]]:
        """Ids of the store's evaluations by subject; no more is read of their files: there may be thousands."""
        found: dict[str, list[str]] = {}
        for eval_id, subject in self.store.evaluated_subjects():
            if subject is not None:
                found.setdefault(subject, []).append(eval_id)
            else:
                self._readable(eval_id)
        return found


def _identity(spec: EvaluationSpec) -> str:
    fields = semantic(spec)
    return repr(sorted((name, repr(value)) for name, value in fields.items() if name != "weights_sha256"))


def _missing_files(evaluation: Evaluation) -> tuple[int, str]:
    hashes = evaluation.spec.weights_sha256.values()
    return sum(value == "missing" for value in hashes), evaluation.eval_id


def _brief(error: str, characters: int = 110) -> str:
    line = error.strip().splitlines()[0] if error.strip() else "no word of why"
    return line if len(line) <= characters else line[: characters - 1].rstrip() + "…"
