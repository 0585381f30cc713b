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


def finder(bank: Bank, own: int) -> Finder:
    """The best that ``overlapping`` finds, as the simulation of canvases wants it."""

    def find(mask: NDArray[np.bool_], label: int, rng: np.random.Generator) -> Found | None:
        numbers = overlapping(bank, mask, label, own, rng)
        if not len(numbers):
            return None
        found = bank.mask(int(numbers[0]))
        return Found(mask=found, colours=bank.image(int(bank.image_of[numbers[0]]))[found])

    return find
