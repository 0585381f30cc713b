"""How a job stands: its own folder first, its scheduler after."""

from __future__ import annotations

from itertools import product
from typing import get_args

import pytest

from bench.reporting.standing import ATTENTION, MOVING, STANDS, STYLES, standing
from bench.scheduler import Cause, Scheduled
from bench.store import SILENT, RunStatus

NOW = 10_000.0
DONE = RunStatus(state="done", step=9, steps=9, updated=NOW - 50)
RUNNING = RunStatus(state="running", step=4, steps=9, host="node1", updated=NOW - 5)
FAILED = RunStatus(state="failed", step=4, steps=9, error="ValueError: no\nmore", host="node1", updated=NOW - 50)
SILENCE = RunStatus(state="failed", error=f"{SILENT} on node1 (pid 7)", host="node1", updated=NOW - 7200)
PENDING = RunStatus(state="pending")
STOPPED = RunStatus(state="pending", step=4, steps=9, note="stopped by SIGTERM, its state is saved", updated=NOW - 60)

WAITS = Scheduled(state="pending", id="7", reason="Priority", since=NOW - 20)
NEVER = Scheduled(state="pending", id="7", reason="BadConstraints", hopeless=True, advice="no such node", since=NOW)
RUNS = Scheduled(state="running", id="7", node="node2", since=NOW - 900)
RUNS_ANEW = Scheduled(state="running", id="8", node="node2", since=NOW - 20)
UNASKED = Scheduled(state="unknown", id="7", since=NOW - 8000)


def over(cause: Cause, **details: object) -> Scheduled:
    return Scheduled(state="ended", id="7", cause=cause, since=NOW - 8000, **details)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("status", "scheduled", "state", "remark"),
    [
        (DONE, over("cancelled"), "done", ""),
        (RUNNING, None, "running", ""),
        (RUNNING, WAITS, "running", ""),
        (RUNNING, over("time limit"), "running", "SLURM says: time limit (SLURM job 7)"),
        (FAILED, None, "failed", "ValueError: no"),
        (FAILED, over("failed", exit_code=1), "failed", "ValueError: no"),
        (FAILED, over("out of memory"), "failed", "ValueError: no (out of memory)"),
        (FAILED, WAITS, "pending", "Priority; before: ValueError: no"),
        (FAILED, RUNS, "failed", "ValueError: no (SLURM job 7 is still ending)"),
        (FAILED, RUNS_ANEW, "starting", "SLURM job 8"),
        (FAILED, UNASKED, "failed", "ValueError: no"),
        (SILENCE, None, "failed", f"{SILENT} on node1 (pid 7)"),
        (SILENCE, RUNS, "starting", "SLURM job 7; last sign of life 2 h 00 min ago"),
        (
            SILENCE,
            UNASKED,
            "unknown",
            "SLURM job 7: its scheduler was not asked; last sign of life 2 h 00 min ago on node1",
        ),
        (
            SILENCE,
            over("out of memory", node="node1", signal=9),
            "failed",
            "out of memory (SLURM job 7 on node1, signal 9)",
        ),
        (SILENCE, over("node failure", node="node1"), "stopped", "node failure (SLURM job 7 on node1)"),
        (SILENCE, over("preempted"), "stopped", "preempted (SLURM job 7)"),
        (PENDING, None, "not begun", ""),
        (PENDING, WAITS, "pending", "Priority"),
        (PENDING, NEVER, "hopeless", "BadConstraints; no such node"),
        (PENDING, RUNS, "starting", "SLURM job 7"),
        (PENDING, UNASKED, "unknown", "SLURM job 7: its scheduler was not asked"),
        (PENDING, over("cancelled", reason="by alice"), "cancelled", "by alice (SLURM job 7)"),
        (PENDING, over("cancelled", node="n1"), "cancelled", "cancelled (SLURM job 7 on n1)"),
        (PENDING, over("dependency failed"), "cancelled", "the job that it waited for has failed"),
        (PENDING, over("failed", exit_code=1), "failed", "failed (SLURM job 7, exit code 1)"),
        (PENDING, over("completed"), "stopped", "ended before its work was done (SLURM job 7)"),
        (STOPPED, None, "stopped", "stopped by SIGTERM, its state is saved"),
        (STOPPED, WAITS, "pending", "Priority"),
        (STOPPED, over("time limit"), "stopped", "time limit (SLURM job 7)"),
    ],
)
def test_the_folder_comes_first_and_the_scheduler_refines_it(
    status: RunStatus, scheduled: Scheduled | None, state: str, remark: str
) -> None:
    found = standing(status, scheduled, NOW)
    assert (found.state, found.remark) == (state, remark)


def test_a_checkpoint_tells_stopped_from_not_begun() -> None:
    assert standing(PENDING, None, NOW, saved=True).state == "stopped"


def test_whatever_is_said_there_is_a_state_and_what_needs_somebody_says_why() -> None:
    schedulers = [None, WAITS, NEVER, RUNS, RUNS_ANEW, UNASKED, *(over(cause) for cause in get_args(Cause))]
    for status, scheduled in product((DONE, RUNNING, FAILED, SILENCE, PENDING, STOPPED), schedulers):
        found = standing(status, scheduled, NOW)
        assert found.state in STANDS
        if found.state in ATTENTION:
            assert found.remark, (status, scheduled)
        if status.state in ("done", "running"):
            assert found.state == status.state
    assert set(STYLES) == set(STANDS)
    assert not ATTENTION & MOVING
