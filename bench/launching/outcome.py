"""How a call of a backend that executes jobs itself ended."""

from __future__ import annotations

from dataclasses import dataclass

from bench.plan import Job


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a call of the backend ended."""

    finished: int
    failed: tuple[tuple[Job, str], ...]
    """Jobs that failed, each with one line of why."""
    interrupted: bool
