"""The planner: from a study and what store and scheduler hold to one action, with its reason, for every job. Pure.

A job is the training of one run, or one evaluation. Nothing is executed here, and nothing imports torch or pandas.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property
from itertools import product
from typing import Literal

from bench.evaluation.protocols import get_protocol
from bench.evaluation.weights import weights_sha256
from bench.imports import read_import
from bench.job_records import JobRecords
from bench.local_queue import LOCAL, local_state
from bench.plain import content_hash
from bench.run_spec import RunSpec
from bench.scheduler import INTERRUPTIONS, Scheduled
from bench.store import EvaluationSpec, RunStatus, Store
from bench.study import Row, Study, StudyDataset

REAL_LABEL = "real images"
"""Row label of the validation images themselves."""


class Verb(Enum):
    """What to do with a job."""

    SUBMIT = "submit"
    RESUME = "resume"
    SKIP = "skip"
    RETRY = "retry"
    CANCEL = "cancel"
    WAIT = "wait"


def training_key(run_id: str) -> str:
    """:attr:`Job.key` of the training of a run."""
    return f"train-{run_id}"


@dataclass(frozen=True, kw_only=True)
class Job:
    """One unit of work of a study."""

    kind: Literal["train", "evaluate"]
    label: str
    """Row of the table."""
    dataset: str
    seed: int | None
    """None for the real images."""
    run: RunSpec | None
    """What is trained, or whose images are judged; None for the real images."""
    evaluation: EvaluationSpec | None = None
    """Set for evaluations."""

    @cached_property
    def key(self) -> str:
        """Equal for equal work, in whatever study it occurs."""
        if self.evaluation is not None:
            return f"evaluate-{self.evaluation.eval_id}"
        assert self.run is not None
        return training_key(self.run.run_id)

    @property
    def title(self) -> str:
        """Such as ``train pix2pixHD on synthetic, seed 0``."""
        seed = "" if self.seed is None else f", seed {self.seed}"
        return f"{self.kind} {self.label} on {self.dataset}{seed}"


@dataclass(frozen=True, kw_only=True)
class JobState:
    """What the store knows of one job, and what a scheduler does."""

    status: RunStatus
    has_checkpoint: bool = False
    """Not looked for where the training is done."""
    scheduled: Scheduled | None = None
    """None: it was never handed to a scheduler."""
    imported: str = ""
    """Name of the system whose imported pictures stand in the job's row, which has no run of its own."""


@dataclass(frozen=True, kw_only=True)
class Action:
    """What to do with one job, and why."""

    verb: Verb
    job: Job
    reason: str
    after: tuple[str, ...] = ()
    """The scheduler's numbers of the training, already handed over, that an evaluation is to wait for."""
    replaces: tuple[str, ...] = ()
    """The scheduler's numbers of jobs to cancel before this one is handed over."""

    @property
    def runs(self) -> bool:
        """Whether the job is executed."""
        return self.verb in (Verb.SUBMIT, Verb.RESUME, Verb.RETRY)


def weights_of(dataset: StudyDataset) -> dict[str, str]:
    """sha256 of the files that the data set's protocol needs, by name."""
    return {name: weights_sha256(name) for name in get_protocol(dataset.protocol).weights_files}


def evaluation_of(
    run: RunSpec | None, dataset: StudyDataset, weights: Mapping[str, str] | None = None
) -> EvaluationSpec:
    """The evaluation of a run (None: of the real images) by the data set's protocol.

    ``weights`` is :func:`weights_of`, for a caller who has asked already.
    """
    protocol = get_protocol(dataset.protocol)
    training = run.training if run is not None else None
    return EvaluationSpec(
        subject="real" if run is None else run.name,
        run_id=None if run is None else run.run_id,
        weights="ema" if training is not None and training.ema_halflife_images else "raw",
        selection=training.selection if training is not None else "last",
        protocol=protocol.key,
        protocol_sha256=content_hash(protocol),
        dataset=dataset.ref,
        weights_sha256=dict(weights_of(dataset) if weights is None else weights),
    )


