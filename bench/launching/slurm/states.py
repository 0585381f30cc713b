"""SLURM's words for states and reasons, in ours. Pure."""

from __future__ import annotations

import re
from typing import Final

from bench.scheduler import Cause

PENDING: Final = frozenset(
    {"PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "RESV_DEL_HOLD", "CONFIGURING"}
)
RUNNING: Final = frozenset({"RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING"})
RESTARTED: Final = frozenset({"PREEMPTED", "NODE_FAIL", "BOOT_FAIL"})
"""Ends after which SLURM itself puts a job back, unless that is forbidden."""

_CAUSES: Final[dict[str, Cause]] = {
    "COMPLETED": "completed",
    "FAILED": "failed",
    "OUT_OF_MEMORY": "out of memory",
    "TIMEOUT": "time limit",
    "DEADLINE": "time limit",
    "PREEMPTED": "preempted",
    "CANCELLED": "cancelled",
    "REVOKED": "cancelled",
    "NODE_FAIL": "node failure",
    "BOOT_FAIL": "node failure",
}

_HOPELESS: Final = (
    (r"DependencyNeverSatisfied", "a job that it waits for has failed"),
    (
        r"PartitionConfig|PartitionNodeLimit",
        "the partition has no such nodes: compare nodes, GPUs, CPUs and memory of the profile with `scontrol show "
        "partition` and `sinfo -N -l` (nodes may also be down)",
    ),
    (r"PartitionTimeLimit", "the profile's time_limit is longer than the partition allows"),
    (r"BadConstraints", "no node has the profile's constraint together with its GPUs, CPUs and memory"),
    (r"InvalidAccount|AccountNotAllowed", "the profile's account is unknown, or may not use the partition"),
    (r"InvalidQOS|QOSNotAllowed", "the profile's qos is unknown, or may not be used with account and partition"),
    (r"DeadLine", "its deadline has passed"),
    (
        r"(QOS|Assoc)\w*(PerJob|PerNode|WallDuration)\w*|QOSMin\w+",
        "one job asks for more than account or QOS allow: fewer nodes, GPUs or a shorter time_limit in the profile",
    ),
    (
        r"launch failed requeued held",
        "its start failed and SLURM holds it; its log says why",
    ),
)
_HELD: Final = re.compile(r"JobHeld(User|Admin)|job requeued in held state", re.IGNORECASE)


def word_of(state: str) -> str:
    """The bare word of a state field, such as ``CANCELLED`` of ``CANCELLED by 1000``."""
    return state.split()[0].rstrip("+").upper() if state.split() else ""


def cause_of(word: str, step_words: tuple[str, ...] = (), reason: str = "") -> Cause:
    """Why a job ended, from its own word and those of its steps: only a step may say that memory ran out."""
    if "OUT_OF_MEMORY" in (word, *step_words) and word != "COMPLETED":
        return "out of memory"
    if word == "CANCELLED" and reason.strip("()") in ("DependencyNeverSatisfied", "Dependency"):
        return "dependency failed"
    return _CAUSES.get(word, "")


def advice_for(reason: str) -> str | None:
    """What to do about a pending job whose reason means that it can never start; None for any other reason."""
    bare = reason.strip("() ")
    return next((advice for pattern, advice in _HOPELESS if re.fullmatch(pattern, bare, re.IGNORECASE)), None)


def told_reason(reason: str) -> str:
    """A pending reason for people: SLURM's word, with what to do where somebody holds the job."""
    bare = "" if reason.strip("() ") in ("None", "null", "N/A") else reason.strip("() ")
    return f"{bare}: `scontrol release` lets it go" if _HELD.search(bare) else bare
