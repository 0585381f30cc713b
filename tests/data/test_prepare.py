"""``prepare`` as it is typed: what it checks, makes, counts and writes, and that it can be stopped at any moment."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import bench.cli
from bench.data.registry import dataset_spec
from tests.data import trees

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = Path(os.environ.get("SPADE_BENCH_DATA", ROOT.parent / "shared" / "data"))

Prepare = Callable[..., tuple[int, str]]


@pytest.fixture
def prepare(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Prepare:
    """``./run_study.py prepare`` in this process, for (exit status, what was printed); it writes into tmp_path/out."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("SPADE_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SPADE_BENCH_WEIGHTS", str(tmp_path / "weights"))

    def call(*arguments: str | Path) -> tuple[int, str]:
        command = ["run_study.py", "prepare", *map(str, arguments), "--out", str(tmp_path / "out")]
        monkeypatch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit) as stopped:
            bench.cli.main()
        printed = capsys.readouterr()
        return int(stopped.value.code or 0), printed.out + printed.err

    return call


def test_a_data_set_is_checked_counted_drawn_and_listed(prepare: Prepare, tmp_path: Path) -> None:
    root = trees.write_cityscapes(tmp_path / "data")
    status, text = prepare("cityscapes", "--root", root, "--sheet", "2")
    assert status == 0, text
    out = tmp_path / "out"
    names = {f"{split}{ending}" for split in ("train", "val") for ending in (".png", "-classes.csv", "-manifest.json")}
    assert {path.name for path in out.iterdir()} == names | {"train-statistics.json", "val-statistics.json"}
    manifest = json.loads((out / "train-manifest.json").read_text())
    assert (manifest["pairs"], manifest["official_pairs"], manifest["sizes"]) == (4, 2975, {"64x128": 4})
    assert manifest["layout"] == dataset_spec("cityscapes").find_layout(root).name
    assert manifest["entries"][0]["image"] == "leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png"
    assert manifest["warnings"] == ["4 of 2,975 pairs: incomplete; scores are not comparable with the paper's"]
    opened = dataset_spec("cityscapes").open(split="train", root=root)
    assert manifest["content_hash"] == opened.manifest_hash
    for words in (
        f"cityscapes: {root}, layout {manifest['layout']}",
        f"pairs          4 of 2,975 ({manifest['layout']}), content hash {opened.manifest_hash[:12]}",
        "WARNING        4 of 2,975 pairs: incomplete",
        "all alike",
        f"next: export SPADE_BENCH_DATA_CITYSCAPES={root} && ./run_study.py train spade-decoder --dataset cityscapes",
    ):
        assert words in text
    with (out / "val-classes.csv").open(newline="") as stream:
        shares = {row["name"]: int(row["pixels"]) for row in csv.DictReader(stream)}
    assert sum(shares.values()) == 2 * 64 * 128


def test_all_problems_of_both_splits_come_at_once_and_nothing_is_written(prepare: Prepare, tmp_path: Path) -> None:
    root = trees.write_released(tmp_path / "data", pairs={"train": 3, "val": 3})
    (root / "train_img" / "pair001.jpg").write_bytes(b"")
    (root / "train_inst" / "pair002.png").unlink()
    ids = np.array(Image.open(root / "val_label" / "pair000.png"))
    ids[0, :2] = 200
    Image.fromarray(ids).save(root / "val_label" / "pair000.png")
    status, text = prepare("coco_stuff", "--root", root, "--pack", tmp_path / "packed")
    assert status == 1
    for words in (
        "split 'train': 2 problems in its files (unpaired or missing 1, unreadable 1)",
        f"{root}/train_img/pair001.jpg: not readable as an image (it is empty or not a picture); replace the file",
        "no instance map named 'pair002'",
        "split 'val': 1 problem in its files",
        "val_label/pair000.png: label 200 (2 pixels); allowed are 0 to 181, and 255 for don't care",
        "put them right and run the same command again: only what changed is looked at again",
    ):
        assert words in text
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "packed").exists()


