"""The data sets that a study may name. Importing this is cheap: numpy and Pillow come with ``DatasetEntry.open``."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from bench.data import names, palettes
from bench.data.conventions import ade20k_shifted, raw
from bench.data.dataset import AugmentationRule, DatasetError
from bench.data.entry import SYNTHETIC_IMAGES, DatasetEntry, class_names, palette, root_variable
from bench.data.layouts.ade20k import AdeChallenge, AdeTree, mistaken_ade20k
from bench.data.layouts.cityscapes import NO_TEST_LABELS, Cityscapes, mistaken_cityscapes
from bench.data.layouts.coco import CocoDownload
from bench.data.layouts.outdoor import RULE, Outdoor
from bench.data.layouts.photographs import Photographs, mistaken_photographs
from bench.data.layouts.released import Released
from bench.data.palettes import Colour
from bench.data.world import classes as world_classes
from spade_core.label_spec import LabelSpec

__all__ = [
    "ENTRIES",
    "SYNTHETIC_IMAGES",
    "WORLD_VERSION",
    "Colour",
    "DatasetEntry",
    "class_names",
    "dataset_names",
    "dataset_spec",
    "entries",
    "palette",
    "root_variable",
    "world_manifest",
]

WORLD_VERSION = 1
"""Raise it with any change to what a synthetic scene looks like; judges and manifests carry it."""


def world_manifest(*, split: str, images: int, size: tuple[int, int], seed: int = 0) -> str:
    """Hexadecimal identity of a split of the embedded world; needs no scene to be drawn."""
    identity = f"synthetic world {WORLD_VERSION} seed {seed} {split} {images} {size}"
    return hashlib.sha256(identity.encode()).hexdigest()


_CITYSCAPES_SCORED = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
_CROP = AugmentationRule(flip=True, load_scale=286 / 256)

_ADE20K = DatasetEntry(
    name="ade20k",
    title="ADE20K",
    spec=LabelSpec(classes=150, dont_care=True),
    size_px=(256, 256),
    upsampling="normal",
    augmentation_rule=_CROP,
    class_names=names.ade20k(),
    official_colours=palettes.ade20k_colours,
    ignore_ids=(0,),
    official_pairs={"train": 20210, "val": 2000},
    absent_splits={"test": "the scene parsing challenge publishes no label maps of it"},
    layouts=(AdeChallenge(), Released(has_instances=False), AdeTree()),
    mistaken=mistaken_ade20k,
    label_conventions={
        "raw": raw(151, "released code as it runs: the files' ids, 0 unknown; the released checkpoints expect them"),
        "shifted": ade20k_shifted(),
    },
    note="label files as published: 0 unknown, 1 to 150 the classes; the released code feeds them unshifted",
)

_PHOTOGRAPHS = DatasetEntry(
    name="photographs",
    title="any folder of photographs",
    spec=LabelSpec(classes=182, dont_care=True),
    size_px=(256, 256),
    upsampling="normal",
    augmentation_rule=_CROP,
    class_names=names.coco_stuff(),
    official_colours=palettes.coco_stuff_colours,
    dont_care_value=255,
    ignore_ids=(182,),
    layouts=(Photographs(dataset="photographs"),),
    mistaken=mistaken_photographs,
    label_conventions={
        "raw": raw(183, "COCO-Stuff's ids, so that generators of the two data sets take each other's maps")
    },
    note="label maps in COCO-Stuff's ids, computed by DeepLabV2; don't care is kept for label maps of your own",
)
"""COCO-Stuff's label ids without instance edges: nobody marked instances in the photographs."""

