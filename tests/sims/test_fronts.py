"""What tells the ordering network which of two segments is in front: the canvas, or a nearness."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from baselines.sims.canvas import IDENTITY, Piece, paste
from baselines.sims.ordering import gain_in_front
from bench.sims import alike, fronts
from bench.sims.bank import Bank, open_bank
from bench.sims.fronts import known_pairs, learned_segments, neighbours
from bench.sims.ordering import LEAST_DRAWS, drawn_by, told_pairs
from bench.sims.supervision import Supervision
from bench.sims.workspace import Workspace

NOBODY = np.zeros(0, np.int64)
SIZE = (16, 24)


def pairs_of(
    workspace: Workspace, path: Path, left_out: NDArray[np.int64] = NOBODY, source: str = "canvas"
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    supervision = Supervision(source=source, classes=workspace.classes)  # type: ignore[arg-type]
    bank, train = open_bank(workspace)[0], workspace.open("train")
    return known_pairs(workspace, bank, train, supervision, left_out, path, lambda *_: None)


def test_what_is_gained_in_front_is_what_canvases_of_both_orders_differ_by() -> None:
    """Every canvas of one of 3 segments and one of 4, pasted in both orders, compared with the label map."""
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 3, SIZE)
    firsts, seconds = rng.random((3, *SIZE)) < 0.6, rng.random((4, *SIZE)) < 0.4
    image = np.zeros((*SIZE, 3), np.uint8)

    def piece(mask: NDArray[np.bool_], label: int) -> Piece:
        return Piece(image=image, classes=classes, mask=mask, label=label, theta=IDENTITY, wanted=mask)

    differences = []
    for first in firsts:
        for second in seconds:
            pieces = [piece(first, 2), piece(second, 1)]
            ahead, behind = (paste(pieces, order, SIZE, context=False).classes == classes for order in ([1, 0], [0, 1]))
            differences.append(int(ahead.sum()) - int(behind.sum()))
    gain = gain_in_front(firsts.mean(0), seconds.mean(0), classes, (2, 1))
    assert gain == pytest.approx(np.mean(differences))
    assert gain != 0
    assert gain_in_front(seconds.mean(0), firsts.mean(0), classes, (1, 2)) == pytest.approx(-gain)


def placed(bank: Bank, number: int, region: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The segment scaled and shifted, by axis, so that its pixels have the region's mean and spread; nearest pixels.

    Worked out in pixels, without the code under test.
    """
    mask = bank.mask(number)
    source = []
    for axis in (0, 1):
        at, there = (np.nonzero(each)[axis].astype(np.float64) for each in (mask, region))
        spreads = [math.sqrt(values.var() + 1 / 12) for values in (at, there)]
        wanted = np.arange(region.shape[axis])
        source.append(np.rint(at.mean() + (wanted - there.mean()) * spreads[0] / spreads[1]).astype(int))
    rows, columns = source
    inside = ((rows >= 0) & (rows < mask.shape[0]))[:, None] & ((columns >= 0) & (columns < mask.shape[1]))[None]
    height, width = mask.shape
    return np.asarray(inside & mask[rows.clip(0, height - 1)][:, columns.clip(0, width - 1)])


def test_the_canvas_puts_in_front_what_the_map_shows_where_the_placed_overlap(
    banked: Workspace, tmp_path: Path
) -> None:
    """For every pair the placed segments of other pictures in every combination, counted one by one."""
    pairs, weights = pairs_of(banked, tmp_path / "pairs.npz")
    assert (pairs == pairs_of(banked, tmp_path / "again.npz")[0]).all()
    bank, _ = open_bank(banked)
    judged, differing = set(), set()
    for (index, one, other, front, first, second), weight in zip(pairs.tolist(), weights, strict=True):
        of_map = banked.classes.of_label[banked.open("train").load(index).labels]
        masks = learned_segments(banked, of_map).masks
        here, there = (
            [
                placed(bank, int(number), masks[segment])
                for number in alike.overlapping(bank, masks[segment], label, index, np.random.default_rng(0))[:10]
            ]
            for segment, label in ((one, first), (other, second))
        )
        gains = [
            int((a & b & (of_map == first)).sum()) - int((a & b & (of_map == second)).sum())
            for a in here
            for b in there
        ]
        gain = float(np.mean(gains))
        assert weight == pytest.approx(abs(gain), abs=0.02 * masks[[one, other]].sum() + 1)
        if abs(gain) > 0.02 * masks[[one, other]].sum() + 1:  # rounding at the edges of pixels decides nothing
            assert front == (one if gain > 0 else other)
            judged.add(front)
        differing.add((first, second, front == one))
    assert len(judged) > 3
    assert {(a, b, not c) for a, b, c in differing} & differing, "not the classes alone decide"
    assert (weights >= 1).all()


