"""How a job stands: what its own folder says comes first, what a scheduler says refines it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from bench.scheduler import INTERRUPTIONS, Scheduled
from bench.store import LOST_PEER, SILENT, RunStatus

Stand = Literal[
    "failed", "hopeless", "cancelled", "stopped", "unknown", "running", "starting", "pending", "not begun", "done"
]
"""In the order of the attention that they ask for.

hopeless: waits for what can never come; stopped: ended before its work was done, and nobody starts it again; unknown:
handed over, and nothing that could tell was asked; starting: its scheduler runs it, its own folder does not say so yet.
"""
STANDS: tuple[Stand, ...] = get_args(Stand)
STYLES: dict[Stand, str] = {
    "failed": "red",
    "hopeless": "bold red",
    "cancelled": "yellow",
    "stopped": "yellow",
    "unknown": "magenta",
    "running": "cyan",
    "starting": "cyan",
    "pending": "",
    "not begun": "dim",
    "done": "green",
}
ATTENTION: frozenset[Stand] = frozenset({"failed", "hopeless", "cancelled", "stopped", "unknown"})
"""Somebody has to do something, or to ask elsewhere."""
MOVING: frozenset[Stand] = frozenset({"running", "starting", "pending"})
"""It goes on by itself."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How one job stands."""

    state: Stand
    remark: str = ""
    """Why: the reason of pending, the error, what the scheduler says."""


def standing(status: RunStatus, scheduled: Scheduled | None, now: float, *, saved: bool = False) -> Standing:
    """How a job stands whose folder says ``status`` and whose scheduler said ``scheduled`` (None: it has none).

    ``saved``: it has a checkpoint to go on from. ``now`` in seconds since the epoch.
    """
    if status.state == "done":
        return Standing(state="done", remark=status.note)
    if status.state == "running":
        remark = status.note
        if scheduled is not None and scheduled.state == "ended" and scheduled.cause != "completed":
            remark = _joined(f"{scheduled.scheduler} says: {scheduled.ending()}", remark)
        return Standing(state="running", remark=remark)
    silent = status.state == "failed" and status.error.startswith(SILENT)
    error = _first_line(status.error)
    if scheduled is None:
        return Standing(state="failed", remark=error) if error else _idle(status, saved)
    told_since = status.updated > 0 and scheduled.since > status.updated
    if scheduled.state == "pending":
        if scheduled.hopeless:
            return Standing(state="hopeless", remark=_joined(scheduled.reason, scheduled.advice))
        return Standing(state="pending", remark=_joined(scheduled.reason, f"before: {error}" if error else ""))
    if scheduled.state == "running":
        if error and not silent and not told_since:
            return Standing(state="failed", remark=f"{error} ({scheduled.name} is still ending)")
        last = f"last sign of life {duration_text(now - status.updated)} ago" if silent else ""
        return Standing(state="starting", remark=_joined(scheduled.name, last))
    if scheduled.state == "unknown":
        if error and not silent and not told_since:
            return Standing(state="failed", remark=error)
        last = f"last sign of life {duration_text(now - status.updated)} ago on {status.host}" if silent else ""
        why = scheduled.reason or "its scheduler was not asked"
        return Standing(state="unknown", remark=_joined(f"{scheduled.name}: {why}", last))
    return _ended(scheduled, error, silent)


def _idle(status: RunStatus, saved: bool) -> Standing:
    if status.note or saved:
        return Standing(state="stopped", remark=status.note or "has a checkpoint")
    return Standing(state="not begun")


def _ended(scheduled: Scheduled, error: str, silent: bool) -> Standing:
    """Its scheduler says that it is over, and its work is not done."""
    ending = _joined(scheduled.ending(), scheduled.reason)
    if scheduled.cause == "cancelled":
        by_whom = f"{scheduled.reason} ({scheduled.name})" if scheduled.reason else scheduled.ending()
        return Standing(state="cancelled", remark=by_whom)
    if scheduled.cause == "dependency failed":
        return Standing(state="cancelled", remark="the job that it waited for has failed")
    if error and not silent:
        told = f" ({scheduled.cause})" if scheduled.cause not in ("", "failed", "completed") else ""
        return Standing(state="failed", remark=f"{error}{told}")
    if scheduled.cause in INTERRUPTIONS:
        return Standing(state="stopped", remark=ending)
    return Standing(state="failed", remark=ending)


def duration_text(seconds: float) -> str:
    """``45 s``, ``12 min``, ``3 h 05 min``, ``2 d 04 h``."""
    whole = round(max(seconds, 0.0))
    if whole < 100:
        return f"{whole} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02d} min"
    return f"{hours // 24} d {hours % 24:02d} h"


def _first_line(text: str) -> str:
    return brief_error((text.strip().splitlines() or [""])[0])


def brief_error(line: str) -> str:
    """An error without what the network library says of a peer that it lost."""
    before, lost, _ = line.partition(LOST_PEER)
    return f"{before}{lost}"


def _joined(*parts: str) -> str:
    return "; ".join(part for part in parts if part)
