"""The data sets that a study may name. Importing this is cheap: numpy and Pillow come with ``DatasetEntry.open``."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bench.data import names
from bench.data.dataset import AugmentationRule, DatasetError
from bench.data.layouts.released import Released
from bench.data.world import classes as world_classes
from spade_core.label_spec import LabelSpec

if TYPE_CHECKING:
    from bench.data.dataset import Dataset
    from bench.data.manifest import Progress

SYNTHETIC_IMAGES: Mapping[str, int] = {"train": 2000, "val": 500}
"""Scenes in a split of the embedded world unless the caller asks for another number."""

Colour = tuple[int, int, int]
"""RGB, 0 to 255."""

WORLD_VERSION = 1
"""Raise it with any change to what a synthetic scene looks like; judges and manifests carry it."""


def world_manifest(*, split: str, images: int, size: tuple[int, int], seed: int = 0) -> str:
    """Hexadecimal identity of a split of the embedded world; needs no scene to be drawn."""
    identity = f"synthetic world {WORLD_VERSION} seed {seed} {split} {images} {size}"
    return hashlib.sha256(identity.encode()).hexdigest()


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
    """One colour for each of the label ids; None for colours far apart and dark grey for ignored ids."""
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
    needs_root: bool = True
    note: str = ""
    described_in: Path | None = None
    """The data set file of a user; None for the built-in data sets."""

    @property
    def root_variable(self) -> str:
        """The environment variable that may name the data set's folder."""
        return root_variable(self.name)

    def resolve_root(self, root: Path | str | None) -> Path:
        """Absolute path of the folder: the argument or the environment variable; a DatasetError says what to set."""
        source, value = ("the argument", root) if root is not None else (self.root_variable, self._from_environment())
        if value is None:
            raise DatasetError(
                f"dataset {self.name!r}: no folder given. Pass its root (--root DIR; for a study --data NAME=DIR), "
                f"or set {self.root_variable} to the folder that holds {self.layout}"
            )
        folder = Path(value).expanduser().resolve()
        if not folder.is_dir():
            raise DatasetError(
                f"dataset {self.name!r}: {folder} (from {source}) is not a folder; it should hold {self.layout}"
            )
        return folder

    @property
    def layout(self) -> str:
        """The folders that the root must hold, in words."""
        kinds = ["img", "label"] + (["inst"] if self.has_instances else [])
        return ", ".join(f"{split}_{kind}" for split in self.splits for kind in kinds)

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
        if split not in self.splits:
            raise DatasetError(f"dataset {self.name!r} has no split {split!r}; choose one of {', '.join(self.splits)}")
        if not self.needs_root:
            from bench.data.synthetic import SyntheticScenes

            count = SYNTHETIC_IMAGES[split] if images is None else images
            return SyntheticScenes(split=split, size=size or self.size_px, images=count, seed=seed)
        if images is not None or seed != 0:
            raise DatasetError(
                f"dataset {self.name!r} is read from files: images={images}, seed={seed} do not apply; leave them out "
                "(they choose scenes of 'synthetic')"
            )
        from bench.data.paired import open_paired, split_files

        layout = Released(has_instances=self.has_instances)
        files = split_files(self, layout, self.resolve_root(root), split, size or self.size_px)
        dataset = open_paired(files, manifest_dir=manifest_dir, progress=progress)
        if self.described_in is None or split != "val":
            return dataset
        from bench.data.dataset_files import judged_hash

        content_hash = judged_hash(self, dataset.manifest_hash)
        return replace(dataset, manifest=replace(dataset.manifest, content_hash=content_hash))

    def _from_environment(self) -> str | None:
        return os.environ.get(self.root_variable) or None


