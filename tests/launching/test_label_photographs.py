"""Label maps for photographs: resumable, by one judge, every unreadable photograph named at once."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from bench.data.dataset import DatasetError
from bench.data.registry import dataset_spec
from bench.evaluation.judges.registry import Judge
from bench.evaluation.weights import MissingWeightsError
from bench.launching import label_photographs as job
from bench.launching.label_photographs import LONG_SIDE_PX, label_photographs
from tests.data.trees import photograph, save

NAMES = [f"lake_{number}" for number in range(6)]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPADE_BENCH_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "flickr"
    rng = np.random.default_rng(0)
    for number, name in enumerate(NAMES):
        save(folder / ("val" if number < 2 else "train") / f"{name}.jpg", photograph(rng, (40 + number, 56)))
    return folder


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Shapes of the images that the judge was shown; it labels by brightness."""
    shown: list[tuple[int, ...]] = []

    def label(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.int64]:
        assert image.shape[:2] == size
        shown.append(image.shape)
        return image.mean(axis=2).astype(np.int64) * 181 // 255

    judge = Judge(name="bright", sha256="a" * 64, classes=182, label=label)
    monkeypatch.setattr(job, "build_judge", lambda *_: judge)
    monkeypatch.setattr(job, "require_weights", lambda name: Path(name))
    return shown


def test_photographs_become_a_data_set(root: Path, calls: list[tuple[int, ...]]) -> None:
    with pytest.raises(
        DatasetError, match=r"4 of 4 label maps are not computed yet; run \./run_study\.py prepare flickr"
    ):
        dataset_spec("flickr_landscapes").open(split="train", root=root)
    told: list[tuple[int, int]] = []
    assert label_photographs(root, device="cpu", progress=lambda done, of, text: told.append((done, of))) == 6
    assert told[-1] == (6, 6)
    dataset = dataset_spec("flickr_landscapes").open(split="train", root=root, size=(32, 32))
    assert len(dataset) == 4
    expected = np.asarray(Image.open(root / "train" / "lake_2.jpg")).mean(axis=2).astype(np.int64) * 181 // 255
    assert np.array_equal(dataset.truth(0), expected)
    record = json.loads((root / "label_maps" / "labels.json").read_text())
    assert (record["judge"], record["sha256"]) == ("bright", "a" * 64)


def test_it_goes_on_where_it_was_stopped(
    root: Path, calls: list[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(done: int, of: int, text: str) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        label_photographs(root, device="cpu", progress=stop)
    assert len(calls) == 3
    assert label_photographs(root, device="cpu") == 3
    assert len(calls) == 6
    monkeypatch.setattr(job, "build_judge", lambda *_: pytest.fail("nothing is left to label"))
    assert label_photographs(root, device="cpu") == 0


def test_maps_of_two_judges_are_not_mixed(
    root: Path, calls: list[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    label_photographs(root, device="cpu")
    (root / "label_maps" / "lake_5.png").unlink()
    judge = Judge(name="bright", sha256="b" * 64, classes=182, label=lambda image, size: np.zeros(size, np.int64))
    monkeypatch.setattr(job, "build_judge", lambda *_: judge)
    with pytest.raises(
        DatasetError, match=r"begun by bright with weights aaaaaaaaaaaa, not by bright with bbbbbbbbbbbb"
    ):
        label_photographs(root, device="cpu")
    assert not (root / "label_maps" / "lake_5.png").exists()


def test_unreadable_photographs_are_named_and_the_others_labelled(root: Path, calls: list[tuple[int, ...]]) -> None:
    for name in ("lake_2", "lake_4"):
        path = root / "train" / f"{name}.jpg"
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DatasetError, match=r"(?s)lake_2.jpg: cannot be read as an image.*lake_4.jpg: cannot be read"):
        label_photographs(root, device="cpu")
    assert {path.stem for path in (root / "label_maps").glob("*.png")} == set(NAMES) - {"lake_2", "lake_4"}


def test_a_photograph_beyond_pillows_limit_is_named(
    root: Path, calls: list[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (100, 90)).save(root / "train" / "panorama.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4000)  # refused from twice as many on
    with pytest.raises(DatasetError, match=r"panorama.png: cannot be read as an image \(Image size \(9000 pixels"):
        label_photographs(root, device="cpu")
    assert len(list((root / "label_maps").glob("*.png"))) == len(NAMES)


def test_turned_photographs_are_refused(root: Path, calls: list[tuple[int, ...]]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (50, 40)).save(root / "train" / "turned.jpg", exif=exif)
    with pytest.raises(DatasetError, match=r"turned.jpg: cannot be read .*EXIF turns it.*save it upright"):
        label_photographs(root, device="cpu")


def test_large_photographs_are_labelled_smaller_and_keep_their_size(root: Path, calls: list[tuple[int, ...]]) -> None:
    Image.new("RGB", (2 * LONG_SIDE_PX, 600)).save(root / "train" / "wide.png")
    label_photographs(root, device="cpu")
    assert (300, LONG_SIDE_PX, 3) in calls
    with Image.open(root / "label_maps" / "wide.png") as labels:
        assert (labels.size, labels.mode) == ((2 * LONG_SIDE_PX, 600), "L")


def test_without_the_judges_file_the_file_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPADE_BENCH_WEIGHTS", str(root))
    monkeypatch.setenv("TORCH_HOME", str(root))
    missing = r"(?s)164k-100000.pth is missing .*run ./run_study.py fetch-weights deeplabv2-cocostuff164k"
    with pytest.raises(MissingWeightsError, match=missing):
        label_photographs(root, device="cpu")
    assert not (root / "label_maps" / "labels.json").exists()
