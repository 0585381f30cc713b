"""The layout of the released code: {split}_img, {split}_label and, where the data set has them, {split}_inst."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench.data.files import Layout, PairFiles
from bench.data.layouts.listing import IMAGE_SUFFIXES, LABEL_SUFFIXES, Kind, match

_ENDINGS = ("_leftImg8bit", "_gtFine_labelIds", "_gtFine_instanceIds")


@dataclass(frozen=True, kw_only=True)
class Released(Layout):
    """Folders ``{split}_img``, ``{split}_label``, ``{split}_inst``; partners share a name."""

    has_instances: bool
    name: str = "released"

    def folders(self, root: Path | None, split: str) -> tuple[str, ...]:
        return tuple(f"{split}_{kind}" for kind in self._kinds())

    def recognises(self, root: Path) -> bool:
        return any((root / f"{split}_img").is_dir() for split in ("train", "val"))

    def pairs(self, root: Path, split: str) -> tuple[dict[str, PairFiles], list[str]]:
        def kind(word: str, short: str, suffixes: tuple[str, ...]) -> Kind:
            return Kind(word=word, folder=root / f"{split}_{short}", suffixes=suffixes, endings=_ENDINGS)

        instance = kind("instance map", "inst", LABEL_SUFFIXES) if self.has_instances else None
        return match(kind("image", "img", IMAGE_SUFFIXES), kind("label map", "label", LABEL_SUFFIXES), instance)

    def _kinds(self) -> tuple[str, ...]:
        return ("img", "label", "inst") if self.has_instances else ("img", "label")
