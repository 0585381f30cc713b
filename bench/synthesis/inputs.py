"""What users bring: label maps as files of ids, instance maps, style images. Everything is checked and bounded."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.data.dataset import Dataset
from bench.data.entry import DatasetEntry, palette
from bench.data.looking import ID_MODES
from bench.data.transforms import prepare_ids, prepare_image

LARGEST_PIXELS = 2**25
"""Pixels of a file that is opened: a map or photograph of 8192 x 4096."""
_UNREADABLE = (OSError, SyntaxError, ValueError, struct.error, zlib.error, EOFError, Image.DecompressionBombError)
_LISTED = 8


class InputError(ValueError):
    """A file that cannot be used; the message names it, what is wrong, what is allowed and what to do."""


@dataclass(frozen=True, kw_only=True)
class LabelInput:
    """One label map at the size of the model, ready to be drawn from."""

    id: str
    """Names the outputs and seeds their noise."""
    labels: NDArray[np.integer]
    """(H, W) label ids of the data set."""
    instances: NDArray[np.int32] | None
    """(H, W) instance ids; None: instances end where labels do."""
    source: str
    """The file, or the data set and its sample."""

    @property
    def sha256(self) -> str:
        """Of the ids, whatever the file they came in."""
        digest = hashlib.sha256(f"{self.labels.shape}".encode() + self.labels.astype("<u2").tobytes())
        if self.instances is not None:
            digest.update(self.instances.astype("<i4").tobytes())
        return digest.hexdigest()


def read_label_map(content: bytes, entry: DatasetEntry, where: str) -> NDArray[np.integer]:
    """The label ids (H0, W0) in a PNG (or other lossless file) as the data set's label files hold them.

    One channel, or palette indices; the data set's value for don't care becomes its id. Raises InputError, which begins
    with ``where``, for what is no picture, too large, of another mode, or holds values that are no ids.
    """
    picture = _opened(content, where, "a label map")
    if picture.mode not in ID_MODES:
        raise InputError(
            f"{where}: a label map of mode {picture.mode}; allowed are {', '.join(ID_MODES)}: one channel that holds "
            f"the ids themselves, not their colours. Save the ids as PNG, or draw the map with `paint`"
        )
    if picture.format in ("JPEG", "MPO", "WEBP"):
        raise InputError(f"{where}: a label map in the format {picture.format} loses its ids; save it as PNG")
    values = np.asarray(picture)
    values = values.astype(np.uint8) if values.dtype == np.bool_ else values
    return _as_ids(values, entry, where)


def label_file_values(labels: NDArray[np.integer], entry: DatasetEntry) -> NDArray[np.integer]:
    """Label ids (H, W) as the data set's label files hold them: the inverse of what reading does."""
    if entry.dont_care_value is None:
        return labels
    return np.where(labels == entry.spec.classes, entry.dont_care_value, labels).astype(labels.dtype)


def label_map_png(labels: NDArray[np.integer], entry: DatasetEntry) -> bytes:
    """A PNG of label ids (H, W) that any reader of the data set takes, shown in the data set's colours.

    Palette indices where the values fit into 8 bits, else 16 bits without colours.
    """
    values = label_file_values(labels, entry)
    if entry.spec.ids > 256:
        picture = Image.fromarray(values.astype(np.uint16))
    else:
        table = np.zeros((256, 3), np.uint8)
        colours = np.array(palette(entry), np.uint8)
        table[label_file_values(np.arange(entry.spec.ids), entry)] = colours
        picture = Image.fromarray(values.astype(np.uint8))
        picture.putpalette(table.tobytes())
    stream = io.BytesIO()
    picture.save(stream, format="PNG")
    return stream.getvalue()


def read_photograph(content: bytes, where: str) -> Image.Image:
    """An RGB picture, such as a style image. Raises InputError, which begins with ``where``."""
    picture = _opened(content, where, "an image")
    try:
        return picture.convert("RGB")
    except _UNREADABLE as error:
        raise InputError(f"{where}: cannot be read as an RGB image ({error}); save it as PNG or JPEG") from error


