"""The inline backend: the jobs of a plan, one after the other, in this process."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.console import Console

from bench.claim import ClaimedError
from bench.launching.evaluation_job import evaluate_job
from bench.launching.outcome import Outcome as Outcome
from bench.launching.progress import ProgressLine
from bench.launching.training_job import train_job
from bench.plan import Action, Job, job_state
from bench.store import Store


def run_inline(actions: Sequence[Action], store: Store, console: Console, *, device: str = "auto") -> Outcome:
    """Execute every action that runs a job. One failed job does not stop the others, only what depends on it.

    SIGINT or SIGTERM stops after the current step, with the state saved; running again continues there.
    """
    todo = [action for action in actions if action.runs]
    failed: list[tuple[Job, str]] = []
    unfinished: dict[str | None, str] = {}  # run_id of a training that did not come to its end: why
    finished = 0
    for number, action in enumerate(todo, start=1):
        job = action.job
        head = f"[{number}/{len(todo)}] {job.title}"
        run_id = job.run.run_id if job.run is not None else None
        if job.kind == "evaluate" and run_id in unfinished:
            console.print(f"{head}: left out, its training {unfinished[run_id]}", highlight=False, markup=False)
            continue
        now = job_state(store, job).status.state
        if now in ("done", "running"):
            if now == "running" and job.kind == "train":
                unfinished[run_id] = "is not finished"
            console.print(f"{head}: left to the process that has taken it up ({now})", highlight=False, markup=False)
            continue
        started = time.perf_counter()
        try:
            complete = _execute(job, store, console, head, device)
        except ClaimedError:
            if job.kind == "train":
                unfinished[run_id] = "is not finished"
            console.print(f"{head}: left to the process that has taken it up", highlight=False, markup=False)
            continue
        except KeyboardInterrupt:
            return Outcome(finished=finished, failed=tuple(failed), interrupted=True)
        except Exception as error:  # a job may fail in any way; its folder holds the traceback, the others go on
            why = (str(error).strip().splitlines() or [type(error).__name__])[0]
            failed.append((job, why))
            if job.kind == "train":
                unfinished[run_id] = "failed"
            console.print(f"{head}: FAILED: {why}", style="red", highlight=False, markup=False)
            continue
        if not complete:
            return Outcome(finished=finished, failed=tuple(failed), interrupted=True)
        finished += 1
        console.print(f"{head}: done in {time.perf_counter() - started:.0f} s", highlight=False, markup=False)
    return Outcome(finished=finished, failed=tuple(failed), interrupted=False)


def _execute(job: Job, store: Store, console: Console, head: str, device: str) -> bool:
    """Run one job with a progress line; returns whether it came to its end."""
    with ProgressLine(console, head) as line:
        if job.evaluation is not None:
            evaluate_job(job.evaluation, job.run, store, device=device, progress=line.update)
            return True
        assert job.run is not None
        return train_job(job.run, store, device=device, progress=line.update)
