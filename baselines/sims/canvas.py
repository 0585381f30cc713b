"""The canvas: transformed segments pasted back to front, borders elided, empty pixels filled from their surroundings.

Letters of shapes: H height and W width in px, S segments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

EMPTY = -1
IDENTITY = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
_ELIDED_SHARE = 0.5


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A retrieved segment on its way into the canvas, with the picture it comes from."""

    image: NDArray[np.uint8]
    """(H, W, 3) the whole picture."""
    classes: NDArray[np.integer]
    """(H, W) its class map."""
    mask: NDArray[np.bool_]
    """(H, W) the segment."""
    label: int
    """Its class."""
    theta: NDArray[np.float64]
    """(2, 3) affine map, normalized coordinates of the canvas to those of the picture (see ``F.affine_grid``)."""
    wanted: NDArray[np.bool_]
    """(H, W) the region of the label map that it stands for."""


@dataclass(frozen=True, kw_only=True)
class Canvas:
    """What the synthesis network starts from."""

    image: NDArray[np.uint8]
    """(H, W, 3), 0 where nothing is."""
    owner: NDArray[np.int32]
    """(H, W) number of the piece that each pixel comes from, -1 (EMPTY) where nothing is."""
    classes: NDArray[np.int32]
    """(H, W) class of that piece, -1 (EMPTY) where nothing is."""

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(H, W) where something is."""
        return np.asarray(self.owner != EMPTY)


def source_pixels(theta: NDArray[np.float64], size: tuple[int, int]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Where each pixel of the result comes from: flat indices (H, W), and whether that is inside the picture.

    Coordinates are rounded to whole pixels, so masks stay masks and colours unmixed.
    """
    height, width = size
    x = (2 * np.arange(width) + 1) / width - 1
    y = (2 * np.arange(height) + 1) / height - 1
    # Without shear a column decides the columns and a row the rows, for all pixels at once.
    columns = theta[0, 0] * x[None] + (theta[0, 1] * y[:, None] if theta[0, 1] else 0.0) + theta[0, 2]
    rows = (theta[1, 0] * x[None] if theta[1, 0] else 0.0) + theta[1, 1] * y[:, None] + theta[1, 2]
    column = np.rint(((columns + 1) * width - 1) / 2).astype(np.int64)
    row = np.rint(((rows + 1) * height - 1) / 2).astype(np.int64)
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    return np.where(inside, row * width + column, 0), inside


def paste(pieces: Sequence[Piece], order: Sequence[int], size: tuple[int, int], *, context: bool = True) -> Canvas:
    """Paste the pieces in ``order``, the hindmost first; nothing of them is cut off.

    With ``context`` the empty pixels of each wanted region then take what surrounds its piece in its picture, under
    the same transformation, where that has the same class (reconstruction of the facts' "context fill").
    """
    image = np.zeros((*size, 3), np.uint8)
    owner = np.full(size, EMPTY, np.int32)
    classes = np.full(size, EMPTY, np.int32)
    moved = {number: source_pixels(pieces[number].theta, size) for number in order}

    def put(number: int, where: NDArray[np.bool_], source: NDArray[np.int64]) -> None:
        image[where] = pieces[number].image.reshape(-1, 3)[source[where]]
        owner[where] = number
        classes[where] = pieces[number].label

    for number in order:
        source, inside = moved[number]
        put(number, inside & pieces[number].mask.ravel()[source], source)
    if context:
        for number in reversed(list(order)):
            source, inside = moved[number]
            same = inside & (pieces[number].classes.ravel()[source] == pieces[number].label)
            put(number, same & pieces[number].wanted & (owner == EMPTY), source)
    return Canvas(image=image, owner=owner, classes=classes)


def elision_px(height: int) -> int:
    """How far the borders between pieces are dilated: 3 px at a height of 256 (reconstruction), at least 1."""
    return max(1, round(3 * height / 256))


def elide(canvas: Canvas, rng: np.random.Generator, *, share: float = _ELIDED_SHARE) -> Canvas:
    """Blank ``share`` of the pixels at the borders between pieces, so that the network learns to join them.

    Borders are where neighbours come from different pieces or one is empty, dilated by ``elision_px``.
    """
    edge = np.zeros(canvas.owner.shape, bool)
    down, across = canvas.owner[1:] != canvas.owner[:-1], canvas.owner[:, 1:] != canvas.owner[:, :-1]
    edge[1:] |= down
    edge[:-1] |= down
    edge[:, 1:] |= across
    edge[:, :-1] |= across
    zone = ndimage.binary_dilation(edge, iterations=elision_px(len(edge)))
    blank = zone & (rng.random(edge.shape) < share)
    return Canvas(
        image=np.where(blank[..., None], np.uint8(0), canvas.image),
        owner=np.where(blank, np.int32(EMPTY), canvas.owner),
        classes=np.where(blank, np.int32(EMPTY), canvas.classes),
    )


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How well a canvas fits the label map and the photograph; sums over pixels, so that they add up over maps."""

    asked: int
    """Pixels whose class makes segments."""
    covered: int
    """Of these, pixels where the canvas has something."""
    agreeing: int
    """Of these, pixels whose piece has the class that the label map asks for."""
    colour_error: float
    """Sum over the asked pixels of the mean absolute difference to the photograph, 0 to 255; an empty one counts as
    the photograph's mean colour."""

    def __add__(self, other: Agreement) -> Agreement:
        return Agreement(
            asked=self.asked + other.asked,
            covered=self.covered + other.covered,
            agreeing=self.agreeing + other.agreeing,
            colour_error=self.colour_error + other.colour_error,
        )


def class_counts(
    canvas: Canvas, classes: NDArray[np.integer], asked: NDArray[np.bool_], count: int
) -> NDArray[np.int64]:
    """(K, 3): for each of ``count`` classes the pixels of ``asked`` (H, W) where canvas and class map (H, W) have it,
    where the canvas has it, and where the class map has it."""
    there = asked & canvas.mask
    agreeing = there & (canvas.classes == classes)
    parts = (classes[agreeing], canvas.classes[there], classes[asked])
    return np.stack([np.bincount(part, minlength=count)[:count] for part in parts], axis=1)


NOTHING = Agreement(asked=0, covered=0, agreeing=0, colour_error=0.0)


def agreement(
    canvas: Canvas, classes: NDArray[np.integer], asked: NDArray[np.bool_], image: NDArray[np.uint8]
) -> Agreement:
    """Compare a canvas with the class map (H, W) and the photograph (H, W, 3) at the pixels ``asked`` (H, W)."""
    real = image.astype(np.float64)
    shown = np.where(canvas.mask[..., None], canvas.image, real.mean((0, 1)))
    return Agreement(
        asked=int(asked.sum()),
        covered=int((asked & canvas.mask).sum()),
        agreeing=int((asked & canvas.mask & (canvas.classes == classes)).sum()),
        colour_error=float(np.abs(shown - real).mean(2)[asked].sum()),
    )
