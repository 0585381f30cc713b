"""A data set by name: its labels, its layouts, and how a split of it is opened. Importing this is cheap."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bench.data.conventions import LabelConvention, raw
from bench.data.dataset import AugmentationRule, DatasetError
from bench.data.detection import Mistaken, find_layout, layouts_text
from bench.data.files import Layout
from bench.data.palettes import IGNORED_COLOUR, Colour, far_apart
from spade_core.label_spec import LabelSpec

if TYPE_CHECKING:
    from bench.data.dataset import Dataset
    from bench.data.manifest import Progress

SYNTHETIC_IMAGES: Mapping[str, int] = {"train": 2000, "val": 500}
"""Scenes in a split of the embedded world unless the caller asks for another number."""


def root_variable(name: str) -> str:
    """The environment variable that may name the folder of the data set ``name``."""
    return f"SPADE_BENCH_DATA_{name.upper().replace('-', '_')}"


@dataclass(frozen=True, kw_only=True)
class DatasetEntry:
    """A data set by name: its labels, the paper's size for it, how training may vary a pair, where it is found."""

    name: str
    title: str
    spec: LabelSpec
    size_px: tuple[int, int]
    """Height and width that the paper trains and tests at."""
    upsampling: Literal["normal", "more"]
    """The generator's number of upsampling layers in the released options."""
    augmentation_rule: AugmentationRule
    class_names: tuple[str, ...]
    """One name for each of the label ids."""
    colours: tuple[Colour, ...] | None = None
    """One colour for each of the label ids; None for ``official_colours``, or for colours far apart."""
    official_colours: Callable[[], tuple[Colour, ...]] | None = None
    """Reads the published colours when they are asked for."""
    splits: tuple[str, ...] = ("train", "val")
    dont_care_value: int | None = None
    """The value in a label file that becomes the don't-care id; None where files hold valid ids only."""
    ignore_ids: tuple[int, ...] = ()
    """Ids that no score counts."""
    scored_classes: tuple[int, ...] | None = None
    """Ids that a mean over classes runs over; None for all ids that are not ignored."""
    has_instances: bool = False
    official_pairs: Mapping[str, int] = field(default_factory=dict)
    """Pairs in each split as published; empty where nobody published a set."""
    absent_splits: Mapping[str, str] = field(default_factory=dict)
    """Splits that people ask for and that are not there, with the reason."""
    layouts: tuple[Layout, ...] = ()
    """The layouts that a folder may have, the first that recognises it is taken."""
    mistaken: Mistaken | None = None
    """Recognises downloads that are taken for this data set, and says what they are."""
    label_conventions: Mapping[str, LabelConvention] = field(default_factory=dict)
    """How generators want the ids, by name; the ids as they are where none is given."""
    default_convention: str = "raw"
    """The convention of this project's generators and of the released checkpoints."""
    needs_root: bool = True
    note: str = ""
    described_in: Path | None = None
    """The data set file of a user; None for the built-in data sets."""

    def __post_init__(self) -> None:
        if not self.label_conventions:
            own = raw(self.spec.ids, "the data set's own label ids")
            object.__setattr__(self, "label_conventions", {"raw": own})
        problems = []
        if self.default_convention not in self.label_conventions:
            problems.append(f"default_convention {self.default_convention!r} is none of {list(self.label_conventions)}")
        for name, convention in self.label_conventions.items():
            if name != convention.name or len(convention.of_label) != self.spec.ids:
                problems.append(
                    f"label convention {name!r} is {convention.name!r} for {len(convention.of_label)} ids; "
                    f"the data set has {self.spec.ids}"
                )
        if self.needs_root and not self.layouts:
            problems.append("layouts is empty; name at least one")
        if problems:
            raise DatasetError(f"dataset {self.name!r}: " + "; ".join(problems))

    @property
    def root_variable(self) -> str:
        """The environment variable that may name the data set's folder."""
        return root_variable(self.name)

    def resolve_root(self, root: Path | str | None) -> Path:
        """Absolute path of the folder: the argument or the environment variable; a DatasetError says what to set."""
        source, value = ("the argument", root) if root is not None else (self.root_variable, self._from_environment())
        wanted = f"one of\n{self.layouts_text}" if len(self.layouts) > 1 else self.layout
        if value is None:
            raise DatasetError(
                f"dataset {self.name!r}: no folder given. Pass its root (--root DIR; for a study --data NAME=DIR), "
                f"or set {self.root_variable} to the folder that holds {wanted}"
            )
        folder = Path(value).expanduser().resolve()
        if not folder.is_dir():
            raise DatasetError(
                f"dataset {self.name!r}: {folder} (from {source}) is not a folder; it should hold {wanted}"
            )
        return folder

    @property
    def root_given(self) -> bool:
        """Whether a folder is named for it (in the environment, where ``--data`` puts it), right or wrong."""
        return self._from_environment() is not None

    @property
    def layout(self) -> str:
        """What the root must hold, in a few words: the folders, or the names of the layouts where there are several."""
        if len(self.layouts) == 1:
            return ", ".join(dict.fromkeys(part for s in self.splits for part in self.layouts[0].folders(None, s)))
        return " or ".join(layout.name for layout in self.layouts)

    @property
    def layouts_text(self) -> str:
        """The layouts and their folders, one line a layout."""
        return layouts_text(self.layouts, self.splits)

    def find_layout(self, root: Path) -> Layout:
        """The layout that ``root`` is in, a packed copy's too.

        Raises DatasetError listing all layouts and what is there instead.
        """
        from bench.data.packed import Packed, is_packed

        return Packed() if is_packed(root) else find_layout(self.name, self.layouts, root, self.splits, self.mistaken)

    def split_identity(self, split: str, content_hash: str) -> str:
        """The identity of a split whose files have ``content_hash``.

        For a user's data set the ids that its file lets count belong to the validation split: scores depend on them.
        """
        if self.described_in is None or split != "val":
            return content_hash
        from bench.data.dataset_files import judged_hash

        return judged_hash(self, content_hash)

    def open(
        self,
        *,
        split: str,
        root: Path | str | None = None,
        size: tuple[int, int] | None = None,
        images: int | None = None,
        seed: int = 0,
        manifest_dir: Path | None = None,
        progress: Progress | None = None,
    ) -> Dataset:
        """Open a split at ``size`` (height, width; the paper's size by default).

        ``images`` and ``seed`` choose the scenes of the embedded world; a data set from a folder refuses them.
        Raises DatasetError, listing everything that is wrong with the arguments or the files.
        """
        self._check_split(split)
        if not self.needs_root:
            from bench.data.synthetic import SyntheticScenes

            count = SYNTHETIC_IMAGES[split] if images is None else images
            return SyntheticScenes(split=split, size=size or self.size_px, images=count, seed=seed)
        if images is not None or seed != 0:
            raise DatasetError(
                f"dataset {self.name!r} is read from files: images={images}, seed={seed} do not apply; leave them out "
                "(they choose scenes of 'synthetic')"
            )
        from bench.data.packed import is_packed, open_packed
        from bench.data.paired import open_paired, split_files

        folder = self.resolve_root(root)
        if is_packed(folder):
            return open_packed(self, folder, split, size or self.size_px)
        files = split_files(self, self.find_layout(folder), folder, split, size or self.size_px)
        dataset = open_paired(files, manifest_dir=manifest_dir, progress=progress)
        content_hash = self.split_identity(split, dataset.manifest.content_hash)
        return replace(dataset, manifest=replace(dataset.manifest, content_hash=content_hash))

    def _check_split(self, split: str) -> None:
        if split in self.splits:
            return
        reason = f": {self.absent_splits[split]}" if split in self.absent_splits else ""
        raise DatasetError(
            f"dataset {self.name!r} has no split {split!r}{reason}; choose one of {', '.join(self.splits)}"
        )

    def _from_environment(self) -> str | None:
        return os.environ.get(self.root_variable) or None


def class_names(entry: DatasetEntry) -> tuple[str, ...]:
    """One name for each of the entry's label ids."""
    return entry.class_names


def palette(entry: DatasetEntry) -> tuple[Colour, ...]:
    """One RGB colour, 0 to 255, for each of the entry's label ids; ignored ids are dark grey where nothing is given."""
    if entry.colours is not None:
        return entry.colours
    if entry.official_colours is not None:
        return entry.official_colours()
    colours = list(far_apart(entry.spec.ids))
    for label in entry.ignore_ids:
        colours[label] = IGNORED_COLOUR
    return tuple(colours)
