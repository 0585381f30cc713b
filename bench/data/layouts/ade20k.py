"""ADE20K of the scene parsing challenge, and how to tell it from the full ADE20K download."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from bench.data.files import Layout, PairFiles
from bench.data.layouts.listing import Kind, match

CHALLENGE_ADDRESS = "http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip"
SPLIT_FOLDERS = {"train": "training", "val": "validation"}

_NAME = re.compile(r"ADE_(train|val)_\d{8}\.(jpg|png)")
_DEPTH = 4  # folders below the root that a tree is followed
_GLANCE_FILES = 50_000


@dataclass(frozen=True, kw_only=True)
class AdeChallenge(Layout):
    """``{images,annotations}/{training,validation}`` of ADEChallengeData2016."""

    name: str = "ADEChallengeData2016"

    def folders(self, root: Path | None, split: str) -> tuple[str, ...]:
        folder = SPLIT_FOLDERS[split]
        return (f"images/{folder}/*.jpg", f"annotations/{folder}/*.png")

    def recognises(self, root: Path) -> bool:
        return all(
            any((root / kind / folder).is_dir() for folder in SPLIT_FOLDERS.values())
            for kind in ("images", "annotations")
        )

    def pairs(self, root: Path, split: str) -> tuple[dict[str, PairFiles], list[str]]:
        folder = SPLIT_FOLDERS[split]
        return match(
            Kind(word="image", folder=root / "images" / folder, suffixes=(".jpg",)),
            Kind(word="label map", folder=root / "annotations" / folder, suffixes=(".png",)),
        )


@dataclass(frozen=True, kw_only=True)
class AdeTree(Layout):
    """Any tree of ``ADE_{train,val}_<number>.jpg`` and ``.png``: the released code finds its pairs so, by the names."""

    name: str = "ADE20K-tree"

    def folders(self, root: Path | None, split: str) -> tuple[str, ...]:
        return (f"ADE_{split}_*.jpg and ADE_{split}_*.png in any folders",)

    def recognises(self, root: Path) -> bool:
        seen: set[str] = set()
        for path in _glance(root):
            if not _NAME.fullmatch(path.name):
                continue
            if path.with_name(f"{path.stem}_seg.png").exists():
                return False  # the full ADE20K download
            seen.add(path.suffix)
            if len(seen) == 2:
                return True
        return False

    def pairs(self, root: Path, split: str) -> tuple[dict[str, PairFiles], list[str]]:
        found: dict[str, dict[str, Path]] = {".jpg": {}, ".png": {}}
        problems = []
        for path in _files(root):
            if not _NAME.fullmatch(path.name) or not path.name.startswith(f"ADE_{split}_"):
                continue
            same = found[path.suffix].setdefault(path.stem, path)
            if same != path:
                problems.append(f"{path}: is also at {same}; keep one of them")
        images, labels = found[".jpg"], found[".png"]
        if not images or not labels:
            return {}, [f"{root}: holds no pair of ADE_{split}_*.jpg and ADE_{split}_*.png; put the files there"]
        problems += [f"{images[stem]}: no label map {stem}.png under {root}; add it" for stem in images.keys() - labels]
        problems += [f"{labels[stem]}: no image {stem}.jpg under {root}; add it" for stem in labels.keys() - images]
        complete = sorted(images.keys() & labels.keys())
        pairs = {stem: PairFiles(id=stem, image=images[stem], label=labels[stem]) for stem in complete}
        return pairs, sorted(problems)


def mistaken_ade20k(root: Path) -> str | None:
    """Words for the full ADE20K download (2016_07_26, 2021_17_01), which people take for the challenge's."""
    signs = [root / name for name in ("index_ade20k.mat", "index_ade20k.pkl") if (root / name).is_file()]
    signs += [path for path in _glance(root) if re.fullmatch(r"ADE_(train|val|frame)_\d{8}_seg\.png", path.name)][:1]
    signs += sorted(root.glob("ADE20K_20*"))[:1]
    if not signs:
        return None
    return (
        f"{signs[0].relative_to(root)} belongs to the full ADE20K download, which is another data set (3,688 classes, "
        f"25,574 training images, colour-coded label maps); the paper uses the 150 classes of the scene parsing "
        f"challenge: get {CHALLENGE_ADDRESS}"
    )


def _glance(root: Path) -> Iterator[Path]:
    """The first files of the tree: enough to recognise it, and no long walk through somebody's home folder."""
    return islice(_files(root), _GLANCE_FILES)


def _files(root: Path) -> Iterator[Path]:
    """Files up to ``_DEPTH`` folders below the root, folders in the order of their names, hidden ones left out."""
    for folder, folders, names in os.walk(root, followlinks=True):
        below = len(Path(folder).relative_to(root).parts)
        folders[:] = sorted(name for name in folders if not name.startswith(".")) if below < _DEPTH else []
        yield from (Path(folder, name) for name in sorted(names))
