"""The official layouts: what is read from each, which one a folder is in, and what is said of every other folder."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.data.dataset import Dataset, DatasetError
from bench.data.files import made_folder
from bench.data.layouts.coco import INSTANCE_MAPS
from bench.data.layouts.coco_instances import write_instance_maps
from bench.data.packing import pack
from bench.data.paired import PairedDataset
from bench.data.registry import ENTRIES, dataset_spec
from bench.data.transforms import draw_augmentation
from tests.data import trees


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPADE_BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def opened(name: str, root: Path, split: str = "train") -> Dataset:
    return dataset_spec(name).open(split=split, root=root, size=(32, 64) if name == "cityscapes" else (32, 32))


def complaint(name: str, root: Path, split: str = "train") -> str:
    with pytest.raises(DatasetError, match=f"dataset '{name}'") as error:
        opened(name, root, split)
    return str(error.value)


def coco_with_instances(root: Path, **unpacking: str) -> Path:
    trees.write_coco_download(root, **unpacking)  # type: ignore[arg-type]
    for split in ("train", "val"):
        write_instance_maps(root, split, made_folder(root, INSTANCE_MAPS) / split, processes=1)
    return root


def ids_of(dataset: Dataset) -> list[str]:
    return [dataset.sample_id(index) for index in range(len(dataset))]


COCO_UNPACKINGS: dict[str, dict[str, str]] = {
    "official": {},
    "images below images/": {"images": "images/{split}"},
    "stuffthingmaps/": {"labels": "stuffthingmaps/{split}"},
    "below annotations/": {"labels": "annotations/stuffthingmaps_trainval2017/{split}"},
    "deeplab-pytorch": {"images": "images/{split}", "labels": "annotations/{split}"},
    "all in one": {"labels": "{split}", "annotations": "annotations_trainval2017/annotations"},
}


def test_every_unpacking_of_coco_stuff_is_the_same_data_set(tmp_path: Path) -> None:
    seen = set()
    for number, (what, unpacking) in enumerate(COCO_UNPACKINGS.items()):
        root = coco_with_instances(tmp_path / str(number), **unpacking)
        assert dataset_spec("coco_stuff").find_layout(root).name == "coco_stuff-download", what
        datasets = [opened("coco_stuff", root, split) for split in ("train", "val")]
        assert [len(dataset) for dataset in datasets] == [4, 2], what
        seen.add(tuple((*ids_of(dataset), dataset.manifest_hash) for dataset in datasets))
    ((train, val),) = seen
    assert train[0] == "000000005009"
    assert train[-1] != val[-1]


def test_coco_stuff_has_its_ids_at_the_files_own_size(tmp_path: Path) -> None:
    root = coco_with_instances(tmp_path)
    dataset = opened("coco_stuff", root)
    stored = np.asarray(Image.open(root / "stuffthingmaps_trainval2017/train2017/000000005016.png"))
    assert 255 in stored
    truth = dataset.truth(1)
    np.testing.assert_array_equal(truth, np.where(stored == 255, 182, stored))
    assert dataset.native_size(1) == stored.shape == (48, 40)
    photograph = np.asarray(Image.open(root / "train2017/000000005016.jpg"))
    np.testing.assert_array_equal(dataset.original(1), photograph)
    sample = dataset.load(1)
    drawn = Image.open(root / "instance_maps/train/000000005016.png").resize((32, 32), Image.Resampling.NEAREST)
    np.testing.assert_array_equal(sample.instances, np.asarray(drawn))
    assert dataset.spec.channels == 184


def test_coco_stuff_without_instance_maps_names_the_command(tmp_path: Path) -> None:
    root = trees.write_coco_download(tmp_path)
    told = f"{root}/instance_maps/train: 4 of 4 instance maps are not drawn yet; run ./run_study.py prepare coco_stuff"
    assert f"{told} --root {root}" in complaint("coco_stuff", root)
    unmade = dataset_spec("coco_stuff").find_layout(root).unmade(root, "val")
    assert unmade is not None
    assert (unmade.kind, unmade.missing, unmade.total) == ("instance maps", 2, 2)
    write_instance_maps(root, "train", root / "instance_maps" / "train", processes=1)
    (root / "instance_maps" / "train" / "000000005016.png").unlink()
    assert "1 of 4 instance maps are not drawn yet" in complaint("coco_stuff", root)
    (root / "annotations" / "instances_train2017.json").unlink()
    said = complaint("coco_stuff", root)
    assert (
        f"it needs {root}/annotations/instances_train2017.json, which is not there: unpack http://images.coco" in said
    )


def test_coco_stuff_tells_its_label_maps_from_others(tmp_path: Path) -> None:
    root = trees.write_coco_download(tmp_path / "a", labels="annotations/{split}")
    maps = root / "annotations" / "train2017"
    for path in sorted(maps.glob("*.png")):
        shutil.copy(path, path.with_name(f"{path.stem}_labelTrainIds.png"))
    write_instance_maps(root, "train", root / "instance_maps" / "train", processes=1)
    assert len(opened("coco_stuff", root)) == 4, "mmsegmentation's files beside the originals do no harm"
    for path in maps.glob("0*[0-9].png"):
        path.unlink()
    said = complaint("coco_stuff", root)
    assert f"{maps}: holds mmsegmentation's *_labelTrainIds.png alone, 171 ids" in said
    assert "unpack http://calvin.inf.ed.ac.uk/wp-content/uploads/data/cocostuffdataset/stuffthingmaps_train" in said
    other = trees.write_coco_download(tmp_path / "b", labels="stuff_{split}_pixelmaps")
    assert "stuff_train2017_pixelmaps: belongs to another task of COCO" in complaint("coco_stuff", other)
    shutil.rmtree(other / "stuff_train2017_pixelmaps")
    assert "holds no label maps of train2017; unpack http" in complaint("coco_stuff", other)
    shutil.rmtree(other / "train2017")
    assert f"{other}/train2017: no such folder (nor images/train2017); it should hold" in complaint("coco_stuff", other)


def test_instance_maps_of_a_folder_that_is_not_ours_go_to_the_cache(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = trees.write_coco_download(tmp_path / "coco")
    may = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: may(path, mode) and not (mode == os.W_OK and path == root))
    folder = made_folder(root, INSTANCE_MAPS)
    assert folder.is_relative_to(cache / INSTANCE_MAPS)
    write_instance_maps(root, "train", folder / "train", processes=1)
    dataset = opened("coco_stuff", root)
    assert dataset.load(0).instances is not None
    monkeypatch.undo()
    monkeypatch.setenv("SPADE_BENCH_CACHE", str(cache))
    assert made_folder(root, INSTANCE_MAPS) == folder, "what is drawn stays in use when the folder becomes writable"
    assert opened("coco_stuff", root).manifest_hash == dataset.manifest_hash


def test_ade20k_is_the_challenges_download_in_any_arrangement(tmp_path: Path) -> None:
    challenge = trees.write_ade_challenge(tmp_path / "challenge")
    together = trees.write_ade_challenge(tmp_path / "together", images="{split}", labels="{split}", scenes=False)
    flat = trees.write_ade_challenge(tmp_path / "flat", images="", labels="", scenes=False)
    names = [dataset_spec("ade20k").find_layout(root).name for root in (challenge, together, flat)]
    assert names == ["ADEChallengeData2016", "ADE20K-tree", "ADE20K-tree"]
    for split, count in (("train", 8), ("val", 5)):
        datasets = [opened("ade20k", root, split) for root in (challenge, together, flat)]
        assert {tuple(ids_of(dataset)) for dataset in datasets} == {
            tuple(f"ADE_{split}_{number:08d}" for number in range(1, count + 1))
        }
        assert len({dataset.manifest_hash for dataset in datasets}) == 1
    assert set(np.unique(opened("ade20k", challenge).truth(0))) <= {0, 1, 3, 10, 150}


def test_a_tree_of_ade20k_names_what_is_missing_and_what_is_there_twice(tmp_path: Path) -> None:
    root = trees.write_ade_challenge(tmp_path, images="a/{split}", labels="b/{split}")
    (root / "c").mkdir()
    shutil.copy(root / "a/training/ADE_train_00000001.jpg", root / "c")
    (root / "a/training/ADE_train_00000002.jpg").unlink()
    (root / "b/training/ADE_train_00000003.png").unlink()
    said = complaint("ade20k", root)
    assert f"{root}/c/ADE_train_00000001.jpg: is also at {root}/a/training/ADE_train_00000001.jpg; keep one" in said
    assert f"{root}/b/training/ADE_train_00000002.png: no image ADE_train_00000002.jpg under {root}" in said
    assert f"{root}/a/training/ADE_train_00000003.jpg: no label map ADE_train_00000003.png under {root}" in said
    assert "3 problems" in said
    for path in (root / "a/validation").iterdir():
        path.unlink()
    assert f"{root}: holds no pair of ADE_val_*.jpg and ADE_val_*.png" in complaint("ade20k", root, "val")


@pytest.mark.parametrize("name", ["ade20k", "ade20k_outdoor"])
def test_the_full_ade20k_download_is_told_apart(tmp_path: Path, name: str) -> None:
    root = trees.write_ade_full(tmp_path / "ADE20K_2016_07_26")
    said = complaint(name, root)
    assert "index_ade20k.mat belongs to the full ADE20K download, which is another data set (3,688 classes" in said
    assert "get http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip" in said
    (root / "index_ade20k.mat").unlink()
    assert "images/training/a/abbey/ADE_train_00000001_seg.png belongs to the full" in complaint(name, root)
    assert "ADE20K_2016_07_26 belongs to the full" in complaint(name, tmp_path)


def test_cityscapes_is_read_as_its_site_hands_it_out(tmp_path: Path) -> None:
    root = trees.write_cityscapes(tmp_path)
    assert dataset_spec("cityscapes").find_layout(root).name == "cityscapes-official"
    train, val = opened("cityscapes", root), opened("cityscapes", root, "val")
    assert ids_of(train) == [f"{city}_{n:06d}_000019" for n, city in ((0, "aachen"), (2, "aachen"))] + [
        f"bochum_{n:06d}_000019" for n in (1, 3)
    ]
    assert len(val) == 2
    truth = root / "gtFine/train/bochum/bochum_000001_000019_gtFine_labelIds.png"
    np.testing.assert_array_equal(train.truth(2), np.asarray(Image.open(truth)))
    instances = train.load(2).instances
    assert instances is not None
    assert instances.max() > 24000
    assert train.native_size(2) == (64, 128)
    assert train.spec.channels == 36


def test_cityscapes_names_what_is_missing(tmp_path: Path) -> None:
    root = trees.write_cityscapes(tmp_path)
    truth = root / "gtFine/train/aachen"
    (truth / "aachen_000000_000019_gtFine_instanceIds.png").unlink()
    (truth / "aachen_000002_000019_gtFine_labelIds.png").unlink()
    said = complaint("cityscapes", root)
    assert "no instance map named 'aachen_000000_000019' in" in said
    assert "no label map named 'aachen_000002_000019' in" in said
    for path in (root / "gtFine/val").rglob("*_labelIds.png"):
        path.rename(path.with_name(path.name.replace("labelIds", "labelTrainIds")))
    said = complaint("cityscapes", root, "val")
    assert f"{root}/gtFine/val: holds no label maps; allowed are *_gtFine_labelIds.png" in said
    assert "its *_labelTrainIds files are not read: they have 19 ids and 255" in said
    shutil.rmtree(root / "leftImg8bit/train")
    assert f"{root}/leftImg8bit/train: no such folder; it should hold the images" in complaint("cityscapes", root)
    with pytest.raises(
        DatasetError, match=r"no split 'test': its label maps are not published .*; choose one of train"
    ):
        opened("cityscapes", root, "test")


def test_the_coarse_labels_of_cityscapes_are_another_download(tmp_path: Path) -> None:
    (tmp_path / "gtCoarse").mkdir()
    assert "gtCoarse is there and gtFine is not: the coarse label maps are another download" in complaint(
        "cityscapes", tmp_path
    )


@pytest.mark.parametrize("name", ["coco_stuff", "ade20k", "cityscapes"])
def test_the_released_layout_goes_with_every_data_set_of_pairs(tmp_path: Path, name: str) -> None:
    values = {"coco_stuff": (0, 91, 181, 255), "ade20k": (0, 1, 150), "cityscapes": (0, 7, 26, 33)}[name]
    entry = dataset_spec(name)
    root = trees.write_released(tmp_path, values=values, instances=entry.has_instances)
    assert entry.find_layout(root).name == "released"
    assert (len(opened(name, root)), len(opened(name, root, "val"))) == (4, 2)


def test_a_folder_above_or_below_the_layout_is_pointed_out(tmp_path: Path) -> None:
    trees.write_cityscapes(tmp_path / "data" / "cityscapes")
    trees.write_ade_challenge(tmp_path / "data" / "ade")
    said = complaint("cityscapes", tmp_path / "data")
    assert f"{tmp_path}/data holds none of its layouts; it should hold\n  - cityscapes-official: leftImg8bit/" in said
    assert "it holds ade/, cityscapes/" in said
    assert said.endswith(f"give --root {tmp_path}/data/cityscapes: that folder is in the layout 'cityscapes-official'")
    said = complaint("ade20k", tmp_path / "data" / "ade" / "images")
    assert said.endswith(f"give --root {tmp_path}/data/ade: that folder is in the layout 'ADEChallengeData2016'")
    (tmp_path / "empty").mkdir()
    assert "it holds nothing" in complaint("coco_stuff", tmp_path / "empty")
    many = tmp_path / "many"
    for number in range(15):
        (many / f"folder{number:02d}").mkdir(parents=True)
    assert "folder10/, folder11/ and 3 more" in complaint("coco_stuff", many)


def test_a_folder_that_may_not_be_read_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = trees.write_cityscapes(tmp_path)
    monkeypatch.setattr("bench.data.detection.os.access", lambda path, mode: False)
    assert f"{root} may not be read by this user; ask its owner" in complaint("cityscapes", root)


@pytest.mark.parametrize("entry", [entry for entry in ENTRIES if entry.needs_root], ids=lambda entry: entry.name)
def test_every_layout_keeps_the_contract(entry: object, tmp_path: Path) -> None:
    layouts = entry.layouts  # type: ignore[attr-defined]
    assert len({layout.name for layout in layouts}) == len(layouts)
    for layout in layouts:
        assert pickle.loads(pickle.dumps(layout)) == layout
        assert layout.folders(None, "train") != layout.folders(None, "val")
        assert not layout.recognises(tmp_path)
        pairs, problems = layout.pairs(tmp_path, "train")
        assert pairs == {}
        assert all(str(tmp_path) in problem for problem in problems)
        assert problems
        assert layout.unmade(tmp_path, "train") is None


def test_which_rule_made_the_set_is_part_of_its_identity(tmp_path: Path) -> None:
    root = trees.write_photographs(tmp_path, count=4)
    trees.write_label_maps(root, judge=None)
    before = opened("photographs", root).manifest_hash
    (root / "label_maps" / "labels.json").write_text(json.dumps({"judge": "deeplab", "sha256": "b" * 64}))
    after = opened("photographs", root).manifest_hash
    assert after != before


def test_a_packed_copy_is_opened_in_place_of_the_files(tmp_path: Path) -> None:
    entry = dataset_spec("ade20k")
    root = trees.write_ade_challenge(tmp_path / "ade")
    files = [opened("ade20k", root, split) for split in ("train", "val")]
    pack([dataset for dataset in files if isinstance(dataset, PairedDataset)], tmp_path / "packed", workers=1)
    assert entry.find_layout(tmp_path / "packed").name == "packed"
    for whole in files:
        packed = opened("ade20k", tmp_path / "packed", whole.split)
        assert packed.manifest_hash == whole.manifest_hash
        drawn = draw_augmentation(entry.augmentation_rule, 0, 0, 2) if whole.split == "train" else None
        np.testing.assert_array_equal(packed.load(2, drawn).labels, whole.load(2, drawn).labels)
    with pytest.raises(DatasetError, match="packed copy of 'ade20k', not of 'cityscapes'"):
        opened("cityscapes", tmp_path / "packed")
