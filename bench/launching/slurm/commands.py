"""SLURM's commands: called with a clean environment, a time limit, and once more where the controller was busy."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

TIMEOUT_S = 120.0
TRIES = 4
PAUSE_S = 2.0
"""Before the second try; doubled before each further one."""

BUSY = re.compile(
    r"timed out|temporarily (?:unable|unavailable)|Unable to contact slurm|Zero Bytes were transmitted|"
    r"Connection (?:refused|reset)|Slurm backup controller in standby|server is busy|Transport endpoint",
    re.IGNORECASE,
)
"""Answers of a controller that is busy or away for the moment."""

_OF_A_JOB = re.compile(
    r"(SLURM|SLURMD|SRUN|SUBMITIT|PMI|PMIX|TORCHELASTIC)_\w+|RANK|WORLD_SIZE|LOCAL_RANK|LOCAL_WORLD_SIZE|"
    r"MASTER_ADDR|MASTER_PORT|GROUP_RANK|ROLE_RANK|CUDA_VISIBLE_DEVICES|ROCR_VISIBLE_DEVICES|GPU_DEVICE_ORDINAL"
)
_KEPT = ("SLURM_CONF",)
_OF_QUERIES = re.compile(r"(SQUEUE|SACCT)_\w+")


class SchedulerError(ValueError):
    """SLURM gave no answer, or refused; the message says which command, what it said, and what to do."""


@dataclass(frozen=True, kw_only=True)
class ClusterFacts:
    """What ``scontrol show config`` says of a cluster."""

    name: str
    version: str
    max_array_size: int
    """Elements that an array may have; their numbers run from 0 to one less."""
    accounting: bool
    """Whether ``sacct`` answers."""


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """``environment`` as a login node would have it: without what a SLURM job, torchrun or a job's launcher added.

    Outside a job it is returned as it is. SLURM_CONF stays: without it nothing is found where slurm.conf is elsewhere.
    """
    if "SLURM_JOB_ID" not in environment:
        return dict(environment)
    return {name: value for name, value in environment.items() if name in _KEPT or not _OF_A_JOB.fullmatch(name)}


@contextlib.contextmanager
def outside_any_job() -> Iterator[None]:
    """``os.environ`` is :func:`clean_environment` for the block: a job submitted from a job inherits nothing of it."""
    before = dict(os.environ)
    cleaned = clean_environment(before)
    for name in before.keys() - cleaned.keys():
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(before)


def ask(command: Sequence[str], *, timeout_s: float = TIMEOUT_S, tries: int = TRIES) -> str:
    """Standard output of a command that changes nothing; tried again while the controller is busy.

    Raises SchedulerError with the command, what it said, and what to do.
    """
    environment = {name: value for name, value in os.environ.items() if not _OF_QUERIES.fullmatch(name)}
    environment["SLURM_TIME_FORMAT"] = "%s"  # seconds since the epoch
    said = ""
    for attempt in range(1, tries + 1):
        try:
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout_s)
        except FileNotFoundError:
            raise SchedulerError(
                f"the command {command[0]} is not there: is this a login node of the cluster? Load SLURM's module, "
                f"or use --backend inline"
            ) from None
        except subprocess.TimeoutExpired:
            said = f"no answer within {timeout_s:g} s"
        else:
            if done.returncode == 0:
                return done.stdout
            said = (done.stderr or done.stdout).strip() or f"exit status {done.returncode}"
            if not BUSY.search(said):
                break
        if attempt < tries:
            time.sleep(PAUSE_S * 2 ** (attempt - 1))
    shown = " ".join(command)
    raise SchedulerError(
        f"`{shown[:160]}{'...' if len(shown) > 160 else ''}` failed: {said[:600]}\n"
        f"nothing was changed; `sinfo` shows whether SLURM answers, then do the same again"
    )


def cluster_facts() -> ClusterFacts:
    """Ask ``scontrol show config``. Raises SchedulerError."""
    found: dict[str, str] = {}
    for line in ask(["scontrol", "show", "config"]).splitlines():
        name, equals, value = line.partition("=")
        if equals:
            found.setdefault(name.strip(), value.strip())
    size = found.get("MaxArraySize", "")
    return ClusterFacts(
        name=found.get("ClusterName", ""),
        version=found.get("SLURM_VERSION", ""),
        max_array_size=int(size) if size.isdigit() else 1001,
        accounting=found.get("AccountingStorageType", "").rpartition("/")[2] not in ("", "none", "(null)"),
    )


def cancel(numbers: Sequence[str]) -> None:
    """``scancel`` of jobs or array elements by number; those that have ended already are no error.

    Raises SchedulerError where SLURM refuses.
    """
    for first in range(0, len(numbers), 500):
        try:
            ask(["scancel", *numbers[first : first + 500]])
        except SchedulerError as error:
            if not re.search(r"Invalid job id|already completing or completed", str(error), re.IGNORECASE):
                raise
