"""COCO-Stuff as downloaded: photographs, stuffthingmaps and the instances json, in the usual unpackings."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from bench.data.files import Layout, PairFiles, Unmade, made_folder
from bench.data.layouts.listing import Kind, match

LABEL_MAPS_ADDRESS = (
    "http://calvin.inf.ed.ac.uk/wp-content/uploads/data/cocostuffdataset/stuffthingmaps_trainval2017.zip"
)
ANNOTATIONS_ADDRESS = "http://images.cocodataset.org/annotations/annotations_trainval2017.zip"
INSTANCE_MAPS = "instance_maps"
"""Folder under the root that ``prepare`` draws instance maps into."""

_IMAGES = ("{split}", "images/{split}")
_LABELS = (
    "stuffthingmaps_trainval2017/{split}",
    "stuffthingmaps/{split}",
    "annotations/stuffthingmaps_trainval2017/{split}",
    "annotations/stuffthingmaps/{split}",
    "annotations/{split}",
    "labels/{split}",
    "{split}",
)
_ANNOTATIONS = (
    "annotations/instances_{split}.json",
    "annotations_trainval2017/annotations/instances_{split}.json",
    "annotations_trainval2017/instances_{split}.json",
    "instances_{split}.json",
)
_TRAIN_IDS = "_labelTrainIds"
_OTHER_MAPS = ("stuff_{split}_pixelmaps", "annotations/stuff_{split}_pixelmaps", "annotations/panoptic_{split}")


@dataclass(frozen=True, kw_only=True)
class CocoDownload(Layout):
    """``train2017`` and ``val2017`` of photographs and of stuffthingmaps; instance maps are drawn by ``prepare``."""

    name: str = "coco_stuff-download"

    def folders(self, root: Path | None, split: str) -> tuple[str, ...]:
        year = _year(split)
        return (
            f"{year}/*.jpg (or images/{year})",
            f"stuffthingmaps_trainval2017/{year}/*.png (or stuffthingmaps/{year}, annotations/{year})",
            f"annotations/instances_{year}.json, from which `prepare` draws {INSTANCE_MAPS}/{split}/*.png",
        )

    def recognises(self, root: Path) -> bool:
        return any(image_folder(root, split) is not None for split in ("train", "val"))

    def pairs(self, root: Path, split: str) -> tuple[dict[str, PairFiles], list[str]]:
        images, labels = image_folder(root, split), label_folder(root, split)
        if images is None or labels is None:
            return {}, _absent(root, split, images, labels)
        pairs, problems = match(
            Kind(word="image", folder=images, suffixes=(".jpg",)),
            Kind(word="label map", folder=labels, suffixes=(".png",), excluded=(_TRAIN_IDS,)),
        )
        unmade = _unmade(root, split, pairs)
        if unmade is not None:
            return {}, [*problems, _not_drawn(root, unmade)]
        folder = made_folder(root, INSTANCE_MAPS) / split
        return {name: replace(pair, instance=folder / f"{name}.png") for name, pair in pairs.items()}, problems

    def unmade(self, root: Path, split: str) -> Unmade | None:
        images, labels = image_folder(root, split), label_folder(root, split)
        if images is None or labels is None:
            return None
        pairs, _ = match(
            Kind(word="image", folder=images, suffixes=(".jpg",)),
            Kind(word="label map", folder=labels, suffixes=(".png",), excluded=(_TRAIN_IDS,)),
        )
        return _unmade(root, split, pairs)


def image_folder(root: Path, split: str) -> Path | None:
    """The folder of the split's photographs; None where there is none."""
    return next((folder for folder in _places(root, _IMAGES, split) if folder.is_dir()), None)


def label_folder(root: Path, split: str) -> Path | None:
    """The folder of the split's stuffthingmaps: the first of the usual ones that holds a label map."""
    return next((folder for folder in _places(root, _LABELS, split) if _first_map(folder, train_ids=False)), None)


def annotations_file(root: Path, split: str) -> Path | None:
    """The split's instances json; None where there is none."""
    return next((path for path in _places(root, _ANNOTATIONS, split) if path.is_file()), None)


def _year(split: str) -> str:
    return f"{split}2017"


def _places(root: Path, patterns: tuple[str, ...], split: str) -> list[Path]:
    return [root / pattern.format(split=_year(split)) for pattern in patterns]


def _first_map(folder: Path, *, train_ids: bool) -> bool:
    """Whether the folder holds a PNG file that is (or is not) one of mmsegmentation's label maps."""
    if not folder.is_dir():
        return False
    with os.scandir(folder) as listing:
        return any(
            item.name.endswith(".png") and item.name.endswith(f"{_TRAIN_IDS}.png") == train_ids for item in listing
        )


def _unmade(root: Path, split: str, pairs: dict[str, PairFiles]) -> Unmade | None:
    folder = made_folder(root, INSTANCE_MAPS) / split
    present = {name.removesuffix(".png") for name in os.listdir(folder)} if folder.is_dir() else set()
    missing = len(pairs.keys() - present)
    if not missing:
        return None
    return Unmade(kind="instance maps", split=split, missing=missing, total=len(pairs), folder=folder)


def _not_drawn(root: Path, unmade: Unmade) -> str:
    text = (
        f"{unmade.folder}: {unmade.missing:,} of {unmade.total:,} instance maps are not drawn yet; "
        f"run ./run_study.py prepare coco_stuff --root {root}"
    )
    if annotations_file(root, unmade.split) is None:
        text += f" (it needs {no_annotations(root, unmade.split)})"
    return text


def no_annotations(root: Path, split: str) -> str:
    """Which json file instance maps are drawn from, and where it comes from."""
    place = _places(root, _ANNOTATIONS, split)[0]
    return f"{place}, which is not there: unpack {ANNOTATIONS_ADDRESS} into {root}"


def _absent(root: Path, split: str, images: Path | None, labels: Path | None) -> list[str]:
    problems = []
    year = _year(split)
    if images is None:
        problems.append(
            f"{root / year}: no such folder (nor images/{year}); it should hold the photographs of {year}.zip "
            f"(http://images.cocodataset.org/zips/{year}.zip)"
        )
    if labels is not None:
        return problems
    wanted = f"unpack {LABEL_MAPS_ADDRESS} into {root / 'stuffthingmaps_trainval2017'}"
    converted = [folder for folder in _places(root, _LABELS, split) if _first_map(folder, train_ids=True)]
    others = [folder for folder in _places(root, _OTHER_MAPS, split) if folder.is_dir()]
    if converted:
        problems.append(
            f"{converted[0]}: holds mmsegmentation's *{_TRAIN_IDS}.png alone, 171 ids in an order of their own; the "
            f"paper's networks take the 182 ids of the stuffthingmaps: {wanted}"
        )
    elif others:
        problems.append(
            f"{others[0]}: belongs to another task of COCO (stuff alone, or panoptic) and has other ids; the paper's "
            f"networks take the 182 ids of the stuffthingmaps: {wanted}"
        )
    else:
        problems.append(f"{root}: holds no label maps of {year}; {wanted}")
    return problems
