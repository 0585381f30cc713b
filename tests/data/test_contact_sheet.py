"""The contact sheet and the statistics: what a user sees of a data set before training on it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from bench.data.contact_sheet import contact_sheet
from bench.data.dataset import Augmentation
from bench.data.paired import PairedDataset
from bench.data.registry import dataset_spec
from bench.data.statistics import Statistics, scene_statistics, split_statistics, statistics_lines, write_statistics
from tests.data.trees import save, write_ade_challenge, write_released


def opened(name: str, root: Path, split: str = "train", size: tuple[int, int] = (32, 32)) -> PairedDataset:
    dataset = dataset_spec(name).open(split=split, root=root, size=size, manifest_dir=root.parent / "manifests")
    assert isinstance(dataset, PairedDataset)
    return dataset


def statistics_of(dataset: PairedDataset) -> Statistics:
    return split_statistics(dataset, dataset.manifest, dont_care_value=dataset.files.dont_care_value)


def plain_regions(pixels: NDArray[np.uint8], colour: tuple[int, int, int]) -> tuple[int, int]:
    """Height and width of the box around the pixels of a colour."""
    rows, columns = np.nonzero((pixels == np.array(colour, np.uint8)).all(-1))
    return int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1


def test_pairs_of_different_shapes_keep_their_proportions(tmp_path: Path) -> None:
    root = tmp_path / "data"
    for number, (size, value) in enumerate((((30, 90), 3), ((60, 40), 7))):
        save(root / "train_img" / f"p{number}.png", np.full((*size, 3), (200, 10 + number, 77), np.uint8))
        save(root / "train_label" / f"p{number}.png", np.full(size, value, np.uint8))
    dataset = opened("ade20k", root)
    with Image.open(contact_sheet(dataset, 2, tmp_path / "sheet.png")) as sheet:
        pixels = np.asarray(sheet)
    for number, shape in enumerate((30 / 90, 60 / 40)):
        height, width = plain_regions(pixels, (200, 10 + number, 77))
        assert height / width == pytest.approx(shape, rel=0.02)
        assert height > 100


def test_samples_can_be_spread_over_the_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = opened("ade20k", write_ade_challenge(tmp_path / "data", pairs={"train": 9, "val": 1}))
    shown: list[tuple[int, Augmentation | None]] = []
    load = PairedDataset.load
    monkeypatch.setattr(PairedDataset, "load", lambda self, i, a=None: (shown.append((i, a)), load(self, i, a))[1])
    window = Augmentation(flip=True, load_scale=286 / 256, crop_y=0.5, crop_x=0.5)
    contact_sheet(dataset, 3, tmp_path / "sheet.png", spread=True, augmentation=window)
    assert shown == [(0, window), (4, window), (8, window)]
    shown.clear()
    contact_sheet(dataset, 2, tmp_path / "sheet.png", first=5)
    assert [index for index, _ in shown] == [5, 6]
    contact_sheet(dataset, 1, tmp_path / "sheet.png", spread=True)


def test_statistics_say_what_the_files_hold(tmp_path: Path) -> None:
    root = write_released(tmp_path / "data", pairs={"train": 5, "val": 2})
    Image.open(root / "train_img" / "pair002.jpg").convert("L").save(root / "train_img" / "pair002.jpg")
    dataset = opened("coco_stuff", root)
    numbers = statistics_of(dataset)
    maps = [dataset.truth(index) for index in range(5)]
    together = np.concatenate([labels.ravel() for labels in maps])
    for one in numbers.classes:
        assert one.pixels == int((together == one.id).sum())
        assert one.images == sum(bool((labels == one.id).any()) for labels in maps)
        assert one.share == one.pixels / together.size
    assert numbers.ignored_share == float((together == 182).mean())
    assert {one.id for one in numbers.present} == set(np.unique(together).tolist())
    assert len(numbers.never_seen) + len([one for one in numbers.present if one.scored]) == 182
    heights = [labels.shape[0] for labels in maps]
    assert (numbers.height.least, numbers.height.median, numbers.height.most) == (33, np.median(heights), 48)
    assert numbers.instance_ids is not None
    assert numbers.instance_ids.most == max(len(np.unique(labels)) for labels in maps)
    lines = "\n".join(statistics_lines(numbers))
    for words in (
        f"pairs          5 of 118,287 (released), content hash {dataset.manifest_hash[:12]}",
        "height 33 to 48 px (median 40), width 40 to 56 px (median 47); 3 sizes, most often 40x56 (40.0 %)",
        "image modes    L 1, RGB 4; all are read as RGB",
        f"of 183 occur; {len([one for one in numbers.present if one.scored])} of 182 scored classes",
        "and 16",
        f"not scored     {100 * numbers.ignored_share:.1f} % of the pixels",
    ):
        assert words in lines


def test_statistics_of_scenes_count_the_first_of_them() -> None:
    dataset = dataset_spec("synthetic").open(split="val", images=210)
    numbers = scene_statistics(dataset)
    assert (numbers.pairs, numbers.counted, numbers.classes[0].name) == (210, 200, "sky")
    assert sum(one.pixels for one in numbers.classes) == 200 * 64 * 64
    assert "counted in 200 scenes" in "\n".join(statistics_lines(numbers))


def test_statistics_are_written_for_people_and_programs(tmp_path: Path) -> None:
    numbers = statistics_of(opened("ade20k", write_ade_challenge(tmp_path / "data")))
    write_statistics(numbers, tmp_path / "s.json", tmp_path / "s.csv")
    stored = json.loads((tmp_path / "s.json").read_text())
    assert stored["pairs"] == 8
    assert stored["classes"][3] == {
        "id": 3,
        "name": "sky",
        "pixels": numbers.classes[3].pixels,
        "share": numbers.classes[3].share,
        "images": numbers.classes[3].images,
        "scored": True,
    }
    with (tmp_path / "s.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 151
    assert (rows[3]["name"], int(rows[3]["pixels"])) == ("sky", numbers.classes[3].pixels)
