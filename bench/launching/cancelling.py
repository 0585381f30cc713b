"""Taking jobs back: out of SLURM's queue, out of the local backend's, or by asking their processes to stop.

A job that runs is asked to stop and saves its state; its checkpoint stays, and running again goes on from there.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from bench.claim import Holder, holder_of, process_lives, this_machine
from bench.job_records import JobRecords, Submission
from bench.launching.slurm.commands import cancel as scancel
from bench.local_queue import LOCAL, local_state
from bench.scheduler import Scheduled
from bench.signs import signs
from bench.store import RunFolder, Store

SAVING_S = 20.0
"""How long it is waited for running jobs to save their state."""
_PAUSE_S = 0.2


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A job that may be cancelled."""

    key: str
    title: str
    run: RunFolder | None
    """Of a training."""

    @property
    def pending_first(self) -> bool:
        """Whether it is an evaluation: these go first, so that none starts because its training has ended."""
        return self.key.startswith("evaluate-")


@dataclass(frozen=True, kw_only=True)
class Held:
    """A job that somebody or something holds, and how it can be taken back."""

    subject: Subject
    by: Literal["SLURM", "local", "process", "elsewhere"]
    running: bool
    where: str
    """Such as ``SLURM job 4711 on node7``."""
    scheduled: Scheduled | None = None
    submission: Submission | None = None
    holder: Holder | None = None

    def told(self) -> str:
        """One line."""
        return f"{self.subject.title}: {'running' if self.running else 'pending'}, {self.where}"


def held_jobs(store: Store, subjects: Sequence[Subject], heard: Mapping[str, Scheduled]) -> list[Held]:
    """Those of ``subjects`` that run or wait; ``heard`` is what SLURM said, by job key."""
    records = JobRecords(store)
    found = []
    for subject in subjects:
        submission = records.latest(subject.key)
        held = _submitted(store, subject, submission, heard) if submission is not None and submission.open else None
        held = held or _by_hand(store, subject)
        if held is not None:
            found.append(held)
    return found


def _submitted(store: Store, subject: Subject, item: Submission, heard: Mapping[str, Scheduled]) -> Held | None:
    local = item.scheduler == LOCAL
    scheduled = local_state(store, subject.key, item) if local else heard.get(subject.key, item.scheduled())
    if scheduled is None or scheduled.state == "ended":
        return None
    where = f"{scheduled.name}{f' on {scheduled.node}' if scheduled.node else ''}"
    if scheduled.state == "unknown":
        where = f"{where}: {scheduled.reason or 'SLURM cannot be asked here; cancel on its login node'}"
        return Held(subject=subject, by="elsewhere", running=False, where=where, scheduled=scheduled, submission=item)
    return Held(
        subject=subject,
        by="local" if local else "SLURM",
        running=scheduled.state == "running",
        where=where,
        scheduled=scheduled,
        submission=item,
    )


def _by_hand(store: Store, subject: Subject) -> Held | None:
    """A job that runs without having been handed to any scheduler."""
    folder = subject.run.path if subject.run is not None else store.evaluation_folder(subject.key.partition("-")[2])
    holder = holder_of(folder)
    if holder is None:
        return None
    here = holder.machine == this_machine()
    where = f"process {holder.pid} on {holder.host}{'' if here else ', another machine: stop it there'}"
    return Held(subject=subject, by="process" if here else "elsewhere", running=True, where=where, holder=holder)


def cancel_jobs(store: Store, held: Sequence[Held]) -> list[str]:
    """Cancel them; returns what was done, a line each. To be called within ``submitting``.

    Pending ones go first, evaluations before trainings. Raises SchedulerError where SLURM refuses; then nothing is
    recorded.
    """
    todo = sorted(held, key=lambda item: (item.running, not item.subject.pending_first))
    told = [*_cancel_on_slurm(store, [item for item in todo if item.by == "SLURM"])]
    told += _cancel_here(store, [item for item in todo if item.by == "local"])
    for item in todo:
        if item.by == "process" and item.holder is not None:
            told.append(_stop_process(item, item.holder))
        elif item.by == "elsewhere":
            told.append(f"NOT cancelled: {item.told()}")
    return told


def _cancel_on_slurm(store: Store, items: Sequence[Held]) -> list[str]:
    numbers = [number for item in items if item.scheduled is not None for number in item.scheduled.numbers]
    if not numbers:
        return []
    scancel(list(dict.fromkeys(numbers)))
    for item in items:
        _record(store, item)
    running = sum(item.running for item in items)
    return [
        f"SLURM was told to cancel {len(items)} job{'s'[: len(items) != 1]} ({running} running, "
        f"{len(items) - running} pending): {_some(numbers)}"
    ]


def _cancel_here(store: Store, items: Sequence[Held]) -> list[str]:
    told = []
    for item in items:
        _record(store, item)  # the process that starts the jobs looks there, on whatever machine it is
    for item in items:
        if not item.running:
            continue
        assert item.submission is not None
        for sign in signs(store.job_folder(item.subject.key), item.submission.token):
            if sign.machine == this_machine() and sign.lives(time.time()):
                _terminate(sign.pid)
        told.append(f"asked to stop: {item.told()}")
    waiting = sum(not item.running for item in items)
    if waiting:
        told.append(f"taken out of the local queue: {waiting} job{'s'[: waiting != 1]}")
    return told


def _stop_process(item: Held, holder: Holder) -> str:
    if process_lives(holder.pid, holder.since):
        _terminate(holder.pid)
    return f"asked to stop, with the `run` or `train` that it belongs to: {item.told()}"


def _terminate(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)


def _record(store: Store, item: Held) -> None:
    """It has ended, as far as it concerns who plans; while it saves its state, its folder says that it runs."""
    assert item.scheduled is not None
    assert item.submission is not None
    reason = f"by {getpass.getuser()} with `cancel`"
    how = replace(item.scheduled, state="ended", cause="cancelled", reason=reason, hopeless=False, advice="")
    JobRecords(store).ended(item.subject.key, item.submission.token, how)


def wait_until_saved(
    store: Store,
    held: Sequence[Held],
    limit_s: float = SAVING_S,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> list[str]:
    """Wait for running jobs to stop, so long at most; returns a line for each: saved where, or still at it."""
    left = {item.subject.key: item for item in held if item.running and item.by != "elsewhere"}
    told = []
    deadline = time.monotonic() + limit_s
    while left:
        for key, item in list(left.items()):
            run = item.subject.run
            folder = run.path if run is not None else store.evaluation_folder(key.partition("-")[2])
            if holder_of(folder) is None:
                del left[key]
                saved = f", saved at step {run.saved_step()}" if run is not None and run.saved_step() else ""
                told.append(f"stopped: {item.subject.title}{saved}")
        if not left or time.monotonic() >= deadline:
            break
        sleep(_PAUSE_S)
    return told + [f"still saving its state: {item.subject.title} ({item.where})" for item in left.values()]


def _some(numbers: Sequence[str]) -> str:
    return ", ".join(numbers[:8]) + (f" and {len(numbers) - 8} more" if len(numbers) > 8 else "")
