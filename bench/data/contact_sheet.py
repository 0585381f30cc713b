"""A data set at a glance: label maps beside their images, and a legend of the classes that occur."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from bench.atomic import written_beside
from bench.data.dataset import Dataset, Sample

_PAPER, _INK, _FAINT = (252, 251, 248), (38, 40, 46), (124, 128, 138)
_MARGIN, _GAP, _SEAM = 40, 20, 3
_LEGEND_ROW = 30


@dataclass(frozen=True, kw_only=True)
class _Layout:
    columns: int
    scale: int
    tile_height: int
    tile_width: int
    rows: int

    @property
    def width(self) -> int:
        return 2 * _MARGIN + self.columns * self.pair_width + (self.columns - 1) * _GAP

    @property
    def pair_width(self) -> int:
        return 2 * self.tile_width + _SEAM


def colour_labels(labels: NDArray[np.integer], palette: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Label ids (H, W) in the palette's colours (ids, 3): (H, W, 3) uint8. IndexError for ids without a colour."""
    coloured: NDArray[np.uint8] = palette[labels]
    return coloured


def contact_sheet(dataset: Dataset, count: int, path: Path, *, first: int = 0) -> Path:
    """Write a PNG with ``count`` samples from ``first`` on; returns the path.

    Small samples are magnified by whole factors without smoothing, so that every pixel is the data set's own; lines in
    the label maps are the borders of instances. Raises ValueError if the data set has no such samples.
    """
    if count < 1 or first < 0 or first + count > len(dataset):
        raise ValueError(
            f"contact sheet of {dataset.name}/{dataset.split}: samples {first} to {first + count - 1} were asked for; "
            f"it has {len(dataset)}, numbered from 0"
        )
    samples = [dataset.load(index) for index in range(first, first + count)]
    layout = _plan(count, dataset.size)
    present = sorted(set().union(*(np.unique(sample.labels).tolist() for sample in samples)))
    legend = _legend(dataset, present, layout.width - 2 * _MARGIN)
    top = _MARGIN + 66
    grid_height = layout.rows * layout.tile_height + (layout.rows - 1) * _GAP
    sheet = Image.new("RGB", (layout.width, top + grid_height + 28 + legend.height + _MARGIN), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((_MARGIN, _MARGIN - 8), dataset.name.replace("_", " "), fill=_INK, font=ImageFont.load_default(30))
    height, width = dataset.size
    facts = f"{dataset.split} split, {len(dataset)} samples, {width} x {height} px, {dataset.spec.classes} classes"
    draw.text((_MARGIN, _MARGIN + 30), facts, fill=_FAINT, font=ImageFont.load_default(16))
    for number, sample in enumerate(samples):
        row, column = divmod(number, layout.columns)
        x = _MARGIN + column * (layout.pair_width + _GAP)
        y = top + row * (layout.tile_height + _GAP)
        sheet.paste(_enlarged(_label_picture(sample, dataset.palette, layout.scale), layout), (x, y))
        sheet.paste(_enlarged(sample.image, layout), (x + layout.tile_width + _SEAM, y))
    sheet.paste(legend, (_MARGIN, top + grid_height + 28))
    with written_beside(path) as temporary:
        sheet.save(temporary, format="PNG")
    return path


def _plan(count: int, size: tuple[int, int]) -> _Layout:
    """Tiles of about 190 pixels, in a block somewhat wider than high."""
    height, width = size
    scale = max(1, round(190 / max(height, width)))
    pair = (2 * width * scale + _SEAM) / (height * scale)
    columns = min(count, max(1, round((1.7 * count / pair) ** 0.5)))
    return _Layout(
        columns=columns,
        scale=scale,
        tile_height=height * scale,
        tile_width=width * scale,
        rows=-(-count // columns),
    )


def _label_picture(sample: Sample, palette: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """Colours of the labels, magnified, with thin dark lines between instances."""
    picture = colour_labels(sample.labels, palette)
    picture = picture.repeat(scale, 0).repeat(scale, 1)
    if sample.instances is not None:
        ids = sample.instances.repeat(scale, 0).repeat(scale, 1)
        edge = np.zeros(ids.shape, bool)
        edge[1:] |= ids[1:] != ids[:-1]
        edge[:, 1:] |= ids[:, 1:] != ids[:, :-1]
        picture[edge] = (picture[edge] * 0.72).astype(np.uint8)
    return picture


def _enlarged(pixels: NDArray[np.uint8], layout: _Layout) -> Image.Image:
    return Image.fromarray(pixels).resize((layout.tile_width, layout.tile_height), Image.Resampling.NEAREST)


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
