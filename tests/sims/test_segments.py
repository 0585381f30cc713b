"""Segments, their order, canvases and simulated training data, on maps small enough to read."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from baselines.sims.canvas import IDENTITY, Canvas, Piece, agreement, class_counts, elide, paste
from baselines.sims.ordering import back_to_front, boundaries, draw_pair, in_front, margin_that_pays
from baselines.sims.segments import SegmentRule, find_segments, merge_thin
from baselines.sims.simulate import Found, out_of_place, simulated_canvas, transfer_colours
from bench.sims.composing import shares

EVERY = SegmentRule(classes=3, min_area_px=1)
SIZE = (16, 32)


def block(top: int, bottom: int, left: int, right: int) -> NDArray[np.bool_]:
    mask = np.zeros(SIZE, bool)
    mask[top:bottom, left:right] = True
    return mask


def test_segments_are_the_connected_regions_of_a_class() -> None:
    classes = np.zeros(SIZE, np.uint8)
    classes[2:6, 2:6] = classes[2:6, 10:14] = 1
    classes[8:, :] = 3  # everything else
    found = find_segments(classes, EVERY)
    assert found.classes.tolist() == [0, 1, 1]
    assert (found.masks[1] == block(2, 6, 2, 6)).all()
    assert (found.masks.sum(0) == (classes < 3)).all()


def test_small_regions_are_left_out_and_the_area_follows_the_size() -> None:
    classes = np.full(SIZE, 3, np.uint8)
    classes[0, :4], classes[4, :5] = 1, 1
    rule = SegmentRule(classes=3, min_area_px=1280)
    assert (rule.min_area((256, 512)), rule.min_area(SIZE)) == (1280, 5)
    assert find_segments(classes, rule).masks.sum() == 5
    assert len(find_segments(np.full(SIZE, 3, np.uint8), rule)) == 0


def test_thin_classes_do_not_split_what_is_around_them() -> None:
    classes = np.zeros(SIZE, np.uint8)
    classes[:, 10:12] = 2
    assert find_segments(classes, EVERY).classes.tolist() == [0, 0, 2]
    found = find_segments(classes, SegmentRule(classes=3, min_area_px=1, thin=(2,)))
    assert found.classes.tolist() == [0, 2]
    assert found.masks[0].all()
    assert (found.component_map((2,))[:, 10:12] == 1).all()
    assert (merge_thin(np.full(SIZE, 2, np.uint8), (2,)) == 2).all(), "nothing to take a class from"


def test_wrong_rules_are_refused() -> None:
    with pytest.raises(ValueError, match=r"min_area_px is 0; it must be at least 1"):
        SegmentRule(classes=3, min_area_px=0)
    with pytest.raises(ValueError, match=r"thin names \[3\]; classes are 0 to 2"):
        SegmentRule(classes=3, thin=(3,))


def test_the_nearer_side_of_a_boundary_is_in_front_but_for_planar_classes() -> None:
    components = np.where(block(0, 16, 0, 16), 0, 1).astype(np.int32)
    (shared,) = boundaries(components)
    assert (shared.first, shared.second, len(shared.first_at)) == (0, 1, 16)
    classes = np.array([4, 5])
    near = np.where(components == 0, 7.0, 2.0)
    near[:3] = np.nan
    assert in_front(shared, near, classes) == 0
    assert in_front(shared, -near, classes) == 1
    assert in_front(shared, near, classes, planar=(4,)) == 1
    assert in_front(shared, near, classes, planar=(4, 5)) == 0
    assert in_front(shared, np.zeros(SIZE), classes) is None
    assert in_front(shared, np.full(SIZE, np.nan), classes) is None


def test_a_judge_is_heard_from_the_margin_from_which_it_beats_the_sizes() -> None:
    def from_on(won: list[int], margins: list[float] | None = None) -> float:
        """Where judge and sizes differ, the clearest answers first: 1 the judge is right, 0 the sizes are."""
        right = np.array(won, bool)
        clear = np.array(margins if margins is not None else range(len(won), 0, -1), np.float64)
        return margin_that_pays(clear, right, ~right)

    assert from_on([1] * 6) == np.inf, "6 of 6 come by chance once in 64"
    assert from_on([1] * 7) == 1.0, "7 of 7 once in 128"
    assert from_on([1] * 9 + [0] * 5) == 6.0, "not further than where it wins"
    assert from_on([0] * 3 + [1] * 12) == np.inf, "12 of 15 come by chance once in 57"
    assert from_on([0] * 3 + [1] * 14) == 1.0, "14 of 17 once in 157"
    assert from_on([1, 0] * 40) == np.inf
    assert from_on([]) == np.inf
    assert from_on([1] * 8 + [0] * 8, [2.0] * 16) == np.inf, "equal margins are taken or left together"
    assert from_on([1] * 8 + [0], [2.0] * 8 + [1.0]) == 2.0
    same = np.ones(30, bool)
    assert margin_that_pays(np.arange(30.0), same, same) == np.inf, "where both agree nothing is to be gained"


def test_a_judge_who_guesses_is_seldom_heard() -> None:
    rng = np.random.default_rng(0)
    heard = 0
    for _ in range(500):
        right = rng.random(200) < 0.5
        heard += bool(np.isfinite(margin_that_pays(rng.random(200), right, ~right)))
    assert 0.02 * 500 < heard < 0.13 * 500, "1 % for each of many margins"
    better = rng.random(200) < 0.8
    assert margin_that_pays(np.ones(200), better, ~better) == 1.0


def test_corners_and_empty_pixels_are_no_boundaries() -> None:
    components = np.full(SIZE, -1, np.int32)
    components[:8, :16], components[8:10, 16:18] = 0, 1
    assert boundaries(components) == []
    assert boundaries(np.full(SIZE, -1, np.int32)) == []


def test_judgements_become_an_order_and_contradictions_lose_to_clearer_ones() -> None:
    areas = np.array([5, 90, 40, 70])
    order, overruled = back_to_front(areas, [(0, 1, 3.0), (2, 0, 2.0)])
    assert order.tolist() == [1, 3, 0, 2], "the largest first where nothing is known"
    assert overruled == 0
    order, overruled = back_to_front(areas, [(1, 0, 0.5), (0, 1, 3.0), (2, 0, 2.0), (1, 2, 1.0)])
    assert order.tolist() == [1, 3, 0, 2]
    assert overruled == 2
    assert back_to_front(np.array([], np.int64), [])[0].tolist() == []


def test_a_pair_is_drawn_on_black_beside_the_whole_map() -> None:
    classes = np.zeros(SIZE, np.uint8)
    classes[:, 16:] = 1
    palette = np.array([[255, 0, 0], [0, 0, 255]], np.uint8)
    drawn = draw_pair(classes, np.stack([block(0, 4, 0, 4), block(0, 4, 20, 24)]), (0, 1), palette)
    assert drawn.shape == (6, *SIZE)
    assert drawn[:, 0, 0].tolist() == [1, 0, 0, 1, 0, 0]
    assert drawn[:, 10, 20].tolist() == [0, 0, 0, 0, 0, 1]


def piece(mask: NDArray[np.bool_], label: int, colour: int, shift: float = 0.0, **changes: NDArray[np.bool_]) -> Piece:
    theta = IDENTITY.copy()
    theta[0, 2] = shift
    wanted = changes.get("wanted", mask)
    classes = np.where(changes.get("same", mask), label, 9)
    return Piece(
        image=np.full((*SIZE, 3), colour, np.uint8), classes=classes, mask=mask, label=label, theta=theta, wanted=wanted
    )


def test_later_pieces_lie_over_earlier_ones() -> None:
    low, high = piece(block(0, 16, 0, 20), 0, 50), piece(block(0, 16, 10, 32), 1, 200)
    over, under = paste([low, high], [0, 1], SIZE), paste([low, high], [1, 0], SIZE)
    assert over.classes[0].tolist() == [0] * 10 + [1] * 22
    assert under.classes[0].tolist() == [0] * 20 + [1] * 12
    assert over.image[0, 15].tolist() == [200] * 3
    assert over.mask.all()


def test_a_moved_piece_leaves_a_gap_that_its_surroundings_fill() -> None:
    moved = piece(block(0, 16, 0, 16), 1, 90, shift=-0.5, same=block(0, 16, 0, 20), wanted=block(0, 16, 4, 28))
    bare = paste([moved], [0], SIZE, context=False)
    assert np.flatnonzero(bare.mask[0]).tolist() == list(range(8, 24))
    filled = paste([moved], [0], SIZE, context=True)
    assert np.flatnonzero(filled.mask[0]).tolist() == list(range(8, 28)), "the same class, inside the wanted region"


def test_the_agreement_counts_gaps_and_wrong_classes_as_errors() -> None:
    canvas = paste([piece(block(0, 16, 0, 8), 0, 100), piece(block(0, 16, 8, 16), 1, 0)], [0, 1], SIZE)
    classes = np.zeros(SIZE, np.uint8)
    photograph = np.full((*SIZE, 3), 100, np.uint8)
    found = agreement(canvas, classes, block(0, 16, 0, 24), photograph)
    assert (found.asked, found.covered, found.agreeing) == (24 * 16, 16 * 16, 8 * 16)
    assert found.colour_error == 100 * 8 * 16
    assert (found + found).asked == 2 * found.asked


def test_half_of_the_border_is_blanked_and_nothing_else() -> None:
    size = (64, 128)
    owner = np.zeros(size, np.int32)
    owner[:, 64:] = 1
    whole = Canvas(image=np.full((*size, 3), 9, np.uint8), owner=owner, classes=owner)
    elided = elide(whole, np.random.default_rng(0))
    columns = np.flatnonzero((~elided.mask).any(0))
    assert (columns.min(), columns.max()) == (62, 65), "the two pixels of the border, dilated by one"
    assert 0.35 < (~elided.mask[:, 62:66]).mean() < 0.65
    assert (elided.image[~elided.mask] == 0).all()
    assert (elide(whole, np.random.default_rng(0)).mask == elided.mask).all()


def test_transferred_colours_have_the_models_mean() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(60, 100, (200, 3)).astype(np.uint8)
    model = rng.integers(120, 180, (300, 3)).astype(np.uint8)
    moved = transfer_colours(pixels, model)
    assert np.abs(moved.mean(0) - model.mean(0)).max() < 4
    assert np.abs(moved.std(0) - model.std(0)).max() < 5


def test_transferred_colours_that_no_screen_has_are_clipped_without_a_word(recwarn: pytest.WarningsRecorder) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (400, 3)).astype(np.uint8)
    moved = transfer_colours(pixels, np.array([[0, 0, 255], [255, 255, 0], [0, 0, 0]], np.uint8))
    assert moved.min() == 0
    assert not list(recwarn)


def test_a_simulated_canvas_keeps_the_overlap_alone_and_mostly_the_own_colours() -> None:
    classes = np.zeros(SIZE, np.uint8)
    image = np.arange(16 * 32 * 3, dtype=np.uint16).reshape(*SIZE, 3).astype(np.uint8)
    segments = find_segments(classes, EVERY)
    left = block(0, 16, 0, 20)

    def find(mask: NDArray[np.bool_], label: int, rng: np.random.Generator) -> Found | None:
        assert label == 0
        return Found(mask=left, colours=np.full((5, 3), 200, np.uint8))

    own = transferred = 0
    for seed in range(60):
        canvas = simulated_canvas(image, classes, segments, find, np.random.default_rng(seed))
        assert not canvas.mask[:, 20:].any()
        assert canvas.mask[:, :18].all()
        same = (canvas.image[:, :18] == image[:, :18]).all()
        own, transferred = own + int(same), transferred + int(not same)
    assert 2 <= transferred <= 25, "a fifth of them, give or take"
    alone = simulated_canvas(image, classes, segments, lambda *_: None, np.random.default_rng(0))
    assert alone.mask.all(), "no other segment of the class: kept whole"


def test_a_segment_out_of_place_is_moved_with_its_colours() -> None:
    mask = block(4, 12, 8, 24)
    image = np.where(mask[..., None], np.uint8(70), np.uint8(10)) * np.ones(3, np.uint8)
    moved, moved_mask = out_of_place(image, mask, None, np.random.default_rng(3))
    assert moved_mask.any()
    assert (moved_mask != mask).any()
    assert (moved[moved_mask] == 70).all()
    cut, cut_mask = out_of_place(image, mask, np.zeros(SIZE, bool), np.random.default_rng(3))
    assert (cut_mask == moved_mask).all(), "a cut that would leave less than half is not made"
    assert (cut == moved).all()


def test_the_mean_iou_weighs_small_classes_like_large_ones_and_ignores_those_that_do_not_occur() -> None:
    classes = np.array([[0, 0, 0, 0], [0, 0, 0, 1]])
    shown = np.array([[0, 0, 0, 2], [0, 0, 0, 0]], np.int32)
    canvas = Canvas(image=np.zeros((2, 4, 3), np.uint8), owner=np.zeros((2, 4), np.int32), classes=shown)
    counts = class_counts(canvas, classes, np.ones((2, 4), bool), 4)
    assert counts.tolist() == [[6, 7, 7], [0, 0, 1], [0, 1, 0], [0, 0, 0]]
    told = shares(np.array([8.0, 8.0, 6.0, 0.0]), counts)
    assert told["label_agreement"] == 75.0
    assert told["label_miou"] == pytest.approx(100 * (6 / 8 + 0 / 1) / 2)
    empty = Canvas(image=canvas.image, owner=np.full((2, 4), -1, np.int32), classes=np.full((2, 4), -1, np.int32))
    assert class_counts(empty, classes, np.ones((2, 4), bool), 2).tolist() == [[0, 0, 7], [0, 0, 1]]
