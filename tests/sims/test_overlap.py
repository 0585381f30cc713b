"""Retrieval by overlap: equal to comparing all pairs in full, whatever the masks."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from baselines.sims import overlap
from baselines.sims.overlap import best, bounds, cell_counts, cell_side, packed, unpacked

SIZE = (64, 128)


def ellipses(count: int, seed: int) -> NDArray[np.bool_]:
    """Masks like segments: ellipses of all sizes, some twice, one of a single pixel."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    made = []
    for _ in range(count):
        cy, cx, ry, rx = rng.random(4) * (64, 128, 30, 50) + (0, 0, 2, 2)
        made.append(((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < 1)
    made[1] = made[0]
    made[2] = (y == 5) & (x == 9)
    return np.stack(made)


def in_full(
    query: NDArray[np.bool_], masks: NDArray[np.bool_], allowed: NDArray[np.int64], top: int
) -> NDArray[np.int64]:
    """The numbers of the best by the definition, one pair after the other."""
    values = np.array([(query & masks[n]).sum() / (query | masks[n]).sum() for n in allowed])
    return np.asarray(allowed[np.lexsort((allowed, -values))][:top])


@pytest.mark.parametrize("top", [1, 10])
def test_the_best_are_those_of_brute_force(top: int) -> None:
    masks = ellipses(600, seed=1)
    bits, counts = packed(masks), cell_counts(masks).astype(np.float32)
    areas = masks.sum((1, 2), dtype=np.int64)
    looked_at = 0
    for number, query in enumerate(ellipses(40, seed=2)):
        excluded = np.arange(600) % 7 == number % 7
        query_bits, query_counts = packed(query[None])[0], cell_counts(query[None])[0].astype(np.float32)
        numbers, values, looked = best(
            query_bits, query_counts, bits.__getitem__, counts, areas, top=top, excluded=excluded
        )
        assert numbers.tolist() == in_full(query, masks, np.flatnonzero(~excluded), top).tolist()
        assert (np.diff(values) <= 0).all()
        looked_at += looked
    assert looked_at < 40 * 514 / 3, "the bounds spare most of the pairs"


def test_equal_overlaps_go_by_number_and_few_candidates_give_few() -> None:
    masks = ellipses(3, seed=1)
    counts, areas = cell_counts(masks).astype(np.float32), masks.sum((1, 2), dtype=np.int64)
    numbers, values, _ = best(packed(masks)[0], counts[0], packed(masks).__getitem__, counts, areas, top=10)
    assert numbers.tolist()[:2] == [0, 1]
    assert values.tolist()[:2] == [1.0, 1.0]
    assert len(numbers) == 3
    everything = np.ones(3, bool)
    none, _, looked = best(
        packed(masks)[0], counts[0], packed(masks).__getitem__, counts, areas, top=10, excluded=everything
    )
    assert (len(none), looked) == (0, 0)


def test_no_bound_is_below_its_overlap() -> None:
    masks, queries = ellipses(200, seed=3), ellipses(20, seed=4)
    counts = cell_counts(masks).astype(np.float32)
    for query in queries:
        upper = bounds(cell_counts(query[None])[0].astype(np.float32), int(query.sum()), counts)
        exact = np.array([(query & mask).sum() / (query | mask).sum() for mask in masks])
        assert (upper >= exact).all()
        assert upper.max() <= 1.0


def test_masks_survive_their_bits_and_the_grid_counts_them() -> None:
    masks = ellipses(5, seed=5)
    assert (unpacked(packed(masks), SIZE) == masks).all()
    assert (cell_counts(masks).sum(1) == masks.sum((1, 2))).all()
    assert overlap.intersections(packed(masks)[3], packed(masks)).tolist() == (masks & masks[3]).sum((1, 2)).tolist()


@pytest.mark.parametrize(("size", "side"), [((256, 512), 16), ((64, 64), 8), ((1024, 2048), 64), ((256, 256), 8)])
def test_the_cells_divide_the_picture(size: tuple[int, int], side: int) -> None:
    assert cell_side(size) == side
    assert size[0] % side == size[1] % side == 0
