"""A model with an image encoder from training to pictures, as a user types it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from bench.store import Store
from bench.training.checkpoint import checkpoint_path, load_checkpoint
from tests.synthesis.serving import Client
from tests.test_cli import ROOT, TINY, cli

pytestmark = pytest.mark.slow
TRAIN = f"train spade-decoder --switch vae --switch no-perceptual --dataset synthetic {TINY} --encoder-width 4".split()


def test_train_judge_synthesize_and_paint(tmp_path: Path, style_files: list[Path]) -> None:
    store = ("--store", str(tmp_path / "store"), "--device", "cpu")
    cli(*TRAIN, "--steps", "2", *store)
    (folder,) = Store(tmp_path / "store").runs()
    run = folder.spec()
    assert run.recipe.encoder is not None
    assert (run.recipe.encoder.width, run.recipe.kl_weight) == (4, 0.2)
    assert all(row["generator/kl"] >= 0 for row in folder.metrics())
    assert "encoder" in load_checkpoint(checkpoint_path(folder.checkpoints, 2))["networks"]
    assert "mIoU" in cli("evaluate", "--run", run.run_id, "--val-images", "2", "--no-upper-bound", *store)

    out = tmp_path / "out"
    styles = [word for path in style_files for word in ("--style", str(path))]
    command = ["synthesize", "--run", run.run_id, "--val-maps", "2", *styles, "--out", str(out), *store]
    text = cli(*command)
    assert "4 images made" in text
    assert re.search(r"diversity over styles.*\n  .*L1@pixels \d\.\d{4}", text)
    assert "0 images made, 4 were there from the same inputs and are kept" in cli(*command)
    assert json.loads((out / "manifest.json").read_text())["model"]["run_id"] == run.run_id
    with Image.open(out / "contact.png") as picture:
        assert picture.width > 300

    arguments = [sys.executable, "run_study.py", "paint", "--run", run.run_id, "--no-browser", *store]
    server = subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        told = next(line for line in server.stdout if "paint at" in line)
        found = re.search(r"http://127\.0\.0\.1:(\d+)/", told)
        assert found is not None
        assert Client(int(found[1])).json("GET", "/api/model")[1]["styles"] is True
        server.send_signal(signal.SIGINT)
        rest, _ = server.communicate(timeout=60)
        assert (server.returncode, rest.strip()) == (0, "closed")
    finally:
        server.kill()
        server.communicate()
