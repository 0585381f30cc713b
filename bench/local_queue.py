"""How jobs of the local backend stand: from the signs of their ranks and of the process that starts them. Torch-free.

    STORE/jobs/local-<queue>/   claimed by the process that starts the jobs for as long as it lives

It takes the place of a scheduler's query: a job that waits for its turn, or runs, is not started twice.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from bench.claim import holder_of, this_machine
from bench.job_records import Submission
from bench.scheduler import Cause, Scheduled
from bench.signs import Sign, signs
from bench.store import Store

LOCAL = "local"
"""What :attr:`bench.job_records.Submission.scheduler` is for these jobs."""


def local_state(store: Store, key: str, submission: Submission, now: float | None = None) -> Scheduled | None:
    """How a submission to the local backend stands; None where it was never started and nobody is left to do so."""
    assert submission.scheduler == LOCAL
    if submission.ended is not None:
        return submission.ended
    moment = time.time() if now is None else now
    known = submission.scheduled()
    ranks = signs(store.job_folder(key), submission.token)
    living = [sign for sign in ranks if sign.lives(moment)]
    if living:
        return replace(known, state="running", node=hosts(living))
    starter = holder_of(store.root / submission.queue)
    if starter is not None and not ranks:
        reason = f"waits for its turn with process {starter.pid} on {starter.host}"
        return replace(known, state="pending", reason=reason, node="")
    if starter is not None:
        return replace(known, state="running", node=hosts(ranks), reason="its last process has ended this moment")
    if not ranks:
        return None
    return replace(known, state="ended", node=hosts(ranks), cause=_cause(ranks), reason=_how(ranks))


def hosts(ranks: Sequence[Sign]) -> str:
    """The machines of some ranks, each once."""
    return ",".join(dict.fromkeys(sign.host for sign in ranks))


def _cause(ranks: Sequence[Sign]) -> Cause:
    """Why a job ended whose starter did not live to tell."""
    ends = {sign.end for sign in ranks}
    if "failed" in ends:
        return "failed"
    if ends <= {"done", "stopped"}:
        return "completed"
    return "node failure" if _restarted(ranks) else "failed"


def _restarted(ranks: Sequence[Sign]) -> bool:
    """Whether the machine has been started anew since."""
    here = this_machine().split()
    theirs = [sign.machine.split() for sign in ranks]
    return any(other[0] == here[0] and other[1:2] != here[1:2] for other in theirs if other)


def _how(ranks: Sequence[Sign]) -> str:
    if any(sign.end for sign in ranks):
        return ""
    if _restarted(ranks):
        return "the machine was started anew"
    return "killed, together with the process that had started it"
