"""Grids of pictures with labelled lines and columns: one map with several z, styles against maps, anything else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from bench.reporting.html import Picture
from bench.reporting.sheet import (
    FOOT_PX,
    GAP,
    MARGIN,
    PLACEHOLDER,
    SMALL_PX,
    WIDE_GAP,
    Pixels,
    draw_foot,
    draw_heading,
    draw_placeholder,
    font,
    foot_height,
    heading_height,
    save_sheet,
    tile_size,
    wrapped,
)
from bench.reporting.style import INK

Source = Path | Pixels | None
"""A picture: a file, an array (H, W, 3) uint8 RGB, or None where there is none (it is left grey and says so)."""
_MOST_LABEL_PX = 220


def draw_grid(
    lines: Sequence[Sequence[Source]],
    out: Path,
    *,
    column_labels: Sequence[str] = (),
    line_labels: Sequence[str] = (),
    caption: str = "",
    set_apart: int = 0,
    gaps_above: bool = False,
    about: Mapping[str, str] | None = None,
) -> Picture:
    """Write a PNG file ``out`` of ``lines`` (as many pictures in each) and return it with its caption.

    Labels stand above the columns and left of the lines; ``caption`` is printed below and kept in the file, with the
    further text of ``about``. The first ``set_apart`` columns (label maps, say) have a gap behind them. With
    ``gaps_above`` pictures that are missing in the first line are left out without a word. Every picture is fitted into
    a tile as large as the first of the last line; small ones are enlarged, those of another shape have a margin.

    Raises ValueError for lines of different length, labels of another number, or something that is no picture, with its
    place.
    """
    columns = _checked(lines, column_labels, line_labels)
    pictures = [[_picture(source, line, column) for column, source in enumerate(row)] for line, row in enumerate(lines)]
    known = [picture for row in reversed(pictures) for picture in row if picture is not None]
    if not known:
        raise ValueError(f"a grid of {len(lines)} x {columns} pictures has none that is there")
    tile = tile_size(*known[0].size)
    side = _label_width(line_labels)
    lefts = [MARGIN + side + (tile[0] + GAP) * at + (WIDE_GAP - GAP) * (at >= set_apart > 0) for at in range(columns)]
    width = lefts[-1] + tile[0] + MARGIN
    head = heading_height([(label, "") for label in column_labels], tile[0]) if column_labels else 0
    foot = wrapped(caption, width - 2 * MARGIN, font(FOOT_PX)) if caption else []
    foot_top = MARGIN + head + len(lines) * (tile[1] + GAP) + 10
    sheet = Image.new("RGB", (width, foot_top + foot_height(foot) + MARGIN // 2), "white")
    draw = ImageDraw.Draw(sheet)
    for left, label in zip(lefts, column_labels, strict=False):
        draw_heading(draw, left, MARGIN + head, tile[0], label, "")
    for line, row in enumerate(pictures):
        top = MARGIN + head + line * (tile[1] + GAP)
        if line_labels:
            _draw_side(draw, top + tile[1] / 2, line_labels[line], side)
        for column, picture in enumerate(row):
            if picture is not None:
                _paste_fitted(sheet, picture, (lefts[column], top), tile)
            elif not (gaps_above and line == 0):
                draw_placeholder(sheet, (lefts[column], top), tile)
    draw_foot(draw, foot_top, foot)
    save_sheet(sheet, out, {**({"Description": caption} if caption else {}), **(about or {})})
    return Picture(file=out, caption=caption)


def draw_multimodal_grid(
    maps: Sequence[Source],
    samples: Sequence[Sequence[Source]],
    out: Path,
    *,
    reals: Sequence[Source] = (),
    z_labels: Sequence[str] = (),
    map_labels: Sequence[str] = (),
    caption: str = "",
    about: Mapping[str, str] | None = None,
) -> Picture:
    """One line a label map: the map in colours, the images that several z make of it, and (``reals``) the real image.

    ``samples[map][z]``; ``z_labels`` name the z, by default ``z 1``, ``z 2`` and so on. Raises as :func:`draw_grid`
    does, and ValueError where the numbers of maps, samples and real images differ.
    """
    if len(samples) != len(maps) or (reals and len(reals) != len(maps)):
        raise ValueError(
            f"{len(maps)} label maps need as many lines of samples and of real images (or no real ones); given: "
            f"{len(samples)} and {len(reals)}"
        )
    count = max((len(line) for line in samples), default=0)
    names = list(z_labels) or [f"z {number}" for number in range(1, count + 1)]
    lines = [[labels, *made] for labels, made in zip(maps, samples, strict=True)]
    if reals:
        lines = [[*line, real] for line, real in zip(lines, reals, strict=True)]
    labels = ["label map", *names, *(["real image"] if reals else [])]
    return draw_grid(
        lines, out, column_labels=labels, line_labels=map_labels, caption=caption, set_apart=1, about=about
    )


def draw_style_grid(
    styles: Sequence[Source],
    maps: Sequence[Source],
    samples: Sequence[Sequence[Source]],
    out: Path,
    *,
    style_labels: Sequence[str] = (),
    map_labels: Sequence[str] = (),
    caption: str = "",
    about: Mapping[str, str] | None = None,
) -> Picture:
    """Style images along the top, label maps down the side, and at each crossing what the two make together.

    ``samples[map][style]``; a style that is None (between two others, say) has nothing above its column. Raises as
    :func:`draw_grid` does, and ValueError where the numbers do not fit.
    """
    if len(samples) != len(maps) or any(len(line) != len(styles) for line in samples):
        given = ", ".join(str(len(line)) for line in samples)
        raise ValueError(
            f"{len(maps)} label maps and {len(styles)} styles need {len(maps)} lines of {len(styles)} samples; given: "
            f"{len(samples)} lines of {given or 'none'}"
        )
    names = list(style_labels) or [f"style {number}" for number in range(1, len(styles) + 1)]
    top: list[Source] = [None, *styles]
    lines = [top, *([labels, *made] for labels, made in zip(maps, samples, strict=True))]
    return draw_grid(
        lines,
        out,
        column_labels=["label map", *names],
        line_labels=["", *map_labels] if map_labels else (),
        caption=caption,
        set_apart=1,
        gaps_above=True,
        about=about,
    )


def _checked(lines: Sequence[Sequence[Source]], column_labels: Sequence[str], line_labels: Sequence[str]) -> int:
    """The number of columns. Raises ValueError where lines or labels do not fit."""
    counts = [len(line) for line in lines]
    if not counts or min(counts) != max(counts) or not counts[0]:
        raise ValueError(f"a grid needs lines of equally many pictures, at least one; given: lines of {counts}")
    if column_labels and len(column_labels) != counts[0]:
        raise ValueError(f"{len(column_labels)} column labels for {counts[0]} columns; give one for each, or none")
    if line_labels and len(line_labels) != len(lines):
        raise ValueError(f"{len(line_labels)} line labels for {len(lines)} lines; give one for each, or none")
    return counts[0]


def _picture(source: Source, line: int, column: int) -> Image.Image | None:
    where = f"picture {column + 1} of line {line + 1}"
    if source is None:
        return None
    if isinstance(source, Path):
        if not source.is_file():
            raise ValueError(f"{where}: there is no file {source}; give None where a picture is missing")
        with Image.open(source) as stored:
            return stored.convert("RGB")
    array: Any = np.asarray(source)
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8:
        raise ValueError(f"{where} is {array.dtype} {array.shape}; it must be uint8 of shape (H, W, 3)")
    return Image.fromarray(array)


def _paste_fitted(sheet: Image.Image, picture: Image.Image, corner: tuple[int, int], tile: tuple[int, int]) -> None:
    factor = min(tile[0] / picture.width, tile[1] / picture.height)
    size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
    left, top = corner
    if size != tile:
        ImageDraw.Draw(sheet).rectangle((left, top, left + tile[0] - 1, top + tile[1] - 1), fill=PLACEHOLDER)
    few = len(picture.getcolors(256) or ()) > 0  # a label map in colours: its edges stay sharp
    resampling = Image.Resampling.NEAREST if few and factor >= 1 else Image.Resampling.LANCZOS
    place = (left + (tile[0] - size[0]) // 2, top + (tile[1] - size[1]) // 2)
    sheet.paste(picture.resize(size, resampling), place)


def _label_width(line_labels: Sequence[str]) -> int:
    if not any(line_labels):
        return 0
    longest = max(font(SMALL_PX).getlength(label) for label in line_labels)
    return min(_MOST_LABEL_PX, round(longest)) + 12


def _draw_side(draw: ImageDraw.ImageDraw, middle: float, label: str, side: int) -> None:
    lines = wrapped(label, side - 12, font(SMALL_PX))
    top = middle - (len(lines) - 1) * (SMALL_PX + 5) / 2
    for line in lines:
        draw.text((MARGIN + side - 12, top), line, fill=INK, font=font(SMALL_PX), anchor="rm")
        top += SMALL_PX + 5
