"""What the store holds of each row: the evaluations of its seeds, or why there are none yet."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from bench.plain import semantic
from bench.plan import REAL_LABEL, evaluation_of
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
    """One row of the study on one data set, with all its seeds; ``row`` is None for the real images."""

    label: str
    row: Row | None
    seeds: tuple[Measured, ...]

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

    def rows(self, study: Study, dataset: StudyDataset) -> list[MeasuredRow]:
        """Every row of the study in its order, the real images last."""
        rows = [
            MeasuredRow(
                label=row.label,
                row=row,
                seeds=tuple(self._seed(study.run(row, dataset, seed), dataset) for seed in study.seeds),
            )
            for row in study.rows
        ]
        if study.real_row:
            rows.append(MeasuredRow(label=REAL_LABEL, row=None, seeds=(self._real(dataset),)))
        return rows

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
        spec = evaluation_of(run, dataset)
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
        others = self._by_identity.get(_identity(spec), [])
        return (min(others, key=_missing_files), True) if others else (None, False)

    @cached_property
    def _by_identity(self) -> dict[str, list[Evaluation]]:
        found: dict[str, list[Evaluation]] = {}
        folder = self.store.evaluation_folder("")
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            try:
                evaluation = self.store.evaluation(path.name)
            except ValueError as error:  # of an older version of the project, say: no reason to show nothing
                self.unreadable.append(str(error).splitlines()[0])
                continue
            if evaluation is not None:
                found.setdefault(_identity(evaluation.spec), []).append(evaluation)
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
