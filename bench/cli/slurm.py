"""``plan`` and ``run`` with ``--backend slurm``: what they print around the submission."""

from __future__ import annotations

import contextlib
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from bench.cli.here import Choice, everything

if TYPE_CHECKING:
    from rich.console import Console

    from bench.launching.profile import ClusterProfile
    from bench.launching.resources import Need
    from bench.launching.slurm.script import Shape
    from bench.launching.slurm.submit import Handed
    from bench.plan import Action
    from bench.store import Store
    from bench.study import Study

_MOST_LINES = 60


def profile_for(path: Path | None) -> ClusterProfile:
    """The profile in a file, with its folders of data and weights in the environment where nothing else is set.

    Raises ValueError where none is given, or it is wrong.
    """
    from bench.launching.profile import read_profile

    if path is None:
        raise ValueError(
            "--backend slurm needs --profile FILE, which describes the cluster; copy one of profiles/*.toml and change "
            "it (docs/cluster.md), then try it with `cluster check --profile FILE`"
        )
    profile = read_profile(path)
    for name, value in profile.variables().items():
        if name.startswith("SPADE_BENCH_"):
            os.environ.setdefault(name, value)
    return profile


def shape_from(profile: ClusterProfile, nodes: int | None, gpus_per_node: int | None) -> Shape:
    """The shape of training jobs: one node with all its GPUs, unless asked otherwise."""
    from bench.launching.slurm.script import Shape

    if gpus_per_node is not None and gpus_per_node > profile.gpus_per_node:
        raise ValueError(
            f"--gpus-per-node is {gpus_per_node}, but a node of profile {profile.name} has {profile.gpus_per_node}; "
            f"take more nodes (--nodes)"
        )
    return Shape(
        nodes=1 if nodes is None else nodes,
        gpus_per_node=profile.gpus_per_node if gpus_per_node is None else gpus_per_node,
    )


def show_plan(name: str, study: Study, store: Store, profile: ClusterProfile, console: Console, *, retry: bool) -> None:
    """What ``plan --backend slurm`` prints: every action with its reason; SLURM is asked once, nothing is written."""
    from bench.cost import told_cost
    from bench.launching.slurm.backend import asked_plan
    from bench.plan import summary
    from bench.reporting.status import plan_table

    asked = asked_plan(study, store, profile, retry_failed=retry)
    console.print(plan_table(asked.actions, f"plan of {name}, store {store.root}, cluster {asked.facts.name}"))
    print(summary(asked.actions))
    print(told_cost(study, store))


def run_on_slurm(
    study: Study,
    store: Store,
    profile: ClusterProfile,
    shape: Shape,
    console: Console,
    *,
    retry: bool,
    dry_run: bool,
    max_running: int | None,
    only: Choice = everything,
) -> None:
    """Plan, show, estimate, check, and (without ``dry_run``) submit; returns while the jobs are still waiting.

    Of the plan, ``only`` chooses what is wanted now.
    """
    from bench.launching.progress import ProgressLine
    from bench.launching.slurm.backend import asked_plan, check_place, checked_needs, submit_plan
    from bench.launching.submitting import submitting

    check_place(store, profile)
    with contextlib.nullcontext() if dry_run else submitting(store):
        asked = asked_plan(study, store, profile, retry_failed=retry, settle=not dry_run)
        asked = replace(asked, actions=only(asked.actions, asked.states))
        _print_actions(asked.actions, f"{study.title} (store {store.root}, cluster {asked.facts.name})", console)
        if not any(action.runs for action in asked.actions):
            console.print("nothing to submit", highlight=False)
            return
        with ProgressLine(console, "estimate memory") as line:
            needs = checked_needs(
                asked,
                store,
                profile,
                shape,
                lambda done, of: line.update(done, of, "networks; each is worked out once"),
            )
        _print_needs(asked.actions, needs, profile, shape, store, console)
        if dry_run:
            console.print("dry run: nothing was submitted", highlight=False)
            return
        with ProgressLine(console, "submit") as line:
            handed, snapshot = submit_plan(
                asked,
                study,
                store,
                profile,
                shape,
                max_running=max_running,
                report=lambda done, of: line.update(done, of, "jobs"),
            )
    console.print(f"code: {snapshot.told()} in {snapshot.folder}", highlight=False, markup=False)
    _print_handed(handed, study, console)
    if handed.left:
        raise typer.Exit(1)


