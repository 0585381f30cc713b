"""Preprocessing as released, and augmentation that does not depend on who draws it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from bench.data.dataset import Augmentation, AugmentationRule
from bench.data.transforms import draw_augmentation, prepare_ids, prepare_image

CROP = AugmentationRule(flip=True, load_scale=286 / 256)


def rows_then_columns(image: Image.Image, width: int, height: int) -> Image.Image:
    """The order of every Pillow before 13, whatever Pillow this is."""
    rows = image.resize((width, image.height), Image.Resampling.BICUBIC)
    return rows.resize((width, height), Image.Resampling.BICUBIC)


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_without_augmentation_it_is_a_plain_resize() -> None:
    image = Image.fromarray(picture(90, 130))
    ids = picture(90, 130)[..., 0]
    expected = np.asarray(rows_then_columns(image, 64, 32))
    np.testing.assert_array_equal(prepare_image(image, (32, 64), None), expected)
    nearest = np.asarray(Image.fromarray(ids).resize((64, 32), Image.Resampling.NEAREST))
    np.testing.assert_array_equal(prepare_ids(ids, (32, 64), None), nearest)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_ids_keep_dtype_and_values(dtype: type) -> None:
    ids = (np.arange(40 * 56).reshape(40, 56) % 200 + (0 if dtype is np.uint8 else 33000)).astype(dtype)
    out = prepare_ids(ids, (24, 24), draw_augmentation(CROP, 1, 2, 3))
    assert out.dtype == dtype
    assert out.shape == (24, 24)
    assert set(np.unique(out)) <= set(np.unique(ids))


def test_crop_is_a_window_of_the_286_resize_and_reaches_both_ends() -> None:
    image = Image.fromarray(picture(300, 200))
    loaded = np.asarray(rows_then_columns(image, 286, 286))
    for crop_y, crop_x in ((0.0, 0.0), (0.999999, 0.999999), (0.0, 0.999999), (0.5, 0.25)):
        decision = Augmentation(flip=False, load_scale=286 / 256, crop_y=crop_y, crop_x=crop_x)
        top, left = int(crop_y * 31), int(crop_x * 31)
        window = loaded[top : top + 256, left : left + 256]
        np.testing.assert_array_equal(prepare_image(image, (256, 256), decision), window)
    assert (top, left) == (15, 7)


def test_labels_move_with_their_image() -> None:
    ids = np.random.default_rng(0).integers(0, 2, (12, 12), dtype=np.uint8).repeat(24, 0).repeat(24, 1)[:286, :286]
    image = Image.fromarray(np.repeat(ids[..., None] * 255, 3, 2))
    for index in range(6):
        decision = draw_augmentation(CROP, 0, 0, index)
        seen = prepare_image(image, (256, 256), decision)[..., 0] > 127
        np.testing.assert_array_equal(seen, prepare_ids(ids, (256, 256), decision) == 1)


def test_decisions_are_a_function_of_seed_epoch_and_index() -> None:
    drawn = {draw_augmentation(CROP, seed, epoch, i) for seed in (0, 1) for epoch in (0, 1) for i in range(50)}
    assert len(drawn) == 200
    assert draw_augmentation(CROP, 1, 1, 7) == draw_augmentation(CROP, 1, 1, 7)
    assert 70 < sum(decision.flip for decision in drawn) < 130
    assert not any(draw_augmentation(AugmentationRule(flip=False), 0, 0, i).flip for i in range(50))


def test_negative_seeds_and_impossible_crops_are_refused() -> None:
    with pytest.raises(ValueError, match="seed 0, epoch -1, index 2: none of them may be negative"):
        draw_augmentation(CROP, 0, -1, 2)
    with pytest.raises(ValueError, match=r"load_scale is 0\.5; it must be from 1\.0"):
        AugmentationRule(load_scale=0.5)
