"""Handing planned jobs over to SLURM, through submitit: tokens first, numbers after, nothing twice."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.job_records import JobRecords, Submission, new_token
from bench.launching.job_file import JobFile, JobSettings
from bench.launching.profile import ClusterProfile
from bench.launching.slurm.batches import (
    Batch,
    Lanes,
    chunked,
    dependency,
    evaluation_batches,
    ranges,
    waited_for,
)
from bench.launching.slurm.commands import SchedulerError, cancel, outside_any_job
from bench.launching.slurm.sbatch import Script, Unanswered, call_sbatch
from bench.launching.slurm.script import Shape, sbatch_parameters, shape_of
from bench.launching.slurm.worker import Worker
from bench.launching.snapshot import Snapshot
from bench.launching.submitting import submitting as submitting
from bench.plan import Action, Job
from bench.store import Store

_QUEUE_FULL = re.compile(r"(MaxSubmit\w*|submit limit|SubmitPA|Job array count|MaxJobCount)", re.IGNORECASE)
_LONGEST_NAME = 100


@dataclass(frozen=True, kw_only=True)
class Element:
    """What an array element does: the job file of its number."""

    job_files: Mapping[int, Path]
    token: str

    def __call__(self) -> str:
        """One life of the job on this rank."""
        return Worker(self.job_files[int(os.environ["SLURM_ARRAY_TASK_ID"])], self.token)()


@dataclass(frozen=True, kw_only=True)
class Request:
    """What all jobs of one call have in common."""

    store: Store
    profile: ClusterProfile
    shape: Shape
    snapshot: Snapshot
    cluster: str
    """Name of the cluster, as SLURM says."""
    study: str
    array_size: int
    """Elements that an array may have."""
    max_running: int | None = None
    report: Callable[[int, int], None] = lambda done, of: None
    """Called with (jobs handed over, of so many)."""


@dataclass(kw_only=True)
class Handed:
    """What became of the jobs."""

    submitted: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """SLURM's numbers by job key."""
    left: list[tuple[Job, str]] = field(default_factory=list)
    """Jobs that SLURM did not take, with what it said."""
    queue_full: str = ""
    """What SLURM said when it took no more jobs; the rest was not tried."""
    calls: int = 0
    """How often sbatch was called."""


def hand_over(actions: Sequence[Action], request: Request, live_trainings: Sequence[str] = ()) -> Handed:
    """Submit every action that runs a job; what they replace is cancelled first.

    ``live_trainings`` are numbers of trainings in the queue, which ``max_running`` counts. A job that SLURM refuses
    does not stop the others, except where its queue is full. To be called within
    :func:`bench.launching.submitting.submitting`.
    """
    todo = [action for action in actions if action.runs]
    replaced = [number for action in todo for number in action.replaces]
    if replaced:
        cancel(replaced)
    handed = Handed()
    total = len(todo)
    arrays = request.profile.arrays
    trainings = [action for action in todo if action.job.kind == "train"]
    with outside_any_job():
        lanes = Lanes(request.max_running, live_trainings)
        free = chunked(trainings, arrays=arrays and request.profile.links == 1, size=request.array_size)
        _hand_over_batches(free, lanes, request, handed, total)
        refused = {job.run.run_id for job, _ in handed.left if job.run is not None}
        trained = {
            action.job.run.run_id: handed.submitted[action.job.key]
            for action in trainings
            if action.job.run is not None and action.job.key in handed.submitted
        }
        ready = []
        for action in todo:
            job = action.job
            if job.kind == "evaluate" and job.run is not None and job.run.run_id in refused:
                handed.left.append((job, "its training was not submitted"))
            elif job.kind == "evaluate":
                ready.append(action)
        batches = evaluation_batches(ready, trained, arrays=arrays, size=request.array_size)
        _hand_over_batches(batches, Lanes(request.max_running), request, handed, total)
    return handed


