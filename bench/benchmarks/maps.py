"""Label maps to measure with: real ones, scenes of the embedded world, or noise that never repeats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bench.data.dataset import Dataset, DatasetError
from bench.data.entry import DatasetEntry
from bench.data.world.scenes import draw_scene
from spade_core.label_spec import LabelSpec
from spade_core.labels import LabelMap
from spade_core.settings import UPSAMPLING_LAYERS, SpadeSettings
from spade_core.windows import Frame

LEAST_SHARE = 0.08
"""Synthetic scenes have at least this share of distinct 5 x 5 neighbourhoods; real maps of COCO-Stuff have 0.09."""
_SCENES_TRIED = 200
_SCENE_STREAM = 0xBE7C


@dataclass(frozen=True, kw_only=True, eq=False)
class MapSet:
    """Label maps of one size, and where they come from."""

    title: str
    spec: LabelSpec
    labels: torch.Tensor
    """(M, H, W) int64"""
    instances: torch.Tensor
    """(M, H, W) int64"""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in px."""
        return self.labels.shape[1], self.labels.shape[2]

    def batch(self, first: int, images: int, device: torch.device) -> LabelMap:
        """``images`` maps from the map ``first`` on, around the end to the first again; a new object each time."""
        chosen = [(first + i) % len(self) for i in range(images)]
        return LabelMap(self.labels[chosen].to(device), self.instances[chosen].to(device), self.spec)


def real_splits(entry: DatasetEntry, root: Path, size: tuple[int, int]) -> list[Dataset]:
    """The splits of a data set that ``root`` holds. Raises DatasetError where it holds none of them."""
    found, problems = [], []
    for split in entry.splits:
        try:
            found.append(entry.open(split=split, root=root, size=size))
        except DatasetError as error:
            problems.append(error)
    if not found:
        raise problems[0]
    return found


def real_maps(entry: DatasetEntry, root: Path, size: tuple[int, int]) -> MapSet:
    """Every map of a data set's folder at ``size``. Raises DatasetError where there is none."""
    labels, instances, counts = [], [], []
    for dataset in real_splits(entry, root, size):
        for index in range(len(dataset)):
            sample = dataset.load(index)
            labels.append(sample.labels.astype(np.int64))
            instances.append((sample.labels if sample.instances is None else sample.instances).astype(np.int64))
        counts.append(f"{len(dataset)} {dataset.split}")
    return _map_set(f"{entry.name} from files ({' and '.join(counts)})", entry.spec, labels, instances)


def synthetic_maps(spec: LabelSpec, size: tuple[int, int], count: int, seed: int = 0) -> MapSet:
    """``count`` mosaics of four scenes of the embedded world each, with LEAST_SHARE or more distinct neighbourhoods.

    Ids are spread over the ids of ``spec``. Raises ValueError for sizes that are no multiples of 16, or so small or
    large that no scene has that share.
    """
    height, width = size
    if height % 16 or width % 16:
        raise ValueError(f"synthetic maps of {height} x {width} px: both sides must be multiples of 16")
    labels: list[NDArray[np.int64]] = []
    instances: list[NDArray[np.int64]] = []
    for attempt in range(_SCENES_TRIED):
        rng = np.random.default_rng((_SCENE_STREAM, seed, attempt))
        parts = [draw_scene(rng, height // 2, width // 2) for _ in range(4)]
        ids = [(part.labels.astype(np.int64) * 5 + rng.integers(spec.ids)) % spec.ids for part in parts]
        things = [part.instances.astype(np.int64) + 1000 * i for i, part in enumerate(parts)]
        mosaics = [np.block([[four[0], four[1]], [four[2], four[3]]]) for four in (ids, things)]
        candidate = _map_set("", spec, mosaics[:1], mosaics[1:])
        if distinct_shares(candidate.batch(0, 1, torch.device("cpu")), size)[1] >= LEAST_SHARE:
            labels.append(mosaics[0])
            instances.append(mosaics[1])
        if len(labels) == count:
            return _map_set(f"synthetic scenes ({count})", spec, labels, instances)
    raise ValueError(
        f"of {_SCENES_TRIED} synthetic scenes of {height} x {width} px, {len(labels)} have {LEAST_SHARE:.0%} distinct "
        f"neighbourhoods; {count} are wanted. Choose a smaller size, or give real maps with --maps DIR"
    )


def noise_maps(spec: LabelSpec, size: tuple[int, int], count: int, seed: int = 0) -> MapSet:
    """The worst case: every pixel has a random id, so that hardly any neighbourhood repeats."""
    labels = np.random.default_rng((_SCENE_STREAM, seed)).integers(0, spec.ids, (count, *size))
    return _map_set(f"noise ({count})", spec, list(labels), list(labels))


def distinct_shares(label_map: LabelMap, size: tuple[int, int], kernel: int = 3) -> tuple[float, float]:
    """Distinct windows of one and of two convolutions in a row at ``size``, as shares of its pixels."""
    windows = label_map.windows_at(size, Frame(kernel=kernel, padding=kernel // 2))
    return windows.windows.share, windows.patches.share


def distinct_by_size(maps: MapSet, settings: SpadeSettings, batch_images: int) -> dict[str, dict[str, float]]:
    """For each size that the layers work at: the mean share of distinct windows and patches of a batch, in percent."""
    shares: dict[str, dict[str, float]] = {}
    for halvings in range(UPSAMPLING_LAYERS[settings.upsampling] + 1):
        size = maps.size[0] >> halvings, maps.size[1] >> halvings
        starts = range(0, len(maps), batch_images)
        found = [
            distinct_shares(maps.batch(start, batch_images, torch.device("cpu")), size, settings.kernel)
            for start in starts
        ]
        shares[f"{size[0]}x{size[1]}"] = {
            "windows_percent": round(100 * sum(windows for windows, _ in found) / len(found), 2),
            "patches_percent": round(100 * sum(patches for _, patches in found) / len(found), 2),
            "patches_percent_most": round(100 * max(patches for _, patches in found), 2),
        }
    return shares


def _map_set(
    title: str, spec: LabelSpec, labels: Sequence[NDArray[np.int64]], instances: Sequence[NDArray[np.int64]]
) -> MapSet:
    stacked = (torch.from_numpy(np.stack(maps).astype(np.int64)) for maps in (labels, instances))
    return MapSet(title=title, spec=spec, labels=next(stacked), instances=next(stacked))
