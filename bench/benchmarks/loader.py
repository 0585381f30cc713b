"""How many images a second the loader alone gives: it must not be what a training step waits for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from baselines.batch import Batch
from bench.benchmarks.timing import Stopwatch, environment
from bench.data.dataset import Dataset
from bench.training.distributed import Ranks
from bench.training.loader import StreamSettings, batches


def benchmark_loader(
    datasets: Sequence[Dataset],
    *,
    batch_images: int,
    images: int,
    workers: int,
    watch: Stopwatch,
    progress: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Images a second of each data set's loader as training uses it: decoding, augmentation, tensors, batches.

    ``images`` of each are loaded (rounded up to whole batches), in ``workers`` processes beside this one, or in this
    one for 0. Raises ValueError for numbers below 1 (``workers``: 0).
    """
    for name, value, least in (("batch", batch_images, 1), ("images", images, 1), ("workers", workers, 0)):
        if value < least:
            raise ValueError(f"benchmark loader: {name} is {value}; it must be at least {least}")
    if workers and watch.clock == "processor":
        raise ValueError(
            f"benchmark loader: clock is 'processor', which does not see the {workers} loading processes; "
            "use 'wall', or 0 workers"
        )
    steps = -(-images // batch_images)
    rows = []
    for dataset in datasets:
        stream = StreamSettings(seed=0, batch_images=batch_images, accumulate=1, z_dim=None)
        loader = batches(dataset, stream, Ranks(), first_step=0, last_step=steps + 1, workers=workers)
        next(loader)  # starts the processes, reads each file's neighbourhood into the cache
        seconds, count = watch.seconds(partial(_exhausted, loader))
        per_second = count * batch_images / seconds
        rows.append({"dataset": dataset.name, "split": dataset.split, "images": count * batch_images})
        rows[-1] |= {"seconds": seconds, "images_per_s": per_second}
        rows[-1] |= {"images_per_s_and_process": per_second / max(1, workers)}
        progress(f"{dataset.name}/{dataset.split}: {per_second:.1f} images/s")
    return {
        "benchmark": "loader",
        "batch_images": batch_images,
        "workers": workers,
        "splits": rows,
        "environment": environment(watch),
    }


def _exhausted(loader: Iterator[list[Batch]]) -> int:
    return sum(1 for _ in loader)