def test_a_segment_that_only_lies_elsewhere_covers_exactly_its_region(banked: Workspace) -> None:
    bank, _ = open_bank(banked)
    number = next(n for n in range(len(bank)) if not bank.mask(n)[:, -9:].any() and not bank.mask(n)[-5:].any())
    region = np.roll(bank.mask(number), (5, 9), (0, 1))
    cover = fronts._cover(bank, np.array([number]), region)
    assert (cover == region).all()
    assert not fronts._cover(bank, NOBODY, region).any(), "nothing like it: nothing lies there"


def test_nothing_of_pictures_left_out_or_of_the_own_is_looked_at(
    banked: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank, _ = open_bank(banked)
    seen: dict[int, set[int]] = {}

    def overlapping(bank: Bank, mask: NDArray[np.bool_], label: int, own: int, *rest: object) -> NDArray[np.int64]:
        found = alike.overlapping(bank, mask, label, own, *rest)  # type: ignore[arg-type]
        seen.setdefault(own, set()).update(bank.image_of[found].tolist())
        return found

    monkeypatch.setattr(fronts, "overlapping", overlapping)
    pairs, _ = pairs_of(banked, tmp_path / "pairs.npz", np.array([1, 4]))
    assert set(pairs[:, 0]) == set(seen) == {0, 2, 3, 5}
    for own, others in seen.items():
        assert others
        assert others <= {0, 2, 3, 5} - {own}
    assert len(bank.ids) == 6


def test_stated_layers_tell_some_pairs_and_all_of_them_count_alike(banked: Workspace, tmp_path: Path) -> None:
    pairs, weights = pairs_of(banked, tmp_path / "layers.npz", source="layers")
    assert (weights == 1).all()
    layer_of = {number: place for place, layer in enumerate(banked.classes.layers) for number in layer}
    train = banked.open("train")
    touching = 0
    for index in range(6):
        segments = learned_segments(banked, banked.classes.of_label[train.load(index).labels])
        touching += len(neighbours(segments, banked.classes.thin))
    assert 0 < len(pairs) <= touching
    for index, one, other, front, first, second in pairs.tolist():
        assert front in (one, other), index
        if layer_of[first] != layer_of[second]:
            assert (front == one) == (layer_of[first] > layer_of[second])


def test_pairs_are_drawn_by_their_weights() -> None:
    rng = np.random.default_rng(0)
    drawn = np.bincount([drawn_by(np.array([1.0, 1.5, 4.5]), rng) for _ in range(3000)], minlength=3) / 3000
    assert np.abs(drawn - np.array([1, 0.5, 3]) / 4.5).max() < 0.03


def test_pairs_of_classes_that_are_hardly_ever_drawn_count_as_never_told() -> None:
    pairs = np.array([[0, 0, 1, 0, 7, 3], [0, 0, 2, 2, 4, 5], [1, 0, 1, 1, 3, 7], [1, 1, 2, 1, 8, 2]])
    weights = np.array([30.0, 1.0, 20.0, 49.0])
    steps = 100 * LEAST_DRAWS
    assert told_pairs(pairs, weights, steps).tolist() == [[2, 8], [3, 7], [4, 5]]
    assert told_pairs(pairs, weights, steps - 1).tolist() == [[2, 8], [3, 7]]
