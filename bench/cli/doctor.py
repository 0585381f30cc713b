"""The verb ``doctor``: what is there, what is missing, and what to do about it."""

from __future__ import annotations

import json
import textwrap
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.options import JsonOption

if TYPE_CHECKING:
    from rich.console import Console

    from bench.doctor import Finding

_WORDS = ("ok", "note", "FAIL")
_STYLES = ("green", "yellow", "bold red")
_INDENT = 6


def register(app: typer.Typer) -> None:
    """Add this module's verb to the command line."""
    app.command("doctor")(doctor)


def doctor(
    protocol: Annotated[
        str | None,
        typer.Option("--protocol", metavar="NAME", help="Look only at what this protocol needs (`list protocols`)."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what is there, what is missing and what to do: packages, GPUs, weights, data folders, disk.

    ok: there and right. note: missing or worth knowing; scores that need it have a reason instead of a value.
    FAIL: will fail; the exit status is then 1.
    """
    from bench.cli.protocol_page import page_console
    from bench.doctor import FAIL, GROUPS, findings

    found = []
    console = page_console()
    group = ""
    for item in findings(protocol):
        found.append(item)
        if as_json:
            continue
        if item.group != group:
            group = item.group
            console.print(f"{'' if len(found) == 1 else chr(10)}[bold]{group}[/bold]", highlight=False)
        _print(console, item)
    if as_json:
        print(json.dumps([{**asdict(item), "level": _WORDS[item.level]} for item in found], indent=2))
    else:
        counts = [sum(item.level == level for item in found) for level in range(3)]
        told = ", ".join(f"{count} {word}" for count, word in zip(counts, _WORDS, strict=True) if count)
        console.print(f"\n{told}", style=_STYLES[max(item.level for item in found)], highlight=False)
        if protocol is None:
            console.print("doctor --protocol NAME: what one protocol needs, and the command that gets it")
    assert {item.group for item in found} <= set(GROUPS)
    raise typer.Exit(1 if any(item.level == FAIL for item in found) else 0)


def _print(console: Console, item: Finding) -> None:
    from rich.text import Text

    line = Text(f"{_WORDS[item.level]:<{_INDENT}}", style=_STYLES[item.level])
    line.append(_folded(item.text, console.width), style="default")
    console.print(line, highlight=False, soft_wrap=True)
    for remedy in item.remedy:
        told = Text(" " * _INDENT + "→ ", style="cyan")
        told.append(remedy, style="default")
        console.print(told, highlight=False, soft_wrap=True)


def _folded(text: str, width: int) -> str:
    """Words wrapped at ``width``, never within a path or an address; the lines of the text stay lines."""
    lines: list[str] = []
    for line in text.splitlines():
        room = max(20, width - _INDENT)
        lines += textwrap.wrap(line, room, break_on_hyphens=False, break_long_words=False) or [""]
    return ("\n" + " " * _INDENT).join(lines)
