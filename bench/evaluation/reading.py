"""Images and label maps read by threads ahead of the network that looks at them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Read = TypeVar("Read")

READING_THREADS = 4
"""Decoding releases Python's lock, so threads are enough; more than this wait for a judge even on a GPU."""
_CHUNKS_AHEAD = 2


def read_ahead(
    chunks: Iterable[range], read: Callable[[int], Read], threads: int = READING_THREADS
) -> Generator[tuple[range, list[Read]]]:
    """Each chunk with what ``read`` gives for its indices, in order.

    ``threads`` threads read the next chunks meanwhile; 0 reads when asked, for a ``read`` that belongs to the calling
    thread. What ``read`` raises is raised here, when its chunk is due.
    """
    if threads == 0:
        for chunk in chunks:
            yield chunk, [read(index) for index in chunk]
        return
    pool = ThreadPoolExecutor(threads, thread_name_prefix="reading")
    started: deque[tuple[range, list[Future[Read]]]] = deque()
    try:
        for chunk in chunks:
            started.append((chunk, [pool.submit(read, index) for index in chunk]))
            if len(started) > _CHUNKS_AHEAD:
                yield _finished(started)
        while started:
            yield _finished(started)
    finally:
        pool.shutdown(cancel_futures=True)


def _finished(started: deque[tuple[range, list[Future[Read]]]]) -> tuple[range, list[Read]]:
    chunk, reads = started.popleft()
    return chunk, [read.result() for read in reads]
