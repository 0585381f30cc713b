"""One report in several formats, all of them drawn from the same tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from bench.atomic import written_beside
from bench.reporting.cells import Table
from bench.reporting.html import Picture, html
from bench.reporting.latex import latex
from bench.reporting.markdown import escape, markdown
from bench.reporting.options import DEFAULT, ReportOptions
from bench.reporting.style import Kind
from bench.reporting.tables import Collected
from bench.store import Store
from bench.study import Study

if TYPE_CHECKING:
    from rich.console import Console

Format = Literal["terminal", "md", "csv", "latex", "html"]
FORMATS: tuple[Format, ...] = get_args(Format)
FILES: dict[Format, str] = {"md": "report.md", "csv": "cells.csv", "latex": "table.tex", "html": "report.html"}


def render(
    title: str, tables: Sequence[Table], form: Format, pictures: Sequence[Picture] = (), width: int = 160
) -> str:
    """The tables as text in one format. ``width``: characters of a terminal line.

    Raises ValueError for an unknown format.
    """
    if form == "md":
        shown = tuple((picture.caption, picture.file.name) for picture in pictures)
        tail = "".join(f"\n![{escape(caption)}]({file})\n\n{escape(caption)}\n" for caption, file in shown)
        return f"# {escape(title)}\n\n" + "\n".join(markdown(table) for table in tables) + tail
    if form == "csv":
        from bench.reporting.tidy import csv_text

        return csv_text(tables)
    if form == "latex":
        return "\n".join(latex(table) for table in tables)
    if form == "html":
        return html(title, tables, pictures)
    if form == "terminal":
        from rich.console import Console

        from bench.reporting.terminal import print_tables

        console = Console(width=width)
        with console.capture() as capture:
            print_tables(tables, console)
        return capture.get()
    raise ValueError(f"no report format is called {form!r}; there are: {', '.join(FORMATS)}")


def report(
    study: Study,
    store: Store,
    out: Path | None,
    formats: Sequence[Format] = FORMATS,
    *,
    options: ReportOptions = DEFAULT,
    pictures: Sequence[Picture] = (),
    figures: Sequence[Kind] = ("svg", "png"),
    curves: bool = True,
    console: Console | None = None,
) -> list[Path]:
    """Write the study's report under ``out`` and return the files written, the plots first.

    With ``out`` every figure is drawn that the store has the numbers for, as files of the kinds ``figures`` (``pdf``
    for papers), with ``curves`` also what happened during training; ``captions.json`` says what each picture shows.

    ``terminal`` prints to ``console`` (None: standard output); without ``out`` every other format does so too, and
    nothing is drawn. The CSV has the columns of cost always.
    ``pictures`` (a gallery, say) are shown after the plots in Markdown (by name, so they should lie in ``out``) and
    in HTML (embedded). Raises ValueError for an unknown format before anything is written.
    """
    unknown = [form for form in formats if form not in FORMATS]
    if unknown:
        raise ValueError(f"no report format is called {', '.join(map(repr, unknown))}; there are: {', '.join(FORMATS)}")
    collected = Collected(study, store, options)
    tables = collected.report_tables()
    files: list[Path] = []
    shown = list(pictures)
    if out is not None:
        from bench.reporting.plots import study_plots, write_captions

        single = [table for table in tables if not table.grouped]
        drawn = study_plots(study, store, single, out, kinds=figures, curves=curves, collector=collected.collector)
        files += [file for plot in drawn for file in plot.files]
        shown = [Picture(file=plot.shown, caption=plot.caption) for plot in drawn] + shown
        files.append(write_captions(out, shown))
    for form in formats:
        if form == "terminal":
            from rich.console import Console

            from bench.reporting.terminal import print_tables

            print_tables(tables, console or Console())
            continue
        text = render(study.title, collected.tables(cost=True) if form == "csv" else tables, form, shown)
        if out is None:
            print(text, end="")
        else:
            path = out / FILES[form]
            with written_beside(path) as temporary:
                temporary.write_text(text, encoding="utf-8")
            files.append(path)
    return files
