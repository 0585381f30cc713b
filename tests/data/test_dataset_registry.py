"""The registry answers quickly, names what is missing, and every entry keeps the data set contract."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.data.contact_sheet import contact_sheet
from bench.data.dataset import DatasetError
from bench.data.registry import ENTRIES, DatasetEntry, class_names, dataset_names, dataset_spec, palette

REPOSITORY = Path(__file__).resolve().parents[2]


def test_listing_loads_neither_torch_nor_numpy() -> None:
    look = "[name for name in ('torch', 'numpy', 'PIL') if name in sys.modules]"
    code = f"import sys, bench.data.registry as registry; registry.dataset_names(); print({look})"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_module_of_the_package_loads_torch() -> None:
    modules = "contact_sheet, dataset, manifest, names, paired, registry, synthetic, transforms"
    code = f"import sys\nfrom bench.data import {modules}\nprint('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_channels_and_sizes_are_the_papers() -> None:
    facts = {entry.name: (entry.spec.channels, entry.size_px, entry.upsampling) for entry in ENTRIES}
    assert facts["coco_stuff"] == (184, (256, 256), "normal")
    assert facts["ade20k"] == (151, (256, 256), "normal")
    assert facts["cityscapes"] == (36, (256, 512), "more")
    assert len(dataset_spec("cityscapes").scored_classes or ()) == 19


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_every_entry_names_and_colours_every_id(entry: DatasetEntry) -> None:
    assert len(class_names(entry)) == entry.spec.ids
    assert len(set(class_names(entry))) == entry.spec.ids
    colours = palette(entry)
    assert len(colours) == entry.spec.ids
    scored = entry.scored_classes or tuple(i for i in range(entry.spec.ids) if i not in entry.ignore_ids)
    assert not set(scored) & set(entry.ignore_ids)
    assert len({colours[i] for i in scored}) == len(scored)


def test_published_class_names_sit_at_their_ids() -> None:
    coco, city = class_names(dataset_spec("coco_stuff")), class_names(dataset_spec("cityscapes"))
    assert [coco[i] for i in (0, 90, 91, 123, 156, 181)] == [
        "person",
        "hair brush",
        "banner",
        "grass",
        "sky-other",
        "wood",
    ]
    assert [city[i] for i in (7, 11, 23, 26, 33)] == ["road", "building", "sky", "car", "bicycle"]
    assert class_names(dataset_spec("ade20k"))[1:4] == ("wall", "building", "sky")


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(
        DatasetError,
        match="unknown dataset 'coco'; choose one of synthetic, coco_stuff, ade20k, ade20k_outdoor, cityscapes, flickr",
    ):
        dataset_spec("coco")
    assert dataset_names()[0] == "synthetic"
    with pytest.raises(DatasetError, match="no split 'test': .* no label maps of it; choose one of train, val"):
        dataset_spec("ade20k").open(split="test")


def test_a_root_comes_from_the_argument_then_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = dataset_spec("ade20k")
    monkeypatch.delenv("SPADE_BENCH_DATA_ADE20K", raising=False)
    with pytest.raises(
        DatasetError,
        match=r"Pass its root .*or set SPADE_BENCH_DATA_ADE20K to the folder that holds one of\n  - ADEChallenge",
    ):
        entry.open(split="train")
    monkeypatch.setenv("SPADE_BENCH_DATA_ADE20K", str(tmp_path))
    assert entry.resolve_root(None) == tmp_path
    (tmp_path / "other").mkdir()
    assert entry.resolve_root(tmp_path / "other") == tmp_path / "other"
    monkeypatch.setenv("SPADE_BENCH_DATA_ADE20K", str(tmp_path / "gone"))
    with pytest.raises(DatasetError, match=r"gone \(from SPADE_BENCH_DATA_ADE20K\) is not a folder"):
        entry.open(split="train")


def test_scene_settings_are_refused_where_they_do_not_apply(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="images=5, seed=3 do not apply; leave them out"):
        dataset_spec("coco_stuff").open(split="train", root=tmp_path, images=5, seed=3)


def test_contact_sheet_shows_pairs_and_a_legend(tmp_path: Path) -> None:
    dataset = dataset_spec("synthetic").open(split="val", images=10)
    path = contact_sheet(dataset, 6, tmp_path / "sheets" / "sheet.png")
    with Image.open(path) as sheet:
        pixels = np.asarray(sheet.convert("RGB"))
    assert list(path.parent.iterdir()) == [path]
    assert pixels.shape[0] > 500
    colours = {tuple(colour) for colour in np.unique(pixels.reshape(-1, 3), axis=0).tolist()}
    present = set().union(*(np.unique(dataset.load(i).labels).tolist() for i in range(6)))
    assert {tuple(dataset.palette[label].tolist()) for label in present} <= colours
    magnified = dataset.load(0).image.repeat(3, 0).repeat(3, 1)
    row = np.lib.stride_tricks.sliding_window_view(pixels[:, :, 0], (1, 192))[:, :, 0]
    assert (row == magnified[0, :, 0]).all(-1).any()


def test_contact_sheet_refuses_samples_that_do_not_exist(tmp_path: Path) -> None:
    dataset = dataset_spec("synthetic").open(split="val", images=4)
    with pytest.raises(ValueError, match="samples 2 to 6 were asked for; it has 4"):
        contact_sheet(dataset, 5, tmp_path / "sheet.png", first=2)


@pytest.mark.parametrize("split", ["train", "val"])
def test_the_embedded_world_opens_as_its_entry_says(split: str) -> None:
    entry = dataset_spec("synthetic")
    dataset = entry.open(split=split)
    assert (dataset.spec, dataset.size, dataset.augmentation_rule) == (
        entry.spec,
        entry.size_px,
        entry.augmentation_rule,
    )
    assert (dataset.class_names, dataset.palette.tolist()) == (class_names(entry), [list(c) for c in palette(entry)])
    assert entry.open(split=split, seed=4, images=9, size=(32, 64)).sample_id(8) == f"{split}-4-000008"
