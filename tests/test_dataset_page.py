"""What ``show dataset`` says of every data set, on 100 columns."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.cli.dataset_page import print_dataset
from bench.data.entry import DatasetEntry
from bench.data.registry import ENTRIES, dataset_spec

ROOT = Path(__file__).resolve().parents[1]


def page(entry: DatasetEntry, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    monkeypatch.delenv("COLUMNS", raising=False)
    print_dataset(entry)
    return capsys.readouterr().out


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_every_id_layout_and_convention_is_there(
    entry: DatasetEntry, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = page(entry, monkeypatch, capsys)
    assert max(map(len, shown.splitlines())) <= 100
    for label, name in enumerate(entry.class_names):
        assert re.search(rf"(^|\s){label} {re.escape(name)}(\s|$)", shown, re.M), name
    assert all(layout.name in shown for layout in entry.layouts)
    assert all(f"{count:,}" in shown for count in entry.official_pairs.values())
    assert all(name in shown for name in entry.label_conventions)
    assert entry.root_variable in shown or not entry.needs_root


def test_the_ids_of_cityscapes_become_the_classes_of_its_judge(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = page(dataset_spec("cityscapes"), monkeypatch, capsys)
    assert "Label ids → classes of the judge of paper2019-cityscapes (mapping cityscapes-19; – counts as" in shown
    assert re.search(r" 7 road → 0\s", shown)
    assert re.search(r" 26 car → 13\s", shown)
    assert re.search(r" 6 ground → –\s", shown)
    assert "training pairs          3,000" in shown


def test_the_shift_of_ade20k_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    shown = page(dataset_spec("ade20k"), monkeypatch, capsys)
    assert re.search(r"^raw \(default\)\s+as they are", shown, re.M)
    assert re.search(r"^shifted\s+0 to 150, 1-150 to 0-149", shown, re.M)
    assert "meant: label - 1, unknown 150" in shown


def test_the_page_comes_without_numpy() -> None:
    look = "[name for name in ('torch', 'numpy', 'pandas', 'mmseg') if name in sys.modules]"
    code = (
        "import sys; from bench.cli.dataset_page import print_dataset\nfrom bench.data.registry import dataset_spec\n"
        f"print_dataset(dataset_spec('coco_stuff')); print({look})"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
