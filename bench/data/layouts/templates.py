"""Pairs in folders that a user's data set file names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench.data.files import Layout, PairFiles
from bench.data.layouts.listing import IMAGE_SUFFIXES, LABEL_SUFFIXES, Kind, match

SPLIT, DEEPER = "{split}", "/*"


@dataclass(frozen=True, kw_only=True)
class Templates(Layout):
    """Folders by pattern, relative to the root: ``{split}`` is the split's name, ``/*`` at the end any one folder."""

    images: str
    labels: str
    instances: str | None = None
    image_ending: str = ""
    """Ending of the file names before the extension that partners do not share, such as ``_leftImg8bit``."""
    label_ending: str = ""
    instance_ending: str = ""
    splits: tuple[tuple[str, str], ...] = ()
    """(split, its name in the folders), such as ("val", "validation"); a split that is not named is itself."""
    name: str = "described"

    def folders(self, root: Path | None, split: str) -> tuple[str, ...]:
        kinds = [(self.images, self.image_ending), (self.labels, self.label_ending)]
        if self.instances is not None:
            kinds.append((self.instances, self.instance_ending))
        return tuple(self._named(pattern, split) + (f"/*{ending}.*" if ending else "") for pattern, ending in kinds)

    def recognises(self, root: Path) -> bool:
        return any((root / self._named(self.images, split).removesuffix(DEEPER)).is_dir() for split in ("train", "val"))

    def pairs(self, root: Path, split: str) -> tuple[dict[str, PairFiles], list[str]]:
        def kind(word: str, pattern: str, ending: str, suffixes: tuple[str, ...]) -> Kind:
            named = self._named(pattern, split)
            return Kind(
                word=word,
                folder=root / named.removesuffix(DEEPER),
                suffixes=suffixes,
                endings=(ending,) if ending else (),
                required_ending=bool(ending),
                nested=named.endswith(DEEPER),
            )

        instance = None
        if self.instances is not None:
            instance = kind("instance map", self.instances, self.instance_ending, LABEL_SUFFIXES)
        return match(
            kind("image", self.images, self.image_ending, IMAGE_SUFFIXES),
            kind("label map", self.labels, self.label_ending, LABEL_SUFFIXES),
            instance,
        )

    def _named(self, pattern: str, split: str) -> str:
        return pattern.replace(SPLIT, dict(self.splits).get(split, split))
