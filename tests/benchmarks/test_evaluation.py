"""A whole evaluation is timed as it is done, and leaves nothing in the user's cache."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from bench.benchmarks.evaluation import benchmark_evaluation
from bench.benchmarks.timing import Stopwatch
from bench.cli.benchmark_page import page
from bench.data.synthetic import SyntheticScenes
from bench.evaluation.protocols import SYNTHETIC

SCENES = SyntheticScenes(split="val", size=(32, 32), images=12)
PROTOCOL = replace(SYNTHETIC, metrics=("mIoU", "FD@synthetic-judge", "FID@tf"))


def test_the_parts_of_an_evaluation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPADE_BENCH_CACHE", str(tmp_path / "cache"))
    lines: list[str] = []
    result = benchmark_evaluation(SCENES, PROTOCOL, images=12, watch=Stopwatch(), progress=lines.append)
    assert {"build networks", "read", "judge", "count", "features synthetic-judge"} <= set(result["seconds_of"])
    assert sum(result["seconds_of"].values()) <= result["seconds"]
    assert result["images_per_s"] == 12 / result["seconds"]
    assert result["ratio"] == result["reference_s"] / result["fast_s"]
    assert result["scores"]["mIoU"]["value"] > 20, "the judged images are the real ones"
    assert abs(result["scores"]["FD@synthetic-judge"]["value"]) < 1e-6
    assert not (tmp_path / "cache").exists()
    assert os.environ["SPADE_BENCH_CACHE"] == str(tmp_path / "cache")
    json.dumps(result)
    assert "evaluation of 12 images of 32 x 32 px (synthetic/val)" in page(result)
    assert lines[-1] == "12 of 12 images judged"


def test_more_images_than_there_are_cannot_be_judged() -> None:
    with pytest.raises(ValueError, match="images is 13; synthetic/val allows 2 to 12"):
        benchmark_evaluation(SCENES, PROTOCOL, images=13, watch=Stopwatch())
