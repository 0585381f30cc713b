"""Folders to files by name, and files of several kinds to pairs. Used by the layouts."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.data.files import PairFiles

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
LABEL_SUFFIXES = (".png", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Files of one kind that belong to a split."""

    word: str
    """Such as ``label map``; used in messages."""
    folder: Path
    suffixes: tuple[str, ...]
    endings: tuple[str, ...] = ()
    """Endings of the stem that are no part of the pair's name, such as ``_leftImg8bit``."""
    required_ending: bool = False
    """Whether files without one of the endings are none of ours (Cityscapes' ``_color`` beside ``_labelIds``)."""
    excluded: tuple[str, ...] = ()
    """Endings of files that are none of ours and lie in the same folder (mmsegmentation's ``_labelTrainIds``)."""
    nested: bool = False
    """Whether the files lie one folder deeper (Cityscapes' cities)."""


def pair_stem(path: Path, endings: Iterable[str]) -> str:
    """The name that partners share: without extension and without the first of the endings that fits."""
    for ending in endings:
        if path.stem.endswith(ending):
            return path.stem.removesuffix(ending)
    return path.stem


def list_files(kind: Kind) -> tuple[dict[str, Path], list[str]]:
    """The files of a kind by the name that partners share, and problems: no folder, no files, a name twice."""
    if not kind.folder.is_dir():
        return {}, [f"{kind.folder}: no such folder; it should hold the {kind.word}s ({', '.join(kind.suffixes)})"]
    files: dict[str, Path] = {}
    problems = []
    for path in _paths(kind):
        if path.suffix.lower() not in kind.suffixes:
            continue
        if kind.required_ending and not path.stem.endswith(kind.endings):
            continue
        if kind.excluded and path.stem.endswith(kind.excluded):
            continue
        stem = pair_stem(path, kind.endings)
        if stem in files:
            problems.append(f"{path}: a second {kind.word} named {stem!r} beside {files[stem].name}; keep one of them")
            continue
        files[stem] = path
    if not files:
        problems.append(f"{kind.folder}: holds no {kind.word}s; allowed are {_allowed(kind)}; put the files there")
    return files, problems


def match(image: Kind, label: Kind, instance: Kind | None = None) -> tuple[dict[str, PairFiles], list[str]]:
    """The complete pairs by id, sorted; and problems: those of ``list_files``, and missing partners."""
    kinds = [image, label] + ([instance] if instance is not None else [])
    found: dict[str, dict[str, Path]] = {}
    problems: list[str] = []
    for kind in kinds:
        found[kind.word], reported = list_files(kind)
        problems += reported
    if not all(found.values()):
        return {}, problems
    pairs = {}
    for stem in sorted(set().union(*(files.keys() for files in found.values()))):
        missing = [kind for kind in kinds if stem not in found[kind.word]]
        if missing:
            problems += _lone(stem, missing, found, kinds)
            continue
        pairs[stem] = PairFiles(
            id=stem,
            image=found[image.word][stem],
            label=found[label.word][stem],
            instance=found[instance.word][stem] if instance is not None else None,
        )
    return pairs, problems


def _lone(
    stem: str, missing: Sequence[Kind], found: dict[str, dict[str, Path]], kinds: Sequence[Kind]
) -> Iterable[str]:
    present = next(found[kind.word][stem] for kind in kinds if stem in found[kind.word])
    for kind in missing:
        yield f"{present}: no {kind.word} named {stem!r} in {kind.folder}; add it or remove its partners"


def _paths(kind: Kind) -> list[Path]:
    folders = [kind.folder]
    if kind.nested:
        with os.scandir(kind.folder) as listing:
            folders = sorted(Path(item.path) for item in listing if item.is_dir() and not item.name.startswith("."))
    paths: list[Path] = []
    for folder in folders:
        with os.scandir(folder) as listing:
            found = [item.path for item in listing if item.is_file() and not item.name.startswith(".")]
        paths += map(Path, sorted(found))  # texts are sorted many times as fast as paths
    return paths


def _allowed(kind: Kind) -> str:
    if not kind.required_ending:
        return ", ".join(kind.suffixes)
    return ", ".join(f"*{ending}{suffix}" for ending in kind.endings for suffix in kind.suffixes)