def test_odd_things_are_told_and_stop_nobody(prepare: Prepare, tmp_path: Path) -> None:
    root = trees.write_released(tmp_path / "data", pairs={"train": 4, "val": 2})
    for folder, suffix in (("img", "jpg"), ("label", "png"), ("inst", "png")):
        shutil.copy(root / f"train_{folder}" / f"pair000.{suffix}", root / f"train_{folder}" / f"pair003.{suffix}")
        shutil.copy(root / f"train_{folder}" / f"pair000.{suffix}", root / f"val_{folder}" / f"pair001.{suffix}")
    status, text = prepare("coco_stuff", "--root", root)
    assert status == 0
    assert "WARNING        1 pictures are there more than once (train_img/pair000.jpg = train_img/pair003.jpg)" in text
    assert "WARNING        1 of 2 validation pictures are also in the training split" in text
    warnings = json.loads((tmp_path / "out" / "val-manifest.json").read_text())["warnings"]
    assert any("also in the training split" in warning for warning in warnings)


def test_coco_s_download_gets_its_instance_maps_first(prepare: Prepare, tmp_path: Path) -> None:
    root = trees.write_coco_download(tmp_path / "data")
    status, text = prepare("coco_stuff", "--root", root)
    assert status == 0, text
    assert f"train: 4 of 4 instance maps are made now: {root / 'instance_maps' / 'train'}" in text
    sample = dataset_spec("coco_stuff").open(split="val", root=root, size=(32, 32)).load(0)
    assert sample.instances is not None
    assert "instance maps" not in prepare("coco_stuff", "--root", root)[1]


def test_photographs_get_their_label_maps_first(
    prepare: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench.launching import label_photographs as job

    root = trees.write_photographs(tmp_path / "data", splits={"train": 3, "val": 2})
    status, text = prepare("photographs", "--root", root)
    assert status == 1
    assert "deeplabv2_resnet101_msc-cocostuff164k-100000.pth" in text
    asked: list[tuple[Path, tuple[str, ...], str]] = []

    def label(place: Path, *, splits: tuple[str, ...], device: str, progress: Callable[[int, int, str], None]) -> int:
        asked.append((place, splits, device))
        trees.write_label_maps(place)
        progress(5, 5, "label maps")
        return 5

    monkeypatch.setattr(job, "label_photographs", label)
    status, text = prepare("photographs", "--root", root, "--device", "cpu")
    assert "train spade-decoder --dataset photographs --epochs" in text, "no paper has a schedule for it"
    assert status == 0, text
    assert asked == [(root, ("train", "val"), "cpu")]
    assert f"val: 2 of 2 label maps are made now: {root / 'label_maps'}" in text
    assert prepare("photographs", "--root", root)[0] == 0
    assert len(asked) == 1


def test_a_packed_copy_is_made_checked_and_used(prepare: Prepare, tmp_path: Path) -> None:
    root = trees.write_released(tmp_path / "data", pairs={"train": 4, "val": 2})
    arguments = ("coco_stuff", "--root", root, "--size", "32x32", "--pack", tmp_path / "packed")
    status, text = prepare(*arguments)
    assert status == 0, text
    assert f"packed copy: 0.00 GB are written to {tmp_path / 'packed'}\npacked copy: done, 0.00 GB in all" in text
    train = "./run_study.py train spade-decoder --dataset coco_stuff --size 32x32"
    assert f"next: export SPADE_BENCH_DATA_COCO_STUFF={tmp_path / 'packed'} && {train}" in text
    assert "was there already" in prepare(*arguments)[1]
    shutil.rmtree(tmp_path / "out")
    status, text = prepare("coco_stuff", "--root", tmp_path / "packed")
    assert status == 0, text
    assert f"packed copy for 32x32 px of {root}, checksums agree" in text
    assert (tmp_path / "out" / "train.png").is_file()
    assert "(released), content hash" in text
    status, text = prepare("coco_stuff", "--root", tmp_path / "packed", "--pack", tmp_path / "other")
    assert status == 1
    assert "is a packed copy itself; give the folder of the files" in text
    image = tmp_path / "packed" / "val" / "32x32" / "image.bin"
    image.write_bytes(bytes(image.stat().st_size))
    status, text = prepare("coco_stuff", "--root", tmp_path / "packed")
    assert status == 1
    assert f"{image}: its content is not what was packed" in text


def test_a_folder_that_cannot_take_the_copy_is_told_before_the_look(prepare: Prepare, tmp_path: Path) -> None:
    root = trees.write_released(tmp_path / "data", pairs={"train": 2, "val": 1})
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    status, text = prepare("coco_stuff", "--root", root, "--pack", tmp_path / "mine")
    assert status == 1
    assert f"--pack {tmp_path / 'mine'} holds other files (thesis.tex)" in text
    assert not (tmp_path / "cache").exists()


def test_the_embedded_world_is_shown_and_never_packed(prepare: Prepare, tmp_path: Path) -> None:
    status, text = prepare("synthetic", "--size", "16x16", "--sheet", "0")
    assert status == 0
    assert "synthetic/train" in text
    assert "counted in 200 scenes" in text
    assert "next: ./run_study.py run quickstart" in text
    assert not list((tmp_path / "out").glob("*.png"))
    status, text = prepare("synthetic", "--pack", tmp_path / "packed")
    assert (status, "is drawn, not read from files: --root and --pack do not apply" in text) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--workers", "0"), "workers is 0; it must be from 1"),
        (("--sheet", "-1"), "--sheet is -1; it must be at least 0"),
        (("--size", "huge"), "--size is 'huge'; write height x width"),
        (("--size", "250x256"), "size is 250 x 256 (height x width, pixels); both must be positive multiples of 8"),
        (("--root", "nowhere"), "nowhere (from the argument) is not a folder"),
    ],
)
def test_wrong_options_are_refused(prepare: Prepare, arguments: tuple[str, ...], words: str) -> None:
    status, text = prepare("coco_stuff", *arguments)
    assert status == 1
    assert words in text


