"""Folders of pairs: what is read, what is recorded, and every complaint about the files."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.data.dataset import DatasetError
from bench.data.layouts.released import Released
from bench.data.paired import PairedDataset, SplitFiles, open_paired
from bench.data.registry import dataset_spec

SHARED = Path(os.environ.get("SPADE_BENCH_DATA") or Path(__file__).resolve().parents[2] / ".." / "shared" / "data")
COLOURS = ((1, 2, 3), (4, 5, 6), (7, 8, 9), (40, 40, 40))


def write_pair(root: Path, stem: str, seed: int, size: tuple[int, int] = (40, 48)) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.choice(np.array([0, 1, 2, 255], np.uint8), size)
    for folder, suffix, array in (
        ("img", "jpg", rng.integers(0, 256, (*size, 3), dtype=np.uint8)),
        ("label", "png", labels),
        ("inst", "png", rng.integers(0, 40000, size).astype(np.uint16)),
    ):
        (root / f"train_{folder}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(root / f"train_{folder}" / f"{stem}.{suffix}")


def files(root: Path, **changes: object) -> SplitFiles:
    settings: dict[str, object] = {
        "name": "mine",
        "split": "train",
        "root": root,
        "layout": Released(has_instances=bool(changes.get("has_instances", True))),
        "has_instances": True,
        "classes": 3,
        "dont_care_value": 255,
        "class_names": ("a", "b", "c", "nothing"),
        "palette": COLOURS,
        "size": (32, 32),
        "ignore_ids": (3,),
    }
    return SplitFiles(**{**settings, **changes})  # type: ignore[arg-type]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number, stem in enumerate(("one", "two", "three")):
        write_pair(tmp_path / "data", stem, number)
    return tmp_path / "data"


def opened(root: Path, **changes: object) -> PairedDataset:
    return open_paired(files(root, **changes), manifest_dir=root.parent / "manifests")


def problems(root: Path, **changes: object) -> list[str]:
    with pytest.raises(DatasetError, match=r"dataset 'mine', split 'train': \d+ problems? in its files") as error:
        opened(root, **changes)
    return str(error.value).splitlines()[1:]


def test_pairs_are_read_with_dont_care_as_an_id(root: Path) -> None:
    dataset = opened(root)
    assert [dataset.sample_id(i) for i in range(len(dataset))] == ["one", "three", "two"]
    assert (dataset.spec.ids, dataset.spec.channels, dataset.scored_classes) == (4, 5, (0, 1, 2))
    sample = dataset.load(1)
    stored = Image.open(root / "train_label" / "three.png").resize((32, 32), Image.Resampling.NEAREST)
    expected = np.asarray(stored).copy()
    expected[expected == 255] = 3
    np.testing.assert_array_equal(sample.labels, expected)
    assert sample.labels.dtype == np.uint8
    assert sample.instances is not None
    assert sample.instances.max() > 255
    image = Image.open(root / "train_img" / "three.jpg").convert("RGB")
    image = image.resize((32, image.height), Image.Resampling.BICUBIC).resize((32, 32), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(sample.image, np.asarray(image))


def test_manifest_counts_labels_and_names_contents_not_places(root: Path) -> None:
    manifest = opened(root).manifest
    assert sum(manifest.label_pixels.values()) == 3 * 40 * 48
    assert set(manifest.label_pixels) == {0, 1, 2, 255}
    elsewhere = root.parent / "elsewhere"
    shutil.copytree(root, elsewhere)
    assert opened(elsewhere).manifest_hash == manifest.content_hash
    write_pair(elsewhere, "two", 99)
    assert opened(elsewhere).manifest_hash != manifest.content_hash


def test_manifest_is_reused_until_a_file_changes(root: Path) -> None:
    looks: list[int] = []

    def look() -> str:
        looks.clear()
        progress = lambda done, total: looks.append(done)  # noqa: E731
        return open_paired(files(root), manifest_dir=root.parent / "manifests", progress=progress).manifest_hash

    first = look()
    assert looks == [1, 2, 3]
    assert look() == first
    assert looks == []
    write_pair(root, "two", 5)
    assert look() != first
    assert looks == [2, 3]  # two are known from before; the changed one is looked at again


def test_a_broken_record_is_made_again(root: Path) -> None:
    first = opened(root).manifest
    (record,) = (root.parent / "manifests").glob("*.json")
    record.write_text(record.read_text()[:100])
    assert opened(root).manifest == first
    assert json.loads(record.read_text())["manifest"]["content_hash"] == first.content_hash


def test_all_problems_of_all_files_come_in_one_error(root: Path) -> None:
    for number, stem in enumerate(("range", "mode", "torn", "sizes", "alone", "double"), start=10):
        write_pair(root, stem, number)
    Image.fromarray(np.full((40, 48), 7, np.uint8)).save(root / "train_label" / "range.png")
    Image.fromarray(np.zeros((40, 48, 3), np.uint8)).save(root / "train_label" / "mode.png")
    (root / "train_img" / "torn.jpg").write_bytes((root / "train_img" / "torn.jpg").read_bytes()[:200])
    Image.fromarray(np.zeros((40, 50), np.uint8)).save(root / "train_label" / "sizes.png")
    (root / "train_label" / "alone.png").unlink()
    shutil.copy(root / "train_img" / "double.jpg", root / "train_img" / "double.png")
    lines = "\n".join(problems(root))
    for telling in (
        "train_label/range.png: label 7 (1920 pixels); allowed are 0 to 2, and 255 for don't care; correct the file",
        "train_label/mode.png: label map of mode RGB; allowed are L, P, I;16",
        "train_img/torn.jpg: not readable as an image",
        "train_label/sizes.png: 50 x 40 (width x height), but its image",
        f"no label map named 'alone' in {root / 'train_label'}; add it or remove its partners",
        "train_img/double.png: a second image named 'double' beside double.jpg; keep one of them",
    ):
        assert telling in lines
    assert len(lines.splitlines()) == 6


def test_each_problem_is_found_alone(root: Path) -> None:
    (root / "train_inst" / "one.png").unlink()
    (line,) = problems(root)
    assert "no instance map named 'one'" in line
    (line,) = problems(
        root, has_instances=False, classes=2, class_names=("a", "b", "n"), palette=COLOURS[:3], ignore_ids=()
    )[:1]
    assert "allowed are 0 to 1, and 255 for don't care" in line


def test_empty_and_missing_folders_are_told_apart(root: Path) -> None:
    for path in (root / "train_img").iterdir():
        path.unlink()
    shutil.rmtree(root / "train_label")
    lines = problems(root)
    assert f"{root / 'train_img'}: holds no images; allowed are .jpg" in lines[0]
    assert f"{root / 'train_label'}: no such folder; it should hold the label maps" in lines[1]


def test_without_a_dont_care_value_255_is_out_of_range(root: Path) -> None:
    lines = problems(root, dont_care_value=None, class_names=("a", "b", "c"), palette=COLOURS[:3], ignore_ids=())
    assert len(lines) == 3
    assert "label 255" in lines[0]
    assert "allowed are 0 to 2; " in lines[0]


def test_contradictory_settings_are_all_named(root: Path) -> None:
    with pytest.raises(
        DatasetError, match=r"(?s)255 is also a class.*class_names has 4 entries; there are 301.*palette"
    ):
        files(root, classes=300)
    with pytest.raises(DatasetError, match=r"ids \[1\] are in ignore_ids and in scored_classes"):
        files(root, ignore_ids=(1,), scored_classes=(0, 1))
    with pytest.raises(DatasetError, match=r"name \[9\]; label ids are 0 to 3"):
        files(root, ignore_ids=(9,))
    with pytest.raises(DatasetError, match="exclude each other"):
        files(root, dont_care_in_range=True)
    with pytest.raises(DatasetError, match=r"size is 30 x 32 \(height x width, pixels\)"):
        files(root, size=(30, 32))


def test_cityscapes_names_are_paired_and_sixteen_bit_instances_survive(tmp_path: Path) -> None:
    endings = {"img": "leftImg8bit", "label": "gtFine_labelIds", "inst": "gtFine_instanceIds"}
    ids = np.zeros((64, 128), np.uint16)
    ids[:, 64:] = 26013
    for kind, ending in endings.items():
        (tmp_path / f"train_{kind}").mkdir()
        array = {"img": np.zeros((64, 128, 3), np.uint8), "label": np.full((64, 128), 26, np.uint8), "inst": ids}[kind]
        Image.fromarray(array).save(tmp_path / f"train_{kind}" / f"aachen_000000_000019_{ending}.png")
    dataset = dataset_spec("cityscapes").open(root=tmp_path, split="train", size=(32, 64), manifest_dir=tmp_path / "m")
    assert dataset.sample_id(0) == "aachen_000000_000019"
    instances = dataset.load(0).instances
    assert instances is not None
    assert set(np.unique(instances)) == {0, 26013}


def test_ade20k_labels_stay_as_published(tmp_path: Path) -> None:
    (tmp_path / "val_img").mkdir()
    (tmp_path / "val_label").mkdir()
    Image.new("RGB", (16, 16)).save(tmp_path / "val_img" / "x.jpg")
    Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16) % 151).save(tmp_path / "val_label" / "x.png")
    dataset = dataset_spec("ade20k").open(root=tmp_path, split="val", size=(16, 16), manifest_dir=tmp_path / "m")
    assert set(np.unique(dataset.load(0).labels)) == set(range(151))
    assert dataset.spec.channels == 151
    assert dataset.scored_classes == tuple(range(1, 151))


@pytest.mark.parametrize(("split", "count"), [("train", 13), ("val", 8)])
def test_real_coco_stuff_pairs(split: str, count: int, tmp_path: Path) -> None:
    folder = SHARED / "coco_stuff_sample"
    if not folder.is_dir():
        pytest.skip(
            f"no COCO-Stuff pairs at {folder} (set SPADE_BENCH_DATA to the folder that holds coco_stuff_sample)"
        )
    dataset = dataset_spec("coco_stuff").open(root=folder, split=split, manifest_dir=tmp_path)
    assert len(dataset) == count
    assert (dataset.size, dataset.spec.channels, len(dataset.scored_classes)) == ((256, 256), 184, 182)
    seen: set[int] = set()
    for index in range(count):
        sample = dataset.load(index)
        assert sample.image.shape == (256, 256, 3)
        seen |= set(np.unique(sample.labels).tolist())
    assert max(seen) == 182
    assert dataset.class_names[182] == "don't care"
    assert 255 not in seen


def test_the_files_themselves_are_at_hand_unresized(root: Path) -> None:
    dataset = opened(root)
    stored = np.asarray(Image.open(root / "train_label" / "three.png"))
    truth = dataset.truth(1)
    np.testing.assert_array_equal(truth, np.where(stored == 255, 3, stored))
    assert (truth.dtype, dataset.native_size(1)) == (np.uint8, (40, 48))
    np.testing.assert_array_equal(dataset.original(1), np.asarray(Image.open(root / "train_img" / "three.jpg")))
    for look in (dataset.truth, dataset.native_size, dataset.original):
        with pytest.raises(IndexError, match=r"mine/train has 3 samples; index 3 is not one of 0 to 2"):
            look(3)


def test_the_manifest_says_where_the_files_are_under_the_root(root: Path) -> None:
    entry = opened(root).manifest.entries[0]
    assert (entry.image, entry.label, entry.instance) == (
        "train_img/one.jpg",
        "train_label/one.png",
        "train_inst/one.png",
    )
