"""What the local backend shows: a live line for each running job on a terminal, printed lines elsewhere."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class QueueDisplay:
    """Progress of several jobs at a time."""

    def __init__(self, console: Console, jobs: int) -> None:
        self.console, self.jobs = console, jobs
        self._ended = 0
        self._tasks: dict[str, TaskID] = {}
        self._tenths: dict[str, int] = {}
        self._began: dict[str, float] = {}
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[text]}"),
            console=console,
            transient=True,
        )
        self._all = self._bar.add_task("all jobs", total=max(jobs, 1), text="")

    def __enter__(self) -> QueueDisplay:
        if self.console.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.console.is_terminal:
            self._bar.stop()

    def say(self, text: str, style: str | None = None) -> None:
        """A line that stays."""
        self.console.print(text, style=style, highlight=False, markup=False)

    def started(self, key: str, title: str, where: str) -> None:
        """A job has begun."""
        self._began[key] = time.monotonic()
        self._tasks[key] = self._bar.add_task(title, total=None, text=where)
        self._tenths[key] = 0
        self.say(f"{title}: started{f' on {where}' if where else ''}")

    def progress(self, key: str, title: str, done: int, of: int, text: str) -> None:
        """``done`` of ``of`` units of a job are done."""
        if of <= 0:
            return
        self._bar.update(self._tasks[key], completed=done, total=of, text=text)
        tenth = 10 * done // of
        if not self.console.is_terminal and tenth > self._tenths[key]:
            self._tenths[key] = tenth
            self.say(f"{title}: {100 * done // of} %  {text}")

    def ended(self, key: str, text: str, style: str | None = None) -> None:
        """A job has ended, or will not begin."""
        self._ended += 1
        task = self._tasks.pop(key, None)
        if task is not None:
            self._bar.remove_task(task)
        self._bar.update(self._all, completed=self._ended, text=f"{self._ended} of {self.jobs}")
        self.say(f"[{self._ended}/{self.jobs}] {text}", style)

    def seconds(self, key: str) -> float:
        """Since the job began."""
        return time.monotonic() - self._began[key]
