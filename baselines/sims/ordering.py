"""Which segment lies in front of which: what the ordering network sees, learns from, and how its answers make an order.

Letters of shapes: H height and W width in px, S segments, K classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtrc

MIN_BOUNDARY_PX = 4
"""Shorter shared boundaries are touching corners, not neighbours (reconstruction)."""


@dataclass(frozen=True, kw_only=True)
class Boundary:
    """The shared boundary of two neighbouring segments."""

    first: int
    """The lower number of the two segments."""
    second: int
    first_at: NDArray[np.int64]
    """(P,) flat indices of the boundary pixels on the first's side, one for each pair of neighbouring pixels."""
    second_at: NDArray[np.int64]
    """(P,) flat indices of their neighbours on the second's side."""


def boundaries(components: NDArray[np.int32]) -> list[Boundary]:
    """Neighbouring segments of a component map (H, W; -1: no segment), each pair once, by their numbers."""
    flat = np.arange(components.size).reshape(components.shape)
    one = np.concatenate([flat[:, :-1].ravel(), flat[:-1].ravel()])
    other = np.concatenate([flat[:, 1:].ravel(), flat[1:].ravel()])
    of = components.ravel()
    across = (of[one] != of[other]) & (of[one] >= 0) & (of[other] >= 0)
    one, other = one[across], other[across]
    swapped = of[one] > of[other]
    one, other = np.where(swapped, other, one), np.where(swapped, one, other)
    total = int(components.max(initial=0)) + 1
    keys = of[one].astype(np.int64) * total + of[other]
    order = np.argsort(keys, kind="stable")
    found = []
    for part in np.split(order, np.flatnonzero(np.diff(keys[order])) + 1):
        if len(part) >= MIN_BOUNDARY_PX:
            first, second = divmod(int(keys[part[0]]), total)
            found.append(Boundary(first=first, second=second, first_at=one[part], second_at=other[part]))
    return found


def in_front(
    boundary: Boundary, nearness: NDArray[np.float64], classes: NDArray[np.int64], planar: Sequence[int] = ()
) -> int | None:
    """The segment of the two that is in front; None where that cannot be told.

    An object is in front of a planar class, whose surface goes on behind it; otherwise the side with the greater
    median of ``nearness`` (H, W; greater is nearer, NaN unknown) along the boundary. Source: facts, section 5.
    """
    flat_one, flat_other = (int(classes[number]) in planar for number in (boundary.first, boundary.second))
    if flat_one != flat_other:
        return boundary.second if flat_one else boundary.first
    values = nearness.ravel()
    sides = [values[at][np.isfinite(values[at])] for at in (boundary.first_at, boundary.second_at)]
    if not all(len(side) for side in sides):
        return None
    one, other = (float(np.median(side)) for side in sides)
    if one == other:
        return None
    return boundary.first if one > other else boundary.second


def gain_in_front(
    first: NDArray[np.floating], second: NDArray[np.floating], classes: NDArray[np.integer], pair: Sequence[int]
) -> float:
    """How many more pixels of a canvas agree with the label map if the first of two segments is in front of the second.

    ``first`` and ``second`` (H, W) are the probabilities that a segment in their place covers a pixel, ``classes``
    (H, W) is the class map, ``pair`` the classes of the two. Where both lie, the one in front is seen: it agrees where
    the map has its class. Below 0 the second belongs in front. It is the expectation over independent segments for the
    two, without what other segments cover and without context fill. A reconstruction, for want of disparity.
    """
    both = np.asarray(first, np.float64) * second
    return float(both[classes == pair[0]].sum() - both[classes == pair[1]].sum())


def draw_pair(
    classes: NDArray[np.integer], masks: NDArray[np.bool_], pair: Sequence[int], palette: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """(6, H, W) in [0, 1]: two segments in their classes' colours on black, then the whole map in colours.

    ``classes`` (H, W) is the class map, ``masks`` (2, H, W) and ``pair`` (2 classes) the segments, ``palette`` (K, 3).
    """
    drawn = np.zeros((*classes.shape, 3), np.uint8)
    for mask, number in zip(masks, pair, strict=True):
        drawn[mask] = palette[number]
    both = np.concatenate([drawn, palette[classes]], axis=2)
    return np.ascontiguousarray(both.transpose(2, 0, 1), dtype=np.float32) / np.float32(255)


def margin_that_pays(
    margins: NDArray[np.floating], right: NDArray[np.bool_], larger_behind: NDArray[np.bool_], *, level: float = 0.01
) -> float:
    """From which margin on a judge of pairs is worth more than the rule "the larger goes behind"; infinity for never.

    (P,) pairs of which the order is known: how clear the judge's answer was, whether it was right, whether the rule
    is. Of the pairs on which the two differ with at least that margin the judge must win more than half, by a one-sided
    sign test at ``level``; of all margins that pass, the one from which it wins most (reconstruction). One who guesses
    is heard in 1 % (10 pairs) to 11 % (1,000) of the cases, since all margins are tried.
    """
    differ = right != larger_behind
    clearest_first = np.argsort(-margins[differ], kind="stable")
    sorted_margins, won = margins[differ][clearest_first], right[differ][clearest_first].cumsum()
    judged = np.arange(1, len(won) + 1)
    by_chance = np.where(won > 0, bdtrc(np.maximum(won, 1) - 1, judged, 0.5), 1.0)  # so many or more
    last_of_equals = np.append(sorted_margins[1:] != sorted_margins[:-1], True)[: len(won)]
    passing = np.flatnonzero((by_chance <= level) & last_of_equals)
    if not len(passing):
        return float("inf")
    return float(sorted_margins[passing[np.argmax((2 * won - judged)[passing])]])


def back_to_front(
    areas: NDArray[np.int64], judgements: Iterable[tuple[int, int, float]]
) -> tuple[NDArray[np.int64], int]:
    """An order of the segments, the hindmost first, and how many judgements it had to overrule.

    ``judgements`` are (in front, behind, margin). They are accepted by margin, the clearest first, except those that
    contradict the ones before (ranked pairs); where nothing is known, larger segments go behind (reconstruction).
    """
    count = len(areas)
    above: list[set[int]] = [set() for _ in range(count)]  # everything known to be in front of each
    overruled = 0
    for front, behind, _ in sorted(judgements, key=lambda item: (-item[2], item[0], item[1])):
        if behind in above[front] or front == behind:
            overruled += 1
            continue
        gained = above[front] | {front}
        for number in range(count):
            if number == behind or behind in above[number]:
                above[number] |= gained
    below = [sum(number in others for others in above) for number in range(count)]
    order: list[int] = []
    left = set(range(count))
    while left:
        ready = [number for number in left if below[number] == 0]
        chosen = min(ready, key=lambda number: (-int(areas[number]), number))
        order.append(chosen)
        left.remove(chosen)
        for number in above[chosen]:
            below[number] -= 1
    return np.array(order, np.int64), overruled
