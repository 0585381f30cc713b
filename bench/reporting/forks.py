"""Several things at once, by forks of the process: figures to draw, thousands of runs to read."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

T = TypeVar("T")
_tasks: Sequence[Callable[[], Any]] = ()
"""Of the call that is going on; a fork has them without their being sent."""


def in_forks(tasks: Sequence[Callable[[], T]]) -> list[T]:
    """The results of ``tasks`` in their order, from forks of this process, one for each core.

    Results and exceptions must be picklable; what else a task changes in memory is lost. In this very process where a
    fork gains nothing or may hang: on one core, off Linux, beside other threads, and once torch (with threads of its
    own) is loaded; and once more where a fork was killed.
    """
    global _tasks
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1
    workers = min(cores, len(tasks))
    if workers < 2 or threading.active_count() > 1 or "torch" in sys.modules:
        return [task() for task in tasks]
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    _tasks = tasks
    try:
        with ProcessPoolExecutor(workers, multiprocessing.get_context("fork"), _leave_interrupts) as pool:
            return list(pool.map(_do, range(len(tasks))))
    except BrokenProcessPool:  # a fork was killed, for its memory, say
        return [task() for task in tasks]
    finally:
        _tasks = ()


def _leave_interrupts() -> None:
    """Ctrl-C is for the process that asked."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _do(index: int) -> Any:
    return _tasks[index]()
