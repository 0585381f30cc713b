"""A data set at a glance: label maps beside their images, and a legend of the classes that occur."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from bench.atomic import written_beside
from bench.data.dataset import Augmentation, Dataset, Sample

_PAPER, _INK, _FAINT = (252, 251, 248), (38, 40, 46), (124, 128, 138)
_MARGIN, _GAP, _SEAM, _CAPTION = 40, 20, 3, 22
_LEGEND_ROW = 30
_TILE, _WIDTH = 190, 1585  # height of a tile and width of a row, about, in pixels


@dataclass(frozen=True, kw_only=True)
class _Tile:
    """Where the label map of a sample goes; its image is to the right of it."""

    index: int
    x: int
    y: int
    height: int
    width: int

    @property
    def right(self) -> int:
        return self.x + 2 * self.width + _SEAM


def colour_labels(labels: NDArray[np.integer], palette: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Label ids (H, W) in the palette's colours (ids, 3): (H, W, 3) uint8. IndexError for ids without a colour."""
    coloured: NDArray[np.uint8] = palette[labels]
    return coloured


def contact_sheet(
    dataset: Dataset,
    count: int,
    path: Path,
    *,
    first: int = 0,
    spread: bool = False,
    augmentation: Augmentation | None = None,
) -> Path:
    """Write a PNG with ``count`` samples, from ``first`` on or ``spread`` evenly over the rest; returns the path.

    Samples are shown as they are loaded (with ``augmentation``), in the proportions of their files. Where those are
    the data set's own, they are magnified by whole factors without smoothing, so that every pixel is the data set's.
    Lines in the label maps are the borders of instances. Raises ValueError if the data set has no such samples.
    """
    if count < 1 or first < 0 or first + count > len(dataset):
        raise ValueError(
            f"contact sheet of {dataset.name}/{dataset.split}: samples {first} to {first + count - 1} were asked for; "
            f"it has {len(dataset)}, numbered from 0"
        )
    step = (len(dataset) - first - 1) / max(1, count - 1) if spread else 1
    indices = [first + int(number * step) for number in range(count)]
    samples = {index: dataset.load(index, augmentation) for index in indices}
    top = _MARGIN + 66
    tiles = _arranged(dataset, indices, top)
    right, bottom = max(tile.right for tile in tiles), max(tile.y + tile.height for tile in tiles) + _CAPTION
    present = sorted(set().union(*(np.unique(sample.labels).tolist() for sample in samples.values())))
    width = max(right, 16 * _MARGIN)  # room for the title over a narrow sheet
    legend = _legend(dataset, present, width - _MARGIN)
    sheet = Image.new("RGB", (width + _MARGIN, bottom + 16 + legend.height + _MARGIN), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((_MARGIN, _MARGIN - 8), dataset.name.replace("_", " "), fill=_INK, font=ImageFont.load_default(30))
    draw.text((_MARGIN, _MARGIN + 30), _facts(dataset, count), fill=_FAINT, font=ImageFont.load_default(16))
    for tile in tiles:
        sample = samples[tile.index]
        sheet.paste(_label_picture(sample, dataset.palette, tile), (tile.x, tile.y))
        sheet.paste(_image_picture(sample, tile), (tile.x + tile.width + _SEAM, tile.y))
        _caption(draw, sample.id, tile)
    sheet.paste(legend, (_MARGIN, bottom + 16))
    with written_beside(path) as temporary:
        sheet.save(temporary, format="PNG")
    return path


def _facts(dataset: Dataset, count: int) -> str:
    height, width = dataset.size
    shown = f"{count} of {len(dataset):,} samples" if count < len(dataset) else f"{count} samples"
    return f"{dataset.split} split, {shown}, read at {width} x {height} px, {dataset.spec.classes} classes"


def _arranged(dataset: Dataset, indices: Sequence[int], top: int) -> list[_Tile]:
    """Places of the samples: a grid where all have the proportions of ``size``, else rows of equal width."""
    height, width = dataset.size
    shapes = [dataset.native_size(index)[1] / dataset.native_size(index)[0] for index in indices]
    if all(abs(shape * height / width - 1) < 0.01 for shape in shapes):
        scale = max(1, round(_TILE / max(height, width)))
        pair = (2 * width * scale + _SEAM) / (height * scale)
        columns = min(len(indices), max(1, round((1.7 * len(indices) / pair) ** 0.5)))
        rows = [list(indices[start : start + columns]) for start in range(0, len(indices), columns)]
        return _placed(rows, [[(height * scale, width * scale)] * len(row) for row in rows], top)
    by_index = dict(zip(indices, shapes, strict=True))
    rows = _filled(indices, by_index)
    sizes = []
    for row in rows:
        room = _WIDTH - _GAP * (len(row) - 1) - _SEAM * len(row)
        tall = round(min(1.25 * _TILE, room / (2 * sum(by_index[index] for index in row))))
        sizes.append([(tall, round(tall * by_index[index])) for index in row])
    return _placed(rows, sizes, top)


def _filled(indices: Sequence[int], shapes: dict[int, float]) -> list[list[int]]:
    """The samples in rows that are about ``_WIDTH`` wide at the height of a tile."""
    rows: list[list[int]] = [[]]
    used = 0.0
    for index in indices:
        pair = 2 * shapes[index] * _TILE + _SEAM + _GAP
        if rows[-1] and used + pair / 2 > _WIDTH:
            rows.append([])
            used = 0.0
        rows[-1].append(index)
        used += pair
    return rows


def _placed(rows: Sequence[Sequence[int]], sizes: Sequence[Sequence[tuple[int, int]]], top: int) -> list[_Tile]:
    tiles, y = [], top
    for row, row_sizes in zip(rows, sizes, strict=True):
        x = _MARGIN
        for index, (height, width) in zip(row, row_sizes, strict=True):
            tiles.append(_Tile(index=index, x=x, y=y, height=height, width=width))
            x = tiles[-1].right + _GAP
        y += row_sizes[0][0] + _CAPTION + _GAP // 2
    return tiles


def _label_picture(sample: Sample, palette: NDArray[np.uint8], tile: _Tile) -> Image.Image:
    """Colours of the labels, with thin dark lines between instances."""
    picture = colour_labels(_nearest(sample.labels, tile), palette)
    if sample.instances is not None:
        ids = _nearest(sample.instances, tile)
        edge = np.zeros(ids.shape, bool)
        edge[1:] |= ids[1:] != ids[:-1]
        edge[:, 1:] |= ids[:, 1:] != ids[:, :-1]
        picture[edge] = (picture[edge] * 0.72).astype(np.uint8)
    return Image.fromarray(picture)


def _nearest(ids: NDArray[np.integer], tile: _Tile) -> NDArray[np.integer]:
    rows = (np.arange(tile.height) + 0.5) * ids.shape[0] / tile.height
    columns = (np.arange(tile.width) + 0.5) * ids.shape[1] / tile.width
    nearest: NDArray[np.integer] = ids[rows.astype(int)[:, None], columns.astype(int)]
    return nearest


def _image_picture(sample: Sample, tile: _Tile) -> Image.Image:
    whole = tile.height % sample.image.shape[0] == 0 and tile.width % sample.image.shape[1] == 0
    resampling = Image.Resampling.NEAREST if whole else Image.Resampling.LANCZOS
    return Image.fromarray(sample.image).resize((tile.width, tile.height), resampling)


def _caption(draw: ImageDraw.ImageDraw, text: str, tile: _Tile) -> None:
    font = ImageFont.load_default(13)
    while text and font.getlength(text) > tile.right - tile.x:
        text = text[:-2].rstrip("…") + "…" if len(text) > 2 else ""
    draw.text((tile.x, tile.y + tile.height + 3), text, fill=_FAINT, font=font)


def _legend(dataset: Dataset, present: list[int], width: int) -> Image.Image:
    """Swatches and names of the classes present, in as many rows as they need."""
    font = ImageFont.load_default(16)
    entries = [(label, dataset.class_names[label]) for label in present]
    lengths = [int(font.getlength(name)) + 22 + 10 + 26 for _, name in entries]
    places, x, row = [], 0, 0
    for length in lengths:
        if x + length > width and x > 0:
            x, row = 0, row + 1
        places.append((x, row))
        x += length
    strip = Image.new("RGB", (width, (row + 1) * _LEGEND_ROW), _PAPER)
    draw = ImageDraw.Draw(strip)
    for (label, name), (left, line) in zip(entries, places, strict=True):
        y = line * _LEGEND_ROW
        colour = tuple(int(value) for value in dataset.palette[label])
        draw.rounded_rectangle((left, y + 3, left + 22, y + 21), radius=4, fill=colour, outline=(180, 180, 180))
        draw.text((left + 32, y + 2), name, fill=_INK, font=font)
    return strip
