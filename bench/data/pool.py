"""Work on many files by several processes or threads, so that stopping it at any moment leaves nothing behind."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    as_completed,
    wait,
)
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import connection, get_context, parent_process
from typing import TypeVar

from bench.data.dataset import DatasetError

Item = TypeVar("Item")
Result = TypeVar("Result")

_ITEMS_FOR_A_PROCESS = 16
_WINDOW = 4  # tasks handed out for each worker: enough to keep it busy, few enough to stop soon


def available_cpus() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_workers(workers: int) -> int:
    """Return the number of processes if it is from 1 to 1024; ValueError otherwise."""
    if not 1 <= workers <= 1024:
        raise ValueError(f"workers is {workers}; it must be from 1 (no further process) to 1024")
    return workers


def useful_workers(workers: int, items: int) -> int:
    """``workers``, or fewer where there are so few items that starting a process takes longer than its share."""
    return max(1, min(workers, items // _ITEMS_FOR_A_PROCESS))


def chunks_of(items: Iterable[Item], length: int) -> Iterator[list[Item]]:
    """The items in lists of ``length``, the last one shorter."""
    rest = iter(items)
    while chunk := list(islice(rest, length)):
        yield chunk


def in_processes(task: Callable[[Item], Result], items: Iterable[Item], *, workers: int) -> Iterator[Result]:
    """``task`` of every item, by ``workers`` processes, in the order in which they finish; 1 uses no further process.

    The task and the items are pickled to processes that start afresh (spawn): threads of the caller do no harm. They
    ignore Ctrl-C, which is the caller's to answer, and end when the caller is gone, even if it was killed. An error in
    a task is raised here, and no further item begins. Raises DatasetError when a process was killed.
    """
    if workers == 1:
        yield from map(task, items)
        return
    pool = ProcessPoolExecutor(max_workers=workers, mp_context=get_context("spawn"), initializer=_begin)
    try:
        yield from _results(pool, task, items, workers)
    except BrokenProcessPool as error:
        raise DatasetError(
            f"one of the {workers} processes was killed, probably for want of memory; what was done is kept: run the "
            "same command again, with a smaller --workers"
        ) from error


def in_threads(task: Callable[[Item], Result], items: Iterable[Item], *, workers: int) -> Iterator[Result]:
    """The same with threads of this process: for callers that cannot be imported by a fresh process."""
    yield from _results(ThreadPoolExecutor(max_workers=workers), task, items, workers)


def _results(pool: Executor, task: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Iterator[Result]:
    pending: set[Future[Result]] = set()
    try:
        for item in items:
            pending.add(pool.submit(task, item))
            if len(pending) >= _WINDOW * workers:
                finished, pending = wait(pending, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in finished)
        yield from (future.result() for future in as_completed(pending))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _begin() -> None:
    """In a fresh process: leave Ctrl-C to the caller, and watch that there is one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    assert parent is not None, "this runs in the processes of the pool"

    def end_with_caller() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=end_with_caller, daemon=True).start()