def _print_actions(actions: Sequence[Action], title: str, console: Console) -> None:
    """The plan: line by line where it is short, otherwise counted by verb and reason."""
    from bench.plan import summary
    from bench.reporting.status import plan_table

    console.print(f"{title}: {summary(actions)}", highlight=False, markup=False)
    if len(actions) <= _MOST_LINES:
        console.print(plan_table(actions))
        return
    counts = Counter((action.verb.value, action.job.kind, _general(action.reason)) for action in actions)
    for (verb, kind, reason), count in counts.most_common(_MOST_LINES):
        console.print(f"  {count:5d}  {verb} {kind}: {reason}", highlight=False, markup=False)


def _general(reason: str) -> str:
    """A reason without the numbers that tell one job from another."""
    return re.sub(r"\bjob [\d_]+", "job ...", re.sub(r"'[^']*'", "...", reason))


def _print_needs(
    actions: Sequence[Action],
    needs: dict[str, Need],
    profile: ClusterProfile,
    shape: Shape,
    store: Store,
    console: Console,
) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    from bench.launching.resources import free_gib
    from bench.launching.slurm.backend import needs_table

    evaluations = sum(1 for action in actions if action.runs and action.job.kind == "evaluate")
    console.print(
        f"each training: {shape.nodes} node(s) x {shape.gpus_per_node} GPUs = {shape.ranks} ranks, at most "
        f"{profile.time_limit} a life; {evaluations} evaluations on {profile.evaluation.gpus} GPU(s)",
        highlight=False,
    )
    rows = needs_table(actions, needs)
    if not rows:
        return
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    limit = f" of {profile.gpu_memory_gib:g}" if profile.gpu_memory_gib is not None else ""
    for title in ("row", "data set", "runs", f"GiB on each GPU{limit}", "checkpoint GiB", "disk GiB"):
        table.add_column(title, justify="left" if title in ("row", "data set") else "right")
    for label, dataset, count, need in rows:
        gpu = f"{need.gpu_gib:.1f}" if need.gpu_gib is not None else f"not estimated: {need.why_not}"
        disk = f"{count * need.disk_gib:.1f}"
        table.add_row(Text(label), Text(dataset), str(count), Text(gpu), f"{need.checkpoint_gib:.2f}", disk)
    console.print(table)
    total = sum(count * need.disk_gib for _, _, count, need in rows)
    console.print(
        f"estimates (docs/cluster.md says how good); disk {total:.0f} GiB in all, {free_gib(store.root):.0f} GiB free",
        highlight=False,
    )


def _print_handed(handed: Handed, study: Study, console: Console) -> None:
    """What was submitted, what was not and why, and what to do next."""
    jobs = "job" if len(handed.submitted) == 1 else "jobs"
    calls = "call" if handed.calls == 1 else "calls"
    console.print(f"submitted {len(handed.submitted)} {jobs} with {handed.calls} {calls} of sbatch", highlight=False)
    reasons = Counter(why for _, why in handed.left)
    for why, count in reasons.most_common(10):
        console.print(f"not submitted ({count}): {why}", style="red", highlight=False, markup=False)
    if handed.queue_full:
        console.print("the queue takes no more of our jobs: run again when some have ended", highlight=False)
    console.print(
        f"you may log out; `./run_study.py status {study.name}` shows how far it is, running this again goes on",
        highlight=False,
    )
