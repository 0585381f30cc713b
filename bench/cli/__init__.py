"""The command line: every verb of the harness. Nothing heavy is imported before a verb needs it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from importlib import import_module
from typing import Final

import typer

MODULES: Final[dict[str, tuple[str, ...]]] = {
    "catalogue": ("list", "show", "params"),
    "doctor": ("doctor",),
    "data": ("prepare",),
    "weights": ("fetch-weights",),
    "studies": ("plan", "run", "report"),
    "steering": ("status", "cancel", "retry"),
    "watching": ("logs", "why"),
    "publishing": ("site", "leaderboard"),
    "runs": ("train",),
    "evaluation": ("evaluate",),
    "importing": ("import-images",),
    "synthesis": ("synthesize", "paint"),
    "sims": ("sims",),
    "human": ("human",),
    "figure3": ("figure3",),
    "cluster": ("cluster",),
    "benchmark": ("benchmark",),
}
"""The verbs of each module of this package, in the order in which ``--help`` lists them."""


def command_line(modules: Iterable[str] = MODULES) -> typer.Typer:
    """The command line with the verbs of ``modules``. A call needs one of them, which halves the time it takes."""
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
        callback=_verbs_only,
    )
    for name in modules:
        import_module(f"bench.cli.{name}").register(app)
    return app


def main() -> None:
    """Run the command line; a user's error or a diverged run is one message and exit status 1, a bug is a traceback."""
    try:
        command_line(_needed(sys.argv[1:]))()
    except (ValueError, ArithmeticError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


def _needed(words: list[str]) -> Iterable[str]:
    """The module of the verb that is meant; all where none is, or where the shell asks how a word may go on."""
    completing = any(name.endswith("_COMPLETE") for name in os.environ)
    meant = [name for name, verbs in MODULES.items() if words and words[0] in verbs]
    return meant if meant and not completing else MODULES


def _verbs_only() -> None:
    """Typer would take a command line of one verb for that verb."""