ENTRIES: tuple[DatasetEntry, ...] = (
    DatasetEntry(
        name="synthetic",
        title="embedded procedural world",
        spec=LabelSpec(classes=12, instance_edges=True),
        size_px=(64, 64),
        upsampling="normal",
        augmentation_rule=AugmentationRule(flip=True),
        class_names=world_classes.NAMES,
        colours=world_classes.COLOURS,
        has_instances=True,
        needs_root=False,
        note="no download; any size that is a multiple of 8",
    ),
    DatasetEntry(
        name="coco_stuff",
        title="COCO-Stuff",
        spec=LabelSpec(classes=182, dont_care=True, instance_edges=True),
        size_px=(256, 256),
        upsampling="normal",
        augmentation_rule=_CROP,
        class_names=names.coco_stuff(),
        official_colours=palettes.coco_stuff_colours,
        dont_care_value=255,
        ignore_ids=(182,),
        has_instances=True,
        official_pairs={"train": 118287, "val": 5000},
        absent_splits={"test": "COCO publishes no label maps of test2017"},
        layouts=(Released(has_instances=True), CocoDownload()),
        label_conventions={"raw": raw(183, "released code: 0 to 181 as in the files, 255 becomes 182")},
        note="label files hold 0 to 181 and 255 (don't care, becomes 182), as in the released code",
    ),
    _ADE20K,
    replace(
        _ADE20K,
        name="ade20k_outdoor",
        title="ADE20K-outdoor",
        layouts=tuple(Outdoor(inner=layout) for layout in _ADE20K.layouts),
        official_pairs={},
        note=f"the outdoor images of ADE20K by the rule {RULE} on scene categories, or by your own list: there is no "
        "official list, and the set that the paper used is unknown",
    ),
    DatasetEntry(
        name="cityscapes",
        title="Cityscapes",
        spec=LabelSpec(classes=35, instance_edges=True),
        size_px=(256, 512),
        upsampling="more",
        augmentation_rule=AugmentationRule(flip=True),
        class_names=names.cityscapes(),
        official_colours=palettes.cityscapes_colours,
        ignore_ids=tuple(i for i in range(35) if i not in _CITYSCAPES_SCORED),
        scored_classes=_CITYSCAPES_SCORED,
        has_instances=True,
        official_pairs={"train": 2975, "val": 500},
        absent_splits={"test": NO_TEST_LABELS},
        layouts=(Cityscapes(), Released(has_instances=True)),
        mistaken=mistaken_cityscapes,
        label_conventions={"raw": raw(35, "released code: labelIds 0 to 33 in 35 channels, not the 19 train ids")},
        note="labelIds files, 0 to 33; the 19 evaluation classes are scored",
    ),
    replace(
        _PHOTOGRAPHS,
        name="flickr_landscapes",
        title="Flickr Landscapes",
        official_pairs={"train": 41000, "val": 1000},
        layouts=(Photographs(dataset="flickr_landscapes"),),
        note="never released: photographs of your own, with label maps in COCO-Stuff's ids computed by DeepLabV2, as "
        "the paper's were",
    ),
    _PHOTOGRAPHS,
)
"""The built-in data sets; ``entries()`` has those of the users' files too."""


def entries() -> tuple[DatasetEntry, ...]:
    """All data sets: the built-in ones, then those of the data set files (see ``dataset_files``) by name.

    Raises DatasetError with all problems of all files.
    """
    from bench.data.dataset_files import read_dataset_files

    described, problems = read_dataset_files()
    if problems:
        raise DatasetError("\n".join(problems))
    return (*ENTRIES, *described)


def dataset_names() -> tuple[str, ...]:
    """The names of all data sets; opens no file. DatasetError where the name of a data set file is not usable."""
    from bench.data.dataset_files import dataset_files

    return (*(entry.name for entry in ENTRIES), *dataset_files())


def dataset_spec(name: str) -> DatasetEntry:
    """The data set of that name; DatasetError with all names otherwise.

    Only the file of this data set is read: a mistake inside another one stops nobody but its users.
    """
    from bench.data.dataset_files import dataset_files, datasets_folder, read_dataset_file

    files = dataset_files()
    if name in files:
        return read_dataset_file(files[name])
    for entry in ENTRIES:
        if entry.name == name:
            return entry
    raise DatasetError(
        f"unknown dataset {name!r}; choose one of {', '.join(dataset_names())}, or describe your own folder of pairs "
        f"in {datasets_folder() / 'NAME.toml'} (docs/datasets/own_pairs.md)"
    )