def study_jobs(study: Study) -> list[Job]:
    """Every job of a study, in the order of execution: the real images, then each run followed by its evaluation."""
    weights = {item.protocol: weights_of(item) for item in study.datasets}
    jobs: list[Job] = []
    if study.real_row:
        jobs += [
            Job(
                kind="evaluate",
                label=REAL_LABEL,
                dataset=item.ref.name,
                seed=None,
                run=None,
                evaluation=evaluation_of(None, item, weights[item.protocol]),
            )
            for item in study.datasets
        ]
    for row, dataset, seed, run in study.cells():
        jobs += _cell_jobs(row, dataset, seed, run, weights[dataset.protocol])
    return jobs


def _cell_jobs(row: Row, dataset: StudyDataset, seed: int, run: RunSpec, weights: Mapping[str, str]) -> list[Job]:
    train = Job(kind="train", label=row.label, dataset=dataset.ref.name, seed=seed, run=run)
    judge = Job(
        kind="evaluate",
        label=row.label,
        dataset=dataset.ref.name,
        seed=seed,
        run=run,
        evaluation=evaluation_of(run, dataset, weights),
    )
    return [train, judge]


def job_state(
    store: Store, job: Job, scheduled: Scheduled | None = None, records: JobRecords | None = None
) -> JobState:
    """What the store holds of ``job``, with what its scheduler was heard to say.

    Without that, what ``records``, those of the store, say alone: no scheduler is asked here.
    """
    if scheduled is None:
        record = (records or JobRecords(store)).latest(job.key)
        if record is not None:
            scheduled = local_state(store, job.key, record) if record.scheduler == LOCAL else record.scheduled()
    if job.evaluation is not None:
        return JobState(status=_evaluation_status(store, job.evaluation), scheduled=scheduled)
    assert job.run is not None
    folder = store.run(job.run)
    status = folder.status()
    resumable = status.state != "done" and any(folder.checkpoints.glob("step_*.pt"))
    return JobState(status=status, has_checkpoint=resumable, scheduled=scheduled)


def _evaluation_status(store: Store, spec: EvaluationSpec) -> RunStatus:
    if store.is_evaluated(spec.eval_id):
        return RunStatus(state="done")
    holder = store.evaluation_holder(spec.eval_id)
    if holder is not None:
        return RunStatus(state="running", host=holder.host, pid=holder.pid)
    error = store.evaluation_error(spec.eval_id)
    return RunStatus(state="failed", error=error) if error else RunStatus(state="pending")


def plan(jobs: list[Job], states: dict[str, JobState], *, retry_failed: bool = True) -> list[Action]:
    """One action for every job, decided from the states alone (by job key; absent: nothing is known)."""
    decided: dict[str, Action] = {}
    trained: dict[str, tuple[Action, JobState]] = {}
    actions: list[Action] = []
    for job in jobs:
        state = states.get(job.key, JobState(status=RunStatus(state="pending")))
        if job.key in decided:
            action = Action(verb=Verb.SKIP, job=job, reason=f"the same work as '{decided[job.key].job.title}'")
        else:
            training = trained.get(job.run.run_id) if job.kind == "evaluate" and job.run is not None else None
            action = _decide(job, state, training, retry_failed)
            decided[job.key] = action
        if job.kind == "train" and job.run is not None:
            trained.setdefault(job.run.run_id, (action, state))
        actions.append(action)
    return actions


