"""Verbs that make what others read: site, leaderboard."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.common import DataOption, SeedsOption, console_here, store_in, study_of, tell_if_missing
from bench.cli.options import DEFAULT_STORE, StoreOption


def register(app: typer.Typer) -> None:
    """Add this module's verbs to the command line."""
    app.command("site")(site)
    app.command("leaderboard")(leaderboard)


def site(
    study_names: Annotated[
        list[str], typer.Argument(metavar="STUDY...", help="Studies, one page each (see `list studies`).")
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", metavar="DIR", help="Folder of the site: new, empty, or an earlier site, which it renews."
        ),
    ],
    store: StoreOption = DEFAULT_STORE,
    data: DataOption = None,
    seeds: SeedsOption = None,
    samples: Annotated[int, typer.Option("--samples", help="Validation samples that a gallery shows.")] = 6,
    title: Annotated[
        str, typer.Option("--title", help="Heading of the index.")
    ] = "Studies of semantic image synthesis",
) -> None:
    """Write studies as a web page: a folder that opens from disk, asks the network for nothing and can be uploaded.

    Tables sort and filter, every number tells where it comes from, any two pictures can be laid side by side, and
    protocols, recipes and runs are printed in full. However much of a study is there is shown, with the reason for
    every empty cell. The folder then holds the studies named and nothing else; run it again to renew it. Seeds are
    those of a study's last `run` unless --seeds says otherwise.
    """
    from bench.launching.progress import ProgressLine
    from bench.reporting.site.build import write_site

    opened, console = store_in(store), console_here()
    doubled = sorted({name for name in study_names if study_names.count(name) > 1})
    if doubled:
        raise ValueError(f"study {', '.join(doubled)} is named twice; name every study once")
    studies = [study_of(name, data, seeds, opened, as_last_run=True) for name in study_names]
    tell_if_missing(opened)
    with ProgressLine(console, "site") as line:
        pages = write_site(studies, opened, out, title=title, samples=samples, progress=line.update)
    console.print("written:", highlight=False)
    for path in ("index.html", *(page.address for page in pages)):
        console.print(f"  {out / path}", highlight=False, markup=False)


def leaderboard(
    stores: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[STORE...]", help="Stores to take together, such as results/store.", show_default=False
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of leaderboard.csv, .md and .html.")] = Path(
        "results"
    ),
    schema: Annotated[
        bool,
        typer.Option("--schema", help="Print the columns of leaderboard.csv as a Table Schema (JSON), and no more."),
    ] = False,
) -> None:
    """Rank all that stores hold: leaderboard.csv for programs, leaderboard.md and .html to read.

    Ranked is only what can be compared: one data set at one size, the same judged images, one protocol. Places are
    shared where intervals over seeds overlap. How places moved is told against the leaderboard.csv that is there;
    where nothing has changed, no file is touched. Needs neither data nor weights: copied stores do.
    """
    import json

    if schema:
        from bench.reporting.leaderboard.schema import table_schema

        print(json.dumps(table_schema(), indent=2))
        return
    if not stores:
        raise ValueError("name at least one store, such as `leaderboard results/store`")
    from bench.launching.progress import ProgressLine
    from bench.reporting.leaderboard.write import write_leaderboard

    console = console_here()
    with ProgressLine(console, "leaderboard") as line:
        made = write_leaderboard([store_in(path) for path in stores], out, line.update)
    entries = {(item.board, item.entry) for item in made.lines}
    boards = {item.board for item in made.lines}
    told = [f"{len(entries)} entr{'y' if len(entries) == 1 else 'ies'} on {len(boards)} board{'s'[: len(boards) != 1]}"]
    told += [_copies(made.copies)] if made.copies else []
    told += [f"no longer there: {name}" for name in made.gone]
    told += [f"passed over: {problem}" for problem in made.problems]
    for text in told:
        console.print(text, highlight=False, markup=False)
    for path in made.files:
        note = "" if path in made.changed else " (as it was)"
        console.print(f"  {path}{note}", highlight=False, markup=False)


def _copies(count: int) -> str:
    if count == 1:
        return "1 evaluation is in several stores and counts once"
    return f"{count} evaluations are in several stores and count once"
