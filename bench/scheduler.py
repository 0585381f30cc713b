"""What a scheduler knows of a job: the one thing that planner and reports learn from SLURM. Imports nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ScheduledState = Literal["pending", "running", "ended", "unknown"]
Cause = Literal[
    "",
    "completed",
    "failed",
    "out of memory",
    "time limit",
    "preempted",
    "cancelled",
    "node failure",
    "dependency failed",
]

INTERRUPTIONS: frozenset[Cause] = frozenset({"time limit", "preempted", "node failure", "completed"})
"""Ends that say nothing against the job itself: it goes on where it stood, also when failed jobs are left alone.

``completed`` is among them: such a job handed over to a later life of itself, or ended before its work was done.
"""


@dataclass(frozen=True, kw_only=True)
class Scheduled:
    """One job as its scheduler sees it."""

    state: ScheduledState
    """``unknown``: it was handed over, and the scheduler was not asked or does not know it any more."""
    id: str = ""
    """The scheduler's number for it, such as ``4711_3``; of several the one that tells its state."""
    ids: tuple[str, ...] = ()
    """All its numbers, where several jobs stand in for one another."""
    reason: str = ""
    """Why it is pending, in the scheduler's word."""
    hopeless: bool = False
    """Whether it can never start as it was submitted."""
    advice: str = ""
    """What to do about a hopeless one."""
    node: str = ""
    restarts: int = 0
    """How often the scheduler started it again."""
    exit_code: int | None = None
    signal: int | None = None
    """The signal that ended it."""
    cause: Cause = ""
    """Why it ended."""
    word: str = ""
    """Its state in the scheduler's own word."""
    since: float = 0.0
    """When it was handed over; seconds since the epoch."""
    scheduler: str = "SLURM"
    after: tuple[str, ...] = ()
    """The jobs that it was submitted to wait for."""

    @property
    def live(self) -> bool:
        """Whether it will run, or does."""
        return self.state in ("pending", "running") and not self.hopeless

    @property
    def numbers(self) -> tuple[str, ...]:
        """All its numbers."""
        return self.ids or ((self.id,) if self.id else ())

    @property
    def name(self) -> str:
        """Such as ``SLURM job 4711``."""
        return f"{self.scheduler} job {self.id}" if self.id else f"a {self.scheduler} job"

    def ending(self) -> str:
        """How it ended, such as ``out of memory (SLURM job 4711 on node7, signal 9)``."""
        told = "ended before its work was done" if self.cause == "completed" else self.cause or "ended"
        details = [f"{self.name}{f' on {self.node}' if self.node else ''}"]
        if self.exit_code:
            details.append(f"exit code {self.exit_code}")
        if self.signal:
            details.append(f"signal {self.signal}")
        return f"{told} ({', '.join(details)})"
