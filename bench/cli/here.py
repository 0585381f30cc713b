"""``run`` on this machine: in this process, or as processes of their own."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from bench.cli.common import console_here

if TYPE_CHECKING:
    from rich.console import Console

    from bench.launching.outcome import Outcome
    from bench.plan import Action, JobState
    from bench.reporting.options import ReportOptions
    from bench.reporting.sampling import GalleryRule
    from bench.store import Store
    from bench.study import Study

Choice = Callable[["list[Action]", "dict[str, JobState]"], "list[Action]"]
"""Of a plan's actions, with the states they were decided from, those that are wanted now (the others only wait)."""


def everything(actions: list[Action], states: dict[str, JobState]) -> list[Action]:
    """The plan as it is."""
    return actions


def run_inline_here(study: Study, opened: Store, device: str, *, retry: bool, only: Choice = everything) -> Outcome:
    """Execute what the plan, and ``only`` of it, says in this process."""
    from bench.launching.inline import run_inline

    console = console_here()
    return run_inline(_decided(study, opened, console, retry, only), opened, console, device=device)


def run_local_here(
    study: Study,
    opened: Store,
    device: str,
    processes: int | None,
    ranks: int | None,
    jobs_per_gpu: int | None,
    *,
    retry: bool,
    only: Choice = everything,
) -> Outcome:
    """The same as processes of this machine."""
    from bench.launching.local import LocalSettings, run_local

    settings = LocalSettings(
        processes=processes,
        ranks=study.ranks if ranks is None else ranks,
        jobs_per_gpu=1 if jobs_per_gpu is None else jobs_per_gpu,
        device=device,
    )
    console = console_here()
    return run_local(lambda: _decided(study, opened, console, retry, only), opened, console, settings)


def _decided(study: Study, opened: Store, console: Console, retry: bool, only: Choice) -> list[Action]:
    """Plan, and say so; the study is kept in the store."""
    from bench.plan import plan, study_states, summary

    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise ValueError("`run` starts the processes of a job itself; under torchrun use `train`")
    opened.write_study(study)
    jobs, states = study_states(study, opened)
    actions = only(plan(jobs, states, retry_failed=retry), states)
    console.print(f"{study.title}: {summary(actions)} (store {opened.root})", highlight=False)
    return actions


def finish(study: Study, opened: Store, outcome: Outcome, out: Path | None) -> None:
    """The report; exit status 130 after an interruption, 1 where a job failed."""
    console = console_here()
    if outcome.interrupted:
        console.print(f"interrupted, the state is saved; `./run_study.py run {study.name}` goes on", highlight=False)
        raise typer.Exit(130)
    write_report(study, opened, out, console)
    for job, why in outcome.failed:
        console.print(f"failed: {job.title}: {why}", style="red", highlight=False, markup=False)
    if outcome.failed:
        console.print(
            f"`./run_study.py why RUN` shows the traceback; `retry {study.name}` tries again", highlight=False
        )
        raise typer.Exit(1)


def write_report(
    study: Study,
    store: Store,
    out: Path | None,
    console: Console,
    options: ReportOptions | None = None,
    gallery: GalleryRule | None = None,
) -> None:
    """Print the table and write every file of the report, naming them."""
    from bench.reporting.gallery import FIRST, study_galleries
    from bench.reporting.options import DEFAULT
    from bench.reporting.render import report as draw

    folder = out or Path("results") / study.name
    pictures = study_galleries(study, store, folder, rule=gallery or FIRST)
    files = draw(
        study,
        store,
        folder,
        ("md", "csv", "latex", "html", "terminal"),
        options=options or DEFAULT,
        pictures=pictures,
        console=console,
    )
    console.print("written:", highlight=False)
    for path in [*files, *(picture.file for picture in pictures)]:
        console.print(f"  {path}", highlight=False, markup=False)
