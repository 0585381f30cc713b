"""The inline backend: the jobs of a plan, one after the other, in this process."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from bench.launching.jobs import evaluate_job, train_job
from bench.plan import Action, Job
from bench.store import Store


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a call of the backend ended."""

    finished: int
    failed: tuple[tuple[Job, str], ...]
    """Jobs that failed, each with one line of why."""
    interrupted: bool


def run_inline(actions: Sequence[Action], store: Store, console: Console, *, device: str = "auto") -> Outcome:
    """Execute every action that runs a job. One failed job does not stop the others, only what depends on it.

    SIGINT or SIGTERM stops after the current step, with the state saved; running again continues there.
    """
    todo = [action for action in actions if action.runs]
    failed: list[tuple[Job, str]] = []
    broken_runs: set[str] = set()
    finished = 0
    for number, action in enumerate(todo, start=1):
        job = action.job
        head = f"[{number}/{len(todo)}] {job.title}"
        if job.kind == "evaluate" and job.run is not None and job.run.run_id in broken_runs:
            console.print(f"{head}: left out, its training failed", highlight=False, markup=False)
            continue
        started = time.perf_counter()
        try:
            complete = _execute(job, store, console, head, device)
        except KeyboardInterrupt:
            return Outcome(finished=finished, failed=tuple(failed), interrupted=True)
        except Exception as error:  # a job may fail in any way; its folder holds the traceback, the others go on
            why = (str(error).strip().splitlines() or [type(error).__name__])[0]
            failed.append((job, why))
            if job.run is not None:
                broken_runs.add(job.run.run_id)
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


class ProgressLine:
    """A live line with bar, text and ETA on a terminal; a printed line every tenth of the way elsewhere."""

    def __init__(self, console: Console, head: str) -> None:
        self.console, self.head = console, head
        self._live = console.is_terminal
        self._printed = 0
        if self._live:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                TaskProgressColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[text]}"),
                console=console,
                transient=True,
            )
            self._task = self._bar.add_task(head, total=None, text="")

    def __enter__(self) -> ProgressLine:
        if self._live:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._bar.stop()

    def update(self, done: int, of: int, what: str) -> None:
        """``done`` of ``of`` units are done; ``what`` says at what."""
        if self._live:
            self._bar.update(self._task, completed=done, total=of, text=what)
            return
        tenth = 10 * done // max(of, 1)
        if tenth > self._printed:
            self._printed = tenth
            self.console.print(f"{self.head}: {100 * done // of} %  {what}", highlight=False, markup=False)
            sys.stdout.flush()