def style_pixels(picture: Image.Image, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A style image as training images are prepared: (H, W, 3) uint8 at ``size`` (height, width) by PIL's bicubic."""
    return prepare_image(picture, size, None)


def label_inputs(labels: Path, instances: Path | None, entry: DatasetEntry, size: tuple[int, int]) -> list[LabelInput]:
    """The label map in a file, or all ``*.png`` of a folder by name, at ``size`` (height, width).

    ``instances`` is a file, or a folder with a file of the same name for each label map. Raises InputError that lists
    everything wrong with the files.
    """
    files = _files(labels)
    if instances is not None and not entry.spec.instance_edges:
        raise InputError(f"--instances {instances}: generators of {entry.name} see no instances; leave it out")
    if instances is not None and labels.is_dir() != instances.is_dir():
        raise InputError(f"--labels {labels} and --instances {instances}: give two files or two folders")
    found, problems = [], []
    for path in files:
        try:
            ids = read_label_map(path.read_bytes(), entry, str(path))
            drawn = None
            if instances is not None:
                file = instances / path.name if instances.is_dir() else instances
                drawn = _read_instances(file, ids.shape, path)
                drawn = prepare_ids(drawn, size, None)
            found.append(
                LabelInput(id=path.stem, labels=prepare_ids(ids, size, None), instances=drawn, source=str(path))
            )
        except InputError as error:
            problems.append(str(error))
    if len(problems) == 1:
        raise InputError(problems[0])
    if problems:
        shown = "".join(f"\n  - {text}" for text in problems[:20])
        more = f"\n  ... and {len(problems) - 20} more" if len(problems) > 20 else ""
        raise InputError(f"{labels}: {len(problems)} of {len(files)} label maps cannot be used{shown}{more}")
    return found


def split_inputs(dataset: Dataset, count: int) -> list[LabelInput]:
    """The first ``count`` label maps of an opened split, with their instances."""
    if not 1 <= count <= len(dataset):
        raise InputError(f"--val-maps {count}: {dataset.name}/{dataset.split} has {len(dataset)} maps; give 1 to that")
    samples = [dataset.load(index) for index in range(count)]
    return [
        LabelInput(
            id=sample.id,
            labels=sample.labels,
            instances=sample.instances if dataset.spec.instance_edges else None,
            source=f"{dataset.name}/{dataset.split}/{sample.id}",
        )
        for sample in samples
    ]


def _files(labels: Path) -> list[Path]:
    if labels.is_file():
        return [labels]
    if not labels.is_dir():
        raise InputError(f"--labels {labels}: there is no such file or folder; give a PNG of label ids, or a folder")
    files = sorted(labels.glob("*.png"))
    if not files:
        held = sorted(path.name for path in labels.iterdir())
        some = ", ".join(held[:5]) + (" ..." if len(held) > 5 else "")
        raise InputError(f"--labels {labels}: holds no *.png (it holds: {some or 'nothing'}); give PNGs of label ids")
    return files


def _read_instances(path: Path, shape: tuple[int, ...], labels: Path) -> NDArray[np.int32]:
    if not path.is_file():
        raise InputError(f"{path}: there is no such instance map (for {labels}); name it as its label map")
    picture = _opened(path.read_bytes(), str(path), "an instance map")
    if picture.mode not in ID_MODES:
        raise InputError(f"{path}: an instance map of mode {picture.mode}; allowed are {', '.join(ID_MODES)}")
    ids = np.asarray(picture).astype(np.int32)
    if ids.shape != shape:
        raise InputError(
            f"{path}: {ids.shape[1]} x {ids.shape[0]} px (width x height), but {labels} has {shape[1]} x {shape[0]}"
        )
    return ids


def _opened(content: bytes, where: str, what: str) -> Image.Image:
    """The decoded picture, of at most LARGEST_PIXELS, whose size is looked at before anything is decoded."""
    try:
        picture = Image.open(io.BytesIO(content))
        width, height = picture.size
        if width * height > LARGEST_PIXELS:
            raise InputError(
                f"{where}: {width} x {height} px (width x height), more than {LARGEST_PIXELS:,} pixels in all; "
                f"make it smaller (the model resizes it anyway)"
            )
        picture.load()
    except InputError:
        raise
    except _UNREADABLE as error:
        reason = str(error)
        reason = "it is empty or not a picture" if "BytesIO" in reason or not content else reason
        raise InputError(f"{where}: cannot be read as {what} ({reason}); give a whole PNG file") from error
    return picture


def _as_ids(values: NDArray[np.integer], entry: DatasetEntry, where: str) -> NDArray[np.integer]:
    dont_care, classes = entry.dont_care_value, entry.spec.classes
    last = classes - 1 if dont_care is not None else entry.spec.ids - 1
    present, counts = np.unique(values, return_counts=True)
    wrong = [
        (value, count)
        for value, count in zip(present.tolist(), counts.tolist(), strict=True)
        if not 0 <= value <= last and value != dont_care
    ]
    if wrong:
        raise InputError(f"{where}: {_out_of_range(wrong, last, entry)}")
    dtype = np.uint8 if entry.spec.ids <= 256 else np.uint16
    return (values if dont_care is None else np.where(values == dont_care, classes, values)).astype(dtype)


def _out_of_range(wrong: Sequence[tuple[int, int]], last: int, entry: DatasetEntry) -> str:
    listed = ", ".join(f"{value} ({count} pixels)" for value, count in wrong[:_LISTED])
    more = f" and {len(wrong) - _LISTED} more values" if len(wrong) > _LISTED else ""
    care = f", and {entry.dont_care_value} for don't care" if entry.dont_care_value is not None else ""
    return (
        f"label {listed}{more}; allowed in {entry.name} are 0 to {last}{care}. Renumber the map "
        f"(its classes: ./run_study.py show dataset {entry.name})"
    )
