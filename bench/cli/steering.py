"""Verbs that watch and steer: status, cancel, retry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.common import DataOption, SeedsOption, StudyArgument, console_here, store_in, study_of
from bench.cli.options import DEFAULT_STORE, JsonOption, StoreOption

if TYPE_CHECKING:
    from bench.launching.asking import Accounting

_FIRST_LOOK_S = 2.0
"""How long a live table's first look waits for SLURM before it is drawn."""
ProfileOption = Annotated[
    Path | None,
    typer.Option("--profile", metavar="FILE", help="Cluster profile, where SLURM's own configuration does not tell."),
]


def register(app: typer.Typer) -> None:
    """Add this module's verbs to the command line."""
    app.command("status")(status)


def status(
    name: StudyArgument,
    store: StoreOption = DEFAULT_STORE,
    data: DataOption = None,
    seeds: SeedsOption = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on showing it until nothing runs any more.")] = False,
    every: Annotated[float, typer.Option("--every", metavar="S", help="Seconds between two looks of --watch.")] = 5.0,
    states: Annotated[
        str | None, typer.Option("--state", metavar="S,S", help="Only jobs in these states, such as failed,running.")
    ] = None,
    page: Annotated[int | None, typer.Option("--page", metavar="N", help="Page N of all jobs.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every job, however many.")] = False,
    as_json: JsonOption = False,
    profile: ProfileOption = None,
) -> None:
    """Show how each job of a study stands: state, steps, images/s, time left, score, node, restarts, and why.

    What a job's own folder says comes first; SLURM is asked once for all submitted jobs, where it is here.
    """
    from bench.launching.asking import PATIENCE_S, Asking
    from bench.reporting.live import Look, View, exit_hint, screen
    from bench.reporting.live import watch as watch_live
    from bench.reporting.status import StatusReader

    if every <= 0:
        raise ValueError(f"--every is {every}; it must be greater than 0")
    view = View.of(states, page, everything)
    opened = store_in(store)
    reader = StatusReader(study_of(name, data, seeds, opened, as_last_run=True), opened)
    asking = Asking(opened, accounting_of(profile))

    def look(wait_s: float) -> Look:
        heard = asking.hear(reader.unfinished(), wait_s)
        return Look(lines=reader.lines(heard.states), notes=heard.notes)

    title, console = f"status of {name}, store {store}", console_here()
    if watch and not as_json:
        last = watch_live(lambda: look(_FIRST_LOOK_S), console, title, view, every)
    else:
        last = look(PATIENCE_S)
    if as_json:
        shown = [line.to_json() for line in last.lines if not view.states or line.state in view.states]
        print(json.dumps({"jobs": shown, "notes": list(last.notes)}, indent=2))
        return
    console.print(screen(last, title, view))
    hint = exit_hint(last.lines, name)
    if hint:
        console.print(hint, style="dim", highlight=False, markup=False)


def accounting_of(profile: Path | None) -> Accounting | None:
    """What a profile says of its cluster's accounting; None without one."""
    if profile is None:
        return None
    from bench.launching.profile import read_profile

    return read_profile(profile).accounting