_SLOW_FILES = """
import time
from PIL import Image

fast = Image.open

def slow(*arguments, **options):
    time.sleep(0.03)
    return fast(*arguments, **options)

Image.open = slow
"""


def _interruptible() -> None:
    """Whatever started the tests (a shell's background jobs ignore SIGINT, and so would all that they start)."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_leaves_what_was_done_and_says_so(tmp_path: Path) -> None:
    root = trees.write_released(tmp_path / "data", pairs={"train": 300, "val": 2}, size=(120, 160))
    command = [sys.executable, "run_study.py", "prepare", "coco_stuff", "--root", str(root), "--workers", "2"]
    command += ["--out", str(tmp_path / "out")]
    environment = {**os.environ, "SPADE_BENCH_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    (tmp_path / "slow").mkdir()
    (tmp_path / "slow" / "sitecustomize.py").write_text(_SLOW_FILES)
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**environment, "PYTHONPATH": str(tmp_path / "slow")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=_interruptible,
    )
    journals = lambda: list((tmp_path / "cache" / "manifests").glob("*-train-*.looks"))  # noqa: E731
    while process.poll() is None and not (journals() and journals()[0].stat().st_size > 1000):
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the processes of the pool as well
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 130, text
    assert "stopped; what was done is kept: run the same command again to go on" in text
    assert "Traceback" not in text
    looked = len(journals()[0].read_text().splitlines()) - 1
    assert 0 < looked < 300
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(journals()[0].read_text().splitlines()) == 301


@pytest.mark.parametrize(("name", "pairs"), [("coco_stuff", {"train": 13, "val": 8})])
def test_the_real_pairs(name: str, pairs: dict[str, int], prepare: Prepare, tmp_path: Path) -> None:
    folder = SAMPLES / f"{name}_sample"
    if not folder.is_dir():
        pytest.skip(f"no pairs at {folder} (set SPADE_BENCH_DATA to the folder that holds {name}_sample)")
    status, text = prepare(name, "--root", folder)
    assert status == 0, text
    for split, count in pairs.items():
        assert f"WARNING        {count} of {dataset_spec(name).official_pairs[split]:,} pairs: incomplete" in text
        numbers = json.loads((tmp_path / "out" / f"{split}-statistics.json").read_text())
        assert numbers["pairs"] == count
        assert numbers["ignored_share"] < 0.1


def test_who_judges_needs_the_validation_split_alone(prepare: Prepare, tmp_path: Path) -> None:
    root = trees.write_coco_download(tmp_path / "data", pairs={"val": 2})
    status, text = prepare("coco_stuff", "--root", root, "--split", "val", "--sheet", "0")
    assert status == 0, text
    assert {path.name.partition("-")[0] for path in (tmp_path / "out").iterdir()} == {"val"}
    assert f"next: export SPADE_BENCH_DATA_COCO_STUFF={root} && ./run_study.py doctor --protocol paper2019-coco" in text
    status, text = prepare("coco_stuff", "--root", root)
    assert status == 1
    assert "it should hold the photographs of train2017.zip" in text
    assert (
        "--split is 'test'; coco_stuff has train, val: COCO publishes no" in prepare("coco_stuff", "--split", "test")[1]
    )
    assert "a packed copy holds both" in prepare("coco_stuff", "--root", root, "--split", "val", "--pack", "x")[1]