def _hand_over_batches(batches: Sequence[Batch], lanes: Lanes, request: Request, handed: Handed, total: int) -> None:
    for batch in batches:
        if handed.queue_full:
            handed.left += [(action.job, handed.queue_full) for action in batch.actions]
            continue
        request.report(len(handed.submitted), total)
        limited = not (batch.after_ok or batch.after_elements)  # what waits for trainings follows at their pace
        try:
            numbers = _hand_over(batch, lanes.before(batch) if limited else (), request, handed)
        except Unanswered:
            raise
        except SchedulerError as error:
            if _QUEUE_FULL.search(str(error)):
                handed.queue_full = str(error)
            handed.left += [(action.job, str(error)) for action in batch.actions]
            continue
        if limited:
            lanes.took(batch, numbers)
    request.report(len(handed.submitted), total)


def _hand_over(batch: Batch, before: Sequence[str], request: Request, handed: Handed) -> tuple[str, ...]:
    """Submit one batch: job files, tokens, sbatch (of a chain, one for each link), numbers; returns these."""
    records, token = JobRecords(request.store), new_token()
    shape = shape_of(batch.kind, request.profile, request.shape)
    intended = _intended(batch, token, request, shape)
    files = [_write_job_file(action.job, request, shape) for action in batch.actions]
    indices = batch.indices or (None,) * len(batch.actions)
    for action, index in zip(batch.actions, indices, strict=True):
        records.intend(action.job.key, replace(intended, index=index, after=waited_for(batch, index)))
    task: Callable[[], str] = Worker(files[0], token)
    if batch.indices is not None:
        task = Element(job_files=dict(zip(batch.indices, files, strict=True)), token=token)
    numbers: list[str] = []
    try:
        for _ in range(intended.links):
            condition = dependency(batch, before, numbers)
            numbers.append(_submit(batch, task, intended, condition, numbers, request))
            handed.calls += 1
    except Unanswered:
        raise
    except SchedulerError as error:
        if not numbers:
            for action in batch.actions:
                records.refused(action.job.key, token, str(error))
            raise
    for action, index in zip(batch.actions, indices, strict=True):
        ids = tuple(numbers) if index is None else (f"{numbers[0]}_{index}",)
        records.submitted(action.job.key, token, ids)
        handed.submitted[action.job.key] = ids
    return tuple(numbers)


def _intended(batch: Batch, token: str, request: Request, shape: Shape) -> Submission:
    """What the records say of a batch before it is handed over."""
    records, key = JobRecords(request.store), batch.actions[0].job.key
    array = batch.indices is not None
    folder = records.array_folder(token) if array else records.logs_folder(key)
    middle = re.sub(r"[^A-Za-z0-9_.-]", "_", f"{request.study}-{batch.kind}" if array else key)
    return Submission(
        token=token,
        name=f"spade-{middle[:_LONGEST_NAME]}-{token}",
        scheduler="SLURM",
        time=time.time(),
        folder=folder.relative_to(request.store.root).as_posix(),
        links=request.profile.links if batch.kind == "train" else 1,
        code=f"code/{request.snapshot.name}",
        cluster=request.cluster,
        profile=request.profile.name,
        nodes=shape.nodes,
        ranks_per_node=shape.gpus_per_node,
    )


def _submit(
    batch: Batch,
    task: Callable[[], str],
    intended: Submission,
    condition: str,
    known: Sequence[str],
    request: Request,
) -> str:
    """One call of sbatch for a batch; returns the number. Raises as :func:`call_sbatch` does."""
    parameters = sbatch_parameters(batch.kind, request.profile, request.shape, name=intended.name, dependency=condition)
    elements = None
    if batch.indices is not None:
        limit = f"%{request.max_running}" if request.max_running is not None else ""
        elements = f"{ranges(batch.indices)}{limit}"
    return call_sbatch(
        task,
        Script(
            name=intended.name,
            folder=request.store.root.absolute() / intended.folder,
            token=intended.token,
            parameters=parameters,
            elements=elements,
        ),
        request.profile,
        request.snapshot,
        known,
    )


def _write_job_file(job: Job, request: Request, shape: Shape) -> Path:
    profile = request.profile
    settings = JobSettings(
        device=profile.device,
        nodes=shape.nodes,
        ranks_per_node=shape.gpus_per_node,
        hang_after_s=profile.hang_after_s,
        requeue=profile.requeue,
    )
    return JobFile(job=job, store=request.store.root.absolute(), settings=settings).write()
