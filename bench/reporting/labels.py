"""Direct labels that do not cover each other, the markers or the lines of a panel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from bench.reporting.style import SOFT, darker

_RADII_PT = (8.0, 12.0, 20.0, 30.0, 42.0)
_ANGLES = tuple(math.radians(angle) for angle in (0, 180, 45, -45, 135, -135, 90, -90, 20, -20, 160, -160, 65, -65))
_LEADER_FROM_PT = 15.0
"""A label farther away than this is tied to its marker by a thin line."""
Box = tuple[float, float, float, float]


def place_labels(panel: Any, points: Sequence[tuple[float, float, str, str]]) -> None:
    """Write the label of each point (x, y, label, colour) beside it, the most crowded point first.

    Greedy: of the places around a marker, near ones first, the one that covers least is taken. The layout of the
    figure must be settled.
    """
    from matplotlib.patheffects import withStroke

    renderer = panel.figure.canvas.get_renderer()
    scale = panel.figure.dpi / 72
    centres = [tuple(panel.transData.transform((x, y))) for x, y, _, _ in points]
    taken: list[Box] = [(x - 5 * scale, y - 5 * scale, x + 5 * scale, y + 5 * scale) for x, y in centres]
    straight = [line for line in panel.lines if len(line.get_xdata()) <= 2]  # the box of a longer one says nothing
    for artist in (*straight, *panel.collections, *panel.texts):
        box = artist.get_window_extent(renderer)
        taken.append((box.x0, box.y0 - 1, box.x1, box.y1 + 1))
    frame = panel.get_window_extent(renderer)
    inside = (frame.x0, frame.y0, frame.x1, frame.y1)
    order = sorted(range(len(points)), key=lambda index: _crowding(index, centres))
    for index in order:
        x, y, label, colour = points[index]
        text = panel.annotate(
            label, (x, y), xytext=(0, 0), textcoords="offset points", fontsize=8, color=darker(colour)
        )
        text.set_path_effects([withStroke(linewidth=2.2, foreground="white")])
        extent = text.get_window_extent(renderer)
        size = (extent.width, extent.height)
        offset, align, box = _best_place(centres[index], size, taken, inside, scale)
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
        taken.append(box)


def _crowding(index: int, centres: Sequence[tuple[float, ...]]) -> float:
    """Distance to the nearest other point, in pixels."""
    others = [math.dist(centres[index], other) for place, other in enumerate(centres) if place != index]
    return min(others, default=math.inf)


def _best_place(
    centre: tuple[float, ...], size: tuple[float, float], taken: Sequence[Box], inside: Box, scale: float
) -> tuple[tuple[float, float], str, Box]:
    best: tuple[float, tuple[float, float], str, Box] | None = None
    for radius in _RADII_PT:
        for angle in _ANGLES:
            offset = (radius * math.cos(angle), radius * math.sin(angle))
            align = "left" if offset[0] > 1e-6 else "right"
            if abs(math.cos(angle)) < 0.1:
                align = "center"
            box = _label_box(centre, offset, size, align, scale)
            cost = sum(_overlap(box, other) for other in taken) + 10 * _outside(box, inside) + radius * scale
            if best is None or cost < best[0]:
                best = (cost, offset, align, box)
    assert best is not None
    return best[1:]


def _label_box(
    centre: tuple[float, ...], offset: tuple[float, float], size: tuple[float, float], align: str, scale: float
) -> Box:
    x, y = centre[0] + offset[0] * scale, centre[1] + offset[1] * scale
    left = {"left": x, "right": x - size[0], "center": x - size[0] / 2}[align]
    return left, y - size[1] / 2, left + size[0], y + size[1] / 2


def _overlap(first: Box, second: Box) -> float:
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    return width * height if width > 0 and height > 0 else 0.0


def _outside(box: Box, frame: Box) -> float:
    area = (box[2] - box[0]) * (box[3] - box[1])
    return area - _overlap(box, frame)
