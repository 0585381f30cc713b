"""Label maps to measure with are what they say they are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bench.benchmarks.maps import LEAST_SHARE, distinct_shares, noise_maps, real_maps, synthetic_maps
from bench.data.dataset import DatasetError
from bench.data.registry import dataset_spec
from spade_core.label_spec import LabelSpec

COCO = dataset_spec("coco_stuff").spec
CPU = torch.device("cpu")


def test_synthetic_scenes_have_as_many_distinct_neighbourhoods_as_promised() -> None:
    maps = synthetic_maps(COCO, (128, 128), 2)
    assert maps.title == "synthetic scenes (2)"
    assert maps.size == (128, 128)
    for first in range(2):
        batch = maps.batch(first, 1, CPU)
        windows, patches = distinct_shares(batch, (128, 128))
        assert LEAST_SHARE <= patches < 0.6
        assert windows <= patches
        assert 5 < len(torch.unique(batch.labels)) < COCO.ids
        assert batch.edges is not None
        assert 0 < batch.edges.float().mean() < 0.5
    again = synthetic_maps(COCO, (128, 128), 2)
    assert torch.equal(maps.labels, again.labels)
    assert torch.equal(maps.instances, again.instances)
    assert not torch.equal(maps.labels[0], maps.labels[1])


def test_synthetic_scenes_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match=r"100 x 128 px: both sides must be multiples of 16"):
        synthetic_maps(COCO, (100, 128), 1)


def test_noise_hardly_repeats() -> None:
    maps = noise_maps(COCO, (64, 64), 2)
    assert distinct_shares(maps.batch(0, 1, CPU), (64, 64)) == (1.0, 1.0)
    assert distinct_shares(maps.batch(0, 2, CPU), (32, 32), kernel=1)[0] < 0.2


def test_batches_go_around_the_end_of_the_maps() -> None:
    maps = noise_maps(LabelSpec(classes=9), (8, 8), 3)
    batch = maps.batch(2, 2, CPU)
    assert torch.equal(batch.labels, maps.labels[[2, 0]])
    assert maps.batch(0, 1, CPU) is not maps.batch(0, 1, CPU)


def test_a_folder_without_maps_is_the_data_sets_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=str(tmp_path)):
        real_maps(dataset_spec("coco_stuff"), tmp_path, (256, 256))
