"""Preprocessing as released: PIL bicubic for images, nearest for labels and instances, then crop, then flip."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.data.dataset import Augmentation, AugmentationRule

_AUGMENTATION_STREAM = 0x5ADE  # keeps these draws apart from every other use of the study's seed


def draw_augmentation(rule: AugmentationRule, seed: int, epoch: int, index: int) -> Augmentation:
    """Draw what happens to sample ``index`` in ``epoch``: a pure function of its arguments.

    Ranks, loader workers and the order of the samples therefore change nothing. Raises ValueError for a negative
    seed, epoch or index.
    """
    if min(seed, epoch, index) < 0:
        raise ValueError(f"seed {seed}, epoch {epoch}, index {index}: none of them may be negative")
    flip, crop_y, crop_x = np.random.default_rng((_AUGMENTATION_STREAM, seed, epoch, index)).random(3)
    return Augmentation(
        flip=rule.flip and bool(flip < 0.5), load_scale=rule.load_scale, crop_y=float(crop_y), crop_x=float(crop_x)
    )


def prepare_image(image: Image.Image, size: tuple[int, int], augmentation: Augmentation | None) -> NDArray[np.uint8]:
    """Resize (bicubic), crop and flip an image. Returns (H, W, 3) uint8 at ``size`` (height, width)."""
    height, width = load_size(size, augmentation)
    resized = rows_first(image.convert("RGB"), (height, width), Image.Resampling.BICUBIC)
    return crop_and_flip(np.asarray(resized, dtype=np.uint8), size, augmentation)


def rows_first(image: Image.Image, size: tuple[int, int], resampling: Image.Resampling) -> Image.Image:
    """``image`` at ``size`` (height, width): each row is resized and rounded, then each column.

    Every Pillow before 13 did so; Pillow 13 chooses the order by the sizes, which moves values by one level.
    """
    height, width = size
    return image.resize((width, image.height), resampling).resize((width, height), resampling)


def prepare_ids(ids: NDArray[Any], size: tuple[int, int], augmentation: Augmentation | None) -> NDArray[Any]:
    """Resize (nearest), crop and flip a map of ids (H, W), with the decisions of its image; the dtype is kept."""
    height, width = load_size(size, augmentation)
    resized = ids
    if ids.shape != (height, width):
        picture = Image.fromarray(ids if ids.dtype == np.uint8 else ids.astype(np.int32))
        resized = np.asarray(picture.resize((width, height), Image.Resampling.NEAREST)).astype(ids.dtype)
    return crop_and_flip(resized, size, augmentation)


def load_size(size: tuple[int, int], augmentation: Augmentation | None) -> tuple[int, int]:
    """Height and width, pixels, that a pair is resized to before a window of ``size`` is cut from it."""
    scale = 1.0 if augmentation is None else augmentation.load_scale
    return round(size[0] * scale), round(size[1] * scale)


def crop_and_flip(array: NDArray[Any], size: tuple[int, int], augmentation: Augmentation | None) -> NDArray[Any]:
    """What follows on resizing to ``load_size``: (H, W) or (H, W, 3), cut to ``size``, mirrored; as it is with None."""
    if augmentation is None:
        return array
    top = int(augmentation.crop_y * (array.shape[0] - size[0] + 1))
    left = int(augmentation.crop_x * (array.shape[1] - size[1] + 1))
    window = array[top : top + size[0], left : left + size[1]]
    return np.ascontiguousarray(window[:, ::-1] if augmentation.flip else window)
