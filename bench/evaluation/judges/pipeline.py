"""The published test procedures: one image, and a protocol's JudgeTest, to one label map."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from bench.data.transforms import rows_first
from bench.evaluation.generate import exact_float32
from bench.evaluation.judge_test import JudgeTest

Size = tuple[int, int]
"""Height and width in px."""

_PIL_FILTERS = {"pil-bilinear": Image.Resampling.BILINEAR, "pil-bicubic": Image.Resampling.BICUBIC}


def label_image(
    network: nn.Module, test: JudgeTest, image: NDArray[np.uint8], size: Size, device: torch.device
) -> NDArray[np.int64]:
    """The classes (h, w) of an RGB image (H, W, 3) at the label map's ``size``, by the published procedure.

    The network sees one image per forward pass, in float32 without TensorFloat-32 and with repeatable convolutions.
    Raises ValueError for an image of another form.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise ValueError(f"a judge was given {image.dtype} {image.shape}; it takes an RGB image (H, W, 3) of uint8")
    flags = torch.backends.cudnn.flags(benchmark=False, deterministic=True, allow_tf32=False)
    with torch.no_grad(), flags, exact_float32():
        logits = (network(look.to(device), mode="tensor") for look in looks(image, test))
        if test.output_resize == "deconvolution-x8":
            return _labels_by_pil(logits, test, image.shape[:2], size)
        return _labels_by_tensor(logits, test, size)


def looks(image: NDArray[np.uint8], test: JudgeTest) -> Iterator[Tensor]:
    """What the network is fed, one (1, 3, h, w) float32 at a time. ``tensor-bilinear`` is left to the network."""
    if test.input_resize in ("none", "tensor-bilinear"):
        yield normalised(image, test)
        return
    for size in look_sizes(image.shape[:2], test):
        yield normalised(_resized(image, size, test.input_resize), test)


def look_sizes(size: Size, test: JudgeTest) -> list[Size]:
    """The sizes to which an image of ``size`` is resized."""
    height, width = size
    if not test.short_sides:
        return [(int(height * scale), int(width * scale)) for scale in test.scales]
    sizes = []
    for short_side in test.short_sides:
        factor = short_side / min(height, width)
        if test.long_side_at_most is not None:
            factor = min(factor, test.long_side_at_most / max(height, width))
        sizes.append(
            (_up_to(int(height * factor), test.side_multiple), _up_to(int(width * factor), test.side_multiple))
        )
    return sizes


def normalised(image: NDArray[np.uint8], test: JudgeTest) -> Tensor:
    """An RGB image (H, W, 3) as the network takes it: (1, 3, H, W) float32, in the test's order and range."""
    ordered = np.ascontiguousarray((image if test.input_order == "RGB" else image[..., ::-1]).transpose(2, 0, 1))
    if test.input_range == 255:
        # One rounding, as in the published code, where numpy takes a float64 mean off.
        mean, std = (np.asarray(value, np.float64)[:, None, None] for value in (test.input_mean, test.input_std))
        return torch.from_numpy(((ordered - mean) / std).astype(np.float32))[None]
    mean_tensor, std_tensor = (torch.tensor(value)[:, None, None] for value in (test.input_mean, test.input_std))
    return torch.from_numpy(ordered).float().div(255).sub(mean_tensor).div(std_tensor)[None]


def _labels_by_tensor(logits: Iterator[Tensor], test: JudgeTest, size: Size) -> NDArray[np.int64]:
    total: Tensor | None = None
    for one in logits:
        enlarged = F.interpolate(one, size=size, mode="bilinear", align_corners=False)
        scores = _scores(enlarged, test)
        if test.combination == "softmax-mean":
            scores = scores / test.looks
        total = scores if total is None else total + scores
    assert total is not None, "every test has a look"
    labels: NDArray[np.int64] = total.argmax(dim=1)[0].cpu().numpy()
    return labels


def _labels_by_pil(logits: Iterator[Tensor], test: JudgeTest, image_size: Size, size: Size) -> NDArray[np.int64]:
    maps = (_scores(one, test)[0].cpu().numpy() for one in logits)
    if test.combination == "none":
        total = next(maps)
    else:
        total = sum((_resized_scores(scores, image_size) for scores in maps), start=np.zeros((), np.float32))
    labels: NDArray[np.int64] = _resized_scores(total, size).argmax(axis=0)
    return labels


def _scores(logits: Tensor, test: JudgeTest) -> Tensor:
    return F.softmax(logits, dim=1) if test.score == "softmax" else F.log_softmax(logits, dim=1)


def _resized(image: NDArray[np.uint8], size: Size, how: str) -> NDArray[np.uint8]:
    height, width = size
    if how == "opencv-bilinear":
        import cv2

        return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
    return np.asarray(rows_first(Image.fromarray(image), size, _PIL_FILTERS[how]), dtype=np.uint8)


def _resized_scores(scores: NDArray[np.float32], size: Size) -> NDArray[np.float32]:
    """Score maps (K, h, w) resized one by one, as PIL resizes a float image bilinearly."""
    if scores.shape[1:] == size:
        return scores
    height, width = size
    out = np.empty((len(scores), height, width), np.float32)
    for resized, one in zip(out, scores, strict=True):
        resized[:] = np.asarray(rows_first(Image.fromarray(one), size, Image.Resampling.BILINEAR))
    return out


def _up_to(side: int, multiple: int) -> int:
    return -(-side // multiple) * multiple
