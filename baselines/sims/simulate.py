"""Training data made from single pictures: canvases as the bank would give them, and segments out of place.

Letters of shapes: H height and W width in px, S segments.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from skimage.color import lab2rgb, rgb2lab

from baselines.sims.canvas import Canvas, Piece, elide, paste, source_pixels
from baselines.sims.segments import Segments

DRAWN = 100
"""Segments of the same class among which the best overlap is looked for (facts)."""
COLOUR_TRANSFER_SHARE = 0.2
"""Probability that a segment takes the colours of the one that cut it (facts)."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """A segment of another picture."""

    mask: NDArray[np.bool_]
    """(H, W)."""
    colours: NDArray[np.uint8]
    """(P, 3) RGB of its pixels."""


Finder = Callable[[NDArray[np.bool_], int, np.random.Generator], Found | None]
"""(mask, class, rng) to the best overlapping of DRAWN random segments of that class; None where there is no other."""


def transfer_colours(pixels: NDArray[np.uint8], model: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pixels (P, 3) RGB with the mean and the deviation of the ``model``'s (Q, 3), channel by channel in Lab.

    Reinhard et al. 2001 in CIE Lab; the facts say "colour transfer" and not which (reconstruction).
    """
    lab, wanted = rgb2lab(pixels[None] / 255.0)[0], rgb2lab(model[None] / 255.0)[0]
    deviation = np.maximum(lab.std(0), 1e-6)
    moved = (lab - lab.mean(0)) / deviation * wanted.std(0) + wanted.mean(0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Conversion from CIE-LAB", UserWarning)  # out of gamut: clipped, as below
        rgb = lab2rgb(moved[None], channel_axis=-1)[0]
    return np.asarray(np.rint(rgb.clip(0, 1) * 255), np.uint8)


def simulated_canvas(
    image: NDArray[np.uint8],
    classes: NDArray[np.integer],
    segments: Segments,
    find: Finder,
    rng: np.random.Generator,
    *,
    thin: Sequence[int] = (),
) -> Canvas:
    """The canvas of a picture's own segments, with the gaps and colours that retrieved ones would have.

    Each segment is cut to its overlap with the best of DRAWN random ones, may take that one's colours, and the
    borders are elided. Segments of ``thin`` classes go over the others.
    """
    shown = image.copy()
    pieces = []
    for label, mask in zip(segments.classes.tolist(), segments.masks, strict=True):
        found = find(mask, label, rng)
        recoloured = rng.random() < COLOUR_TRANSFER_SHARE
        kept = mask if found is None else mask & found.mask
        if found is not None and recoloured and kept.any():
            shown[kept] = transfer_colours(image[kept], found.colours)
        pieces.append((label, kept))
    still = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    made = [
        Piece(image=shown, classes=classes, mask=mask, label=label, theta=still, wanted=mask) for label, mask in pieces
    ]
    order = sorted(range(len(made)), key=lambda number: made[number].label in thin)
    size = (image.shape[0], image.shape[1])
    return elide(paste(made, order, size, context=False), rng)


def random_affine(rng: np.random.Generator) -> NDArray[np.float64]:
    """A (2, 3) map that scales by 0.6 to 1.65, shears a little and shifts by up to 0.15 of each side.

    The strengths are a reconstruction.
    """
    theta = np.eye(2, 3)
    theta[[0, 1], [0, 1]] *= np.exp(rng.uniform(-0.5, 0.5, 2))
    theta[[0, 1], [1, 0]] += rng.normal(0, 0.02, 2)
    theta[:, 2] += rng.uniform(-0.3, 0.3, 2)
    return theta


def out_of_place(
    image: NDArray[np.uint8], mask: NDArray[np.bool_], cut: NDArray[np.bool_] | None, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A segment moved by a random affine map, then cut by the mask ``cut`` if that leaves at least half of it.

    ``image`` (H, W, 3), ``mask`` and ``cut`` (H, W). Returns the moved picture and mask.
    """
    moved_image, moved = placed(image, mask, random_affine(rng))
    if cut is not None and (moved & cut).sum() >= moved.sum() / 2:
        moved = moved & cut
    return moved_image, moved


def placed(
    image: NDArray[np.uint8], mask: NDArray[np.bool_], theta: NDArray[np.float64]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A picture (H, W, 3) and a mask (H, W) moved by a (2, 3) map, in whole pixels; the mask is empty outside."""
    source, inside = source_pixels(theta, (mask.shape[0], mask.shape[1]))
    return image.reshape(-1, 3)[source], inside & mask.ravel()[source]
