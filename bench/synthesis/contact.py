"""Label maps beside what was made of them, on one picture: a row for each map, a column for each z."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Pixels = NDArray[np.uint8]
_PAPER, _INK, _FAINT = (252, 251, 248), (38, 40, 46), (124, 128, 138)
_MARGIN, _GAP, _CAPTION, _APART = 32, 8, 24, 20
_CELL_PX = 128
"""Small images are magnified by a whole factor to about this height."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """What stands over a column."""

    caption: str
    picture: Pixels | None = None
    """A style image (H, W, 3)."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One label map and its images, one for each column."""

    name: str
    label_map: Pixels
    """(H, W, 3) in the data set's colours."""
    images: Sequence[Pixels]


def contact_picture(title: str, columns: Sequence[Column], rows: Sequence[Row]) -> Image.Image:
    """The picture; all images are of one size. Raises ValueError where rows and columns do not agree."""
    if not rows or any(len(row.images) != len(columns) for row in rows):
        raise ValueError("a contact picture needs rows with one image for each column")
    height, width = rows[0].label_map.shape[:2]
    scale = max(1, round(_CELL_PX / height))
    cell = (width * scale, height * scale)
    styled = any(column.picture is not None for column in columns)
    top = _MARGIN + 34 + (cell[1] + _GAP if styled else 0) + _CAPTION
    first = _MARGIN + cell[0] + _APART
    title_font, font = ImageFont.load_default(20), ImageFont.load_default(13)
    across = first + len(columns) * (cell[0] + _GAP) - _GAP + _MARGIN
    sheet_width = max(across, int(title_font.getlength(title)) + 2 * _MARGIN)
    sheet = Image.new("RGB", (sheet_width, top + len(rows) * (cell[1] + _CAPTION) + _MARGIN // 2), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((_MARGIN, _MARGIN - 10), title, fill=_INK, font=title_font)
    draw.text((_MARGIN, top - _CAPTION + 4), "label map", fill=_FAINT, font=font)
    for number, column in enumerate(columns):
        left = first + number * (cell[0] + _GAP)
        if column.picture is not None:
            sheet.paste(_magnified(column.picture, cell), (left, _MARGIN + 34))
        draw.text((left, top - _CAPTION + 4), _shortened(column.caption, font, cell[0]), fill=_FAINT, font=font)
    for number, row in enumerate(rows):
        y = top + number * (cell[1] + _CAPTION)
        sheet.paste(_magnified(row.label_map, cell), (_MARGIN, y))
        for place, image in enumerate(row.images):
            sheet.paste(_magnified(image, cell), (first + place * (cell[0] + _GAP), y))
        draw.text((_MARGIN, y + cell[1] + 3), _shortened(row.name, font, across - 2 * _MARGIN), fill=_FAINT, font=font)
    return sheet


def _magnified(pixels: Pixels, cell: tuple[int, int]) -> Image.Image:
    return Image.fromarray(pixels).resize(cell, Image.Resampling.NEAREST)


def _shortened(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    while text and font.getlength(text) > width:
        text = text[:-2].rstrip("…") + "…" if len(text) > 2 else ""
    return text
