"""What sheets of pictures are made of: text, headings, a legend, tiles. Drawn with PIL, as sharp as the pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from bench.atomic import written_beside
from bench.reporting.style import INK, SOFT

Pixels = NDArray[np.uint8]
Legend = Sequence[tuple[str, tuple[int, int, int]]]
"""(name, colour) of classes."""
TILE_PX = 192
"""Least height of a shown picture; smaller ones are enlarged by a whole factor."""
GAP, WIDE_GAP, MARGIN = 6, 20, 28
TITLE_PX, SMALL_PX, FOOT_PX = 20, 17, 15
PLACEHOLDER = "#f0f0f0"
_LINE_GAP = 5


@cache
def font(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """The sans-serif font of the figures at ``size`` px."""
    import matplotlib  # for the font files that come with it

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size)


def wrapped(text: str, width: int, face: ImageFont.FreeTypeFont) -> list[str]:
    """Lines of at most ``width`` px, broken at spaces."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and face.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def tile_size(width: int, height: int) -> tuple[int, int]:
    """(width, height) at which a picture of that size is shown: enlarged by a whole factor."""
    factor = max(1, -(-TILE_PX // height))
    return width * factor, height * factor


def heading_height(headings: Sequence[tuple[str, str]], width: int) -> int:
    """Pixels above columns of ``width`` for their (title, subtitle)."""
    lines = max(len(wrapped(title, width, font(TITLE_PX, bold=True))) for title, _ in headings)
    subtitle = SMALL_PX + 6 if any(subtitle for _, subtitle in headings) else 0
    return lines * (TITLE_PX + _LINE_GAP) + subtitle + 8


def draw_heading(draw: ImageDraw.ImageDraw, left: int, bottom: int, width: int, title: str, subtitle: str) -> None:
    """Centred over the column, the last line at ``bottom``."""
    face, small = font(TITLE_PX, bold=True), font(SMALL_PX)
    centre, y = left + width / 2, float(bottom - 8)
    for text, used in [(subtitle, small), *((line, face) for line in reversed(wrapped(title, width, face)))]:
        if text:
            draw.text((centre, y), text, fill=INK if used is face else SOFT, font=used, anchor="md")
            y -= used.size + _LINE_GAP


def draw_placeholder(sheet: Image.Image, corner: tuple[int, int], tile: tuple[int, int]) -> None:
    """A grey tile where a picture is missing."""
    draw = ImageDraw.Draw(sheet)
    left, top = corner
    draw.rectangle((left, top, left + tile[0] - 1, top + tile[1] - 1), fill=PLACEHOLDER)
    centre = (left + tile[0] / 2, top + tile[1] / 2)
    draw.text(centre, "not generated", fill=SOFT, font=font(SMALL_PX), anchor="mm")


def legend_lines(legend: Legend, width: int) -> list[list[tuple[int, str, tuple[int, int, int]]]]:
    """Entries (left, name, colour) in as many lines as they need."""
    face = font(SMALL_PX)
    lines: list[list[tuple[int, str, tuple[int, int, int]]]] = [[]]
    left = 0
    for name, colour in legend:
        needed = 24 + round(face.getlength(name)) + 22
        if lines[-1] and left + needed > width:
            lines.append([])
            left = 0
        lines[-1].append((left, name, colour))
        left += needed
    return lines


def legend_height(lines: Sequence[object]) -> int:
    """Pixels that :func:`draw_legend` takes."""
    return len(lines) * (SMALL_PX + 12)


def draw_legend(
    draw: ImageDraw.ImageDraw, top: int, lines: Sequence[Sequence[tuple[int, str, tuple[int, int, int]]]]
) -> None:
    """The classes as squares with their names."""
    for line in lines:
        for left, name, colour in line:
            x, middle = MARGIN + left, top + SMALL_PX / 2 + 4
            draw.rectangle((x, middle - 8, x + 16, middle + 8), fill=colour, outline="#b0b0b0")
            draw.text((x + 24, middle), name, fill=INK, font=font(SMALL_PX), anchor="lm")
        top += SMALL_PX + 12


def foot_height(lines: Sequence[str]) -> int:
    """Pixels that :func:`draw_foot` takes."""
    return len(lines) * (FOOT_PX + _LINE_GAP)


def draw_foot(draw: ImageDraw.ImageDraw, top: int, lines: Sequence[str]) -> None:
    """Small grey lines under the pictures."""
    for line in lines:
        draw.text((MARGIN, top), line, fill=SOFT, font=font(FOOT_PX))
        top += FOOT_PX + _LINE_GAP


def save_sheet(sheet: Image.Image, path: Path, about: Mapping[str, str]) -> Path:
    """Write a PNG file that carries ``about`` as text; equal sheets give equal files."""
    info = PngImagePlugin.PngInfo()
    for key, text in about.items():
        info.add_itxt(key, text)
    with written_beside(path) as temporary:
        # A fifth larger than at the default level, several times faster.
        sheet.save(temporary, format="PNG", compress_level=1, pnginfo=info)
    return path
