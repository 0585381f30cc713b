"""Verbs of a study: plan, run, status, report."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.options import (
    DEFAULT_STORE,
    Backend,
    BackendOption,
    DeviceOption,
    GpusOption,
    JobsPerGpuOption,
    NodesOption,
    ProcessesOption,
    ProfileOption,
    RanksOption,
    StoreOption,
)

if TYPE_CHECKING:
    from rich.console import Console

    from bench.store import Store
    from bench.study import Study

StudyArgument = Annotated[
    str, typer.Argument(metavar="STUDY", help="A study of the folder studies/ (see `list studies`).")
]
DataOption = Annotated[
    list[str] | None,
    typer.Option(
        "--data",
        metavar="NAME=DIR",
        help="Folder of a data set (may be repeated).",
        show_default="$SPADE_BENCH_DATA_<NAME>",
    ),
]
SeedsOption = Annotated[str | None, typer.Option("--seeds", metavar="0,1,2", help="Seeds in place of the study's own.")]
RetryOption = Annotated[bool, typer.Option(help="Whether failed jobs are tried again.")]
OutOption = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Folder of the report.", show_default="results/STUDY")
]


def register(app: typer.Typer) -> None:
    """Add this module's verbs to the command line."""
    app.command("plan")(plan)
    app.command("run")(run)
    app.command("status")(status)
    app.command("report")(report)


def plan(
    name: StudyArgument,
    store: StoreOption = DEFAULT_STORE,
    data: DataOption = None,
    seeds: SeedsOption = None,
    retry: RetryOption = True,
    backend: BackendOption = Backend.inline,
    profile: ProfileOption = None,
) -> None:
    """Show what `run` would do, job by job with the reason, without doing it.

    No scheduler is asked unless --backend slurm and a --profile are given; then it is asked once for all jobs.
    """
    if backend is Backend.slurm:
        from bench.cli.slurm import profile_for, show_plan

        chosen, opened = profile_for(profile), _opened(store)
        show_plan(name, _study(name, data, seeds, opened), opened, chosen, _console(), retry=retry)
        return
    from bench.plan import plan_study, summary
    from bench.reporting.status import plan_table

    opened = _opened(store)
    actions = plan_study(_study(name, data, seeds, opened), opened, retry_failed=retry)
    _console().print(plan_table(actions, f"plan of {name}, store {store}"))
    print(summary(actions))


def run(
    name: StudyArgument,
    store: StoreOption = DEFAULT_STORE,
    data: DataOption = None,
    seeds: SeedsOption = None,
    out: OutOption = None,
    device: DeviceOption = "auto",
    retry: RetryOption = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")] = False,
    backend: BackendOption = Backend.inline,
    profile: ProfileOption = None,
    nodes: NodesOption = None,
    gpus_per_node: GpusOption = None,
    max_running: Annotated[
        int | None, typer.Option("--max-running", help="At most so many trainings, and evaluations, at a time.")
    ] = None,
    processes: ProcessesOption = None,
    ranks: RanksOption = None,
    jobs_per_gpu: JobsPerGpuOption = None,
) -> None:
    """Do everything a study still lacks: here, printing its table at the end, or by submitting it to a cluster.

    Run it again to continue: finished work is not repeated, what runs or waits elsewhere is left alone, an interrupted
    run goes on from its last checkpoint, and one failed run does not stop the others. Here, Ctrl-C stops after the
    current step with the state saved; a second one at once. With --backend slurm the command submits and returns.
    """
    if backend is Backend.slurm:
        from bench.cli.slurm import profile_for, run_on_slurm, shape_from

        chosen = profile_for(profile)
        run_on_slurm(
            _study(name, data, seeds),
            _opened(store),
            chosen,
            shape_from(chosen, nodes, gpus_per_node),
            _console(),
            retry=retry,
            dry_run=dry_run,
            max_running=max_running,
        )
        return
    for_slurm = {"--profile": profile, "--nodes": nodes, "--gpus-per-node": gpus_per_node, "--max-running": max_running}
    refuse_options_of("slurm", for_slurm)
    for_local = {"--processes": processes, "--ranks": ranks, "--jobs-per-gpu": jobs_per_gpu}
    if backend is Backend.inline:
        refuse_options_of("local", for_local)
    if dry_run:
        plan(name, store, data, seeds, retry)
        return
    _run_here(name, _opened(store), _study(name, data, seeds), out, device, retry)


def refuse_options_of(backend: str, given: dict[str, object]) -> None:
    """Raises ValueError naming the options that mean something to another backend only."""
    names = [name for name, value in given.items() if value is not None]
    if names:
        raise ValueError(f"{', '.join(names)}: for --backend {backend} only; add it, or leave {', '.join(names)} out")


