"""Verbs of single jobs: logs, why."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.common import store_in
from bench.cli.options import DEFAULT_STORE, StoreOption
from bench.cli.steering import ProfileOption, accounting_of

if TYPE_CHECKING:
    from bench.store import Store
    from bench.targets import Target

_ASK_EVERY_S = 60.0
RunArgument = Annotated[
    str,
    typer.Argument(
        metavar="RUN", help="Name of a run, or enough of it (its run_id, say); or the key of any job: evaluate-1a2b..."
    ),
]


def register(app: typer.Typer) -> None:
    """Add this module's verbs to the command line."""
    app.command("logs")(logs)
    app.command("why")(why)


def logs(
    name: RunArgument,
    store: StoreOption = DEFAULT_STORE,
    lines: Annotated[int, typer.Option("--lines", "-n", help="How many of the newest lines.")] = 20,
    rank: Annotated[
        int | None, typer.Option("--rank", metavar="K", help="What rank K wrote, in place of the metrics.")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what is new, over every restart, until the job is over.")
    ] = False,
) -> None:
    """Print the newest lines of a run's metrics (losses, images/s, memory, scores), or of a rank's raw log.

    An evaluation has no metrics: its raw log of rank 0 is shown.
    """
    from bench.reporting.job_logs import LogTail, MetricsTail, metrics_line, rank_files, rank_logs
    from bench.reporting.target_standing import target_standing
    from bench.targets import find_target

    if lines < 0:
        raise ValueError(f"--lines is {lines}; it must be at least 0")
    opened = store_in(store)
    target = find_target(opened, name)
    stands = target_standing(opened, target)
    run = target.run if target.kind == "train" else None
    head = f", step {stands.status.step}/{stands.status.steps}" if stands.status.steps else ""
    print(f"{run.name if run is not None else target.title}: {stands.standing.state}{head}")
    wanted = 0 if rank is None and target.kind == "evaluate" else rank
    if wanted is None:
        metrics = MetricsTail(lambda: _metrics_file(opened, target))
        rows = metrics.new()
        print("".join(f"{metrics_line(row)}\n" for row in rows[max(0, len(rows) - lines) :]), end="")
        submission, found = rank_logs(opened, target.key)
        if submission is not None:
            print(f"raw logs (--rank {'|'.join(map(str, sorted(found)))}): {next(iter(found.values()))[0].parent}")

        def pieces() -> list[str]:
            return [f"{metrics_line(row)}\n" for row in metrics.new()]
    else:
        if not (follow and not rank_logs(opened, target.key)[1]):
            rank_files(opened, target.key, wanted)
        log = LogTail(lambda: rank_logs(opened, target.key)[1].get(wanted, []))
        for path, text in log.last(lines):
            print(f"== {path}\n{text}", end="")

        def pieces() -> list[str]:
            return [f"{f'== {path}{chr(10)}' if fresh else ''}{text}" for path, text, fresh in log.new()]

    if follow and not _follow(opened, target, pieces):
        raise typer.Exit(1)


def _metrics_file(opened: Store, target: Target) -> Path | None:
    """Where the metrics of a training are, once it has begun."""
    from bench.targets import find_target

    run = target.run if target.run is not None else find_target(opened, target.key).run
    return run.metrics_file if run is not None else None


def _follow(opened: Store, target: Target, pieces: Callable[[], list[str]]) -> bool:
    """Print what is new until the job is over; returns whether it is done."""
    from bench.launching.asking import Asking
    from bench.reporting.job_logs import Following, follow
    from bench.reporting.target_standing import target_standing
    from bench.targets import find_target

    asking = Asking(opened, every_s=_ASK_EVERY_S)
    state = ""

    def over() -> str:
        nonlocal state, target
        if target.run is None:
            target = find_target(opened, target.key)
        now = target_standing(opened, target, asking.hear([target.key], 0.0).states)
        state = now.standing.state
        return f"{state}{f': {now.standing.remark}' if now.standing.remark else ''}" if now.over else ""

    def write(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    follow(target, opened, Following(pieces=pieces, over=over), write)
    return state == "done"


def why(name: RunArgument, store: StoreOption = DEFAULT_STORE, profile: ProfileOption = None) -> None:
    """Say why a run failed or does not go on: the first failing rank's traceback, what SLURM says, and what to do.

    Of a finished training, why its evaluations do not go on.
    """
    from bench.launching.asking import PATIENCE_S, Asking
    from bench.reporting.target_standing import target_standing
    from bench.reporting.why import why_text
    from bench.targets import evaluations_of, find_target

    opened = store_in(store)
    target = find_target(opened, name)
    judged = evaluations_of(opened, target.identity) if target.kind == "train" else []
    asking = Asking(opened, accounting_of(profile))
    heard = asking.hear([item.key for item in (target, *judged)], PATIENCE_S)
    print(why_text(opened, target, heard.states))
    for item in judged:
        if target_standing(opened, item, heard.states).standing.state not in ("done", "not begun"):
            print(f"\n{why_text(opened, item, heard.states)}")
    for note in heard.notes:
        print(note)
