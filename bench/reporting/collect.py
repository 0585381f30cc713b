"""What the store holds of each row: the evaluations of its seeds, or why there are none yet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from bench.plain import to_plain
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
    """None for the real images and for external ones."""
    seeds: tuple[Measured, ...]
    external: bool = False
    """Whether images or weights were made elsewhere and only judged here."""

    @property
    def real(self) -> bool:
        """Whether this is the row of the real images."""
        return self.row is None and not self.external

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


class Collector:
    """Reads a store, each file at most once."""

    def __init__(self, store: Store, *, mix_protocols: bool = False) -> None:
        self.store = store
        self.mix_protocols = mix_protocols
        """Whether an evaluation by another protocol may stand in for a missing one."""
        self._weights_known: dict[str, dict[str, str]] = {}
        self.unreadable: list[str] = []
        """Evaluations that were passed over, with the reason."""

    def rows(self, study: Study, dataset: StudyDataset, *, external: bool = False) -> list[MeasuredRow]:
        """Every row of the study in its order, then (``external``) what was made elsewhere, the real images last."""
        rows = [
            MeasuredRow(
                label=row.label,
                row=row,
                seeds=tuple(self._seed(study.run(row, dataset, seed), dataset) for seed in study.seeds),
            )
            for row in study.rows
        ]
        if external:
            rows += self.external_rows(dataset, {row.label for row in rows})
        if study.real_row:
            rows.append(MeasuredRow(label=REAL_LABEL, row=None, seeds=(self._real(dataset),)))
        return rows

    def external_rows(self, dataset: StudyDataset, taken: Collection[str] = ()) -> list[MeasuredRow]:
        """Imported images and checkpoint files that the data set's protocol has judged, by name.

        A name that is ``taken`` or occurs twice has the first digits of its content's hash behind it.
        """
        asked = _identity(evaluation_of(None, dataset), _OF_SUBJECT)
        found = [
            evaluation
            for evaluation in self._readable
            if evaluation.spec.subject.startswith(EXTERNAL_SUBJECTS)
            and _identity(evaluation.spec, _OF_SUBJECT) == asked
        ]
        found.sort(key=lambda evaluation: (evaluation.spec.subject, evaluation.eval_id))
        names = Counter(_external_name(evaluation) for evaluation in found)
        rows = []
        for evaluation in found:
            name = _external_name(evaluation)
            label = name if names[name] == 1 and name not in taken else f"{name} ({(evaluation.spec.run_id or '')[:8]})"
            seed = Measured(seed=None, run=None, evaluation=evaluation, state="value", provenance={})
            rows.append(MeasuredRow(label=label, row=None, seeds=(seed,), external=True))
        return rows

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
        spec = evaluation_of(run, dataset, self._weights(dataset))
        found = self._evaluation(spec)
        state: CellState
        state, detail = ("value", "") if found.evaluation else self._state(run, spec)
        return Measured(
            seed=run.seed,
            run=run,
            evaluation=found.evaluation,
            state=state,
            detail=detail,
            provenance=self.store.run(run).provenance(),
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
        exact = self.store.evaluation(spec.eval_id)
        if exact is not None:
            return _Found(exact)
        others = self._by_files.get(_identity(spec, _OF_FILES), [])
        if others:
            return _Found(min(others, key=_missing_files), other_weights=True)
        mixed = self._by_protocol.get(_identity(spec, _OF_PROTOCOL), []) if self.mix_protocols else []
        if not mixed:
            return _Found(None)
        best = min(mixed, key=lambda item: _distance(item.spec.protocol, spec.protocol))
        edited = " (worded otherwise)" if best.spec.protocol == spec.protocol else ""
        return _Found(best, other_protocol=best.spec.protocol + edited)

    @cached_property
    def _readable(self) -> list[Evaluation]:
        found: list[Evaluation] = []
        folder = self.store.evaluation_folder("")
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            try:
                evaluation = self.store.evaluation(path.name)
            except ValueError as error:  # of an older version of the project, say: no reason to show nothing
                self.unreadable.append(str(error).splitlines()[0])
                continue
            if evaluation is not None:
                found.append(evaluation)
        return found

    @cached_property
    def _by_files(self) -> dict[str, list[Evaluation]]:
        return _grouped(self._readable, _OF_FILES)

    @cached_property
    def _by_protocol(self) -> dict[str, list[Evaluation]]:
        return _grouped(self._readable, _OF_PROTOCOL)


_OF_FILES = frozenset({"weights_sha256"})
_OF_PROTOCOL = _OF_FILES | {"protocol", "protocol_sha256"}
_OF_SUBJECT = _OF_FILES | {"subject", "run_id", "noise_seed", "step", "weights", "selection"}
EXTERNAL_SUBJECTS = ("external:", "checkpoint:")


def _external_name(evaluation: Evaluation) -> str:
    return evaluation.spec.subject.partition(":")[2]


def _grouped(evaluations: Iterable[Evaluation], without: Collection[str]) -> dict[str, list[Evaluation]]:
    found: dict[str, list[Evaluation]] = {}
    for evaluation in evaluations:
        found.setdefault(_identity(evaluation.spec, without), []).append(evaluation)
    return found


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
