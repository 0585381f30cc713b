"""Cityscapes as its site hands it out: leftImg8bit and gtFine, by split and city."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench.data.files import Layout, PairFiles
from bench.data.layouts.listing import Kind, list_files, match

NO_TEST_LABELS = (
    "its label maps are not published (the gtFine folder of the test split holds placeholders); "
    "the field reports Cityscapes on val"
)

TRAIN_IDS = (
    "its *_labelTrainIds files are not read: they have 19 ids and 255, and the networks take the 34 of the *_labelIds "
    "files of gtFine_trainvaltest.zip (scores are of the 19 classes all the same)"
)


@dataclass(frozen=True, kw_only=True)
class Cityscapes(Layout):
    """``leftImg8bit/<split>/<city>`` and ``gtFine/<split>/<city>``; a pair is ``<city>_<sequence>_<frame>``."""

    name: str = "cityscapes-official"

    def folders(self, root: Path | None, split: str) -> tuple[str, ...]:
        return (
            f"leftImg8bit/{split}/<city>/*_leftImg8bit.png",
            f"gtFine/{split}/<city>/*_gtFine_labelIds.png",
            f"gtFine/{split}/<city>/*_gtFine_instanceIds.png",
        )

    def recognises(self, root: Path) -> bool:
        return (root / "leftImg8bit").is_dir() or (root / "gtFine").is_dir()

    def pairs(self, root: Path, split: str) -> tuple[dict[str, PairFiles], list[str]]:
        def kind(word: str, folder: str, ending: str) -> Kind:
            return Kind(
                word=word,
                folder=root / folder / split,
                suffixes=(".png",),
                endings=(ending,),
                required_ending=True,
                nested=True,
            )

        pairs, problems = match(
            kind("image", "leftImg8bit", "_leftImg8bit"),
            kind("label map", "gtFine", "_gtFine_labelIds"),
            kind("instance map", "gtFine", "_gtFine_instanceIds"),
        )
        if not pairs and problems and list_files(kind("label map", "gtFine", "_gtFine_labelTrainIds"))[0]:
            problems.append(f"{root / 'gtFine' / split}: {TRAIN_IDS}")
        return pairs, problems


def mistaken_cityscapes(root: Path) -> str | None:
    """What the folder is instead, where it is one of Cityscapes' other downloads."""
    if (root / "gtCoarse").is_dir() and not (root / "gtFine").is_dir():
        return (
            "gtCoarse is there and gtFine is not: the coarse label maps are another download; "
            "get gtFine_trainvaltest.zip and leftImg8bit_trainvaltest.zip from https://www.cityscapes-dataset.com"
        )
    return None
