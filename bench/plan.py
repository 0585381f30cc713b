"""The planner: from a study and what the store holds to one action, with its reason, for every job. Pure.

A job is the training of one run, or one evaluation. Nothing is executed here, and nothing imports torch or pandas.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from bench.evaluation.protocols import get_protocol
from bench.evaluation.weights import weights_sha256
from bench.plain import content_hash
from bench.run_spec import RunSpec
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

    @property
    def key(self) -> str:
        """Equal for equal work, in whatever study it occurs."""
        if self.evaluation is not None:
            return f"evaluate-{self.evaluation.eval_id}"
        assert self.run is not None
        return f"train-{self.run.run_id}"

    @property
    def title(self) -> str:
        """Such as ``train pix2pixHD on synthetic, seed 0``."""
        seed = "" if self.seed is None else f", seed {self.seed}"
        return f"{self.kind} {self.label} on {self.dataset}{seed}"


@dataclass(frozen=True, kw_only=True)
class JobState:
    """What the store knows of one job."""

    status: RunStatus
    has_checkpoint: bool = False


@dataclass(frozen=True, kw_only=True)
class Action:
    """What to do with one job, and why."""

    verb: Verb
    job: Job
    reason: str

    @property
    def runs(self) -> bool:
        """Whether the job is executed."""
        return self.verb in (Verb.SUBMIT, Verb.RESUME, Verb.RETRY)


def evaluation_of(run: RunSpec | None, dataset: StudyDataset) -> EvaluationSpec:
    """The evaluation of a run (None: of the real images) by the data set's protocol."""
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
        weights_sha256={name: weights_sha256(name) for name in protocol.weights_files},
    )


def study_jobs(study: Study) -> list[Job]:
    """Every job of a study, in the order of execution: the real images, then each run followed by its evaluation."""
    jobs: list[Job] = []
    if study.real_row:
        jobs += [
            Job(
                kind="evaluate",
                label=REAL_LABEL,
                dataset=item.ref.name,
                seed=None,
                run=None,
                evaluation=evaluation_of(None, item),
            )
            for item in study.datasets
        ]
    for row, dataset, seed, run in study.cells():
        jobs += _cell_jobs(row, dataset, seed, run)
    return jobs


def _cell_jobs(row: Row, dataset: StudyDataset, seed: int, run: RunSpec) -> list[Job]:
    train = Job(kind="train", label=row.label, dataset=dataset.ref.name, seed=seed, run=run)
    judge = Job(
        kind="evaluate",
        label=row.label,
        dataset=dataset.ref.name,
        seed=seed,
        run=run,
        evaluation=evaluation_of(run, dataset),
    )
    return [train, judge]


def job_state(store: Store, job: Job) -> JobState:
    """What the store holds of ``job``."""
    if job.evaluation is not None:
        if store.evaluation(job.evaluation.eval_id) is not None:
            return JobState(status=RunStatus(state="done"))
        holder = store.evaluation_holder(job.evaluation.eval_id)
        if holder is not None:
            return JobState(status=RunStatus(state="running", host=holder.host, pid=holder.pid))
        error = store.evaluation_error(job.evaluation.eval_id)
        return JobState(status=RunStatus(state="failed", error=error) if error else RunStatus(state="pending"))
    assert job.run is not None
    folder = store.run(job.run)
    return JobState(status=folder.status(), has_checkpoint=any(folder.checkpoints.glob("step_*.pt")))


def plan(jobs: list[Job], states: dict[str, JobState], *, retry_failed: bool = True) -> list[Action]:
    """One action for every job, decided from the states alone (by job key; absent: nothing is known)."""
    decided: dict[str, Action] = {}
    trained: dict[str, Action] = {}
    actions: list[Action] = []
    for job in jobs:
        if job.key in decided:
            action = Action(verb=Verb.SKIP, job=job, reason=f"the same work as '{decided[job.key].job.title}'")
        else:
            state = states.get(job.key, JobState(status=RunStatus(state="pending")))
            action = _decide(job, state, trained, retry_failed)
            decided[job.key] = action
        if job.kind == "train" and job.run is not None:
            trained.setdefault(job.run.run_id, action)
        actions.append(action)
    return actions


def _decide(job: Job, state: JobState, trained: dict[str, Action], retry_failed: bool) -> Action:
    status = state.status
    if status.state == "done":
        return Action(verb=Verb.SKIP, job=job, reason="finished")
    if status.state == "running":
        where = f" on {status.host}" if status.host else ""
        return Action(verb=Verb.WAIT, job=job, reason=f"running{where}, {status.fraction:.0%}")
    if job.kind == "evaluate" and job.run is not None:
        training = trained.get(job.run.run_id)
        if training is not None and training.verb is Verb.WAIT:
            return Action(verb=Verb.WAIT, job=job, reason="its training is not finished")
        if training is not None and training.verb is Verb.CANCEL:
            return Action(verb=Verb.WAIT, job=job, reason="its training failed")
    if status.state == "failed":
        why = status.error.splitlines()[0] if status.error else "no word of why"
        if not retry_failed:
            return Action(verb=Verb.CANCEL, job=job, reason=f"failed before ({why}); not retried")
        if state.has_checkpoint:
            return Action(verb=Verb.RESUME, job=job, reason=f"failed at step {status.step} ({why}); has a checkpoint")
        return Action(verb=Verb.RETRY, job=job, reason=f"failed before ({why})")
    if state.has_checkpoint:
        return Action(verb=Verb.RESUME, job=job, reason="has a checkpoint")
    return Action(verb=Verb.SUBMIT, job=job, reason="not in the store" if job.kind == "train" else "not judged yet")


def plan_study(study: Study, store: Store, *, retry_failed: bool = True) -> list[Action]:
    """:func:`plan` with the states that the store holds now."""
    jobs = study_jobs(study)
    return plan(jobs, {job.key: job_state(store, job) for job in jobs}, retry_failed=retry_failed)


def summary(actions: Iterable[Action]) -> str:
    """Such as ``3 submit, 4 skip``."""
    counts = Counter(action.verb for action in actions)
    return ", ".join(f"{counts[verb]} {verb.value}" for verb in Verb if counts[verb]) or "nothing to do"
