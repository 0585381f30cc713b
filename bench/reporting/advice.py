"""What to do about a failure: from what its error, its scheduler and its log say. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class _Advice:
    """What to do where ``sign`` occurs."""

    sign: str
    text: str
    alone: bool = False
    """Whether it is of use only where nothing else is known."""


_ADVICE: Final = (
    _Advice(
        sign=r"CUDA out of memory|torch\.(cuda\.)?OutOfMemoryError|CUBLAS_STATUS_ALLOC_FAILED",
        text="the GPU's memory ran out: take more ranks (each then has fewer images), split each rank's share "
        "(--accumulate, in a study Training.accumulate), train in bf16, or put fewer jobs on a GPU",
    ),
    _Advice(
        sign=r"(?<!CUDA )\bout of memory\b|oom.kill|OUT_OF_MEMORY|memory ran out|\bMemoryError|can't allocate memory",
        text="the machine's memory ran out, not the GPU's: raise memory_gib_per_node in the profile (on a workstation "
        "lower --processes), or use fewer loader workers",
    ),
    _Advice(
        sign=r"no space is left|No space left|Errno 28|quota",
        text="make room on the store's disk (or get a larger quota), or keep fewer checkpoints (keep_checkpoints); "
        "what was saved last is whole, running again goes on from there",
    ),
    _Advice(
        sign=r"read-only|Read-only|Errno 30",
        text="the store's disk is mounted read-only: mount it for writing, or name another --store",
    ),
    _Advice(
        sign=r"\btime limit\b|TIME LIMIT",
        text="its time was up before it could save and go on: raise time_limit or signal_before_end_s in the profile; "
        "with requeue = true a job goes on by itself, otherwise run again",
    ),
    _Advice(
        sign=r"\bpreempted\b|PREEMPTION",
        text="nothing is wrong with it: running again goes on from the last checkpoint; with requeue = true it does so "
        "by itself",
    ),
    _Advice(
        sign=r"node failure|NODE FAILURE|NODE_FAIL|machine was started anew|all ranks of \S+ fell silent",
        text="a machine failed, the run did not: run again; a node that fails again can be left out (exclude in the "
        "profile)",
    ),
    _Advice(
        sign=r"\bcancelled\b",
        text="somebody cancelled it: `retry STUDY` submits it again, to go on from its last checkpoint",
    ),
    _Advice(
        sign=r"HangError|watchdog",
        text="the stacks say where each thread stood: a disk that does not answer, a loader, or a collective operation "
        "that one rank never reached; where a step may take so long, raise hang_after_s in the profile",
    ),
    _Advice(
        sign=r"NCCL|ncclSystemError|ncclUnhandled",
        text='the GPUs could not talk to each other: `cluster check --profile FILE` tries it; NCCL_DEBUG = "INFO" in '
        "the profile's environment tells more",
    ),
    _Advice(
        sign=r"Address already in use|EADDRINUSE",
        text="another process had its port: run again takes another one",
    ),
    _Advice(
        sign=r"ModuleNotFoundError|ImportError|command not found|exit code 127",
        text="the node has not the environment that it needs: look at setup and python in the profile, then try "
        "`cluster check --profile FILE`",
    ),
    _Advice(
        sign=r"MissingWeightsError|weights file .* is missing",
        text="`doctor` shows what is missing, `fetch-weights NAME` gets it",
    ),
    _Advice(
        sign=r"DatasetError|UnidentifiedImageError|image file is truncated",
        text="`prepare DATASET --root DIR` checks every file of the data set and lists all that is wrong",
    ),
    _Advice(
        sign=r"SIGBUS|signal 7\b|Bus error",
        text="shared memory (/dev/shm) may be full: use fewer loader workers, or give the container more of it",
    ),
    _Advice(
        sign=r"SIGSEGV|signal 11\b|Segmentation fault",
        text="a crash in compiled code: PYTHONFAULTHANDLER=1 in the environment tells where; try another node, and no "
        "loader workers",
    ),
    _Advice(
        sign=r"TooManyLivesError",
        text="find out why its lives saved nothing (`logs RUN --rank 0`), then submit it again",
    ),
    _Advice(
        sign=r"PermissionError|Permission denied|you may not write",
        text="give the user of the job the right to read and write there",
    ),
    _Advice(
        sign=r"DivergedError",
        text="look at the pictures in its samples folder; the error says what to change",
    ),
    _Advice(
        sign=r"SIGKILL|signal 9\b|: Killed|killed, together",
        text="it was killed from outside, most often for its memory (the kernel's log of the machine tells: dmesg), or "
        "by hand; running again goes on from the last checkpoint",
        alone=True,
    ),
)
_MOST = 3


def advice_for(evidence: str) -> list[str]:
    """What to do, in the order of how much it tells; empty where nothing is known about such a failure."""
    found: list[str] = []
    for item in _ADVICE:
        if not (item.alone and found) and re.search(item.sign, evidence):
            found.append(item.text)
    return found[:_MOST]
