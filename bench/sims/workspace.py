"""The folder of one SIMS system: its data set, its classes, and where each stage keeps its files."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from baselines.sims.segments import SegmentRule
from bench.atomic import read_json, write_json
from bench.data.dataset import Dataset
from bench.data.registry import SYNTHETIC_IMAGES, dataset_spec
from bench.sims.classes import SimsClasses, sims_classes
from bench.sims.stage import StageError

DESCRIPTION = "workspace.json"
Split = Literal["train", "val"]
SPLITS: tuple[Split, ...] = ("train", "val")


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which canvases are meant: whose maps, and which parts of the system are replaced by a baseline."""

    split: Split = "val"
    """Whose label maps ask for segments; ``train`` leaves each map's own picture out of the bank."""
    random_retrieval: bool = False
    """Random segments of the class in place of the best overlapping ones."""
    identity: bool = False
    """Segments stay where they were, in place of the transformation network."""
    random_order: bool = False
    """A random order in place of the ordering network."""

    @property
    def retrieval(self) -> str:
        """Name of the retrieval's folder."""
        return f"{self.split}-random" if self.random_retrieval else self.split

    @property
    def transformation(self) -> str:
        """Name of the transformation's folder."""
        return f"{self.retrieval}-identity" if self.identity else self.retrieval

    @property
    def order(self) -> str:
        """Name of the order's folder."""
        return f"{self.split}-random" if self.random_order else self.split

    @property
    def name(self) -> str:
        """Name of the folders of canvases and images: the split, and what is not the full system."""
        parts = {
            "random-retrieval": self.random_retrieval,
            "identity": self.identity,
            "random-order": self.random_order,
        }
        return "-".join([self.split, *(name for name, replaced in parts.items() if replaced)])


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """A folder and the data set that its stages work on."""

    folder: Path
    dataset: str
    root: str | None
    size: tuple[int, int]
    """Height and width in px."""
    min_area_px: int
    """Smallest segment in px at 256x512; scaled with the number of pixels."""
    images: tuple[int | None, int | None]
    """How many pictures of ``train`` and ``val`` are used; None for all."""

    def _json(self) -> dict[str, Any]:
        return {
            "dataset": self.dataset,
            "root": self.root,
            "size": list(self.size),
            "min_area_px": self.min_area_px,
            "images": list(self.images),
        }

    def write(self) -> None:
        """Keep the description, for the stages that follow."""
        write_json(self.folder / DESCRIPTION, self._json())

    @staticmethod
    def read(folder: Path) -> Workspace:
        """The workspace in ``folder``. Raises StageError where ``sims bank`` made none there."""
        path = folder / DESCRIPTION
        if not path.is_file():
            raise StageError(
                f"{folder}: no SIMS workspace ({DESCRIPTION} is missing); make one with "
                f"`./run_study.py sims bank --dataset NAME --work {folder}`, or give another --work"
            )
        data = read_json(path)
        try:
            return Workspace(
                folder=folder,
                dataset=data["dataset"],
                root=data["root"],
                size=(int(data["size"][0]), int(data["size"][1])),
                min_area_px=int(data["min_area_px"]),
                images=(data["images"][0], data["images"][1]),
            )
        except (KeyError, TypeError, IndexError) as error:
            raise StageError(f"{path}: not the description of a SIMS workspace ({error!r}); run `sims bank`") from error

    def open(self, split: Split) -> Dataset:
        """The split at the workspace's size."""
        entry = dataset_spec(self.dataset)
        limit = self.images[SPLITS.index(split)]
        scenes = None if entry.needs_root else (limit or SYNTHETIC_IMAGES[split])
        return entry.open(split=split, root=self.root, size=self.size, images=scenes)

    def count(self, dataset: Dataset) -> int:
        """How many pictures of the split are used."""
        split: Split = "train" if dataset.split == "train" else "val"
        return min(len(dataset), self.images[SPLITS.index(split)] or len(dataset))

    def manifest(self, dataset: Dataset) -> str:
        """Identity of what is used of the split, at the size it is used at."""
        return f"{dataset.manifest_hash} {self.count(dataset)} {self.size}"

    @cached_property
    def classes(self) -> SimsClasses:
        """The classes of the data set. They need no photograph: opened from whichever split is there."""
        return sims_classes(self.open("train"))

    @property
    def rule(self) -> SegmentRule:
        """Which regions are segments."""
        return self.classes.rule(self.min_area_px)

    def place(self, stage: str, name: str | None = None) -> Path:
        """The folder of a stage's files."""
        return self.folder / stage if name is None else self.folder / stage / name
