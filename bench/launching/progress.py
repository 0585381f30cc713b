"""How a job tells how far it is, and the line that shows it."""

from __future__ import annotations

import sys
from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

Progress = Callable[[int, int, str], None]
"""Called with (done, of, what) while a job goes on."""


def no_progress(done: int, of: int, what: str) -> None:
    """Draws nothing."""


class ProgressLine:
    """A live line with bar, text and time left on a terminal; a printed line every tenth of the way elsewhere."""

    def __init__(self, console: Console, head: str) -> None:
        self.console, self.head = console, head
        self._live = console.is_terminal
        self._printed = 0
        if self._live:
            self._bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                TaskProgressColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[text]}"),
                console=console,
                transient=True,
            )
            self._task = self._bar.add_task(head, total=None, text="")

    def __enter__(self) -> ProgressLine:
        if self._live:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._bar.stop()

    def update(self, done: int, of: int, what: str) -> None:
        """``done`` of ``of`` units are done; ``what`` says at what."""
        if self._live:
            self._bar.update(self._task, completed=done, total=of, text=what)
            return
        tenth = 10 * done // max(of, 1)
        if tenth > self._printed:
            self._printed = tenth
            self.console.print(f"{self.head}: {100 * done // of} %  {what}", highlight=False, markup=False)
            sys.stdout.flush()
