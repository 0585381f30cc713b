"""Reading ahead: in order, not too far, and errors where they belong."""

from __future__ import annotations

import threading

import pytest

from bench.evaluation.reading import read_ahead

CHUNKS = [range(0, 4), range(4, 8), range(8, 9)]


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_chunks_come_in_order_with_what_was_read(threads: int) -> None:
    found = list(read_ahead(CHUNKS, lambda index: index * index, threads))
    assert found == [(chunk, [index * index for index in chunk]) for chunk in CHUNKS]


def test_no_threads_means_the_calling_one() -> None:
    for _, names in read_ahead(CHUNKS, lambda _: threading.current_thread(), 0):
        assert set(names) == {threading.main_thread()}


def test_only_a_few_chunks_are_read_ahead() -> None:
    """Memory is bounded: when the first chunk is handed out, the fourth has not been touched."""
    touched: set[int] = set()
    chunks = [range(start, start + 2) for start in range(0, 40, 2)]
    reading = read_ahead(chunks, lambda index: touched.add(index), 2)
    next(reading)
    assert max(touched) < 6
    reading.close()
    assert max(touched) < 6


def test_an_error_comes_when_its_chunk_is_due() -> None:
    def read(index: int) -> int:
        if index == 5:
            raise OSError("val/5.png: truncated")
        return index

    reading = read_ahead(CHUNKS, read, 2)
    assert next(reading) == (range(0, 4), [0, 1, 2, 3])
    with pytest.raises(OSError, match=r"val/5\.png: truncated"):
        next(reading)
