"""Operations are counted as the networks do them."""

from __future__ import annotations

import json

import pytest

from bench.benchmarks.maps import noise_maps, synthetic_maps
from bench.benchmarks.operations import count_operations
from bench.cli.benchmark_page import page
from bench.data.registry import dataset_spec
from spade_core.label_spec import LabelSpec
from spade_core.settings import SpadeSettings

SPEC = LabelSpec(classes=11, dont_care=True, instance_edges=True)


def test_the_reference_takes_the_known_operations_at_the_coco_setting() -> None:
    """By hand: 2 * 9 * 184 * 128 for each pixel of each of the 18 layers' maps, and so on: 382 GFLOP in all."""
    coco = dataset_spec("coco_stuff")
    result = count_operations(SpadeSettings(), synthetic_maps(coco.spec, (256, 256), 1))
    assert result["reference_gflop"] == pytest.approx(382.3, abs=0.1)
    pixels = 2 * 8**2 + 4 * 16**2 + 3 * (32**2 + 64**2 + 128**2 + 256**2)
    assert result["reference_gflop_of"]["label map"] == pytest.approx(2 * 9 * 184 * 128 * pixels / 1e9)
    assert result["fast_gflop_of"]["features"] == result["reference_gflop_of"]["features"]
    assert result["ratio"] == result["reference_gflop"] / result["fast_gflop"] > 2.5
    assert result["ratio_least"] == pytest.approx(result["ratio"])
    json.dumps(result)
    assert "reference 382.3 GFLOP" in page(result)


def test_noise_saves_the_convolutions_of_the_label_map_alone() -> None:
    result = count_operations(SpadeSettings(width=64), noise_maps(SPEC, (64, 64), 1))
    dense = result["reference_gflop_of"]["gamma and beta"]
    assert dense <= result["fast_gflop_of"]["gamma and beta"] < 1.01 * dense  # a little more where inputs are small
    assert result["fast_gflop_of"]["label map"] < 0.1 * result["reference_gflop_of"]["label map"]


def test_a_batch_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="batch is 0; it must be at least 1"):
        count_operations(SpadeSettings(width=4), noise_maps(SPEC, (64, 64), 1), batch_images=0)
