"""The command line: every verb of the harness. Nothing heavy is imported before a verb needs it."""

from __future__ import annotations

import sys

import typer

from bench.cli import (
    benchmark,
    catalogue,
    cluster,
    data,
    doctor,
    evaluation,
    figure3,
    human,
    importing,
    publishing,
    runs,
    sims,
    steering,
    studies,
    synthesis,
    watching,
    weights,
)

app = typer.Typer(
    name="run_study.py",
    help=(
        "Benchmark and ablation studies of semantic image synthesis: one command per table.\n\n"
        "Start with `list studies`, look at one with `plan STUDY`, do it with `run STUDY`; run again to continue. "
        "Everything is kept in a store (default results/store), so nothing finished is ever repeated."
    ),
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (
    catalogue,
    doctor,
    data,
    weights,
    studies,
    steering,
    watching,
    publishing,
    runs,
    evaluation,
    importing,
    synthesis,
    sims,
    human,
    figure3,
    cluster,
    benchmark,
):
    module.register(app)


def main() -> None:
    """Run the command line; a user's error or a diverged run is one message and exit status 1, a bug is a traceback."""
    try:
        app()
    except (ValueError, ArithmeticError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
