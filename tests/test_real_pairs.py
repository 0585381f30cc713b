"""The real COCO-Stuff pairs, end to end as a user types it; skipped where the samples are not beside the project."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = Path(os.environ.get("SPADE_BENCH_DATA", ROOT.parent / "shared" / "data")) / "coco_stuff_sample"


@pytest.mark.skipif(not SAMPLES.is_dir(), reason=f"no COCO-Stuff sample pairs at {SAMPLES} (set SPADE_BENCH_DATA)")
def test_the_coco_trial_trains_generates_and_reports(tmp_path: Path) -> None:
    command = [sys.executable, "run_study.py", "run", "coco_trial", "--data", f"coco_stuff={SAMPLES}"]
    command += ["--store", str(tmp_path / "store"), "--out", str(tmp_path / "out"), "--device", "cpu"]
    environment = {**os.environ, "SPADE_BENCH_WEIGHTS": str(tmp_path), "TORCH_HOME": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "weights file deeplabv2_resnet101_msc-cocostuff164k-100000.pth is missing" in done.stdout
    assert (tmp_path / "out" / "gallery.png").stat().st_size > 10_000
    with (tmp_path / "out" / "cells.csv").open(newline="") as stream:
        cells = [row for row in csv.DictReader(stream) if row["metric"] == "mIoU"]
    assert {row["state"] for row in cells} == {"n/a"}
