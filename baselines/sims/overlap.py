"""Mask overlap of one segment with very many, exactly, without looking at most of them in full.

Intersection over union of two masks in place: |A and B| / |A or B|. A mask is kept twice: as bits, and as the number
of its pixels in each cell of a coarse grid. The sum of the smaller of two counts is at least the intersection, so it
bounds the IoU from above; candidates are looked at in full, best bound first, until no bound can reach the tenth best.
Counts and areas are whole numbers below 2**24, so every sum in float32 is exact; equal IoUs go by number. The result
is that of comparing all pairs in full.

Letters of shapes: S masks, C cells, B words of 64 bits, H height and W width in px.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
_LOOKED_AT = 32
"""Candidates looked at in full between two looks at the bounds."""
_BLOCK = 256
"""Rows of counts compared at once: they stay in the processor's cache."""


def packed(masks: NDArray[np.bool_]) -> Words:
    """(S, H, W) masks as bits, (S, B); H * W must be a multiple of 64, as multiples of 8 px give."""
    bits = np.packbits(masks.reshape(len(masks), masks.shape[1] * masks.shape[2]), axis=1)
    return np.ascontiguousarray(bits).view(np.uint64)


def unpacked(words: Words, size: tuple[int, int]) -> NDArray[np.bool_]:
    """(S, B) bits as masks (S, H, W)."""
    bits = np.unpackbits(np.ascontiguousarray(words).view(np.uint8), axis=1)
    return bits.reshape(len(words), *size).astype(bool)


def cell_side(size: tuple[int, int]) -> int:
    """Side in px of the grid's cells: the largest power of two that divides both sides and leaves 512 cells, or 8."""
    side = 8
    while all(length % (2 * side) == 0 for length in size) and size[0] * size[1] // (2 * side) ** 2 >= 512:
        side *= 2
    return side


def cell_counts(masks: NDArray[np.bool_]) -> NDArray[np.uint16]:
    """(S, H, W) masks to the number of pixels in each cell, (S, C)."""
    count, height, width = masks.shape
    side = cell_side((height, width))
    cells = masks.reshape(count, height // side, side, width // side, side)
    found: NDArray[np.uint16] = cells.sum((2, 4), dtype=np.uint16).reshape(count, cells.shape[1] * cells.shape[3])
    return found


def intersections(query: Words, rows: Words) -> NDArray[np.int64]:
    """Pixels that the mask ``query`` (B,) shares with each of ``rows`` (S, B)."""
    found: NDArray[np.int64] = np.bitwise_count(rows & query).sum(1, dtype=np.int64)
    return found


def iou(shared: NDArray[np.number], area: int, areas: NDArray[np.number]) -> NDArray[np.float64]:
    """Intersection over union from shared pixels (S,) and the areas of the two masks; never decreasing in ``shared``.

    No area may be 0.
    """
    common = np.asarray(shared, np.float64)
    return np.asarray(common / (area + np.asarray(areas, np.float64) - common))


def bounds(counts: NDArray[np.float32], area: int, rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Upper bounds of the IoU of a mask with ``counts`` (C,) and masks with ``rows`` (S, C) of counts."""
    ones = np.ones(rows.shape[1], np.float32)
    shared = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), _BLOCK):
        shared[start : start + _BLOCK] = np.minimum(rows[start : start + _BLOCK], counts) @ ones
    return iou(shared, area, rows @ ones)


def best(
    query: Words,
    query_counts: NDArray[np.float32],
    rows_of: Callable[[NDArray[np.int64]], Words],
    counts: NDArray[np.float32],
    areas: NDArray[np.int64],
    *,
    top: int,
    excluded: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float64], int]:
    """The ``top`` masks of greatest IoU with ``query`` (B,), exactly; equal ones by number.

    ``rows_of`` gives the bits of masks by number, ``counts`` (S, C) and ``areas`` (S,) describe all of them;
    ``excluded`` (S,) marks those that may not be found. Returns (numbers, IoUs, how many were looked at in full);
    fewer than ``top`` where there are fewer.
    """
    area = int(query_counts.sum())
    upper = bounds(query_counts, area, counts)
    allowed = np.arange(len(areas)) if excluded is None else np.flatnonzero(~excluded)
    order = allowed[np.argsort(-upper[allowed], kind="stable")]
    numbers, values, looked = np.empty(0, np.int64), np.empty(0, np.float64), 0
    while looked < len(order):
        if len(numbers) == top and upper[order[looked]] < values[-1]:
            break
        chosen = order[looked : looked + _LOOKED_AT]
        looked += len(chosen)
        found = iou(intersections(query, rows_of(chosen)), area, areas[chosen])
        numbers, values = np.concatenate([numbers, chosen]), np.concatenate([values, found])
        kept = np.lexsort((numbers, -values))[:top]
        numbers, values = numbers[kept], values[kept]
    return numbers, values, looked
