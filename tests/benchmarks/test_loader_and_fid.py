"""The loader alone, and the Frechet distance beside pytorch-fid's."""

from __future__ import annotations

import pytest

from bench.benchmarks.fid import benchmark_fid
from bench.benchmarks.loader import benchmark_loader
from bench.benchmarks.timing import Stopwatch
from bench.cli.benchmark_page import page
from bench.data.synthetic import SyntheticScenes

SCENES = SyntheticScenes(split="train", size=(32, 32), images=16)


def test_the_loader_loads_as_many_images_as_were_asked_for_in_whole_batches() -> None:
    result = benchmark_loader([SCENES], batch_images=4, images=10, workers=0, watch=Stopwatch())
    (row,) = result["splits"]
    assert row["images"] == 12
    assert row["images_per_s"] == pytest.approx(12 / row["seconds"])
    assert row["images_per_s_and_process"] == row["images_per_s"]
    assert "synthetic/train: 12 images" in page(result)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"batch_images": 0, "images": 1, "workers": 0}, "batch is 0; it must be at least 1"),
        ({"batch_images": 1, "images": 0, "workers": 0}, "images is 0; it must be at least 1"),
        ({"batch_images": 1, "images": 1, "workers": -1}, "workers is -1; it must be at least 0"),
    ],
)
def test_a_loader_of_nothing_is_refused(numbers: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        benchmark_loader([SCENES], watch=Stopwatch(), **numbers)


def test_a_clock_that_does_not_see_the_loading_processes_is_refused() -> None:
    with pytest.raises(ValueError, match="does not see the 2 loading processes; use 'wall', or 0 workers"):
        benchmark_loader([SCENES], batch_images=1, images=1, workers=2, watch=Stopwatch(clock="processor"))


@pytest.mark.parametrize("images", [60, 2100], ids=["one block", "several blocks"])
def test_the_distance_is_pytorch_fids(images: int) -> None:
    result = benchmark_fid(images=images, dimensions=24, repeats=1, watch=Stopwatch())
    assert result["difference"] <= 1e-9
    assert result["distance"] > 0
    assert result["ratio"] == result["reference_s"] / result["fast_s"]
    for kind in ("reference_s", "fast_s"):
        assert result[kind] == result["moments"][kind] + result["function"][kind]
    assert f"of {images} x 24 features" in page(result)


def test_a_distance_of_too_little_is_refused() -> None:
    with pytest.raises(ValueError, match="images 1, dimensions 2, repeats 1"):
        benchmark_fid(images=1, dimensions=2, repeats=1, watch=Stopwatch())
