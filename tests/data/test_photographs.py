"""Folders of photographs: how they are split, which label maps belong to them, and what is said without any."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.data.dataset import Dataset, DatasetError
from bench.data.layouts.photographs import label_record, photographs, validation_ids, write_label_record
from bench.data.registry import dataset_spec
from tests.data import trees


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPADE_BENCH_CACHE", str(tmp_path / "cache"))


def opened(root: Path, split: str = "train", name: str = "photographs") -> Dataset:
    return dataset_spec(name).open(split=split, root=root, size=(32, 32))


def ids_of(dataset: Dataset) -> list[str]:
    return [dataset.sample_id(index) for index in range(len(dataset))]


def test_one_folder_is_split_by_the_hash_of_the_names() -> None:
    names = [f"photo {n}" for n in range(100)]
    chosen = validation_ids(names)
    assert len(chosen) == 3
    limit = max(hashlib.sha256(name.encode()).hexdigest() for name in chosen)
    assert all(hashlib.sha256(name.encode()).hexdigest() > limit for name in set(names) - chosen)
    assert validation_ids(reversed(names)) == chosen
    assert len(validation_ids(f"{n}" for n in range(42_000))) == 1000
    assert len(validation_ids(["alone"])) == 1


def test_a_flat_folder_opens_with_its_label_maps(tmp_path: Path) -> None:
    root = trees.write_label_maps(trees.write_photographs(tmp_path / "photographs", count=90))
    train, val = opened(root), opened(root, "val")
    assert (len(train), len(val)) == (87, 3)
    assert not set(ids_of(train)) & set(ids_of(val))
    assert set(ids_of(val)) == validation_ids([*ids_of(train), *ids_of(val)])
    stored = np.asarray(Image.open(root / "label_maps" / f"{val.sample_id(0)}.png"))
    np.testing.assert_array_equal(val.truth(0), stored)
    sample = val.load(0)
    assert sample.instances is None
    assert (train.spec.ids, train.spec.channels) == (183, 183)
    coco = dataset_spec("coco_stuff")
    assert (train.class_names, train.spec.ids) == (coco.class_names, coco.spec.ids), "one id space, so maps are shared"


def test_split_folders_and_folders_below_them_are_taken_as_they_are(tmp_path: Path) -> None:
    root = trees.write_photographs(tmp_path / "photographs", splits={"train": 5, "val": 2})
    (root / "train" / "2019" / "paris").mkdir(parents=True)
    shutil.copy(root / "train" / "phototrain000.jpg", root / "train" / "2019" / "paris" / "view.jpeg")
    (root / "train" / ".hidden").mkdir()
    shutil.copy(root / "train" / "phototrain000.jpg", root / "train" / ".hidden" / "none.jpg")
    images, problems = photographs(root, "train")
    assert (list(images)[0], len(images), problems) == ("2019--paris--view", 6, [])
    trees.write_label_maps(root)
    view = root / "label_maps" / "2019--paris--view.png"
    shutil.copy(root / "label_maps" / "phototrain000.png", view)
    assert ids_of(opened(root)) == list(images)
    assert ids_of(opened(root, "val")) == ["photoval000", "photoval001"]


@pytest.mark.parametrize("name", ["photographs", "flickr_landscapes"])
def test_without_label_maps_the_command_is_named(tmp_path: Path, name: str) -> None:
    root = trees.write_photographs(tmp_path / "photographs", count=12)
    told = (
        f"{root}/label_maps: 11 of 11 label maps are not computed yet; run ./run_study.py prepare {name} --root {root}"
    )
    with pytest.raises(DatasetError, match="1 problem in its files") as error:
        opened(root, name=name)
    assert told in str(error.value)
    unmade = dataset_spec(name).find_layout(root).unmade(root, "val")
    assert unmade is not None
    assert (unmade.kind, unmade.missing, unmade.total, unmade.folder) == ("label maps", 1, 1, root / "label_maps")
    trees.write_label_maps(root)
    (root / "label_maps" / "photo000.png").unlink()
    with pytest.raises(DatasetError, match="1 of 11 label maps are not computed yet"):
        opened(root, name=name)


def test_the_judge_of_the_label_maps_is_part_of_the_identity(tmp_path: Path) -> None:
    root = trees.write_label_maps(trees.write_photographs(tmp_path / "photographs", count=4), judge=None)
    layout = dataset_spec("photographs").find_layout(root)
    assert layout.identity(root, "train") == ("split: photographs-split@1", "label maps by nobody recorded")
    hashes = [opened(root).manifest_hash]
    write_label_record(root, {"judge": "deeplab", "sha256": "a" * 64, "made": "on a Monday"})
    assert label_record(root)["made"] == "on a Monday"
    assert layout.identity(root, "train")[1] == f"label maps by deeplab {'a' * 64}"
    hashes.append(opened(root).manifest_hash)
    write_label_record(root, {"judge": "deeplab", "sha256": "a" * 64, "made": "on a Tuesday"})
    assert opened(root).manifest_hash == hashes[-1]
    write_label_record(root, {"judge": "deeplab", "sha256": "b" * 64})
    hashes.append(opened(root).manifest_hash)
    assert len(set(hashes)) == 3
    (root / "label_maps" / "labels.json").write_text('["deeplab"]')
    with pytest.raises(ValueError, match=r"labels.json: must be an object of texts, such as judge and sha256"):
        opened(root)


def test_what_stands_in_the_way_of_a_split_is_said(tmp_path: Path) -> None:
    root = trees.write_photographs(tmp_path / "one", count=1)
    with pytest.raises(DatasetError, match="has 1 photograph, none of which is left for split train; add photographs"):
        opened(root)
    root = trees.write_photographs(tmp_path / "half", splits={"train": 2})
    with pytest.raises(DatasetError, match=r"half/val: no such folder; it should hold the photographs of split val"):
        opened(root, "val")
    root = trees.write_photographs(tmp_path / "twice", splits={"train": 2, "val": 1})
    shutil.copy(root / "train" / "phototrain001.jpg", root / "val" / "phototrain001.jpg")
    with pytest.raises(DatasetError, match=r"val/phototrain001.jpg: has the name of .*train/phototrain001.jpg, and"):
        opened(root)
    (tmp_path / "none").mkdir()
    with pytest.raises(DatasetError, match="holds none of its layouts"):
        opened(tmp_path / "none")


@pytest.mark.parametrize("pairs", ["released", "coco", "cityscapes"])
def test_pairs_are_not_taken_for_photographs(tmp_path: Path, pairs: str) -> None:
    write = {"released": trees.write_released, "coco": trees.write_coco_download, "cityscapes": trees.write_cityscapes}
    root = write[pairs](tmp_path / pairs)
    with pytest.raises(DatasetError, match="it holds pairs of photographs and label maps; name the data set that they"):
        opened(root)


def test_links_that_lead_around_are_followed_once(tmp_path: Path) -> None:
    root = trees.write_photographs(tmp_path / "photographs", splits={"train": 3, "val": 1})
    (root / "train" / "again").symlink_to(root / "train")
    (root / "train" / "elsewhere").symlink_to(trees.write_photographs(tmp_path / "elsewhere", count=1))
    images, problems = photographs(root, "train")
    assert (list(images), problems) == (["elsewhere--photo000", *(f"phototrain{n:03d}" for n in range(3))], [])


def test_one_folder_of_somebodys_data_set_will_do(tmp_path: Path) -> None:
    root = trees.write_coco_download(tmp_path) / "train2017"
    assert dataset_spec("photographs").find_layout(root).name == "photographs"
    assert len(photographs(root, "train")[0]) == 3


def test_a_label_map_of_another_size_is_refused(tmp_path: Path) -> None:
    root = trees.write_label_maps(trees.write_photographs(tmp_path / "photographs", count=5))
    Image.new("L", (9, 9)).save(root / "label_maps" / "photo002.png")
    name = next(split for split in ("train", "val") if "photo002" in photographs(root, split)[0])
    with pytest.raises(DatasetError, match=r"label_maps/photo002.png: 9 x 9 \(width x height\), but its image"):
        opened(root, name)
