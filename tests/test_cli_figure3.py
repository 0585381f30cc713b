"""The verb figure3: numbers and figure of untrained and trained generators."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.cli import command_line
from tests.tiny import tiny_run
from tests.training.worker import train_here


def test_figure3_of_untrained_and_trained_generators(tmp_path: Path) -> None:
    run = tiny_run("pix2pixhd", steps=1)
    train_here(run, tmp_path / "store")
    given = ["figure3", "--variant", "pix2pixhd", "--variant", "spade-decoder", "--width", "4", "--labels", "0,4,8"]
    given += ["--run", run.run_id, "--store", str(tmp_path / "store"), "--out", str(tmp_path / "out")]
    text = CliRunner().invoke(command_line(), given, catch_exceptions=False).output
    assert "reflection padding, instance norm" in text
    assert "washed out" in text
    found = json.loads((tmp_path / "out" / "figure3.json").read_text(encoding="utf-8"))
    assert found["labels"] == {"0": "sky", "4": "sea", "8": "tree"}
    assert found["size"] == [64, 64]
    told = {(row["name"], row["statistics"], row["trained"]): row["told_apart"] for row in found["rows"]}
    assert told == {
        ("pix2pixhd", "alone", False): False,
        ("spade-decoder", "alone", False): True,
        ("spade-decoder", "together", False): True,
        ("pix2pixhd, step 1", "alone", True): False,
    }
    assert (tmp_path / "out" / "figure3.png").stat().st_size > 10_000
    with pytest.raises(ValueError, match=r"--labels '3,3': at least two different ids of 0 to 11 \(synthetic\)"):
        CliRunner().invoke(command_line(), ["figure3", "--labels", "3,3"], catch_exceptions=False)
