"""``retry``: what failed or was cancelled, and nothing else, by the backend that had it last."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.here import Choice
from bench.job_records import Submission
from bench.plan import Action, Job, JobState, Verb

if TYPE_CHECKING:
    from bench.launching.outcome import Outcome
    from bench.reporting.standing import Stand
    from bench.reporting.status import StatusLine

_ORDER = ("SLURM", "local", "inline")
"""What is handed over first: SLURM's jobs wait by themselves, the others are waited for."""
_FAILED: frozenset[Stand] = frozenset({"failed", "hopeless"})
_TAKEN_BACK: frozenset[Stand] = frozenset({"cancelled", "stopped"})


@dataclass(frozen=True)
class Last:
    """How a job was executed last."""

    backend: str
    """``inline``, ``local`` or ``SLURM``."""
    profile: str = ""
    nodes: int = 1
    ranks_per_node: int = 1


def wanted_again(lines: Sequence[StatusLine], *, failed_only: bool) -> set[str]:
    """Keys of the jobs that ``retry`` is about: what failed, was cancelled or stopped, and evaluations of it.

    With ``failed_only`` just what failed, and evaluations of that.
    """
    states = _FAILED if failed_only else _FAILED | _TAKEN_BACK
    found = {line.job.key for line in lines if line.state in states}
    runs = {_run_id(line.job) for line in lines if line.job.kind == "train" and line.job.key in found} - {""}
    for line in lines:
        waits = line.job.kind == "evaluate" and line.state in ("not begun", "cancelled")
        if waits and _run_id(line.job) in runs:
            found.add(line.job.key)
    return found


def grouped(keys: set[str], jobs: Sequence[Job], last: Mapping[str, Submission]) -> dict[Last, set[str]]:
    """``keys`` by how each was executed last.

    An evaluation goes with its training where that is among them, else with any training of its backend: nodes and
    ranks are those of trainings.
    """
    found: dict[Last, set[str]] = {}
    of_run: dict[str, Last] = {}
    for job in sorted(jobs, key=lambda job: job.kind == "evaluate"):
        if job.key not in keys:
            continue
        item = last.get(job.key)
        how = Last("inline")
        if item is not None:
            how = Last(item.scheduler, item.profile, item.nodes, item.ranks_per_node)
        if job.kind == "train":
            of_run[_run_id(job)] = how
        else:
            alike = (other for other in of_run.values() if (other.backend, other.profile) == (how.backend, how.profile))
            how = of_run.get(_run_id(job)) or next(alike, how)
        found.setdefault(how, set()).add(job.key)
    return dict(sorted(found.items(), key=lambda item: _ORDER.index(item[0].backend)))


def only(keys: set[str]) -> Choice:
    """Of a plan just the jobs ``keys``; the others are left as they are."""

    def choice(actions: list[Action], states: dict[str, JobState]) -> list[Action]:
        return [
            replace(action, verb=Verb.WAIT, reason="not among what is tried again", replaces=())
            if action.runs and action.job.key not in keys
            else action
            for action in actions
        ]

    return choice


def joined(outcomes: Sequence[Outcome]) -> Outcome:
    """Several calls of backends as one."""
    from bench.launching.outcome import Outcome

    return Outcome(
        finished=sum(item.finished for item in outcomes),
        failed=tuple(failed for item in outcomes for failed in item.failed),
        interrupted=any(item.interrupted for item in outcomes),
    )


def profile_file(name: str, given: Path | None) -> Path:
    """The file of the profile that jobs were last submitted with. Raises ValueError where it has to be named."""
    if given is not None:
        return given
    for folder in (Path("profiles"), Path(__file__).resolve().parents[2] / "profiles"):
        if (folder / f"{name}.toml").is_file():
            return folder / f"{name}.toml"
    raise ValueError(
        f"these jobs were submitted with profile {name!r}, and there is no profiles/{name}.toml; name it: --profile "
        f"{os.path.join('DIR', name)}.toml"
    )


def _run_id(job: Job) -> str:
    return job.run.run_id if job.run is not None else ""
