"""From a reference in a study or a run to the splits themselves, and back. Free of torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.data.registry import SYNTHETIC_IMAGES, dataset_spec, world_manifest
from bench.run_spec import DatasetRef

if TYPE_CHECKING:
    from bench.data.dataset import Dataset
    from bench.data.entry import DatasetEntry
    from bench.data.manifest import Progress


def dataset_ref(
    name: str,
    *,
    size: tuple[int, int] | None = None,
    train_images: int | None = None,
    val_images: int | None = None,
    root: Path | str | None = None,
    progress: Progress | None = None,
) -> DatasetRef:
    """The reference to a data set, with the hashes of its two splits.

    A folder is scanned at first use (``prepare`` does the same with a report) and its manifest is reused while the
    files stay. Raises DatasetError that lists everything wrong with the files.
    """
    entry = dataset_spec(name)
    chosen = size or entry.size_px
    train, train_limit = _content(entry, "train", chosen, train_images, root, progress)
    val, val_limit = _content(entry, "val", chosen, val_images, root, progress)
    return DatasetRef(
        name=name,
        size=chosen,
        manifest=train,
        val_manifest=val,
        augmentation=entry.augmentation_rule,
        upsampling=entry.upsampling,
        train_images=train_limit,
        val_images=val_limit,
        root=str(entry.resolve_root(root)) if entry.needs_root else None,
    )


def validation_ref(
    name: str,
    *,
    size: tuple[int, int] | None = None,
    val_images: int | None = None,
    root: Path | str | None = None,
    progress: Progress | None = None,
) -> DatasetRef:
    """The reference to the validation split alone: to judge, nobody needs the training images.

    An evaluation of it has the identity of one of the whole data set. Raises as :func:`dataset_ref` does.
    """
    entry = dataset_spec(name)
    chosen = size or entry.size_px
    content, limit = _content(entry, "val", chosen, val_images, root, progress)
    return DatasetRef(
        name=name,
        size=chosen,
        manifest="",
        val_manifest=content,
        augmentation=entry.augmentation_rule,
        upsampling=entry.upsampling,
        val_images=limit,
        root=str(entry.resolve_root(root)) if entry.needs_root else None,
    )


def _content(
    entry: DatasetEntry,
    split: str,
    size: tuple[int, int],
    limit: int | None,
    root: Path | str | None,
    progress: Progress | None,
) -> tuple[str, int | None]:
    """The hash of a split's content, and how many of its images are asked for (None: all)."""
    if limit is not None and limit < 1:
        raise ValueError(f"data set {entry.name!r}: {limit} {split} images were asked for; it must be at least 1")
    if not entry.needs_root:
        images = limit or SYNTHETIC_IMAGES[split]
        return world_manifest(split=split, images=images, size=size), images
    opened = entry.open(split=split, root=root, size=size, progress=progress)
    return opened.manifest_hash, None if limit is None or limit >= len(opened) else limit


def open_split(ref: DatasetRef, split: str) -> Dataset:
    """The split ``train`` or ``val`` of ``ref``, at its size.

    Raises DatasetError when the folder's content is not what it was when the reference was made.
    """
    from bench.data.dataset import DatasetError

    entry = dataset_spec(ref.name)
    limit = ref.train_images if split == "train" else ref.val_images
    scenes = None if entry.needs_root else (limit or SYNTHETIC_IMAGES[split])
    dataset = entry.open(split=split, root=ref.root, size=ref.size, images=scenes)
    if dataset.augmentation_rule != ref.augmentation:
        raise DatasetError(
            f"dataset {ref.name!r}: the run was defined with {ref.augmentation}, but the data set now has "
            f"{dataset.augmentation_rule}; restore the rule, or start a new run"
        )
    expected = ref.manifest if split == "train" else ref.val_manifest
    if expected and dataset.manifest_hash != expected:
        raise DatasetError(
            f"dataset {ref.name!r}, split {split}: the files under {ref.root or 'the embedded world'} are not those "
            f"that the run was defined on (content hash {dataset.manifest_hash[:12]}, expected {expected[:12]}); "
            f"restore them, or start a new run"
        )
    return dataset


def images_of(ref: DatasetRef, dataset: Dataset) -> int:
    """How many images of ``dataset`` the reference asks for."""
    limit = ref.train_images if dataset.split == "train" else ref.val_images
    return min(len(dataset), limit or len(dataset))
