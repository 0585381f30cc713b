"""Asking SLURM for ``status``, ``why`` and ``cancel``: one batched query for all jobs, never waited for long.

What a scheduler says only refines what the jobs' own folders say. Where it cannot be asked, that is said once.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from bench.job_records import JobRecords
from bench.scheduler import Scheduled
from bench.store import Store

if TYPE_CHECKING:
    from bench.launching.slurm.commands import ClusterFacts

PATIENCE_S = 30.0
"""How long one look waits for an answer."""
ASK_EVERY_S = 30.0
"""A live table does not ask more often: the controller of a busy cluster has others to answer."""

Accounting = Literal["slurmdbd", "none"]


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What SLURM said of some jobs."""

    states: dict[str, Scheduled] = field(default_factory=dict)
    """By job key; jobs that were never handed to it, or that it was not asked about, are absent."""
    notes: tuple[str, ...] = ()
    """What could not be known, and why."""


def handed_to_slurm(store: Store, keys: Sequence[str]) -> list[str]:
    """Those of ``keys`` whose newest submission went to SLURM and is not known to have ended."""
    records = JobRecords(store).of(keys)
    return [key for key, item in records.items() if item.scheduler == "SLURM" and item.open]


def ask_slurm(store: Store, keys: Sequence[str], accounting: Accounting | None = None) -> Heard:
    """One look: at most three of SLURM's commands, however many jobs. Never raises for want of SLURM.

    ``accounting`` is what a profile says of it; None: SLURM's configuration is believed.
    """
    asked = handed_to_slurm(store, keys)
    if not asked:
        return Heard()
    jobs = f"{len(asked)} submitted job{'s'[: len(asked) != 1]}"
    if shutil.which("squeue") is None:
        return Heard(notes=(f"squeue is not here: how {jobs} stand, their own folders alone tell",))
    from bench.launching.slurm.commands import SchedulerError, cluster_facts
    from bench.launching.slurm.query import ask_scheduler

    try:
        facts = cluster_facts()
        if accounting is not None:
            facts = replace(facts, accounting=accounting != "none")
        answer = ask_scheduler(JobRecords(store), asked, facts)
    except SchedulerError as error:
        return Heard(notes=(f"SLURM did not answer, {jobs} are told by their own folders alone: {_brief(error)}",))
    return Heard(states=answer.states, notes=_notes(answer.states, facts))


def _notes(states: dict[str, Scheduled], facts: ClusterFacts) -> tuple[str, ...]:
    forgotten = sum(1 for state in states.values() if state.state == "ended" and not state.word)
    elsewhere = sorted({state.reason for state in states.values() if state.reason.startswith("on cluster ")})
    notes = [f"some jobs are {reason}" for reason in elsewhere]
    if forgotten and not facts.accounting:
        notes.append(
            f"cluster {facts.name} has no accounting: why {forgotten} job{'s'[: forgotten != 1]} ended that SLURM has "
            f"forgotten, their own folders alone tell"
        )
    return tuple(notes)


def _brief(error: Exception) -> str:
    return str(error).splitlines()[0][:200]


class Asking:
    """Asks again and again without ever holding up who looks."""

    def __init__(self, store: Store, accounting: Accounting | None = None, *, every_s: float = ASK_EVERY_S) -> None:
        self.store, self.accounting, self.every_s = store, accounting, every_s
        self._heard = Heard()
        self._began: float | None = None
        self._thread: threading.Thread | None = None

    def hear(self, keys: Sequence[str], wait_s: float = PATIENCE_S) -> Heard:
        """The newest answer; a new one is asked for where the last is old, and waited for at most ``wait_s``."""
        now = time.monotonic()
        idle = self._thread is None or not self._thread.is_alive()
        if idle and (self._began is None or now - self._began >= self.every_s):
            self._began = now
            self._thread = threading.Thread(target=self._ask, args=(list(keys),), name="asking", daemon=True)
            self._thread.start()
        if self._thread is not None:
            self._thread.join(wait_s)
            if self._thread.is_alive() and self._began is not None:
                waited = time.monotonic() - self._began
                note = f"SLURM has not answered for {waited:.0f} s; this is what the jobs' own folders say"
                return Heard(states=self._heard.states, notes=(note,))
        return self._heard

    def _ask(self, keys: list[str]) -> None:
        self._heard = ask_slurm(self.store, keys, self.accounting)
