"""The picture under construction: colour, label and instance of every pixel, painted from back to front.

Coordinates are scene units: y runs down from 0 to 1, x from 0 to ``aspect``; so a scene is the same at every size.
Colours are planar, (3, H, W) float32 in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Window:
    """A rectangle of pixels with the scene coordinates of its columns (1, w) and rows (h, 1)."""

    rows: slice
    columns: slice
    x: Array
    y: Array


class Canvas:
    """Image (3, H, W), labels (H, W) uint8 and instances (H, W) int32, initially zero."""

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height, width
        self.pixel = 1.0 / height
        self.aspect = width / height
        self.image = np.zeros((3, height, width), np.float32)
        self.labels = np.zeros((height, width), np.uint8)
        self.instances = np.zeros((height, width), np.int32)
        self._x: Array = ((np.arange(width) + 0.5) / height).astype(np.float32)[None]
        self._y: Array = ((np.arange(height) + 0.5) / height).astype(np.float32)[:, None]
        self._things = 0

    def window(self, x0: float, x1: float, y0: float, y1: float) -> Window | None:
        """The pixels that the rectangle touches, or None if it lies outside."""
        left, right = max(int(x0 * self.height), 0), min(int(x1 * self.height) + 1, self.width)
        top, bottom = max(int(y0 * self.height), 0), min(int(y1 * self.height) + 1, self.height)
        if left >= right or top >= bottom:
            return None
        rows, columns = slice(top, bottom), slice(left, right)
        return Window(rows=rows, columns=columns, x=self._x[:, columns], y=self._y[rows])

    def below(self, y0: float) -> Window | None:
        """All columns, from the row at y0 down."""
        return self.window(0.0, self.aspect, y0, 1.0)

    def coverage(self, distance: Array) -> Array:
        """How much of each pixel lies inside, from a signed distance in scene units (positive inside)."""
        cover: Array = np.clip(distance * np.float32(self.height) + np.float32(0.5), 0.0, 1.0)
        return cover

    def new_instance(self, label: int) -> int:
        """An id for one more countable thing: 1000 * label + number; regions that nobody counts have id ``label``."""
        self._things += 1
        return 1000 * label + self._things

    def paint(self, window: Window, cover: Array, colour: Array, label: int, instance: int | None = None) -> None:
        """Blend a colour (3, h, w) or (3, 1, 1) over the window; label pixels of which at least half is covered."""
        self.tint(window, cover, colour)
        inside = cover >= 0.5
        self.labels[window.rows, window.columns][inside] = label
        self.instances[window.rows, window.columns][inside] = label if instance is None else instance

    def tint(self, window: Window, cover: Array, colour: Array) -> None:
        """Blend a colour over the window and leave labels and instances as they are (shadows, glow)."""
        area = self.image[:, window.rows, window.columns]
        area += cover * (colour - area)
