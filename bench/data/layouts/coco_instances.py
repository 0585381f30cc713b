"""Instance maps of COCO-Stuff, drawn from the polygons of the instances json as the released script draws them.

The map is the label map, overdrawn with the running number of each thing: what counts are the edges alone. Polygons are
shifted by one pixel up and left, and crowds (which have no polygons) are left out, both as released. Two differences,
neither of which an edge of the released maps shows below 256 things: our numbers do not start again at 0 after 255,
and parts of a polygon outside the image are cut off (the released script writes them at the opposite border).
"""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.atomic import written_beside
from bench.data.dataset import DatasetError
from bench.data.journal import locked
from bench.data.layouts.coco import annotations_file, label_folder, no_annotations
from bench.data.layouts.coco_polygons import Polygons, open_polygons, write_polygons
from bench.data.layouts.listing import Kind, list_files
from bench.data.pool import available_cpus, chunks_of, in_processes

Progress = Callable[[int, int], None]
"""Called with (maps there are, maps in all)."""

_CHUNK = 32  # label maps to a task


@dataclass(frozen=True, kw_only=True)
class InstanceMaps:
    """What ``write_instance_maps`` did."""

    folder: Path
    drawn: int
    """Maps drawn by this call."""
    kept: int
    """Maps that an earlier call had drawn."""
    largest: int
    """The most things in one of the maps drawn by this call."""


def draw_instances(
    labels: NDArray[np.integer], polygons: Iterable[tuple[int, NDArray[np.float64]]]
) -> NDArray[np.integer]:
    """The label map (H, W) overdrawn with numbered polygons, later ones over earlier ones.

    ``polygons``: (number, corners (P, 2) as x, y in COCO's pixels). Returns uint8, or uint16 where a number needs it.
    """
    from skimage.draw import polygon

    numbered = list(polygons)
    most = max((number for number, _ in numbered), default=0)
    instances: NDArray[np.integer] = labels.astype(np.uint16 if most > 255 else np.uint8)
    for number, corners in numbered:
        rows, columns = polygon(corners[:, 1] - 1, corners[:, 0] - 1, shape=instances.shape)  # type: ignore[no-untyped-call]
        instances[rows, columns] = number
    return instances


def write_instance_maps(
    root: Path,
    split: str,
    out: Path,
    *,
    processes: int | None = None,
    progress: Progress | None = None,
    waiting: Callable[[], None] = lambda: None,
) -> InstanceMaps:
    """Draw the instance map of every label map of ``split`` under ``root`` into ``out``, as PNG files of its name.

    Call it again to go on: maps that are there stay, and the polygons are read from the json once and kept beside until
    the last map is drawn. ``processes``: workers, all processors by default. ``waiting`` is called where another
    process draws the same maps; then this one waits for it. Raises DatasetError where label maps or the json are
    missing, or where the json does not know the images.
    """
    folder = label_folder(root, split)
    if folder is None:
        raise DatasetError(f"{root}: no label maps (stuffthingmaps) of {split}2017 to draw instance maps over")
    labels, problems = list_files(
        Kind(word="label map", folder=folder, suffixes=(".png",), excluded=("_labelTrainIds",))
    )
    if problems:
        raise DatasetError("\n".join(problems))
    out.mkdir(parents=True, exist_ok=True)
    index = out.parent / f".polygons-{split}"
    with locked(index.with_suffix(".lock"), waiting=waiting):
        return _write_missing(root, split, out, labels, index, processes, progress or (lambda done, of: None))


def _write_missing(
    root: Path, split: str, out: Path, labels: dict[str, Path], index: Path, processes: int | None, progress: Progress
) -> InstanceMaps:
    """Draw the maps that are not there yet; for one process at a time."""
    with os.scandir(out) as listing:
        present = {item.name for item in listing if item.stat().st_size > 0}
    missing = [path for name, path in sorted(labels.items()) if f"{name}.png" not in present]
    kept = len(labels) - len(missing)
    if not missing:
        return InstanceMaps(folder=out, drawn=0, kept=kept, largest=0)
    annotations = annotations_file(root, split)
    if annotations is None:
        raise DatasetError(f"instance maps of {split} are drawn from {no_annotations(root, split)}")
    write_polygons(annotations, index)
    _opened.cache_clear()
    _check_known(missing, annotations, open_polygons(index))
    largest = 0
    for done, most in enumerate(_draw_all(missing, out, index, processes), start=kept + 1):
        largest = max(largest, most)
        progress(done, len(labels))
    os.sync()
    shutil.rmtree(index)
    return InstanceMaps(folder=out, drawn=len(missing), kept=kept, largest=largest)


def _check_known(paths: list[Path], annotations: Path, polygons: Polygons) -> None:
    unknown = [path for path in paths if not polygons.knows(path.stem)]
    if unknown:
        shown = ", ".join(path.name for path in unknown[:5]) + (" and more" if len(unknown) > 5 else "")
        raise DatasetError(
            f"{annotations}: does not list {len(unknown)} of the {len(paths)} images, such as {shown}; "
            f"take the json of the same split, or remove the label maps that do not belong to it"
        )


def _draw_all(paths: list[Path], out: Path, index: Path, processes: int | None) -> Iterator[int]:
    """Draw the maps; yields the number of things of each as it is done."""
    workers = min(processes or available_cpus(), -(-len(paths) // _CHUNK))
    for counts in in_processes(
        functools.partial(_draw_some, out=out, index=index), chunks_of(paths, _CHUNK), workers=workers
    ):
        yield from counts


def _draw_some(paths: list[Path], *, out: Path, index: Path) -> list[int]:
    return [_draw_one(path, out, index) for path in paths]


def _draw_one(path: Path, out: Path, index: Path) -> int:
    """Draw one map; returns the number of things in it."""
    polygons = list(_opened(index).of(path.stem))
    try:
        with Image.open(path) as picture:
            mode, labels = picture.mode, np.asarray(picture)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DatasetError(f"{path}: not readable as an image ({error}); replace the file") from None
    if mode not in ("L", "P"):
        raise DatasetError(f"{path}: label map of mode {mode}; allowed are L and P; unpack the stuffthingmaps again")
    with written_beside(out / f"{path.stem}.png", durable=False) as temporary:
        Image.fromarray(draw_instances(labels, polygons)).save(temporary, format="PNG")
    return max((number + 1 for number, _ in polygons), default=0)


@functools.cache
def _opened(index: Path) -> Polygons:
    return open_polygons(index)
