"""Direct labels that do not cover each other, the markers or the lines of a panel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.reporting.style import SOFT, readable

_RADII_PT = (8.0, 12.0, 20.0, 30.0, 42.0)
_ANGLES = tuple(math.radians(angle) for angle in (0, 180, 45, -45, 135, -135, 90, -90, 20, -20, 160, -160, 65, -65))
_LEADER_FROM_PT = 15.0
"""A label farther away than this is tied to its marker by a thin line."""
_STRIDE_PX = 8.0
"""Between the places of a line that labels keep off."""
_OUTSIDE = 10.0
"""How much worse a label outside of the panel is than one on something."""
Boxes = NDArray[np.float64]
"""(n, 4): left, bottom, right, top in pixels."""


def place_labels(
    panel: Any, points: Sequence[tuple[float, float, str, str]], avoid: Sequence[tuple[float, float]] = ()
) -> None:
    """Write the label of each point (x, y, label, colour) beside it, the most crowded point first.

    Greedy: of the places around a marker, near ones first, the one that covers least is taken; points at ``avoid``
    (x, y) have no label and are covered by none. The layout of the figure must be settled.
    """
    from matplotlib.patheffects import withStroke

    renderer = panel.figure.canvas.get_renderer()
    scale = panel.figure.dpi / 72
    centres = [tuple(panel.transData.transform((x, y))) for x, y, _, _ in points]
    others = [tuple(panel.transData.transform(place)) for place in avoid]
    markers = [(x - 5 * scale, y - 5 * scale, x + 5 * scale, y + 5 * scale) for x, y in (*centres, *others)]
    taken = np.array([*markers, *_drawn_boxes(panel, renderer, scale)]).reshape(-1, 4)
    frame = panel.get_window_extent(renderer)
    inside = np.array([[frame.x0, frame.y0, frame.x1, frame.y1]])
    for index in sorted(range(len(points)), key=lambda index: _crowding(index, centres)):
        x, y, label, colour = points[index]
        text = panel.annotate(
            label, (x, y), xytext=(0, 0), textcoords="offset points", fontsize=8, color=readable(colour)
        )
        text.set_path_effects([withStroke(linewidth=2.2, foreground="white")])
        extent = text.get_window_extent(renderer)
        offset, align, box = _best_place(centres[index], (extent.width, extent.height), taken, inside, scale)
        text.set_position(offset)
        text.set_horizontalalignment(align)
        text.set_verticalalignment("center")
        if math.hypot(*offset) > _LEADER_FROM_PT:
            panel.annotate(
                "",
                (x, y),
                xytext=offset,
                textcoords="offset points",
                arrowprops={"arrowstyle": "-", "color": SOFT, "linewidth": 0.5, "shrinkA": 1.5, "shrinkB": 4},
            )
        taken = np.concatenate([taken, box[None]])


def _drawn_boxes(panel: Any, renderer: Any, scale: float) -> list[tuple[float, float, float, float]]:
    """What labels keep off: lines, intervals, other texts; not what lies in the background."""
    found: list[tuple[float, float, float, float]] = []
    for line in panel.lines:
        path = panel.transData.transform(line.get_xydata()) if len(line.get_xdata()) > 1 else []
        if line.get_transform() != panel.transData:  # a line across the whole panel
            box = line.get_window_extent(renderer)
            found.append((box.x0, box.y0 - 1, box.x1, box.y1 + 1))
            continue
        for (x0, y0), (x1, y1) in zip(path[:-1], path[1:], strict=True):
            count = max(1, math.ceil(math.dist((x0, y0), (x1, y1)) / _STRIDE_PX))
            for part in range(count + 1):
                x, y = x0 + (x1 - x0) * part / count, y0 + (y1 - y0) * part / count
                found.append((x - 1.5 * scale, y - 1.5 * scale, x + 1.5 * scale, y + 1.5 * scale))
    for artist in (*panel.collections, *panel.texts):
        if artist.get_zorder() > 1:
            box = artist.get_window_extent(renderer)
            found.append((box.x0 - 2 * scale, box.y0 - 1, box.x1 + 2 * scale, box.y1 + 1))  # an upright bar is thin
    return found


def _crowding(index: int, centres: Sequence[tuple[float, ...]]) -> float:
    """Distance to the nearest other point, in pixels."""
    others = [math.dist(centres[index], other) for place, other in enumerate(centres) if place != index]
    return min(others, default=math.inf)


def _best_place(
    centre: tuple[float, ...], size: tuple[float, float], taken: Boxes, inside: Boxes, scale: float
) -> tuple[tuple[float, float], str, Boxes]:
    """(offset in points, alignment, box) of the best place for a label of ``size`` (width, height) in pixels."""
    places = [(radius, angle) for radius in _RADII_PT for angle in _ANGLES]
    offsets = [(radius * math.cos(angle), radius * math.sin(angle)) for radius, angle in places]
    aligns = [_align(angle) for _, angle in places]
    boxes = np.array(
        [_label_box(centre, offset, size, align, scale) for offset, align in zip(offsets, aligns, strict=True)]
    )
    area = size[0] * size[1]
    cost = _overlaps(boxes, taken).sum(axis=1) + _OUTSIDE * (area - _overlaps(boxes, inside)[:, 0])
    cost += scale * np.array([radius for radius, _ in places])
    best = int(np.argmin(cost))
    return offsets[best], aligns[best], boxes[best]


def _align(angle: float) -> str:
    if abs(math.cos(angle)) < 0.1:
        return "center"
    return "left" if math.cos(angle) > 0 else "right"


def _label_box(
    centre: tuple[float, ...], offset: tuple[float, float], size: tuple[float, float], align: str, scale: float
) -> tuple[float, float, float, float]:
    x, y = centre[0] + offset[0] * scale, centre[1] + offset[1] * scale
    left = {"left": x, "right": x - size[0], "center": x - size[0] / 2}[align]
    return left, y - size[1] / 2, left + size[0], y + size[1] / 2


def _overlaps(first: Boxes, second: Boxes) -> NDArray[np.float64]:
    """(n, m) common areas of ``first`` (n, 4) and ``second`` (m, 4)."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    sides = np.clip(high - low, 0.0, None)
    areas: NDArray[np.float64] = sides[:, :, 0] * sides[:, :, 1]
    return areas
