"""What the store holds of each row: the evaluations of its seeds, or why there are none yet."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain
from typing import Any, NamedTuple

from bench.imports import EXTERNAL, Imported, evaluation_of_import, read_import
from bench.plain import to_plain
from bench.plan import REAL_LABEL, evaluation_of, weights_of
from bench.reporting.cells import CellState
from bench.reporting.forks import in_forks
from bench.run_spec import RunSpec
from bench.store import Evaluation, EvaluationSpec, Store
from bench.study import Row, Study, StudyDataset

RECONSTRUCTION, EXTENSION, EXTERNAL_MARK = "†", "‡", "⊕"
_MARKS = {"reconstruction": RECONSTRUCTION, "extension": EXTENSION}


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
    other_protocol: str = ""
    """``name@version`` of the evaluation where it is not the data set's protocol; only where mixing was asked for."""

    @property
    def generator_parameters(self) -> int | None:
        count = self.provenance.get("generator_parameters")
        return count if isinstance(count, int) else None


@dataclass(frozen=True, kw_only=True)
class MeasuredRow:
    """One row of the study on one data set, with all its seeds."""

    label: str
    row: Row | None
    """None for the real images, and for what was made elsewhere unless it stands for a row of the study."""
    seeds: tuple[Measured, ...]
    external: str = ""
    """Name of the system whose images or weights were made elsewhere and only judged here; empty for our own rows."""
    imported: Imported | None = None
    """The imported pictures of an external row; None until there are any, and for checkpoint files."""

    @property
    def real(self) -> bool:
        """Whether this is the row of the real images."""
        return self.row is None and not self.external

    @property
    def marks(self) -> str:
        """The sign behind the row's label, wherever it is shown."""
        if self.external:
            return EXTERNAL_MARK
        return _MARKS.get(self.row.variant.provenance, "") if self.row is not None else ""

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


class _Found(NamedTuple):
    evaluation: Evaluation | None
    other_weights: bool = False
    other_protocol: str = ""


class _Left(NamedTuple):
    """What a run left, picklable."""

    run_id: str
    name: str
    spec: EvaluationSpec
    evaluation: Evaluation | None
    provenance: dict[str, Any]


def _left(store: Store, run: RunSpec, spec: EvaluationSpec) -> _Left:
    return _Left(run.run_id, run.name, spec, store.evaluation(spec.eval_id), store.run(run).provenance())


FORK_RUNS, FORKS = 2000, 2
"""From so many runs on they are read by so many forks."""


