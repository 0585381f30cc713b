"""What SLURM starts on every rank: one life of a job, and its return into the queue when it was stopped.

submitit loads this object and calls it, with handlers of its own for USR2 and TERM in place. These are replaced at
once: they take every preemption of a short job for a time-out, save nothing on TERM (all that most clusters send on
preemption), and put the job back into the queue from within the handler, whatever the other ranks are doing.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.launching.execute import EXIT_STOPPED, Note, Outcome, execute
from bench.launching.job_file import JobFile
from bench.launching.slurm.commands import SchedulerError, ask
from bench.launching.stopping import stop_requests
from bench.lives import Start

_PORTS = range(12_000, 32_000)
"""Below what Linux gives to outgoing connections."""
_TRIES = 8
"""How often a saved job asks a controller that does not answer to take it back: for about five minutes."""
_FOR_GOOD = contextlib.ExitStack()
"""Never left: submitit's handlers must not come back while the process ends."""
_ENDED_BY_THE_SITE = ("TIMEOUT", "PREEMPTED", "NODE_FAIL", "BOOT_FAIL", "DEADLINE")


@dataclass(frozen=True)
class Worker:
    """One rank of a SLURM job, as submitit pickles and calls it."""

    job_file: Path
    submission: str = ""
    """Token of the submission, the same in all its lives; empty: what the job's name ends with."""

    def __call__(self) -> Outcome:
        """One life of the job on this rank. Rank 0 of a stopped job that is not put back into the queue exits with
        EXIT_STOPPED, so that nothing which waits for its success begins."""
        _FOR_GOOD.enter_context(stop_requests())
        os.environ.update(rank_environment(os.environ))
        back = _Requeue(os.environ, allowed=JobFile.read(self.job_file).settings.requeue)
        submission = self.submission or os.environ["SLURM_JOB_NAME"].rpartition("-")[2]
        start = Start(submission=submission, scheduled_id=back.job, restart=restart_count(os.environ))
        outcome = execute(self.job_file, start=start, settle=back.settle)
        if outcome == "stopped" and os.environ["RANK"] == "0" and not back.done:
            sys.exit(EXIT_STOPPED)
        return outcome


def rank_environment(slurm: Mapping[str, str]) -> dict[str, str]:
    """RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT from SLURM's variables.

    The port is a function of the job and of how often it was started: no two jobs on a node share one but by a rare
    chance, and a life never meets what is left of the one before.
    """
    job, restart = slurm["SLURM_JOB_ID"], restart_count(slurm)
    return {
        "RANK": slurm["SLURM_PROCID"],
        "WORLD_SIZE": slurm["SLURM_NTASKS"],
        "LOCAL_RANK": slurm["SLURM_LOCALID"],
        "MASTER_ADDR": first_host(slurm),
        "MASTER_PORT": str(_PORTS[zlib.crc32(f"{job}.{restart}".encode()) % len(_PORTS)]),
    }


def first_host(slurm: Mapping[str, str]) -> str:
    """The node of rank 0."""
    from submitit.slurm.slurm import _parse_node_list

    hosts: list[str] = _parse_node_list(slurm.get("SLURM_STEP_NODELIST") or slurm["SLURM_JOB_NODELIST"])
    return hosts[0]


def restart_count(slurm: Mapping[str, str]) -> int:
    """How often SLURM has started this job before."""
    return int(slurm.get("SLURM_RESTART_COUNT", "0"))


def job_number(slurm: Mapping[str, str]) -> str:
    """The job as scontrol and squeue name it: ``4711``, or ``4711_3`` for an element of an array."""
    if "SLURM_ARRAY_JOB_ID" in slurm:
        return f"{slurm['SLURM_ARRAY_JOB_ID']}_{slurm['SLURM_ARRAY_TASK_ID']}"
    return slurm["SLURM_JOB_ID"]


def guarded_python(python: str) -> str:
    """A shell command that starts ``python`` deaf to USR2 and TERM until this module has its handlers in place.

    Otherwise a notice that comes while the interpreter starts would kill it, and the job would count as failed.
    """
    return shlex.join(["bash", "-c", 'trap "" USR2 TERM; exec "$@"', "bash"]) + f" {python}"


class _Requeue:
    """Puts the job back into the queue, unless it may not, or was cancelled."""

    def __init__(self, slurm: Mapping[str, str], *, allowed: bool) -> None:
        self.job = job_number(slurm)
        self.allowed = allowed
        self.done = False

    def settle(self, note: Note, signal: str) -> None:
        """The next life of a job whose state is saved. Never raises: what fails is noted."""
        note("stopped", f"{signal}; its state is saved")
        state = self._state()
        if state == "cancelled":
            note("cancelled", f"{signal}; it was cancelled, its state is saved")
            return
        if not self.allowed:
            note("stopped", f"{signal}; its state is saved; it may not be put back into the queue here")
            return
        note("stopped", f"{signal}; its state is saved, it is put back into the queue")
        try:
            ask(["scontrol", "requeue", self.job], tries=_TRIES)
            self.done = True
        except SchedulerError as error:
            self.done = self._state() == "gone"  # SLURM has put it back itself in the meantime
            if not self.done:
                note("stopped", f"{signal}; its state is saved, but it could not be put back into the queue: {error}")
                print(error, file=sys.stderr, flush=True)

    def _state(self) -> str:
        """``running``, ``cancelled``, ``ended`` (by its time limit or the like), or ``gone`` for any other."""
        try:
            text = ask(["squeue", "--noheader", "--states=all", f"--jobs={self.job}", "--format=%T %r"], tries=_TRIES)
        except SchedulerError as error:
            print(error, file=sys.stderr, flush=True)
            return "gone"
        word, _, reason = text.strip().partition(" ")
        if word in ("RUNNING", "SUSPENDED"):
            return "running"
        if word in _ENDED_BY_THE_SITE or reason.strip() in ("TimeLimit", "Preempted", "NodeDown"):
            return "ended"
        return "gone" if word == "PENDING" else "cancelled"
