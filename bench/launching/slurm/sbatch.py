"""One call of sbatch, through submitit; where SLURM was busy, repeated only once it is clear that nothing arrived."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from submitit import SlurmExecutor
from submitit.core.utils import DelayedSubmission, FailedJobError, FailedSubmissionError

from bench.launching.profile import ClusterProfile
from bench.launching.slurm.commands import BUSY, PAUSE_S, TRIES, SchedulerError, ask
from bench.launching.slurm.script import interpreter, setup_lines
from bench.launching.snapshot import Snapshot


class Unanswered(SchedulerError):
    """SLURM did not say whether it took a job; the next call finds out by the job's name."""


class _Executor(SlurmExecutor):
    """submitit's, also on login nodes without srun: sbatch is enough to submit."""

    @classmethod
    def affinity(cls) -> int:
        return 2


@dataclass(frozen=True, kw_only=True)
class Script:
    """What sbatch is given."""

    name: str
    """The job's name; ends with the token."""
    folder: Path
    """Of script, task and logs."""
    token: str
    parameters: dict[str, Any]
    """submitit's, as :func:`bench.launching.slurm.script.sbatch_parameters` makes them."""
    elements: str | None = None
    """Element numbers of an array, such as ``0-9%2``; None for a job by itself."""


def call_sbatch(
    task: Callable[[], str], script: Script, profile: ClusterProfile, snapshot: Snapshot, known: Sequence[str] = ()
) -> str:
    """Submit ``task``, to be called on every rank; returns SLURM's number. ``known`` jobs have the same name.

    The task is written before the call, and the job itself finds it: a process that dies right after the call leaves a
    job that runs. Raises SchedulerError where sbatch refuses, Unanswered where nobody knows whether it arrived.
    """
    script.folder.mkdir(parents=True, exist_ok=True)
    task_file = script.folder / f"{script.token}.pkl"
    DelayedSubmission(task).dump(task_file)
    executor = _Executor(script.folder, python=interpreter(profile), max_num_timeout=0)
    parameters = dict(script.parameters)
    if script.elements is not None:
        parameters["additional_parameters"] = {**parameters["additional_parameters"], "array": script.elements}
    executor.update_parameters(setup=setup_lines(profile, snapshot, task_file), **parameters)
    if script.elements is not None:
        executor.parameters["map_count"] = 1  # log files are then named by array and element
    said = ""
    for attempt in range(TRIES):
        if attempt:
            time.sleep(PAUSE_S * 2 ** (attempt - 1))
        try:
            return str(executor.submit(task).job_id)
        except (FailedJobError, FailedSubmissionError) as error:
            said = str(error).strip()
            unclear = isinstance(error, FailedSubmissionError) or BUSY.search(said) is not None
        if not unclear:
            break
        arrived = _arrived(script.name) - set(known)
        if arrived:
            return min(arrived, key=int)
    raise SchedulerError(
        f"sbatch refused {script.name}: {_bare(said)}\nits script is {script.folder}/.submission_file_*.sh; the "
        f"parameters are those of profile {profile.name}"
    )


def _arrived(name: str) -> set[str]:
    """Numbers of the jobs called ``name``. Raises Unanswered where SLURM does not say."""
    try:
        told = ask(["squeue", "-h", "-t", "all", "-n", name, "-o", "%F"])
    except SchedulerError as error:
        raise Unanswered(
            f"SLURM did not say whether it took {name}: {error}\nwhen it answers again, run again: the job is found "
            f"by its name, and is not submitted twice"
        ) from error
    return {line.strip() for line in told.splitlines() if line.strip()}


def _bare(said: str) -> str:
    """What sbatch said, without its own head."""
    return " ".join(line.removeprefix("sbatch: error: ").strip() for line in said.splitlines() if line.strip())[:400]