def _decide(job: Job, state: JobState, training: tuple[Action, JobState] | None, retry_failed: bool) -> Action:
    """The action for one job; ``training`` is what was decided for the training that an evaluation needs."""
    status, scheduled = state.status, state.scheduled
    if status.state == "done":
        return Action(verb=Verb.SKIP, job=job, reason="finished")
    if state.imported:
        told = f"the pictures imported as {state.imported} stand here; to train it, delete their folder under imports/"
        return Action(verb=Verb.SKIP, job=job, reason=told)
    if status.state == "running":
        where = f" on {status.host}" if status.host else ""
        return Action(verb=Verb.WAIT, job=job, reason=f"running{where}, {status.fraction:.0%}")
    stale = _waits_for_another_life(scheduled, training)
    if scheduled is not None and scheduled.state != "ended" and not scheduled.hopeless and not stale:
        return Action(verb=Verb.WAIT, job=job, reason=_waiting(scheduled))
    after: tuple[str, ...] = ()
    if training is not None:
        action, known = training
        if action.verb is Verb.CANCEL:
            return Action(verb=Verb.WAIT, job=job, reason="its training failed")
        waitable = known.scheduled is not None and known.scheduled.live and known.scheduled.scheduler != LOCAL
        held = known.scheduled.numbers if waitable and known.scheduled is not None else ()
        if action.verb is Verb.WAIT and not held:
            return Action(verb=Verb.WAIT, job=job, reason="its training is not finished")
        after = held if action.verb is Verb.WAIT else ()
    if stale and scheduled is not None:
        reason = f"{scheduled.name} waits for an earlier life of its training; it is cancelled and submitted anew"
        return Action(verb=Verb.RETRY, job=job, reason=reason, after=after, replaces=scheduled.numbers)
    if scheduled is not None and scheduled.hopeless:
        return replace(_hopeless(job, state, scheduled, retry_failed), after=after)
    return replace(_free(job, state, retry_failed), after=after)


def _waits_for_another_life(scheduled: Scheduled | None, training: tuple[Action, JobState] | None) -> bool:
    """Whether a pending evaluation was made to wait for a submission of its training that is not the present one."""
    if scheduled is None or training is None or scheduled.state != "pending" or not scheduled.after:
        return False
    action, known = training
    if action.runs:
        return True
    if action.verb is not Verb.WAIT or known.scheduled is None or not known.scheduled.live:
        return False
    return not set(scheduled.after) & set(known.scheduled.numbers)


def _waiting(scheduled: Scheduled) -> str:
    if scheduled.state == "running":
        return f"running as {scheduled.name}{f' on {scheduled.node}' if scheduled.node else ''}"
    if scheduled.state == "pending":
        return f"pending as {scheduled.name}{f' ({scheduled.reason})' if scheduled.reason else ''}"
    if scheduled.reason:
        return f"handed over as {scheduled.name}: {scheduled.reason}"
    return f"handed over as {scheduled.name}; not asked how it stands (give --backend and --profile to ask)"


def _hopeless(job: Job, state: JobState, scheduled: Scheduled, retry_failed: bool) -> Action:
    why = f"{scheduled.name} can never start ({scheduled.reason}{f': {scheduled.advice}' if scheduled.advice else ''})"
    if not retry_failed:
        return Action(verb=Verb.CANCEL, job=job, reason=f"{why}; not retried")
    verb = Verb.RESUME if state.has_checkpoint else Verb.RETRY
    reason = f"{why}; it is cancelled and submitted anew"
    return Action(verb=verb, job=job, reason=reason, replaces=scheduled.numbers)


