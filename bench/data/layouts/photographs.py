"""Any folder of photographs; their label maps are computed by a judge (``prepare`` starts that job).

Flickr Landscapes was never released: the paper computed its label maps with DeepLabV2, in COCO-Stuff's ids.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from bench.atomic import read_json, write_json
from bench.data.files import Layout, PairFiles, Unmade, made_folder
from bench.data.layouts.listing import IMAGE_SUFFIXES

LABEL_MAPS = "label_maps"
"""Folder under the root that the labelling job writes ``<id>.png`` into, and ``labels.json`` with what made them."""
SPLIT_RULE = "photographs-split@1"
"""Raise the version with any change of ``validation_ids``."""
VALIDATION_MOST = 1000
VALIDATION_ONE_IN = 40

_SPLITS = ("train", "val")
_GLANCE_FOLDERS = 200


@dataclass(frozen=True, kw_only=True)
class Photographs(Layout):
    """``train`` and ``val`` folders of photographs, or one folder that a stated rule splits."""

    dataset: str
    """Name of the data set, for the commands in messages."""
    name: str = "photographs"

    def folders(self, root: Path | None, split: str) -> tuple[str, ...]:
        return (
            f"{split}/*.jpg (or all photographs in one folder: one in {VALIDATION_ONE_IN}, at most "
            f"{VALIDATION_MOST:,}, are then for validation, by the sha256 of the name)",
            f"{LABEL_MAPS}/<name>.png, which `prepare` computes",
        )

    def recognises(self, root: Path) -> bool:
        return _has_photographs(root) and not _holds_pairs(root)

    def pairs(self, root: Path, split: str) -> tuple[dict[str, PairFiles], list[str]]:
        images, problems = photographs(root, split)
        if problems:
            return {}, problems
        unmade = self.unmade(root, split)
        if unmade is not None:
            return {}, [
                f"{unmade.folder}: {unmade.missing:,} of {unmade.total:,} label maps are not computed yet; "
                f"run ./run_study.py prepare {self.dataset} --root {root}"
            ]
        folder = made_folder(root, LABEL_MAPS)
        return {name: PairFiles(id=name, image=path, label=folder / f"{name}.png") for name, path in images.items()}, []

    def identity(self, root: Path, split: str) -> tuple[str, ...]:
        record = label_record(root)
        made_by = " ".join(record[key] for key in ("judge", "sha256") if key in record) or "nobody recorded"
        rule = f"split: {'folders' if _split_folders(root) else SPLIT_RULE}"
        return (rule, f"label maps by {made_by}")

    def unmade(self, root: Path, split: str) -> Unmade | None:
        images, problems = photographs(root, split)
        if problems:
            return None
        folder = made_folder(root, LABEL_MAPS)
        present = set(os.listdir(folder)) if folder.is_dir() else set()
        missing = sum(f"{name}.png" not in present for name in images)
        if not missing:
            return None
        return Unmade(kind="label maps", split=split, missing=missing, total=len(images), folder=folder)


def photographs(root: Path, split: str) -> tuple[dict[str, Path], list[str]]:
    """The photographs of a split by id, sorted, and problems. The labelling job reads them from here.

    An id is the path below the folder, without extension and with ``--`` for the slashes, so that it is a file name.
    """
    folders = {name: root / name for name in _SPLITS} if _split_folders(root) else {"": root}
    found: dict[str, tuple[str, Path]] = {}
    problems = []
    for part, folder in folders.items():
        if not folder.is_dir():
            problems.append(f"{folder}: no such folder; it should hold the photographs of split {part}")
            continue
        for path in _walk(folder):
            name = "--".join(path.relative_to(folder).with_suffix("").parts)
            if name in found:
                problems.append(f"{path}: has the name of {found[name][1]}, and label maps go by names; rename one")
                continue
            found[name] = (part, path)
    if not found and not problems:
        problems.append(f"{root}: holds no photographs; allowed are {', '.join(IMAGE_SUFFIXES)}")
    if problems:
        return {}, problems
    chosen = validation_ids(found) if "" in folders else None
    images = {
        name: path
        for name, (part, path) in sorted(found.items())
        if (part == split if chosen is None else (name in chosen) == (split == "val"))
    }
    if not images:
        return {}, [
            f"{root}: has {len(found)} photograph{'s' if len(found) > 1 else ''}, none of which is left for split "
            f"{split}; add photographs, or put them into {root / 'train'} and {root / 'val'}"
        ]
    return images, []


def validation_ids(names: Iterable[str]) -> set[str]:
    """The ids that the rule takes for validation: one in 40 and at most 1,000, those with the smallest sha256."""
    by_hash = sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    return set(by_hash[: min(VALIDATION_MOST, -(-len(by_hash) // VALIDATION_ONE_IN))])


def label_record(root: Path) -> dict[str, str]:
    """What made the label maps; empty where nobody recorded it.

    ``judge`` and ``sha256`` (of its weights) are part of the data set's identity; other keys are for the reader.
    Raises ValueError where the record is no JSON object of texts.
    """
    path = made_folder(root, LABEL_MAPS) / "labels.json"
    if not path.is_file():
        return {}
    record = read_json(path)
    if not isinstance(record, dict) or not all(isinstance(value, str) for value in record.values()):
        raise ValueError(f"{path}: must be an object of texts, such as judge and sha256; label the photographs again")
    return record


def write_label_record(root: Path, record: dict[str, str]) -> None:
    """Record what makes the label maps of ``root``, before the first of them is written: see ``label_record``."""
    write_json(made_folder(root, LABEL_MAPS) / "labels.json", record)


def mistaken_photographs(root: Path) -> str | None:
    """Words for a folder of pairs, whose label maps must not be taken for photographs."""
    if not _holds_pairs(root):
        return None
    return (
        "it holds pairs of photographs and label maps; name the data set that they are, or give the folder of the "
        "photographs alone"
    )


def _holds_pairs(root: Path) -> bool:
    signs = ("train_label", "val_label", "gtFine", "annotations", "stuffthingmaps_trainval2017", "stuffthingmaps")
    return any((root / sign).is_dir() for sign in signs)


def _split_folders(root: Path) -> bool:
    return any((root / split).is_dir() for split in _SPLITS)


def _has_photographs(root: Path) -> bool:
    """Whether an image file is found soon: this may be asked of any folder."""
    visited = islice(os.walk(root, followlinks=True), _GLANCE_FOLDERS)
    return any(name.lower().endswith(IMAGE_SUFFIXES) for folder, _, names in visited for name in names)


def _walk(folder: Path) -> Iterator[Path]:
    """The image files below ``folder``, in the order of their names; hidden ones and label maps left out."""
    seen: set[str] = set()  # a link to a folder above would lead around for ever
    for place, folders, names in os.walk(folder, followlinks=True):
        here = os.path.realpath(place)
        if here in seen:
            folders.clear()
            continue
        seen.add(here)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != LABEL_MAPS)
        for name in sorted(names):
            if not name.startswith(".") and name.lower().endswith(IMAGE_SUFFIXES):
                yield Path(place, name)
