"""``status`` on a screen: everything where it fits, otherwise counts and the jobs that ask for attention; and live."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from bench.reporting.standing import ATTENTION, MOVING, STANDS, Stand
from bench.reporting.status import StatusLine, counts_text, rows_table, status_table

PAGE_LINES = 60
_BRIEF_LINES = 30
_AROUND = 8
"""Lines of a screen that the table's own rows cannot have: title, heading, rules, notes."""


@dataclass(frozen=True, kw_only=True)
class View:
    """Which of the jobs are shown, and how many at a time."""

    states: tuple[Stand, ...] = ()
    """Only those; empty: all."""
    page: int | None = None
    """Pages of PAGE_LINES jobs, from 1."""
    everything: bool = False

    def __post_init__(self) -> None:
        if self.page is not None and self.page < 1:
            raise ValueError(f"--page is {self.page}; pages are counted from 1")

    @classmethod
    def of(cls, states: str | None, page: int | None, everything: bool) -> View:
        """From what was typed; ``states`` such as ``failed,running``. Raises ValueError for an unknown state."""
        wanted = [item.strip() for item in states.split(",")] if states else []
        wrong = [item for item in wanted if item not in STANDS]
        if wrong:
            raise ValueError(f"--state is {states!r}: {', '.join(wrong)} is no state; states are: {', '.join(STANDS)}")
        chosen = tuple(state for state in STANDS if state in wanted)
        return cls(states=chosen, page=page, everything=everything)


@dataclass(frozen=True, kw_only=True)
class Look:
    """One look at a study."""

    lines: Sequence[StatusLine]
    notes: Sequence[str] = ()
    """What could not be known, and why."""


def screen(look: Look, title: str, view: View, height: int | None = None) -> RenderableType:
    """What to show of ``look``; ``height`` in lines is the screen's, where it must fit."""
    lines = [line for line in look.lines if not view.states or line.state in view.states]
    head = Text(f"{title}: {counts_text(look.lines)}")
    room = PAGE_LINES if height is None else max(3, height - _AROUND - len(look.notes))
    parts: list[RenderableType] = [head]
    if view.page is not None:
        first, pages = PAGE_LINES * (view.page - 1), -(-len(lines) // PAGE_LINES)
        parts += [status_table(lines[first : first + PAGE_LINES]), Text(f"page {view.page} of {pages}", style="dim")]
    elif view.everything or len(lines) <= room:
        parts.append(status_table(lines))
    else:
        parts += _brief(lines, room, height is not None)
    return Group(*parts, *(Text(note, style="yellow") for note in look.notes))


def _brief(lines: Sequence[StatusLine], room: int, fits: bool) -> list[RenderableType]:
    """Counts by row, and the first of the jobs that ask for attention or run."""
    groups = len({(line.job.label, line.job.dataset) for line in lines})
    parts: list[RenderableType] = []
    if not fits or groups + 6 < room:
        parts.append(rows_table(lines))
        room -= groups + 4 if fits else 0
    told = [line for line in sorted(lines, key=lambda line: STANDS.index(line.state)) if line.state != "done"]
    shown = told[: max(3, min(room, _BRIEF_LINES))]
    parts.append(status_table(shown))
    hint = "--all shows every job, --page 1 the first page, --state failed,running only those"
    parts.append(Text(f"{len(shown)} of {len(lines)} jobs are shown, the most urgent first; {hint}", style="dim"))
    return parts


def finished(lines: Sequence[StatusLine]) -> bool:
    """Whether nothing goes on by itself any more."""
    return not any(line.state in MOVING or line.state == "unknown" for line in lines)


def watch(
    take: Callable[[], Look],
    console: Console,
    title: str,
    view: View,
    every_s: float,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> Look:
    """Show ``take`` every so many seconds until nothing goes on any more, or Ctrl-C; returns the last look.

    On a terminal as a table that changes in place; elsewhere a line whenever the counts change.
    """
    looked: list[Look] = []

    def again() -> bool:
        """Look; whether to go on."""
        if looked:
            sleep(every_s)
        looked[:] = [take()]
        return not finished(looked[0].lines)

    with contextlib.suppress(KeyboardInterrupt):
        if console.is_terminal:
            with Live(console=console, auto_refresh=False, transient=True) as live:
                going = True
                while going:
                    going = again()
                    clock = f"{title}, {time.strftime('%H:%M:%S')} (Ctrl-C ends watching, not the jobs)"
                    live.update(screen(looked[0], clock, view, console.height), refresh=True)
        else:
            said, going = "", True
            while going:
                going = again()
                text = counts_text(looked[0].lines)
                if text != said:
                    said = text
                    console.print(f"{time.strftime('%H:%M:%S')} {title}: {text}", highlight=False, markup=False)
    return looked[0] if looked else Look(lines=[])


def exit_hint(lines: Sequence[StatusLine], name: str) -> str:
    """What to do about jobs that ask for attention, or nothing."""
    present = {line.state for line in lines} & ATTENTION
    if not present & {"failed", "hopeless", "cancelled", "stopped"}:
        return ""
    return f"`./run_study.py why RUN` says why a job failed; `retry {name}` submits what failed or was cancelled again"
