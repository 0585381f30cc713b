"""The SLURM backend as ``run`` and ``plan`` use it: look, plan, check, hand over."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.job_records import JobRecords
from bench.launching.profile import ClusterProfile, ProfileError, expanded
from bench.launching.resources import Need, check_fit, check_ranks, estimate
from bench.launching.slurm.commands import ClusterFacts, cluster_facts
from bench.launching.slurm.query import ask_scheduler
from bench.launching.slurm.script import Shape
from bench.launching.slurm.submit import Handed, Request, hand_over
from bench.launching.snapshot import Snapshot, take_snapshot
from bench.plan import Action, Job, JobState, limited, plan, study_states
from bench.store import Store
from bench.study import Study


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What store and scheduler say of a study, and what is to be done."""

    actions: list[Action]
    states: dict[str, JobState]
    facts: ClusterFacts

    @property
    def live_trainings(self) -> tuple[str, ...]:
        """The scheduler's numbers of trainings that it holds."""
        trainings = [action for action in self.actions if action.job.kind == "train" and not action.runs]
        keys = dict.fromkeys(action.job.key for action in trainings)
        held = [self.states[key].scheduled for key in keys if key in self.states]
        return tuple(number for item in held if item is not None and item.live for number in item.numbers)


def facts_for(profile: ClusterProfile) -> ClusterFacts:
    """What SLURM says of the cluster, where the profile does not say it."""
    facts = cluster_facts()
    if profile.accounting is not None:
        facts = replace(facts, accounting=profile.accounting != "none")
    if profile.max_array_size is not None:
        facts = replace(facts, max_array_size=min(facts.max_array_size, profile.max_array_size))
    return facts


def asked_plan(
    study: Study, store: Store, profile: ClusterProfile, *, retry_failed: bool = True, settle: bool = False
) -> Asked:
    """The plan, with what SLURM says of the jobs that are not finished: at most three of its commands in all.

    ``settle`` as in :func:`bench.launching.slurm.query.ask_scheduler`.
    """
    facts = facts_for(profile)
    jobs, states = study_states(study, store)
    open_keys = [key for key, state in states.items() if state.status.state != "done"]
    answer = ask_scheduler(JobRecords(store), open_keys, facts, settle=settle, count_queue=profile.max_jobs is not None)
    for key in open_keys:
        known = states[key].scheduled
        if known is None or known.scheduler == "SLURM":  # a job of the local backend is no business of SLURM's
            states[key] = replace(states[key], scheduled=answer.states.get(key))
    actions = plan(jobs, states, retry_failed=retry_failed)
    if profile.max_jobs is not None:

        def places(job: Job) -> int:
            return profile.links if job.kind == "train" else 1

        actions = limited(actions, profile.max_jobs - answer.in_queue, profile.max_jobs, places)
    return Asked(actions=actions, states=states, facts=facts)


def check_place(store: Store, profile: ClusterProfile) -> None:
    """Raises ProfileError where the store lies outside the profile's shared folder, or that is not there."""
    if profile.scratch is None:
        return
    scratch, place = expanded(profile.scratch).resolve(), store.root.resolve()
    if not scratch.is_dir():
        raise ProfileError(f"profile {profile.name}: scratch {scratch} is no folder here; is this the right cluster?")
    if not place.is_relative_to(scratch):
        raise ProfileError(
            f"the store {place} does not lie in {scratch}, the shared folder of profile {profile.name} (scratch), so "
            f"jobs may not find it; choose --store {scratch / getpass.getuser() / 'spade-bench'}"
        )


def checked_needs(
    asked: Asked,
    store: Store,
    profile: ClusterProfile,
    shape: Shape,
    report: Callable[[int, int], None] = lambda done, of: None,
) -> dict[str, Need]:
    """The estimated need of every training that is to run. Raises DoesNotFitError with everything that does not fit."""
    check_ranks(asked.actions, shape.ranks)
    needs = estimate(asked.actions, shape.ranks, report)
    check_fit(asked.actions, needs, profile, store)
    return needs


def submit_plan(
    asked: Asked,
    study: Study,
    store: Store,
    profile: ClusterProfile,
    shape: Shape,
    *,
    max_running: int | None = None,
    report: Callable[[int, int], None] = lambda done, of: None,
    project: Path | None = None,
) -> tuple[Handed, Snapshot]:
    """Freeze the code and hand over every job that is to run; within :func:`submitting`."""
    if max_running is not None and max_running < 1:
        raise ValueError(f"--max-running is {max_running}; it must be at least 1")
    snapshot = take_snapshot(store, project) if project is not None else take_snapshot(store)
    store.write_study(study)
    request = Request(
        store=store,
        profile=profile,
        shape=shape,
        snapshot=snapshot,
        cluster=asked.facts.name,
        study=study.name,
        array_size=max(1, asked.facts.max_array_size),
        max_running=max_running,
        report=report,
    )
    return hand_over(asked.actions, request, asked.live_trainings), snapshot


def needs_table(actions: Sequence[Action], needs: dict[str, Need]) -> list[tuple[str, str, int, Need]]:
    """(row, data set, runs, need) of trainings of one kind, in the order of the plan."""
    found: dict[tuple[str, str], tuple[int, Need]] = {}
    for action in actions:
        need = needs.get(action.job.key)
        if need is not None and action.runs:
            key = (action.job.label, action.job.dataset)
            count = found[key][0] if key in found else 0
            found[key] = (count + 1, need)
    return [(label, dataset, count, need) for (label, dataset), (count, need) in found.items()]
