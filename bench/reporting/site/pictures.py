"""The gallery of a page: every picture as a file of its own, so that a reader can put any two side by side."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.reporting.gallery import GalleryItem, gallery_items
from bench.store import Store
from bench.study import Study, StudyDataset

if TYPE_CHECKING:
    from bench.data.dataset import Dataset

Progress = Callable[[int, int, str], None]
"""Called with (done, of, what)."""
LABELS, REAL = "label map", "real image"
_SMALLEST_SHARE = 0.001
"""Share of a picture's pixels below which a class is not named in the legend."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One column of the gallery."""

    label: str
    subtitle: str = ""
    pixelated: bool = False
    """Whether it must not be smoothed when enlarged: label maps."""


@dataclass(frozen=True, kw_only=True)
class ShownClass:
    """One class of the legend."""

    name: str
    colour: str
    """#rrggbb."""
    samples: tuple[int, ...]
    """Samples, from 0, in which it occurs."""


@dataclass(frozen=True, kw_only=True)
class GalleryView:
    """The pictures of one data set: for every sample one of each column."""

    id: str
    dataset: str
    size: tuple[int, int]
    """(height, width) in px."""
    columns: tuple[Shown, ...]
    samples: tuple[str, ...]
    """Sample ids."""
    files: tuple[tuple[str, ...], ...]
    """``files[sample][column]``: address relative to the page; empty where there is no picture."""
    classes: tuple[ShownClass, ...]
    rule: str
    """How the samples were chosen."""
    remark: str = ""
    """What is missing, and why."""

    @property
    def first_pair(self) -> tuple[int, int]:
        """The columns that are put side by side at first: the label map, or the first one, and the first method."""
        return 0, min(1, len(self.columns) - 1)


def gallery_view(
    study: Study,
    store: Store,
    dataset: StudyDataset,
    folder: Path,
    address: str,
    identity: str,
    *,
    samples: int,
    progress: Progress = lambda done, of, what: None,
) -> GalleryView | None:
    """Copy and draw the pictures into ``folder`` (``address`` relative to the page); None while nothing is judged.

    Images are those of the study's first seed. Without the data set (a store copied from another machine) the label
    maps and the real images are missing, and the gallery says so.
    """
    from bench.data.dataset import DatasetError
    from bench.data.opening import images_of, open_split

    items = gallery_items(study, store, dataset)
    if not items:
        return None
    split, why = None, ""
    try:
        split = open_split(dataset.ref, "val")
        ids = [split.sample_id(index) for index in range(min(samples, images_of(dataset.ref, split)))]
        rule = f"the first {len(ids)} validation samples, none left out"
    except (DatasetError, OSError) as error:
        why = str(error).splitlines()[0]
        ids = sorted({path.stem for item in items for path in item.folder.glob("*.png")})[:samples]
        rule = f"the first {len(ids)} validation samples by name, none left out"
    if not ids:
        return None
    height, width = dataset.ref.size
    view = GalleryView(
        id=identity,
        dataset=dataset.ref.name,
        size=(height, width),
        columns=tuple(Shown(label=f"{item.label} {item.marks}".strip(), subtitle=item.subtitle) for item in items),
        samples=tuple(ids),
        files=tuple(_copied(items, name, number, folder, address, progress, ids) for number, name in enumerate(ids)),
        classes=(),
        rule=f"{rule}; images of seed {study.seeds[0]}",
        remark=f"Label maps and real images are not shown: {why}" if why else "",
    )
    return view if split is None else _with_real(view, split, folder, address)


def _copied(
    items: Sequence[GalleryItem],
    name: str,
    number: int,
    folder: Path,
    address: str,
    progress: Progress,
    ids: Sequence[str],
) -> tuple[str, ...]:
    """The addresses of the copies of one sample's images, as they were judged."""
    files = []
    for column, item in enumerate(items, start=1):
        source, target = item.folder / f"{name}.png", f"{number:03d}/{column}.png"
        if source.is_file():
            (folder / target).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, folder / target)
        files.append(f"{address}/{target}" if source.is_file() else "")
    progress(number + 1, len(ids), f"pictures of {name}")
    return tuple(files)


def _with_real(view: GalleryView, split: Dataset, folder: Path, address: str) -> GalleryView:
    """The view with label maps in front, real images at the end and a legend."""
    files: list[tuple[str, ...]] = []
    areas = np.zeros(len(split.class_names), dtype=np.int64)
    seen: dict[int, list[int]] = {}
    for number in range(len(view.samples)):
        sample = split.load(number)
        place = folder / f"{number:03d}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(split.palette[sample.labels]).save(place / "labels.png")
        Image.fromarray(sample.image).save(place / "real.png")
        files.append((f"{address}/{number:03d}/labels.png", *view.files[number], f"{address}/{number:03d}/real.png"))
        counts = np.bincount(sample.labels.ravel(), minlength=len(areas))[: len(areas)]
        areas += counts
        for index in np.flatnonzero(counts >= _SMALLEST_SHARE * sample.labels.size):
            seen.setdefault(int(index), []).append(number)
    order = sorted(seen, key=lambda index: (-areas[index], index))
    classes = [
        ShownClass(name=split.class_names[index], colour=_hex(split.palette[index]), samples=tuple(seen[index]))
        for index in order
    ]
    columns = (Shown(label=LABELS, pixelated=True), *view.columns, Shown(label=REAL))
    return replace(view, columns=columns, files=tuple(files), classes=tuple(classes))


def _hex(colour: NDArray[np.uint8]) -> str:
    return "#" + "".join(f"{int(channel):02x}" for channel in colour)