def _palette_of(count: int) -> tuple[Colour, ...]:
    """``count`` colours far apart: hues by the golden ratio, three lightnesses, two saturations."""
    import colorsys

    colours = []
    for i in range(count):
        hue = (0.08 + i * 0.6180339887498949) % 1.0
        value, saturation = (0.92, 0.74, 0.55)[i % 3], (0.62, 0.85)[(i // 3) % 2]
        r, g, b = colorsys.hsv_to_rgb(hue, saturation, value)
        colours.append((round(255 * r), round(255 * g), round(255 * b)))
    return tuple(colours)


def class_names(entry: DatasetEntry) -> tuple[str, ...]:
    """One name for each of the entry's label ids."""
    return entry.class_names


def palette(entry: DatasetEntry) -> tuple[Colour, ...]:
    """One RGB colour, 0 to 255, for each of the entry's label ids; ignored ids are dark grey."""
    if entry.colours is not None:
        return entry.colours
    colours = list(_palette_of(entry.spec.ids))
    for label in entry.ignore_ids:
        colours[label] = (40, 40, 40)
    return tuple(colours)


_CITYSCAPES_SCORED = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
_CROP = AugmentationRule(flip=True, load_scale=286 / 256)

ENTRIES: tuple[DatasetEntry, ...] = (
    DatasetEntry(
        name="synthetic",
        title="embedded procedural world",
        spec=LabelSpec(classes=12, instance_edges=True),
        size_px=(64, 64),
        upsampling="normal",
        augmentation_rule=AugmentationRule(flip=True),
        class_names=world_classes.NAMES,
        colours=world_classes.COLOURS,
        has_instances=True,
        needs_root=False,
        note="no download; any size that is a multiple of 8",
    ),
    DatasetEntry(
        name="coco_stuff",
        title="COCO-Stuff",
        spec=LabelSpec(classes=182, dont_care=True, instance_edges=True),
        size_px=(256, 256),
        upsampling="normal",
        augmentation_rule=_CROP,
        class_names=names.coco_stuff(),
        dont_care_value=255,
        ignore_ids=(182,),
        has_instances=True,
        official_pairs={"train": 118287, "val": 5000},
        note="label files hold 0 to 181 and 255 (don't care, becomes 182), as in the released code",
    ),
    DatasetEntry(
        name="ade20k",
        title="ADE20K",
        spec=LabelSpec(classes=150, dont_care=True),
        size_px=(256, 256),
        upsampling="normal",
        augmentation_rule=_CROP,
        class_names=names.ade20k(),
        ignore_ids=(0,),
        official_pairs={"train": 20210, "val": 2000},
        note="label files as published: 0 unknown, 1 to 150 the classes; the released code feeds them unshifted",
    ),
    DatasetEntry(
        name="cityscapes",
        title="Cityscapes",
        spec=LabelSpec(classes=35, instance_edges=True),
        size_px=(256, 512),
        upsampling="more",
        augmentation_rule=AugmentationRule(flip=True),
        class_names=names.cityscapes(),
        ignore_ids=tuple(i for i in range(35) if i not in _CITYSCAPES_SCORED),
        scored_classes=_CITYSCAPES_SCORED,
        has_instances=True,
        official_pairs={"train": 2975, "val": 500},
        note="labelIds files, 0 to 33; the 19 evaluation classes are scored",
    ),
)
"""The built-in data sets; ``entries()`` has those of the users' files too."""


def entries() -> tuple[DatasetEntry, ...]:
    """All data sets: the built-in ones, then those of the data set files (see ``dataset_files``) by name.

    Raises DatasetError with all problems of all files.
    """
    from bench.data.dataset_files import read_dataset_files

    described, problems = read_dataset_files()
    if problems:
        raise DatasetError("\n".join(problems))
    return (*ENTRIES, *described)


def dataset_names() -> tuple[str, ...]:
    """The names of all data sets; opens no file. DatasetError where the name of a data set file is not usable."""
    from bench.data.dataset_files import dataset_files

    return (*(entry.name for entry in ENTRIES), *dataset_files())


def dataset_spec(name: str) -> DatasetEntry:
    """The data set of that name; DatasetError with all names otherwise.

    Only the file of this data set is read: a mistake inside another one stops nobody but its users.
    """
    from bench.data.dataset_files import dataset_files, datasets_folder, read_dataset_file

    files = dataset_files()
    if name in files:
        return read_dataset_file(files[name])
    for entry in ENTRIES:
        if entry.name == name:
            return entry
    raise DatasetError(
        f"unknown dataset {name!r}; choose one of {', '.join(dataset_names())}, or describe your own folder of pairs "
        f"in {datasets_folder() / 'NAME.toml'} (README, 'Real data and weights')"
    )
