"""Miniature data sets in the layouts that people have on disk, written from a seed. No file of a real data set."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Size = tuple[int, int]
"""(height, width)"""

CITIES = {"train": ("aachen", "bochum"), "val": ("frankfurt", "lindau")}
ADE_SPLITS = {"train": "training", "val": "validation"}
SCENES = ("street", "bedroom", "mountain_snowy", "kitchen", "church_outdoor", "church_indoor", "meadow", "misc")
"""Scene categories that the miniature ADE20K goes through, in turn; three of the first five are outdoors."""

_SIZES: tuple[Size, ...] = ((40, 56), (48, 40), (33, 47))
_THINGS = {0: 1, 2: 3, 16: 17, 81: 82}
"""Label id: COCO's category id."""


def save(path: Path, array: NDArray[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **({"quality": 90} if path.suffix == ".jpg" else {}))
    return path


def photograph(rng: np.random.Generator, size: Size) -> NDArray[np.uint8]:
    """Smooth colours with some noise, so that JPEG files are small and resizing has something to do."""
    rows, columns = np.linspace(0, 1, size[0])[:, None, None], np.linspace(0, 1, size[1])[None, :, None]
    base = rng.integers(40, 215, 3) + 60 * rows * rng.uniform(-1, 1, 3) + 60 * columns * rng.uniform(-1, 1, 3)
    return (base + rng.normal(0, 12, (*size, 3))).clip(0, 255).astype(np.uint8)


def bands(rng: np.random.Generator, size: Size, values: Sequence[int]) -> NDArray[np.uint8]:
    """Horizontal bands of some of the values, with a patch of one more."""
    chosen = rng.choice(np.array(values), 4)
    labels = np.repeat(chosen[:3], -(-size[0] // 3))[: size[0], None].repeat(size[1], 1)
    top, left = int(rng.integers(0, size[0] // 2)), int(rng.integers(0, size[1] // 2))
    labels[top : top + size[0] // 3, left : left + size[1] // 3] = chosen[3]
    return labels.astype(np.uint8)


def coco_pair(
    rng: np.random.Generator, size: Size, number: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], list[dict[str, Any]]]:
    """Image, label map (0 to 181 and 255), and annotations as in ``instances_*.json``; one in three has a crowd."""
    labels = bands(rng, size, (91, 105, 123, 156, 181, 255))
    annotations: list[dict[str, Any]] = []
    picture = Image.fromarray(labels)
    draw = ImageDraw.Draw(picture)
    for _ in range(number % 3 + 1):
        label = int(rng.choice(np.array(list(_THINGS))))
        y, x = rng.uniform(2, size[0] - 14), rng.uniform(2, size[1] - 14)
        height, width = rng.uniform(6, 12, 2)
        corners = [(x, y), (x + width, y + 1.25), (x + width - 2, y + height), (x + 0.5, y + height - 1)]
        draw.polygon(corners, fill=label)
        polygon = [round(float(value), 2) for corner in corners for value in corner]
        annotations.append({"category_id": _THINGS[label], "iscrowd": 0, "segmentation": [polygon]})
    if number % 3 == 0:
        counts = {"counts": [3, 5, size[0] * size[1] - 8], "size": list(size)}
        annotations.insert(1, {"category_id": 1, "iscrowd": 1, "segmentation": counts})
    return photograph(rng, size), np.asarray(picture, dtype=np.uint8), annotations


def write_coco_download(
    root: Path,
    *,
    pairs: dict[str, int] | None = None,
    images: str = "{split}",
    labels: str = "stuffthingmaps_trainval2017/{split}",
    annotations: str | None = "annotations",
    seed: int = 0,
) -> Path:
    """The original download; ``{split}`` is train2017 or val2017, ``annotations`` the folder of the json files."""
    for split, count in (pairs or {"train": 4, "val": 2}).items():
        rng = np.random.default_rng((seed, len(split)))
        listed: dict[str, list[dict[str, Any]]] = {"images": [], "annotations": [], "categories": []}
        for number in range(count):
            size, identifier = _SIZES[number % 3], 1000 * len(split) + 7 * number + 9
            image, ids, found = coco_pair(rng, size, number)
            name = f"{identifier:012d}"
            save(root / images.format(split=f"{split}2017") / f"{name}.jpg", image)
            save(root / labels.format(split=f"{split}2017") / f"{name}.png", ids)
            listed["images"].append({"id": identifier, "file_name": f"{name}.jpg", "height": size[0], "width": size[1]})
            for item in found:
                listed["annotations"].append({"id": len(listed["annotations"]), "image_id": identifier, **item})
        listed["categories"] = [{"id": category, "name": f"thing {category}"} for category in _THINGS.values()]
        listed["annotations"].reverse()  # a json file promises no order of images
        if annotations is not None:
            (root / annotations).mkdir(parents=True, exist_ok=True)
            (root / annotations / f"instances_{split}2017.json").write_text(json.dumps(listed))
    return root


def write_released(
    root: Path,
    *,
    values: Iterable[int] = (0, 2, 91, 105, 123, 156, 181, 255),
    instances: bool = True,
    pairs: dict[str, int] | None = None,
    size: Size | None = None,
    seed: int = 0,
) -> Path:
    """The released code's layout, {split}_img, {split}_label and {split}_inst, with label maps of these values."""
    for split, count in (pairs or {"train": 4, "val": 2}).items():
        rng = np.random.default_rng((seed, len(split)))
        for number in range(count):
            shape = size or _SIZES[number % 3]
            labels = bands(rng, shape, tuple(values))
            save(root / f"{split}_img" / f"pair{number:03d}.jpg", photograph(rng, shape))
            save(root / f"{split}_label" / f"pair{number:03d}.png", labels)
            if instances:
                save(root / f"{split}_inst" / f"pair{number:03d}.png", labels.astype(np.uint16) * 250)
    return root


def write_ade_challenge(
    root: Path,
    *,
    pairs: dict[str, int] | None = None,
    images: str = "images/{split}",
    labels: str = "annotations/{split}",
    scenes: bool = True,
    seed: int = 0,
) -> Path:
    """ADEChallengeData2016: label maps 0 (unknown) to 150, and ``sceneCategories.txt``."""
    lines = []
    for split, count in (pairs or {"train": 8, "val": 5}).items():
        rng = np.random.default_rng((seed, len(split)))
        for number in range(count):
            size, name = _SIZES[number % 3], f"ADE_{split}_{number + 1:08d}"
            save(root / images.format(split=ADE_SPLITS[split]) / f"{name}.jpg", photograph(rng, size))
            save(root / labels.format(split=ADE_SPLITS[split]) / f"{name}.png", bands(rng, size, (0, 1, 3, 10, 150)))
            lines.append(f"{name} {SCENES[number % len(SCENES)]}")
    if scenes:
        (root / "sceneCategories.txt").write_text("\n".join(lines) + "\n")
        (root / "objectInfo150.txt").write_text("Idx\tRatio\tTrain\tVal\tStuff\tName\n")
    return root


def write_ade_full(root: Path) -> Path:
    """The full ADE20K download, which is another data set: colour-coded ``_seg.png`` in folders by scene."""
    rng = np.random.default_rng(0)
    folder = root / "images" / "training" / "a" / "abbey"
    save(folder / "ADE_train_00000001.jpg", photograph(rng, (40, 56)))
    save(folder / "ADE_train_00000001_seg.png", photograph(rng, (40, 56)))
    (folder / "ADE_train_00000001_atr.txt").write_text("001 # 0 # 0 # sky # sky # \n")
    (root / "index_ade20k.mat").write_bytes(b"MATLAB 5.0 MAT-file")
    return root


def write_cityscapes(root: Path, *, pairs: dict[str, int] | None = None, size: Size = (64, 128), seed: int = 0) -> Path:
    """The official layout: leftImg8bit and gtFine by split and city, with the files that nobody asked for beside."""
    for split, count in (pairs or {"train": 4, "val": 2}).items():
        rng = np.random.default_rng((seed, len(split)))
        for number in range(count):
            city = CITIES[split][number % 2]
            name = f"{city}_{number:06d}_000019"
            labels = bands(rng, size, (0, 3, 7, 8, 11, 21, 23, 33))
            labels[-size[0] // 4 :, : size[1] // 3] = 26
            instances = np.where(labels >= 24, labels.astype(np.uint16) * 1000 + number, labels).astype(np.uint16)
            save(root / "leftImg8bit" / split / city / f"{name}_leftImg8bit.png", photograph(rng, size))
            truth = root / "gtFine" / split / city
            save(truth / f"{name}_gtFine_labelIds.png", labels)
            save(truth / f"{name}_gtFine_instanceIds.png", instances)
            save(truth / f"{name}_gtFine_color.png", photograph(rng, size))
            (truth / f"{name}_gtFine_polygons.json").write_text('{"objects": []}')
    return root


def write_photographs(root: Path, *, count: int = 12, splits: dict[str, int] | None = None, seed: int = 0) -> Path:
    """A flat folder of photographs, or ``train`` and ``val`` folders with ``splits``; no label maps."""
    rng = np.random.default_rng(seed)
    for split, number in (splits or {"": count}).items():
        for index in range(number):
            save(root / split / f"photo{split}{index:03d}.jpg", photograph(rng, _SIZES[index % 3]))
    return root


def write_label_maps(root: Path, *, judge: str | None = "deeplab", seed: int = 0) -> Path:
    """A label map (COCO-Stuff ids, 0 to 181) for every photograph under ``root``, as the labelling job leaves it."""
    rng = np.random.default_rng((seed, 1))
    for path in sorted(root.rglob("*.jpg")):
        with Image.open(path) as picture:
            size = (picture.height, picture.width)
        save(root / "label_maps" / f"{path.stem}.png", bands(rng, size, (105, 123, 134, 154, 156, 168)))
    if judge is not None:
        record = {"judge": judge, "sha256": "a" * 64}
        (root / "label_maps" / "labels.json").write_text(json.dumps(record))
    return root
