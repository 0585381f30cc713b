"""Where the files of a data set are: a pair on disk, and the interface of the layouts that find the pairs.

Free of numpy and torch, so that listings answer at once.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from bench.atomic import cache_folder


@dataclass(frozen=True, kw_only=True)
class PairFiles:
    """One pair on disk; the paths are absolute."""

    id: str
    """Name of the pair, unique in its split and fit for a file name (``<id>.png``); the key of every seed."""
    image: Path
    label: Path
    instance: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Unmade:
    """Files that a layout needs and that ``prepare`` makes from what the download has."""

    kind: Literal["instance maps", "label maps"]
    split: str
    missing: int
    """Files that are not there yet."""
    total: int
    """Files that there will be."""
    folder: Path
    """Where they are written."""


class Layout(Protocol):
    """How a download lies in its folder. Implementations are frozen dataclasses, cheap to pickle."""

    @property
    def name(self) -> str:
        """Such as ``released``, ``ADEChallengeData2016``, ``cityscapes-official``."""

    def folders(self, root: Path | None, split: str) -> tuple[str, ...]:
        """What is read for ``split``, in words, relative to the root: for errors and ``show dataset`` (no root)."""

    def recognises(self, root: Path) -> bool:
        """Whether ``root`` holds this layout. Looks for folders alone, so it is cheap."""

    def pairs(self, root: Path, split: str) -> tuple[dict[str, PairFiles], list[str]]:
        """The complete pairs by id, sorted by id, and every problem found on the way, one text each."""

    def identity(self, root: Path, split: str) -> tuple[str, ...]:
        """What belongs to the identity of the split besides names and contents, in words: the rule that chose it."""
        return ()

    def unmade(self, root: Path, split: str) -> Unmade | None:
        """What ``prepare`` has to make before the split can be opened; None where nothing is missing."""
        return None


def made_folder(root: Path, kind: str) -> Path:
    """Where files of one kind that ``prepare`` makes for ``root`` are kept: ``root/kind``, or the cache.

    The cache (see ``bench.atomic.cache_folder``) takes them where nobody may write into ``root``.
    """
    beside = root / kind
    cached = cache_folder() / kind / hashlib.sha256(str(root.absolute()).encode()).hexdigest()[:12]
    if beside.is_dir() or (os.access(root, os.W_OK) and not cached.is_dir()):
        return beside
    return cached
