"""The figure of what generators make of maps of a single label (the argument of the paper's figure 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.reporting.style import COLOURS, INK, SOFT, Drawn, Kind, save, styled

_INCH = 0.82
"""Side of a picture."""
_FLAT = 1e-9
"""A row that varies by a smaller share of its values is shown as the grey that it is."""
_LEAST = 1e-17
"""Where the axis of differences begins; differences of exactly zero stand there."""


@dataclass(frozen=True, kw_only=True)
class UniformRow:
    """One generator's images for one map of each label."""

    name: str
    detail: str
    """Second line of the row's name: trained or not, and whose statistics its batch norms take."""
    share: float
    """Mean difference between the images of two labels, as a share of their mean absolute value."""
    images: NDArray[np.float64]
    """(L, H, W, 3) in [-1, 1]."""
    stretched: bool
    """Whether the row is shown in its own range: an untrained network draws hardly anything but grey."""


def draw_uniform_maps(
    rows: Sequence[UniformRow],
    names: Sequence[str],
    colours: NDArray[np.uint8],
    first: Mapping[str, float],
    out: Path,
    kinds: Sequence[Kind] = ("svg", "png"),
) -> Drawn:
    """Write ``figure3`` under ``out``: a column for each label, a row for each generator, and below, by kind of layer,
    how far apart labels are behind the first normalization (``first``: kind -> largest difference).

    ``names`` and ``colours`` (L, 3) are those of the labels. Raises ValueError where numbers of labels differ.
    """
    if any(len(row.images) != len(names) for row in rows) or len(colours) != len(names):
        raise ValueError(f"{len(names)} labels have names, but not every row has as many images, or colours")
    from matplotlib.figure import Figure

    with styled():
        height = _INCH * (len(rows) + 1) + 0.24 * len(first) + 0.9
        figure = Figure(figsize=(2.1 + _INCH * len(names) + 0.9, height), layout="constrained")
        parts: Any = figure.subfigures(2, 1, height_ratios=[_INCH * (len(rows) + 1), 0.24 * len(first) + 0.9])
        pictures, panel = parts
        _draw_pictures(pictures, rows, names, colours)
        _draw_first(panel, first)
        caption = (
            "One map of a single label in each column, and what each generator makes of it. Right: the mean difference "
            "between the images of two labels, as a share of their mean absolute value. Rows of untrained networks are "
            "stretched to their own range. Below: the largest difference between two labels behind the first "
            "normalization, in float64."
        )
        title = "Figure 3: which generators wash a uniform map away"
        return save(figure, out, "figure3", title=title, caption=caption, kinds=kinds)


def _draw_pictures(figure: Any, rows: Sequence[UniformRow], names: Sequence[str], colours: NDArray[np.uint8]) -> None:
    panels = figure.subplots(len(rows) + 1, len(names), squeeze=False)
    for column, (name, colour) in enumerate(zip(names, colours, strict=True)):
        panels[0, column].imshow(np.broadcast_to(colour, (8, 8, 3)))
        panels[0, column].set_title(name, fontweight="normal", loc="center")
    _name(panels[0, 0], "label map", "")
    corner = panels[0, -1]
    corner.text(1.12, 0.5, "labels\napart", transform=corner.transAxes, va="center", color=SOFT, fontsize=7)
    for line, row in zip(panels[1:], rows, strict=True):
        for panel, image in zip(line, shown(row), strict=True):
            panel.imshow(image)
        _name(line[0], row.name, row.detail)
        told = f"{row.share:.2f}" if row.share >= 0.005 else "0" if row.share == 0 else f"{row.share:.0e}"
        line[-1].text(1.12, 0.5, told, transform=line[-1].transAxes, va="center", color=INK)
    for panel in panels.ravel():
        panel.grid(False)
        panel.set_xticks([])
        panel.set_yticks([])
        for spine in panel.spines.values():
            spine.set_visible(False)


def _name(panel: Any, name: str, detail: str) -> None:
    placed = {"transform": panel.transAxes, "ha": "right"}
    panel.text(-0.1, 0.52 if detail else 0.5, name, va="bottom" if detail else "center", **placed)
    if detail:
        panel.text(-0.1, 0.46, detail, va="top", color=SOFT, fontsize=7, **placed)


def shown(row: UniformRow) -> NDArray[np.uint8]:
    """The row's images (L, H, W, 3) as they are drawn; a row without variation is one grey."""
    images = row.images
    if row.stretched:
        mean = images.mean()
        spread = np.abs(images - mean).max()
        flat = spread <= _FLAT * max(np.abs(images).max(), np.finfo(np.float64).tiny)
        images = np.zeros_like(images) if flat else (images - mean) / spread
    return np.clip((images + 1.0) * 127.5, 0, 255).astype(np.uint8)


def _draw_first(figure: Any, first: Mapping[str, float]) -> None:
    panel = figure.subplots()
    places = np.arange(len(first))[::-1]
    values = [max(value, _LEAST) for value in first.values()]
    colours = [COLOURS[1] if value < _FLAT else COLOURS[0] for value in values]
    panel.hlines(places, _LEAST, values, color=colours, linewidth=1.5)
    panel.scatter(values, places, color=colours, s=22, zorder=3)
    panel.set_xscale("log")
    panel.set_xlim(_LEAST, 10 * max(values))
    panel.set_ylim(-0.6, len(first) - 0.4)
    panel.set_yticks(places, list(first))
    panel.tick_params(axis="y", length=0)
    panel.grid(False, axis="y")
    panel.set_xlabel("largest difference between two labels behind the first normalization")