def _run_here(name: str, opened: Store, study: Study, out: Path | None, device: str, retry: bool) -> None:
    """``run`` with the inline backend."""
    from bench.launching.inline import run_inline
    from bench.plan import plan_study, summary

    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise ValueError("`run` executes one job after the other in one process; under torchrun use `train`")
    console = _console()
    opened.write_study(study)
    actions = plan_study(study, opened, retry_failed=retry)
    console.print(f"{study.title}: {summary(actions)} (store {opened.root})", highlight=False)
    outcome = run_inline(actions, opened, console, device=device)
    if outcome.interrupted:
        console.print(f"interrupted, the state is saved; `./run_study.py run {name}` goes on", highlight=False)
        raise typer.Exit(130)
    _report(study, opened, out, console)
    for job, why in outcome.failed:
        console.print(f"failed: {job.title}: {why}", style="red", highlight=False, markup=False)
    if outcome.failed:
        console.print(f"`./run_study.py why RUN` shows the traceback; `run {name}` tries again", highlight=False)
        raise typer.Exit(1)


def status(
    name: StudyArgument, store: StoreOption = DEFAULT_STORE, data: DataOption = None, seeds: SeedsOption = None
) -> None:
    """Show how far each job of a study is: state, step, images/s, time left, last score, host, error."""
    from bench.reporting.status import status_lines, status_table

    opened = _opened(store)
    lines = status_lines(_study(name, data, seeds, opened), opened)
    _console().print(status_table(lines, f"status of {name}, store {store}"))


def report(
    name: StudyArgument,
    store: StoreOption = DEFAULT_STORE,
    data: DataOption = None,
    seeds: SeedsOption = None,
    out: OutOption = None,
    form: Annotated[
        str,
        typer.Option(
            "--format", metavar="all|terminal|md|csv|latex|html", help="One format to standard output, or all to files."
        ),
    ] = "all",
) -> None:
    """Draw a study's table, plots and gallery from the store, however much of it is there."""

    opened = _opened(store)
    study = _study(name, data, seeds, opened)
    if form == "all":
        _report(study, opened, out, _console())
        return
    from bench.reporting.render import render
    from bench.reporting.tables import study_tables

    print(render(study.title, study_tables(study, opened), form), end="")  # type: ignore[arg-type]


def _study(name: str, data: list[str] | None, seeds: str | None, kept: Store | None = None) -> Study:
    """The study, with the data folders and seeds given on the command line.

    Where its data is not on this machine, the study that ``kept`` holds from its last `run` takes its place.
    """
    from bench.data.dataset import DatasetError
    from bench.data.registry import dataset_spec
    from bench.study import Study, get_study

    for item in data or []:
        dataset, equals, folder = item.partition("=")
        if not equals or not folder:
            raise ValueError(f"--data is {item!r}; write NAME=DIR, such as coco_stuff=/data/coco_stuff")
        os.environ[dataset_spec(dataset).root_variable] = folder
    stored = kept.study_json(name) if kept is not None else None
    try:
        study = get_study(name)
    except DatasetError:
        if stored is None:
            raise
        study = Study.from_json(stored, f"study {name} in the store")
    if seeds is None:
        return study
    try:
        chosen = tuple(int(seed) for seed in seeds.split(","))
    except ValueError:
        raise ValueError(f"--seeds is {seeds!r}; write whole numbers separated by commas, such as 0,1,2") from None
    return replace(study, seeds=chosen)


def _report(study: Study, store: Store, out: Path | None, console: Console) -> None:
    """Print the table and write every file of the report, naming them."""
    from bench.reporting.gallery import study_galleries
    from bench.reporting.render import report as write_report
    from bench.reporting.tables import study_tables
    from bench.reporting.terminal import print_tables

    folder = out or Path("results") / study.name
    pictures = study_galleries(study, store, folder)
    files = write_report(study, store, folder, ("md", "csv", "latex", "html"), pictures=pictures)
    print_tables(study_tables(study, store), console)
    console.print("written:", highlight=False)
    for path in [*files, *(picture.file for picture in pictures)]:
        console.print(f"  {path}", highlight=False, markup=False)


def _opened(folder: Path) -> Store:
    """The store in ``folder``. Raises ValueError where that is a file."""
    from bench.store import Store

    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--store {folder} is a file; give a folder (it is made where there is none)")
    return Store(folder)


def _console() -> Console:
    from rich.console import Console

    found = Console()
    return found if found.is_terminal else Console(width=160)