def _free(job: Job, state: JobState, retry_failed: bool) -> Action:
    """The action for a job that nobody works at and no queue holds."""
    status, ended = state.status, state.scheduled
    stopped = ended is not None and ended.cause in INTERRUPTIONS
    if ended is not None and stopped and not (ended.cause == "completed" and status.state == "failed"):
        if state.has_checkpoint:
            return Action(verb=Verb.RESUME, job=job, reason=f"{ended.ending()}; has a checkpoint")
        return Action(verb=Verb.SUBMIT, job=job, reason=f"{ended.ending()}; begins anew")
    if status.state == "failed" or ended is not None:
        why = status.error.splitlines()[0] if status.error else ""
        if ended is not None and ended.cause != "completed":
            told = f"{ended.cause}, {ended.name}" if ended.cause not in ("", "failed") else ended.name
            why = f"{why} ({told})" if why else ended.ending()
        why = why or "no word of why"
        if not retry_failed:
            return Action(verb=Verb.CANCEL, job=job, reason=f"failed before ({why}); not retried")
        if state.has_checkpoint:
            return Action(verb=Verb.RESUME, job=job, reason=f"failed at step {status.step} ({why}); has a checkpoint")
        return Action(verb=Verb.RETRY, job=job, reason=f"failed before ({why})")
    if state.has_checkpoint:
        return Action(verb=Verb.RESUME, job=job, reason="has a checkpoint")
    return Action(verb=Verb.SUBMIT, job=job, reason="not in the store" if job.kind == "train" else "not judged yet")


def limited(
    actions: Iterable[Action], room: int, limit: int, places: Callable[[Job], int] = lambda job: 1
) -> list[Action]:
    """The actions with no more jobs handed over than a queue has ``room`` for, of the ``limit`` that a site allows.

    ``places`` says how many places a job takes. Jobs are taken in order; an evaluation never before its training.
    """
    kept: list[Action] = []
    left_out: set[str] = set()
    for action in actions:
        run_id = action.job.run.run_id if action.job.run is not None else None
        if not action.runs:
            kept.append(action)
        elif action.job.kind == "evaluate" and run_id in left_out:
            kept.append(replace(action, verb=Verb.WAIT, reason="its training is not submitted yet", replaces=()))
        elif places(action.job) <= room:
            room -= places(action.job)
            kept.append(action)
        else:
            room = 0
            if action.job.kind == "train" and run_id is not None:
                left_out.add(run_id)
            reason = f"the queue may hold {limit} of our jobs and is full; run again when some have ended"
            kept.append(replace(action, verb=Verb.WAIT, reason=reason, replaces=()))
    return kept


def study_states(
    study: Study, store: Store, scheduled: Mapping[str, Scheduled] | None = None
) -> tuple[list[Job], dict[str, JobState]]:
    """Every job of a study with its state; ``scheduled`` is what a scheduler was heard to say, by job key."""
    jobs = study_jobs(study)
    heard = scheduled or {}
    states = {job.key: job_state(store, job, heard.get(job.key)) for job in jobs}
    stand_ins = _stand_ins(study, store, states)
    filled = {job.key: stand_ins[job.run.run_id] for job in jobs if job.run and job.run.run_id in stand_ins}
    return jobs, states | {key: replace(states[key], imported=name) for key, name in filled.items()}


def _stand_ins(study: Study, store: Store, states: Mapping[str, JobState]) -> dict[str, str]:
    """By run_id: under which name the pictures were imported that stand for a row of which nothing has begun."""
    found: dict[str, str] = {}
    for row, dataset in product(study.rows, study.datasets):
        runs = [study.run(row, dataset, seed) for seed in study.seeds]
        known = [states[training_key(run.run_id)] for run in runs]
        begun = any(state.status.state != "pending" or state.has_checkpoint or state.scheduled for state in known)
        if not begun and read_import(store, row.variant.name, dataset.ref) is not None:
            found |= {run.run_id: row.variant.name for run in runs}
    return found


def plan_study(
    study: Study, store: Store, *, retry_failed: bool = True, scheduled: Mapping[str, Scheduled] | None = None
) -> list[Action]:
    """:func:`plan` with the states that the store holds now, and what a scheduler was heard to say."""
    jobs, states = study_states(study, store, scheduled)
    return plan(jobs, states, retry_failed=retry_failed)


def summary(actions: Iterable[Action]) -> str:
    """Such as ``3 submit, 4 skip``."""
    counts = Counter(action.verb for action in actions)
    return ", ".join(f"{counts[verb]} {verb.value}" for verb in Verb if counts[verb]) or "nothing to do"
