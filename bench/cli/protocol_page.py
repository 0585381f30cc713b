"""The page that ``show protocol`` prints: words first, then every field with its source, then the numbers beside it."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

    from bench.evaluation.protocol import Protocol

_PAPER_NAMES: Mapping[str, str] = {
    "coco_stuff": "COCO-Stuff",
    "ade20k": "ADE20K",
    "ade20k_outdoor": "ADE20K-outdoor",
    "cityscapes": "Cityscapes",
}
_WIDTH = 100
_GUESS_MARK = "?"


def print_protocol(protocol: Protocol) -> None:
    """The whole definition of ``protocol`` on the terminal; at most as wide as it is, 100 columns in a pipe."""
    console = page_console()
    width = console.width
    console.print(f"[bold]{protocol.key}[/bold]: {protocol.summary}", highlight=False)
    sections: list[tuple[str, RenderableType | None]] = [
        ("The six questions", _questions(protocol, width)),
        ("Every field and its source", _fields(protocol, width)),
        ("Metrics", _metrics(protocol, width)),
        ("Files", _files(protocol, width)),
        ("Published scores of the judge on real images", _expected(protocol, width)),
        ("The paper's scores", _paper(protocol, width)),
        ("What others measured", _others(protocol, width)),
        ("Other protocols for these images", _siblings(protocol)),
    ]
    for title, body in sections:
        if body is not None:
            console.print(f"\n[bold underline]{title}[/bold underline]", highlight=False)
            console.print(body, highlight=False, markup=False)
    if protocol.guesses:
        told = f"{_GUESS_MARK} marks our guess: {', '.join(protocol.guesses)}."
        console.print(f"\n{told}", highlight=False, style="yellow")


def page_console() -> Console:
    """A console as wide as the terminal or $COLUMNS say; 100 columns otherwise."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal or os.environ.get("COLUMNS") else Console(width=_WIDTH)


def _questions(protocol: Protocol, width: int) -> RenderableType:
    from bench.evaluation.protocol_words import six_answers

    rows = [(item.question, _GUESS_MARK if item.guess else "", item.answer) for item in six_answers(protocol)]
    return grid(rows, width=width, styles=("cyan", "yellow", ""))


def _fields(protocol: Protocol, width: int) -> RenderableType:
    rows = []
    above = ""
    for row in protocol.explained():
        source = "as above" if row.source == above else row.source
        rows.append((row.field, _GUESS_MARK if row.guess else "", _text(row.value), source))
        above = row.source
    styles = ("cyan", "yellow", "", "dim")
    return grid(rows, width=width, headings=("field", "", "value", "source"), styles=styles, shares=(0, 0, 3, 4))


def _metrics(protocol: Protocol, width: int) -> RenderableType:
    from bench.evaluation.metric_table import METRICS

    rows = [
        (name, f"{METRICS[name].unit} {'↑' if METRICS[name].higher_better else '↓'}".strip(), METRICS[name].meaning)
        for name in protocol.metrics
    ]
    return grid(rows, width=width, styles=("cyan",))


def _files(protocol: Protocol, width: int) -> RenderableType | None:
    from bench.evaluation.weights import find_weights, get_weights

    rows = []
    for name in protocol.weights_files:
        path = find_weights(name)
        rows.append((name, "there" if path else "missing", str(path) if path else get_weights(name).filename))
    return grid(rows, width=width, styles=("cyan",)) if rows else None


def _expected(protocol: Protocol, width: int) -> RenderableType | None:
    rows = [(name, f"{value:g}") for name, value in protocol.expected.items()]
    return grid(rows, width=width, styles=("cyan",)) if rows else None


def _paper(protocol: Protocol, width: int) -> RenderableType | None:
    from rich.console import Group

    from bench.evaluation.protocol_words import paper_comparison
    from bench.reporting.published import published_cells

    compared = paper_comparison(protocol)
    name = _PAPER_NAMES.get(protocol.dataset)
    cells = [cell for cell in published_cells() if (cell.table, cell.dataset) == ("Table 1", name)]
    if not compared or not cells:
        return None
    metrics = list(dict.fromkeys(cell.metric for cell in cells))
    rows = []
    for method in dict.fromkeys(cell.method for cell in cells):
        printed = {cell.metric: cell.text for cell in cells if cell.method == method}
        if any(printed.values()):
            rows.append((method, *[printed.get(metric, "") for metric in metrics]))
    table = grid(rows, width=width, headings=(f"Table 1, {name}", *metrics), styles=("cyan",))
    note = "Its text and Tables 3 and 5 say 35.2, most likely of another model" if name == "COCO-Stuff" else ""
    return Group(table, f"Compared: {compared}." + (f" {note}." if note else ""))


def _others(protocol: Protocol, width: int) -> RenderableType | None:
    from bench.reporting.reproductions import reproductions

    found = reproductions(_PAPER_NAMES.get(protocol.dataset, ""))
    if not found:
        return None
    rows = []
    for line in found:
        nearest = "nearest to this protocol" if line.protocol == protocol.name else f"nearest to {line.protocol}"
        told = f"{line.who}, {line.model}: {line.how} ({line.source})" + (f"; {nearest}" if line.protocol else "")
        rows.append((line.mIoU, line.accu, line.FID, told))
    headings = ("mIoU", "accu", "FID", "who, what, how")
    return grid(rows, width=width, headings=headings, shares=(0, 0, 0, 1))


def _siblings(protocol: Protocol) -> str | None:
    from bench.evaluation.protocols import list_protocols

    same = [item.name for item in list_protocols() if item.dataset == protocol.dataset and item.name != protocol.name]
    return ", ".join(same) or None


def grid(
    rows: Sequence[Sequence[str]],
    *,
    width: int,
    headings: Sequence[str] = (),
    styles: Sequence[str] = (),
    shares: Sequence[int] = (),
) -> Table:
    """Rows in columns that wrap between words and after hyphens, together at most ``width`` wide.

    Columns whose share is above 0 divide in that ratio what the others leave; without shares the last one takes it.
    """
    from rich.table import Table
    from rich.text import Text

    gap = 2
    cells = [*([headings] if headings else []), *rows]
    count = len(cells[0])
    parts = list(shares) or [*(0,) * (count - 1), 1]
    natural = [max((len(row[column]) for row in cells), default=0) for column in range(count)]
    left = width - gap * (count - 1) - sum(natural[column] for column in range(count) if not parts[column])
    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), show_header=bool(headings), header_style="bold")
    widths = []
    for column in range(count):
        share = max(12, left * parts[column] // sum(parts)) if parts[column] else natural[column]
        widths.append(min(share, natural[column]))
        heading = headings[column] if headings else ""
        table.add_column(heading, style=styles[column] if column < len(styles) else "", width=widths[column])
    for row in rows:
        table.add_row(*[Text(_wrapped(text, widths[column])) for column, text in enumerate(row)])
    return table


def _wrapped(text: str, width: int) -> str:
    return textwrap.fill(text, width) if width and len(text) > width else text


def _text(value: object) -> str:
    if isinstance(value, (tuple, list)):
        return ", ".join(_text(item) for item in value) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    return "none" if value is None else str(value)
