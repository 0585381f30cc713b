"""The verbs of SIMS as a user types them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
VERBS = [
    *("bank", "retrieve", "train-transform", "transform", "train-order", "order", "compose", "train-synthesis"),
    "synthesize",
]
Inside = Callable[..., tuple[int, str]]


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Inside:
    """``./run_study.py sims ARGUMENTS`` in this process: (exit status, what was printed)."""
    import bench.cli

    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: str | Path) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["run_study.py", "sims", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            bench.cli.main()
        printed = capsys.readouterr()
        return int(stopped.value.code or 0), printed.out + printed.err

    return call


def test_the_verbs_are_frozen(inside: Inside) -> None:
    status, text = inside("--help")
    assert status == 0
    listed = [line.split()[1] for line in text.splitlines() if line.startswith("│ ") and line.split()[1].islower()]
    assert [name for name in listed if name in VERBS] == VERBS


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str, inside: Inside) -> None:
    status, text = inside(verb, "-h")
    assert status == 0
    assert "--work" in text


def test_from_the_bank_to_images_that_can_be_judged(inside: Inside, tmp_path: Path) -> None:
    work = ("--work", tmp_path / "work")
    training = (*work, "--steps", "2", "--width", "2", "--device", "cpu")
    bank = ("bank", "--dataset", "synthetic", *work, "--min-area", "1500", "--train-images", "8", "--val-images", "2")
    for arguments in (
        bank,
        ("retrieve", *work),
        ("train-transform", *training),
        ("transform", *work, "--device", "cpu"),
        ("train-order", *training),
        ("order", *work, "--device", "cpu"),
        ("compose", *work),
        ("train-synthesis", *training, "--perceptual", "none"),
        ("synthesize", *work, "--device", "cpu"),
    ):
        status, text = inside(*arguments)
        assert status == 0, text
        assert "done: " in text
    folder = tmp_path / "work" / "images" / "val"
    assert f"evaluate --images {folder} --dataset synthetic --size 64x64 --val-images 2" in text
    assert len(list(folder.glob("*.png"))) == 2
    status, text = inside(*bank)
    assert status == 0
    assert "memory bank: was there already, nothing changed" in text


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("bank", "--dataset", "synthetic", "--min-area", "0"), "min_area_px is 0; it must be at least 1"),
        (("bank", "--dataset", "synthetic", "--train-images", "0"), "--train-images is 0; it must be at least 1"),
        (("bank", "--dataset", "nowhere"), "unknown dataset 'nowhere'; choose one of"),
        (("bank", "--dataset", "synthetic", "--workers", "0"), "workers is 0; it must be from 1"),
        (("retrieve", "--split", "test"), "--split is 'test'; choose val or train"),
        (("retrieve",), "no SIMS workspace"),
        (("train-order", "--supervision", "stereo"), "'stereo'; choose one of disparity, canvas, layers"),
        (("train-synthesis", "--epochs", "0"), "--epochs is 0; it must be at least 1"),
    ],
)
def test_mistakes_are_one_message(arguments: tuple[str, ...], told: str, inside: Inside, tmp_path: Path) -> None:
    status, text = inside(*arguments, "--work", tmp_path / "work")
    assert status == 1
    assert told in text
    assert "Traceback" not in text
    assert not (tmp_path / "work").exists() or arguments[0] != "retrieve"