class Collector:
    """Reads a store, each file at most once, however often the rows of a study are asked for."""

    def __init__(self, store: Store, *, mix_protocols: bool = False) -> None:
        self.store = store
        self.mix_protocols = mix_protocols
        """Whether an evaluation by another protocol may stand in for a missing one."""
        self._weights_known: dict[str, dict[str, str]] = {}
        self._rows_known: dict[tuple[int, int], tuple[Study, StudyDataset, list[MeasuredRow]]] = {}
        self._left: dict[tuple[str, str], _Left] = {}  # by run_id and protocol
        self._exact_known: dict[str, Evaluation | None] = {}
        self.unreadable: list[str] = []
        """Evaluations that were passed over, with the reason."""

    def rows(self, study: Study, dataset: StudyDataset, *, external: bool = False) -> list[MeasuredRow]:
        """Every row of the study, its imports, with ``external`` what else was made elsewhere, the real images last."""
        key = id(study), id(dataset)
        if key not in self._rows_known:
            self._rows_known[key] = study, dataset, self._read_rows(study, dataset)
        rows = self._rows_known[key][2]
        own, real = [row for row in rows if not row.real], [row for row in rows if row.real]
        return [*own, *(self._others_from_outside(dataset, own) if external else []), *real]

    def _read_rows(self, study: Study, dataset: StudyDataset) -> list[MeasuredRow]:
        # First what is there under its own id: whatever is missing then sends us through the rest of the store alone.
        runs = [[study.run(row, dataset, seed) for seed in study.seeds] for row in study.rows]
        self._read_ahead(list(chain.from_iterable(runs)), dataset)
        rows = [self._row(row, own, dataset) for row, own in zip(study.rows, runs, strict=True)]
        rows += [self._imported(name, None, name, dataset) for name in study.imports]
        if study.real_row:
            rows.append(MeasuredRow(label=REAL_LABEL, row=None, seeds=(self._real(dataset),)))
        return rows

    def _read_ahead(self, runs: Sequence[RunSpec], dataset: StudyDataset) -> None:
        """Read what the runs left; of thousands in forks, for working out who they are takes longer than sending it."""
        weights = self._weights(dataset)

        def read(part: Sequence[RunSpec]) -> list[_Left]:
            return [_left(self.store, run, evaluation_of(run, dataset, weights)) for run in part]

        size = math.ceil(len(runs) / FORKS) if len(runs) >= FORK_RUNS else max(1, len(runs))
        parts = [runs[start : start + size] for start in range(0, len(runs), size)]
        for run, left in zip(runs, chain.from_iterable(in_forks([partial(read, part) for part in parts])), strict=True):
            run.__dict__.update(run_id=left.run_id, name=left.name)  # what a fork worked out need not be so again
            self._left[left.run_id, dataset.protocol] = left
            self._exact_known[left.spec.eval_id] = left.evaluation

    def _row(self, row: Row, runs: Sequence[RunSpec], dataset: StudyDataset) -> MeasuredRow:
        """The row's runs, or, where the store has none of them, the pictures imported under the variant's name."""
        seeds = tuple(self._seed(run, dataset) for run in runs)
        name = row.variant.name
        pairs = zip(seeds, runs, strict=True)
        unused = all(seed.state == "pending" and not self.store.run(run).exists() for seed, run in pairs)
        if unused and read_import(self.store, name, dataset.ref) is not None:
            return self._imported(row.label, row, name, dataset)
        return MeasuredRow(label=row.label, row=row, seeds=seeds)

    def _imported(self, label: str, row: Row | None, name: str, dataset: StudyDataset) -> MeasuredRow:
        """The row of pictures from outside: judged, or what is to be done about it."""
        imported = read_import(self.store, name, dataset.ref)
        state: CellState = "pending"
        found, data = _Found(None), dataset.ref.name
        if imported is None:
            detail = f"pending (not imported: import-images --variant {name} --dataset {data} --dir DIR)"
        elif not imported.fits(dataset.ref):
            detail = f"pending (the imported pictures of {name} are of other validation images)"
        else:
            spec = evaluation_of_import(imported, dataset.protocol)
            found = self._evaluation(spec)
            error = "" if found.evaluation else self.store.evaluation_error(spec.eval_id)
            state = "value" if found.evaluation else "failed" if error else "pending"
            detail = f"pending (imported, not judged: evaluate --imported {name} --dataset {data})"
            if error or found.evaluation:
                detail = f"failed (evaluation: {_brief(error)})" if error else ""
        one = Measured(
            seed=None,
            run=None,
            evaluation=found.evaluation,
            state=state,
            detail=detail,
            provenance={},
            other_weights=found.other_weights,
            other_protocol=found.other_protocol,
        )
        return MeasuredRow(label=label, row=row, seeds=(one,), external=name, imported=imported)

    def _others_from_outside(self, dataset: StudyDataset, rows: Sequence[MeasuredRow]) -> list[MeasuredRow]:
        """Imported images and checkpoint files that the data set's protocol has judged and that no row shows, by name.

        A name that a row has or that occurs twice has the first digits of its content's hash behind it.
        """
        shown = {evaluation.eval_id for row in rows for evaluation in row.evaluations}
        asked = _identity(evaluation_of(None, dataset, self._weights(dataset)), _OF_SUBJECT)
        found = [
            evaluation
            for subject in sorted(self._by_subject)
            if subject.startswith(EXTERNAL_SUBJECTS)
            for evaluation in self._of_subject(subject)
            if evaluation.eval_id not in shown and _identity(evaluation.spec, _OF_SUBJECT) == asked
        ]
        found.sort(key=lambda evaluation: (evaluation.spec.subject, evaluation.eval_id))
        names = Counter(row.label for row in rows) + Counter(map(_external_name, found))
        others = []
        for evaluation in found:
            name = _external_name(evaluation)
            label = name if names[name] == 1 else f"{name} ({(evaluation.spec.run_id or '')[:8]})"
            seed = Measured(seed=None, run=None, evaluation=evaluation, state="value", provenance={})
            others.append(MeasuredRow(label=label, row=None, seeds=(seed,), external=name))
        return others

    def _exact(self, spec: EvaluationSpec) -> Evaluation | None:
        if spec.eval_id not in self._exact_known:
            self._exact_known[spec.eval_id] = self.store.evaluation(spec.eval_id)
        return self._exact_known[spec.eval_id]

    def _weights(self, dataset: StudyDataset) -> dict[str, str]:
        """Asked for once, however many runs there are."""
        if dataset.protocol not in self._weights_known:
            self._weights_known[dataset.protocol] = weights_of(dataset)
        return self._weights_known[dataset.protocol]

    def _real(self, dataset: StudyDataset) -> Measured:
        spec = evaluation_of(None, dataset, self._weights(dataset))
        found = self._evaluation(spec)
        error = "" if found.evaluation else self.store.evaluation_error(spec.eval_id)
        state: CellState = "value" if found.evaluation else "failed" if error else "pending"
        return Measured(
            seed=None,
            run=None,
            evaluation=found.evaluation,
            state=state,
            detail=f"failed (evaluation: {_brief(error)})" if error else "",
            provenance={},
            other_weights=found.other_weights,
            other_protocol=found.other_protocol,
        )

    def _seed(self, run: RunSpec, dataset: StudyDataset) -> Measured:
        left = self._left[run.run_id, dataset.protocol]
        found = self._evaluation(left.spec)
        state: CellState
        state, detail = ("value", "") if found.evaluation else self._state(run, left.spec)
        return Measured(
            seed=run.seed,
            run=run,
            evaluation=found.evaluation,
            state=state,
            detail=detail,
            provenance=left.provenance,
            other_weights=found.other_weights,
            other_protocol=found.other_protocol,
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

    def _evaluation(self, spec: EvaluationSpec) -> _Found:
        """The evaluation, or one that differs in its judge and extractor files only (a store copied from elsewhere).

        With ``mix_protocols`` also one by another protocol, of the same name and the newest version where there is one.
        """
        exact = self._exact(spec)
        if exact is not None:
            return _Found(exact)
        of_subject = self._of_subject(spec.subject)
        others = _alike(of_subject, spec, _OF_FILES)
        if others:
            return _Found(min(others, key=_missing_files), other_weights=True)
        mixed = _alike(of_subject, spec, _OF_PROTOCOL) if self.mix_protocols else []
        if not mixed:
            return _Found(None)
        best = min(mixed, key=lambda item: _distance(item.spec.protocol, spec.protocol))
        edited = " (worded otherwise)" if best.spec.protocol == spec.protocol else ""
        return _Found(best, other_protocol=best.spec.protocol + edited)

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
        """Ids of the store's evaluations by subject; no more is read of their files: there may be thousands.

        Of those that were read already nothing is.
        """
        found: dict[str, list[str]] = {}
        read = {eval_id: item.spec.subject for eval_id, item in self._exact_known.items() if item is not None}
        for eval_id, subject in self.store.evaluated_subjects(read):
            if subject is not None:
                found.setdefault(subject, []).append(eval_id)
            else:
                self._readable(eval_id)
        return found


_OF_FILES = frozenset({"weights_sha256"})
_OF_PROTOCOL = _OF_FILES | {"protocol", "protocol_sha256"}
_OF_SUBJECT = _OF_FILES | {"subject", "run_id", "noise_seed", "step", "weights", "selection"}
EXTERNAL_SUBJECTS = (EXTERNAL, "checkpoint:")


def _external_name(evaluation: Evaluation) -> str:
    return evaluation.spec.subject.partition(":")[2]


def _alike(evaluations: Iterable[Evaluation], spec: EvaluationSpec, without: Collection[str]) -> list[Evaluation]:
    """Those that differ from ``spec`` at most in the fields ``without``."""
    asked = _identity(spec, without)
    return [evaluation for evaluation in evaluations if _identity(evaluation.spec, without) == asked]


def _identity(spec: EvaluationSpec, without: Collection[str]) -> str:
    """What is judged and how, the fields ``without`` left out."""
    data = spec.dataset
    fields = {**to_plain(spec), "dataset": [data.name, list(data.size), data.val_manifest, data.val_images]}
    return repr(sorted((name, repr(value)) for name, value in fields.items() if name not in without))


def _distance(protocol: str, asked: str) -> tuple[bool, int, str]:
    """Smallest for the same name and the newest version."""
    name, _, version = protocol.partition("@")
    return name != asked.partition("@")[0], -int(version) if version.isdigit() else 0, protocol


def _missing_files(evaluation: Evaluation) -> tuple[int, str]:
    hashes = evaluation.spec.weights_sha256.values()
    return sum(value == "missing" for value in hashes), evaluation.eval_id


def _brief(error: str, characters: int = 110) -> str:
    line = error.strip().splitlines()[0] if error.strip() else "no word of why"
    return line if len(line) <= characters else line[: characters - 1].rstrip() + "…"
