"""Batches of a step as a function of (seed, step) alone: no sampler state, no matter how many ranks or workers."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from baselines.batch import Batch
from bench.data.dataset import Dataset, Sample
from bench.data.transforms import draw_augmentation
from bench.training.distributed import Ranks
from spade_core.labels import check_label_ids

_ORDER_STREAM = 0x0DE2
_NOISE_STREAM = 0x2015E


@lru_cache(maxsize=4)
def _epoch_order(seed: int, epoch: int, images: int) -> NDArray[np.int64]:
    return np.random.default_rng((_ORDER_STREAM, seed, epoch)).permutation(images)


def place_of(position: int, seed: int, images: int) -> tuple[int, int]:
    """(epoch, index) of the image at ``position`` of the endless stream of shuffled epochs."""
    epoch, offset = divmod(position, images)
    return epoch, int(_epoch_order(seed, epoch, images)[offset])


@dataclass(frozen=True, kw_only=True)
class StreamSettings:
    """What decides the content of every batch."""

    seed: int
    batch_images: int
    accumulate: int
    z_dim: int | None
    """Length of z, for generators that take one."""

    def share(self, ranks: Ranks) -> int:
        """Images of one accumulation part on one rank. Raises ValueError where the batch cannot be shared evenly."""
        parts = ranks.world * self.accumulate
        if self.batch_images % parts:
            raise ValueError(
                f"batch_images={self.batch_images} cannot be shared by {ranks.world} ranks x {self.accumulate} "
                f"accumulation parts; choose ranks and accumulate so that their product divides the batch"
            )
        return self.batch_images // parts


class _Stream(TorchDataset[dict[str, Any]]):
    """The images of the stream by position, as tensors; indexable, so that loader workers can share the work."""

    def __init__(self, dataset: Dataset, settings: StreamSettings, images: int) -> None:
        self.dataset = dataset
        self.settings = settings
        self.images = images

    def __getitem__(self, position: int) -> dict[str, Any]:
        seed = self.settings.seed
        epoch, index = place_of(position, seed, self.images)
        augmentation = draw_augmentation(self.dataset.augmentation_rule, seed, epoch, index)
        sample = self.dataset.load(index, augmentation)
        item = as_tensors(sample)
        try:
            check_label_ids(item["labels"][None], self.dataset.spec)
        except ValueError as error:
            raise ValueError(f"{self.dataset.name}/{self.dataset.split}, sample {sample.id}: {error}") from error
        if self.settings.z_dim is not None:
            draw = np.random.default_rng((_NOISE_STREAM, seed, position)).standard_normal((2, self.settings.z_dim))
            item["noise"] = torch.from_numpy(draw.astype(np.float32))
        return item


def as_tensors(sample: Sample) -> dict[str, Any]:
    """labels (H, W) int64, instances (H, W) int64 if there are any, image (3, H, W) float32 in [-1, 1]."""
    item: dict[str, Any] = {
        "labels": torch.from_numpy(sample.labels.astype(np.int64)),
        "image": image_tensor(sample.image),
    }
    if sample.instances is not None:
        item["instances"] = torch.from_numpy(sample.instances.astype(np.int64))
    return item


def image_tensor(image: NDArray[np.uint8]) -> Tensor:
    """(H, W, 3) uint8 to (3, H, W) float32 in [-1, 1]: (x / 255 - 0.5) / 0.5, as released."""
    return (torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))).float() / 255.0 - 0.5) / 0.5


def collate(items: list[dict[str, Any]]) -> dict[str, Tensor]:
    """Stacks each entry over the items."""
    return {name: torch.stack([item[name] for item in items]) for name in items[0]}


def to_batch(stacked: dict[str, Tensor], dataset: Dataset, device: torch.device) -> Batch:
    """A :class:`Batch` on ``device`` from what :func:`collate` stacked."""
    moved = {name: value.to(device, non_blocking=True) for name, value in stacked.items()}
    noise = moved.get("noise")
    return Batch(
        spec=dataset.spec,
        labels=moved["labels"],
        instances=moved.get("instances") if dataset.spec.instance_edges else None,
        images=moved["image"],
        noise=(noise[:, 0], noise[:, 1]) if noise is not None else None,
        checked=True,
    )


def batches(
    dataset: Dataset,
    settings: StreamSettings,
    ranks: Ranks,
    *,
    first_step: int,
    last_step: int,
    images: int | None = None,
    workers: int = 0,
) -> Iterator[list[Batch]]:
    """For each step after ``first_step`` up to ``last_step``: this rank's accumulation parts of the global batch.

    ``images`` limits the training split to its first so many images.
    """
    available = min(len(dataset), images or len(dataset))
    loader = DataLoader(
        _Stream(dataset, settings, available),
        batch_sampler=_Positions(settings, ranks, first_step, last_step),
        num_workers=workers,
        collate_fn=collate,
        worker_init_fn=_heed_the_parent_alone,
        pin_memory=ranks.device.type == "cuda",
        generator=torch.Generator().manual_seed(
            settings.seed
        ),  # the global generator stays untouched: resuming is exact
    )
    parts: list[Batch] = []
    for stacked in _unsignalled(loader):
        parts.append(to_batch(stacked, dataset, ranks.device))
        if len(parts) == settings.accumulate:
            yield parts
            parts = []


_STOP_SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGUSR2}


def _unsignalled(loader: DataLoader[Any]) -> Iterator[dict[str, Tensor]]:
    """The loader's batches; its processes start with the signals to stop blocked.

    A scheduler sends these to every process of a job. A loading process that died of one would fail its rank before
    the state is saved.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    try:
        started = iter(loader)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    yield from started


def _heed_the_parent_alone(worker: int) -> None:
    """In a loading process: signals to stop are left to the rank that started it; only that one's TERM ends it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    parent = os.getppid()

    def heed() -> None:
        while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
            pass
        os._exit(0)

    threading.Thread(target=heed, daemon=True).start()


class _Positions:
    """Positions of the stream for each accumulation part of each step, for one rank."""

    def __init__(self, settings: StreamSettings, ranks: Ranks, first_step: int, last_step: int) -> None:
        self.settings, self.ranks = settings, ranks
        self.steps = range(first_step, last_step)
        self.share = settings.share(ranks)

    def __len__(self) -> int:
        return len(self.steps) * self.settings.accumulate

    def __iter__(self) -> Iterator[list[int]]:
        for step in self.steps:
            for part in range(self.settings.accumulate):
                start = step * self.settings.batch_images + (part * self.ranks.world + self.ranks.rank) * self.share
                yield list(range(start, start + self.share))
