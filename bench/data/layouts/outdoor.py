"""ADE20K-outdoor: images of ADE20K that a stated rule, or a list of the user's, calls outdoor.

There is no official list, and the paper's set is unknown; so the rule has a version and is part of the identity.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from bench.data.files import Layout, PairFiles
from bench.data.layouts.ade20k import SPLIT_FOLDERS

RULE = "outdoor-scenes@1"
"""Raise the version with any change of ``outdoor_scenes.txt``; a test holds the two together."""
LIST_VARIABLE = "SPADE_BENCH_ADE20K_OUTDOOR_LIST"
"""The environment variable that may name a list of images, one name a line, which takes the place of the rule."""

_SCENES_FILE = Path(__file__).with_name("outdoor_scenes.txt")
_SHOWN = 5


@functools.cache
def outdoor_scenes() -> tuple[str, ...]:
    """The outdoor scene categories of the rule; ``*`` in some of them stands for any text."""
    lines = _SCENES_FILE.read_text(encoding="utf-8").splitlines()
    text = ",".join(line for line in lines if line and not line.startswith(("#", "[")))
    return tuple(name.strip() for name in text.split(","))


@functools.cache
def is_outdoor(scene: str) -> bool:
    """Whether the rule calls the scene category outdoor."""
    return any(fnmatchcase(scene, pattern) for pattern in outdoor_scenes())


@dataclass(frozen=True, kw_only=True)
class Outdoor(Layout):
    """The outdoor part of a layout of ADE20K."""

    inner: Layout

    @property
    def name(self) -> str:
        return f"{self.inner.name}, outdoor"

    def folders(self, root: Path | None, split: str) -> tuple[str, ...]:
        return (
            *self.inner.folders(root, split),
            f"sceneCategories.txt (or your list of image names: outdoor_{SPLIT_FOLDERS[split]}.txt, ${LIST_VARIABLE})",
        )

    def recognises(self, root: Path) -> bool:
        return self.inner.recognises(root)

    def pairs(self, root: Path, split: str) -> tuple[dict[str, PairFiles], list[str]]:
        pairs, problems = self.inner.pairs(root, split)
        if not pairs:
            return pairs, problems
        given = _list_file(root, split)
        chosen, found = _listed(given, pairs, split) if given is not None else _by_scene(root, pairs)
        return {name: pair for name, pair in pairs.items() if name in chosen}, problems + found

    def identity(self, root: Path, split: str) -> tuple[str, ...]:
        if _list_file(root, split) is not None:
            return ("outdoor images: a list of the user's",)
        digest = hashlib.sha256("\n".join(outdoor_scenes()).encode()).hexdigest()
        return (f"outdoor images: rule {RULE}, {len(outdoor_scenes())} scene categories, sha256 {digest[:16]}",)


def _list_file(root: Path, split: str) -> Path | None:
    """The user's list: the environment variable's, else the root's for the split, else the root's for both."""
    named = os.environ.get(LIST_VARIABLE)
    if named:
        return Path(named).expanduser()
    beside = (root / f"outdoor_{SPLIT_FOLDERS[split]}.txt", root / "outdoor.txt")
    return next((path for path in beside if path.is_file()), None)


def _listed(path: Path, pairs: dict[str, PairFiles], split: str) -> tuple[set[str], list[str]]:
    """The names in the list that are of this split, and problems: names that no image has, an empty list."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()  # editors on Windows begin texts with a mark
    except (OSError, UnicodeDecodeError) as error:
        return set(), [f"{path}: not readable as a list of image names ({error}); give one name a line"]
    names = {Path(line.strip()).name for line in lines if line.strip() and not line.lstrip().startswith("#")}
    stems = {name.removesuffix(".jpg").removesuffix(".png") for name in names}
    others = {stem for stem in stems if re.match(r"ADE_(train|val)_", stem) and not stem.startswith(f"ADE_{split}_")}
    wanted = stems - others
    unknown = sorted(wanted - pairs.keys())
    problems = []
    if unknown:
        shown = ", ".join(unknown[:_SHOWN]) + (f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else "")
        problems.append(f"{path}: names images that are not in split {split}: {shown}; correct the list")
    if not wanted & pairs.keys():
        problems.append(f"{path}: names no image of split {split}; list names such as {next(iter(pairs))}, one a line")
    return wanted & pairs.keys(), problems


def _by_scene(root: Path, pairs: dict[str, PairFiles]) -> tuple[set[str], list[str]]:
    path = next((p for p in (root / "sceneCategories.txt", root.parent / "sceneCategories.txt") if p.is_file()), None)
    if path is None:
        return set(), [
            f"{root / 'sceneCategories.txt'}: no such file; it comes with ADEChallengeData2016.zip and says which "
            f"images are outdoors. Put it there, or give a list of image names (outdoor_training.txt and "
            f"outdoor_validation.txt in {root}, or ${LIST_VARIABLE})"
        ]
    scenes = {}
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        return set(), [f"{path}: not readable ({error}); take the file that comes with ADEChallengeData2016.zip"]
    for line in lines:
        name, _, scene = line.strip().partition(" ")
        scenes[name] = scene.strip().replace("/", "_")
    missing = sorted(pairs.keys() - scenes)
    if missing:
        return set(), [
            f"{path}: has no scene category for {len(missing)} images, such as {missing[0]}; take the file that comes "
            "with ADEChallengeData2016.zip"
        ]
    chosen = {name for name in pairs if is_outdoor(scenes[name])}
    return chosen, [] if chosen else [f"{path}: calls none of the {len(pairs)} images outdoor (rule {RULE})"]
