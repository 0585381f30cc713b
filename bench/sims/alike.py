"""Segments of the memory bank that are like a given one: of random ones of its class, those that overlap it best."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from baselines.sims.overlap import intersections, iou
from baselines.sims.simulate import DRAWN, Finder, Found
from bench.sims.bank import Bank


def overlapping(
    bank: Bank,
    mask: NDArray[np.bool_],
    label: int,
    own: int,
    rng: np.random.Generator,
    left_out: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """DRAWN random segments of a class (all, where there are fewer): their numbers, by IoU with ``mask`` (H, W).

    None of them is of the picture ``own`` or of the pictures ``left_out``.
    """
    numbers = bank.of_class(label)
    numbers = numbers[bank.image_of[numbers] != own]
    if left_out is not None:
        numbers = numbers[~np.isin(bank.image_of[numbers], left_out)]
    chosen = np.sort(rng.choice(numbers, min(DRAWN, len(numbers)), replace=False)) if len(numbers) else numbers
    query = np.packbits(mask.reshape(-1)).view(np.uint64)
    found = iou(intersections(query, bank.bits(chosen)), int(mask.sum()), bank.areas[chosen])
    return np.asarray(chosen[np.argsort(-found, kind="stable")])


def find_overlapping(
    bank: Bank,
    mask: NDArray[np.bool_],
    label: int,
    own: int,
    rng: np.random.Generator,
    left_out: NDArray[np.int64] | None = None,
) -> int | None:
    """The number of the first that ``overlapping`` finds; None where there is none."""
    numbers = overlapping(bank, mask, label, own, rng, left_out)
    return int(numbers[0]) if len(numbers) else None


def finder(bank: Bank, own: int) -> Finder:
    """``find_overlapping`` as the simulation of canvases wants it."""

    def find(mask: NDArray[np.bool_], label: int, rng: np.random.Generator) -> Found | None:
        number = find_overlapping(bank, mask, label, own, rng)
        if number is None:
            return None
        found = bank.mask(number)
        return Found(mask=found, colours=bank.image(int(bank.image_of[number]))[found])

    return find
