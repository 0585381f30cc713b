"""Verbs of a study: plan, run, report."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli import gallery_options
from bench.cli.common import DataOption, SeedsOption, StudyArgument, console_here, store_in, study_of, tell_if_missing
from bench.cli.here import finish, run_inline_here, run_local_here, write_report
from bench.cli.options import (
    DEFAULT_STORE,
    Backend,
    BackendOption,
    DeviceOption,
    GpusOption,
    JobsPerGpuOption,
    NodesOption,
    OutOption,
    ProcessesOption,
    ProfileOption,
    RanksOption,
    StoreOption,
)

if TYPE_CHECKING:
    from bench.reporting.options import ReportOptions
    from bench.store import Store
    from bench.study import Study

RetryOption = Annotated[bool, typer.Option(help="Whether failed jobs are tried again.")]


def register(app: typer.Typer) -> None:
    """Add this module's verbs to the command line."""
    app.command("plan")(plan)
    app.command("run")(run)
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

        chosen, opened = profile_for(profile), store_in(store)
        show_plan(name, study_of(name, data, seeds, opened), opened, chosen, console_here(), retry=retry)
        return
    from bench.cost import told_cost
    from bench.plan import plan_study, summary
    from bench.reporting.status import plan_table

    opened = store_in(store)
    study = study_of(name, data, seeds, opened)
    actions = plan_study(study, opened, retry_failed=retry)
    console_here().print(plan_table(actions, f"plan of {name}, store {store}"))
    print(summary(actions))
    print(told_cost(study, opened))


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
            study_of(name, data, seeds),
            store_in(store),
            chosen,
            shape_from(chosen, nodes, gpus_per_node),
            console_here(),
            retry=retry,
            dry_run=dry_run,
            max_running=max_running,
        )
        return
    for_slurm = {"--profile": profile, "--nodes": nodes, "--gpus-per-node": gpus_per_node, "--max-running": max_running}
    _refuse_options_of("slurm", for_slurm)
    for_local = {"--processes": processes, "--ranks": ranks, "--jobs-per-gpu": jobs_per_gpu}
    if backend is Backend.inline:
        _refuse_options_of("local", for_local)
    if dry_run:
        plan(name, store, data, seeds, retry)
        return
    study, opened = study_of(name, data, seeds), store_in(store)
    if backend is Backend.inline:
        executed = run_inline_here(study, opened, device, retry=retry)
    else:
        executed = run_local_here(study, opened, device, processes, ranks, jobs_per_gpu, retry=retry)
    finish(study, opened, executed, out)


def _refuse_options_of(backend: str, given: Mapping[str, object]) -> None:
    """Raises ValueError naming the options that mean something to another backend only."""
    names = [name for name, value in given.items() if value is not None]
    if names:
        raise ValueError(f"{', '.join(names)}: for --backend {backend} only; add it, or leave {', '.join(names)} out")


class IntervalChoice(StrEnum):
    """What intervals speak for (the values of bench.reporting.options.Interval)."""

    seeds = "seeds"
    images = "images"
    both = "both"


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
    cost: Annotated[
        bool, typer.Option("--cost", help="Add columns of multiply-adds, memory, images/s and GPU-hours.")
    ] = False,
    interval: Annotated[
        IntervalChoice,
        typer.Option(help="What ± speaks for: other seeds, other images, or both. (One seed: images at most.)"),
    ] = IntervalChoice.seeds,
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="ROW ROW", help="Compare two rows instead, on the same images. Beginnings of labels do."),
    ] = None,
    orderings: Annotated[
        bool, typer.Option("--orderings", help="Show instead which of the paper's orderings hold, pair by pair.")
    ] = False,
    external: Annotated[
        bool, typer.Option("--external", help="Add imported images and checkpoint files judged by the same protocol.")
    ] = False,
    mix_protocols: Annotated[
        bool,
        typer.Option("--mix-protocols", help="Fill gaps with scores by other protocols, marked; never by itself."),
    ] = False,
    gallery_kind: gallery_options.RuleOption = "first",
    gallery_images: gallery_options.ImagesOption = 6,
    gallery_seed: gallery_options.SeedOption = 0,
    gallery_row: gallery_options.RowOption = None,
) -> None:
    """Draw a study's table, plots and gallery from the store, however much of it is there.

    Of several data sets the first table has them side by side, as the paper's tables do. The CSV always has the cost.
    `report STUDY --compare "decoder w/ SPADE" "decoder w/ Concat"` prints the difference of two rows with its interval
    over images, over seeds and over both, and the probability that the first is better. `report STUDY --orderings` goes
    through every pair that the published table orders.

    What there are no numbers for is left out. captions.json says of every picture what is compared, by which protocol,
    on how many images and seeds. `report STUDY --gallery-rule worst --gallery-row "decoder w/ SPADE"` shows where a
    row fails.
    """
    from bench.reporting.garbage import garbage_kept
    from bench.reporting.options import ReportOptions

    opened = store_in(store)
    study = study_of(name, data, seeds, opened)
    tell_if_missing(opened)
    options = ReportOptions(interval=interval.value, cost=cost, mix_protocols=mix_protocols, external=external)
    with garbage_kept():
        if form == "all" and compare is None and not orderings:
            rule = gallery_options.gallery_rule(gallery_kind, gallery_images, gallery_seed, gallery_row)
            write_report(study, opened, out, console_here(), options, rule)
        else:
            _print_report(study, opened, form, compare, options, orderings=orderings)


def _print_report(
    study: Study,
    opened: Store,
    form: str,
    compare: tuple[str, str] | None,
    options: ReportOptions,
    *,
    orderings: bool,
) -> None:
    """One format, the comparison of two rows, or the paper's orderings, to standard output."""
    from bench.reporting.render import render
    from bench.reporting.tables import Collected

    collected = Collected(study, opened, options)
    if compare is not None and orderings:
        raise ValueError("--compare shows two rows and --orderings all pairs; leave one of them out")
    if compare is not None:
        from bench.reporting.comparison import comparison_table

        tables, form = [comparison_table(collected, *compare)], "terminal" if form == "all" else form
    elif orderings:
        from bench.reporting.orderings import orderings_table

        tables, form = [orderings_table(collected)], "terminal" if form == "all" else form
    else:
        tables = collected.tables(cost=True) if form == "csv" else collected.report_tables()
    print(render(study.title, tables, form), end="")  # type: ignore[arg-type]
