"""Verbs that watch and steer: status, cancel, retry."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.common import DataOption, SeedsOption, StudyArgument, console_here, store_in, study_of, tell_if_missing
from bench.cli.options import (
    DEFAULT_STORE,
    DeviceOption,
    JobsPerGpuOption,
    JsonOption,
    OutOption,
    ProcessesOption,
    StoreOption,
)

if TYPE_CHECKING:
    from bench.cli.here import Choice
    from bench.cli.retrying import Last
    from bench.launching.asking import Accounting
    from bench.launching.cancelling import Subject
    from bench.launching.outcome import Outcome
    from bench.store import Store
    from bench.study import Study

_SHOWN = 20
_FIRST_LOOK_S = 2.0
"""How long a live table's first look waits for SLURM before it is drawn."""
ProfileOption = Annotated[
    Path | None,
    typer.Option("--profile", metavar="FILE", help="Cluster profile, where SLURM's own configuration does not tell."),
]


def register(app: typer.Typer) -> None:
    """Add this module's verbs to the command line."""
    app.command("status")(status)
    app.command("cancel")(cancel)
    app.command("retry")(retry)


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
    tell_if_missing(opened)
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


def cancel(
    name: Annotated[
        str, typer.Argument(metavar="STUDY|RUN", help="A study, a run (enough of its name), or the key of a job.")
    ],
    store: StoreOption = DEFAULT_STORE,
    data: DataOption = None,
    seeds: SeedsOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    profile: ProfileOption = None,
) -> None:
    """Cancel what runs or waits of a study or run, evaluations of it too; checkpoints stay.

    What runs is asked to stop and saves its state. `retry STUDY` or `run STUDY` goes on from there.
    """
    from bench.launching.asking import PATIENCE_S, Asking
    from bench.launching.cancelling import cancel_jobs, held_jobs, wait_until_saved
    from bench.launching.submitting import submitting

    opened = store_in(store)
    subjects = _subjects(name, opened, data, seeds)
    asking = Asking(opened, accounting_of(profile))
    heard = asking.hear([item.key for item in subjects], PATIENCE_S)
    held = held_jobs(opened, subjects, heard.states)
    for note in heard.notes:
        print(note)
    if not held:
        print(f"nothing of {name} runs or waits")
        return
    for item in held[:_SHOWN]:
        print(item.told())
    if len(held) > _SHOWN:
        print(f"and {len(held) - _SHOWN} more")
    if not yes and not sys.stdin.isatty():
        raise ValueError(f"cancel asks before it does anything, and nobody is there to answer: `cancel {name} --yes`")
    if not yes and not typer.confirm(f"cancel {'this job' if len(held) == 1 else f'these {len(held)} jobs'}?"):
        print("nothing was cancelled")
        return
    with submitting(opened):
        held = held_jobs(opened, subjects, asking.hear([item.key for item in subjects], PATIENCE_S).states)
        for line in cancel_jobs(opened, held):
            print(line)
    for line in wait_until_saved(opened, held):
        print(line)
    if any(item.by == "elsewhere" for item in held):
        raise typer.Exit(1)


def _subjects(name: str, opened: Store, data: list[str] | None, seeds: str | None) -> list[Subject]:
    """Every job of the study ``name``, or those of the run that it names."""
    from bench.launching.cancelling import Subject
    from bench.plan import study_jobs
    from bench.study import list_studies
    from bench.targets import evaluations_of, find_target

    if opened.study_json(name) is None and name not in dict(list_studies()):
        target = find_target(opened, name)
        judged = evaluations_of(opened, target.identity) if target.kind == "train" else []
        return [
            Subject(key=item.key, title=item.title, run=item.run if item.kind == "train" else None)
            for item in (target, *judged)
        ]
    jobs = {job.key: job for job in study_jobs(study_of(name, data, seeds, opened, as_last_run=True))}
    return [
        Subject(
            key=job.key,
            title=job.title,
            run=opened.run(job.run) if job.kind == "train" and job.run is not None else None,
        )
        for job in jobs.values()
    ]


def retry(
    name: StudyArgument,
    store: StoreOption = DEFAULT_STORE,
    data: DataOption = None,
    seeds: SeedsOption = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="Only what failed, not what was cancelled or interrupted.")
    ] = False,
    profile: Annotated[
        Path | None,
        typer.Option("--profile", metavar="FILE", help="Cluster profile.", show_default="profiles/NAME.toml"),
    ] = None,
    device: DeviceOption = "auto",
    processes: ProcessesOption = None,
    jobs_per_gpu: JobsPerGpuOption = None,
    out: OutOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")] = False,
) -> None:
    """Try again what failed, was cancelled or interrupted, each job by the backend that had it last; nothing else.

    Jobs go on from their last checkpoint. `run STUDY` also submits what never began.
    """
    from bench.cli.here import finish, run_inline_here, run_local_here
    from bench.cli.retrying import grouped, joined, only, profile_file, wanted_again
    from bench.job_records import JobRecords
    from bench.launching.asking import PATIENCE_S, Asking
    from bench.reporting.status import StatusReader, status_table

    opened = store_in(store)
    study = study_of(name, data, seeds, opened, as_last_run=True)
    reader, console = StatusReader(study, opened), console_here()
    heard = Asking(opened, accounting_of(profile)).hear(reader.unfinished(), PATIENCE_S)
    lines = reader.lines(heard.states)
    keys = wanted_again(lines, failed_only=failed)
    if not keys:
        print(f"nothing of {name} {'has failed' if failed else 'has failed, was cancelled or interrupted'}")
        return
    console.print(status_table([line for line in lines if line.job.key in keys]))
    outcomes: list[Outcome] = []
    for how, own in grouped(keys, reader.jobs, JobRecords(opened).of(keys)).items():
        print(f"{len(own)} job{'s'[: len(own) != 1]} with backend {how.backend.lower()}")
        if how.backend == "SLURM":
            _retry_on_slurm(study, opened, how, profile_file(how.profile, profile), only(own), dry_run)
            continue
        if dry_run or any(outcome.interrupted for outcome in outcomes):
            continue
        if how.backend == "local":
            local = how.ranks_per_node
            outcomes.append(
                run_local_here(study, opened, device, processes, local, jobs_per_gpu, retry=True, only=only(own))
            )
        else:
            outcomes.append(run_inline_here(study, opened, device, retry=True, only=only(own)))
    if outcomes:
        finish(study, opened, joined(outcomes), out)


def _retry_on_slurm(study: Study, opened: Store, how: Last, file: Path, choice: Choice, dry_run: bool) -> None:
    from bench.cli.slurm import profile_for, run_on_slurm
    from bench.launching.slurm.script import Shape

    run_on_slurm(
        study,
        opened,
        profile_for(file),
        Shape(nodes=how.nodes, gpus_per_node=how.ranks_per_node),
        console_here(),
        retry=True,
        dry_run=dry_run,
        max_running=None,
        only=choice,
    )
