"""A whole evaluation by a protocol, and where its time goes."""

from __future__ import annotations

import os
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.benchmarks.timing import Stopwatch, environment, in_turn
from bench.data.dataset import Dataset
from bench.evaluation.evaluator import evaluate
from bench.evaluation.generate import CHUNK_IMAGES, chunks_of
from bench.evaluation.protocol import Protocol
from bench.evaluation.reading import READING_THREADS, read_ahead
from bench.training.distributed import Ranks

_WRITTEN_IMAGES = 64
"""Images that are written as PNG files to be judged; further ones are these again."""


def benchmark_evaluation(
    dataset: Dataset,
    protocol: Protocol,
    *,
    images: int,
    watch: Stopwatch,
    progress: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Seconds to judge ``images`` PNG files against the first samples of ``dataset``, as ``evaluate`` does it.

    The judged images are real ones, but what they show does not change the time. Features of real images are computed,
    as in the first evaluation of a data set. ``reference_s`` and ``fast_s`` are the seconds of reading alone, without
    and with threads. Raises ValueError for fewer than two images or more than the data set has.
    """
    if not 2 <= images <= len(dataset):
        raise ValueError(
            f"benchmark evaluation: images is {images}; {dataset.name}/{dataset.split} allows 2 to {len(dataset)}"
        )
    with tempfile.TemporaryDirectory() as folder, _cache_at(Path(folder)):
        written = _written(dataset, images, Path(folder))

        def read(index: int) -> NDArray[np.uint8]:
            with Image.open(written[index % len(written)]) as picture:
                return np.asarray(picture.convert("RGB"), dtype=np.uint8)

        reading, _ = in_turn(_reading_tasks(dataset, read, len(written)), 3, watch)
        seconds, found = watch.seconds(
            lambda: evaluate(
                read,
                dataset,
                protocol,
                count=images,
                device=watch.device,
                peers=Ranks(),
                reading_threads=READING_THREADS,
                report=_counted(images, progress),
            )
        )
    assert found is not None
    return {
        "benchmark": "evaluation",
        "dataset": dataset.name,
        "split": dataset.split,
        "protocol": protocol.key,
        "images": images,
        "size": list(dataset.size),
        "seconds": seconds,
        "images_per_s": images / seconds,
        "seconds_of": found.stage_seconds,
        "scores": {name: {"value": score.value, "reason": score.reason} for name, score in found.scores.items()},
        "reading_threads": READING_THREADS,
        "read_images": len(written),
        "reference_s": reading["reference"],
        "fast_s": reading["fast"],
        "ratio": reading["reference"] / reading["fast"],
        "environment": environment(watch),
    }


def _counted(images: int, progress: Callable[[str], None]) -> Callable[[int], None]:
    """Tells of the first chunk and of every tenth of the images."""
    done, said = 0, 0

    def report(count: int) -> None:
        nonlocal done, said
        done += count
        if 10 * done // images > said or done == count:
            said = 10 * done // images
            progress(f"{done} of {images} images judged")

    return report


def _written(dataset: Dataset, images: int, folder: Path) -> list[Path]:
    paths = [folder / f"{index}.png" for index in range(min(images, _WRITTEN_IMAGES))]
    for index, path in enumerate(paths):
        Image.fromarray(dataset.load(index).image).save(path)
    return paths


def _reading_tasks(
    dataset: Dataset, read: Callable[[int], NDArray[np.uint8]], count: int
) -> dict[str, Callable[[], object]]:
    chunks = chunks_of(count, 0, 1, CHUNK_IMAGES)

    def both(index: int) -> None:
        dataset.load(index)
        read(index)

    return {
        "reference": lambda: deque(read_ahead(chunks, both, 0), maxlen=0),
        "fast": lambda: deque(read_ahead(chunks, both), maxlen=0),
    }


@contextmanager
def _cache_at(folder: Path) -> Iterator[None]:
    """Features are neither found in the user's cache nor left there."""
    before = os.environ.get("SPADE_BENCH_CACHE")
    os.environ["SPADE_BENCH_CACHE"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["SPADE_BENCH_CACHE"]
        else:
            os.environ["SPADE_BENCH_CACHE"] = before
