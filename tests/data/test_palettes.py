"""Names, colours and ids agree with the tables of mmsegmentation and torchvision, without importing either."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.data import names, palettes
from bench.data.conventions import LabelConvention, ade20k_shifted, raw
from bench.data.dataset import DatasetError
from bench.data.entry import DatasetEntry
from bench.data.preprocessing import PREPROCESSING
from bench.data.registry import ENTRIES, dataset_spec, palette

REPOSITORY = Path(__file__).resolve().parents[2]


def normal(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.lower())


def test_names_are_those_of_mmsegmentation_and_torchvision() -> None:
    ade = palettes.mmseg_table("ade")[0]
    assert [normal(name) for name in names.ade20k()[1:]] == [normal(name) for name in ade]
    coco = palettes.mmseg_table("coco_stuff")[0]
    known = [name for name in names.coco_stuff()[:-1] if normal(name) in map(normal, coco)]
    assert [normal(name) for name in known] == [normal(name) for name in coco], "171 of 182, in the same order"
    rows = palettes.cityscapes_classes()
    assert [row.id for row in rows] == [*range(34), -1]
    assert [normal(name) for name in names.cityscapes()] == [normal(row.name) for row in rows]


def test_the_ids_of_coco_stuff_that_nobody_labels_are_the_eleven_without_a_row() -> None:
    coco = {normal(name) for name in palettes.mmseg_table("coco_stuff")[0]}
    unused = [label for label, name in enumerate(names.coco_stuff()[:-1]) if normal(name) not in coco]
    assert unused == [11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90]


def test_the_scored_ids_of_cityscapes_are_the_train_ids() -> None:
    train_ids = {row.train_id: row.id for row in palettes.cityscapes_classes() if 0 <= row.train_id < 19}
    assert tuple(train_ids[k] for k in range(19)) == dataset_spec("cityscapes").scored_classes
    classes, colours = palettes.mmseg_table("cityscapes")
    own = palette(dataset_spec("cityscapes"))
    assert [own[train_ids[k]] for k in range(19)] == list(colours)
    assert [normal(names.cityscapes()[train_ids[k]]) for k in range(19)] == [normal(name) for name in classes]


def test_colours_are_the_official_ones_but_for_repeated_ones() -> None:
    for entry, table, offset in (("ade20k", "ade", 1), ("coco_stuff", "coco_stuff", None)):
        classes, colours = palettes.mmseg_table(table)
        own = palette(dataset_spec(entry))
        place = {normal(name): label for label, name in enumerate(dataset_spec(entry).class_names)}
        differing = [
            name
            for i, (name, colour) in enumerate(zip(classes, colours, strict=True))
            if own[place[normal(name)] if offset is None else i + offset] != colour
        ]
        repeated = len(colours) - len(set(colours))
        assert len(differing) == repeated
        assert len(set(own)) == len(own)
        assert all(0 <= part <= 255 for colour in own for part in colour)


def test_neither_package_is_imported_for_its_table() -> None:
    code = (
        "import sys; from bench.data.registry import entries, palette\n"
        "count = sum(len(palette(entry)) for entry in entries())\n"
        "print([name for name in ('mmseg', 'mmcv', 'torchvision', 'torch', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_table_that_is_not_there_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DatasetError, match=r"package mmseg with its datasets/none.py is not installed; .*run `make`"):
        palettes.mmseg_table("none")
    with pytest.raises(DatasetError, match="mmseg's datasets/basesegdataset.py has no table of classes and colours"):
        palettes.mmseg_table("basesegdataset")
    monkeypatch.setattr("bench.data.palettes.importlib.util.find_spec", lambda name: None)
    palettes.cityscapes_classes.cache_clear()
    with pytest.raises(DatasetError, match="package torchvision with its datasets/cityscapes.py is not installed"):
        palettes.cityscapes_classes()


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_every_data_set_states_how_generators_want_its_ids(entry: DatasetEntry) -> None:
    default = entry.label_conventions[entry.default_convention]
    assert default.of_label == tuple(range(entry.spec.ids)), "the released checkpoints take the ids as they are"
    for name, convention in entry.label_conventions.items():
        assert (convention.name, len(convention.of_label)) == (name, entry.spec.ids)
        assert convention.source


def test_ade20k_may_be_shifted() -> None:
    shifted = dataset_spec("ade20k_outdoor").label_conventions["shifted"]
    assert shifted == ade20k_shifted()
    assert (shifted.of_label[0], shifted.of_label[1], shifted.of_label[150]) == (150, 0, 149)


def test_a_convention_must_be_a_renumbering() -> None:
    with pytest.raises(
        ValueError, match=r"label convention 'x': of_label must name each of 0 to 2 once; it is \(0, 0, 1\)"
    ):
        LabelConvention(name="x", of_label=(0, 0, 1), source="nobody")
    entry = dataset_spec("ade20k")
    fields = {"name": "mine", "title": "x", "spec": entry.spec, "size_px": (64, 64), "upsampling": "normal"}
    fields |= {"augmentation_rule": entry.augmentation_rule, "class_names": entry.class_names}
    with pytest.raises(DatasetError, match=r"'raw' is 'raw' for 3 ids; the data set has 151; layouts is empty"):
        DatasetEntry(**fields, label_conventions={"raw": raw(3, "me")})  # type: ignore[arg-type]
    with pytest.raises(DatasetError, match=r"default_convention 'shifted' is none of \['raw'\]"):
        DatasetEntry(**fields, default_convention="shifted", needs_root=False)  # type: ignore[arg-type]


def test_the_table_of_preprocessing_says_what_the_entries_do() -> None:
    assert list(PREPROCESSING) == [entry.name for entry in ENTRIES if entry.name not in ("synthetic", "photographs")]
    for name, steps in PREPROCESSING.items():
        entry = dataset_spec(name)
        told = {step.step: step.here for step in steps}
        size = f"{entry.size_px[1]}x{entry.size_px[0]}"
        assert told["size (width x height)"] == size
        if name == "flickr_landscapes":
            assert entry.augmentation_rule == dataset_spec("coco_stuff").augmentation_rule
            continue
        load = "x".join(str(round(side * entry.augmentation_rule.load_scale)) for side in reversed(entry.size_px))
        assert told["resizing (training)"].startswith(f"to {load}: PIL bicubic, ids nearest")
        assert told["random crop (training)"] == ("none" if load == size else f"{size}, uniformly")
        assert told["mirroring (training)"] == "probability 0.5"
        assert entry.augmentation_rule.flip
    assert dataset_spec("coco_stuff").augmentation_rule.load_scale * 256 == 286
