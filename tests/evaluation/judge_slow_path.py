"""The published test pipelines of the three judges, step by step from the published files: a second implementation.

Nothing here uses the project's judges. Networks are written with torch's functions on the published state dicts; PIL's
resizing is written out from its definition; counts are made pixel by pixel.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

Tensors = dict[str, Tensor]
Image = NDArray[np.uint8]
Size = tuple[int, int]


def batch_norm(x: Tensor, t: Tensors, key: str) -> Tensor:
    mean, var, weight, bias = (t[f"{key}.{name}"] for name in ("running_mean", "running_var", "weight", "bias"))
    return F.batch_norm(x, mean, var, weight, bias, training=False, eps=1e-5)


def bilinear(x: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False)


def deeplab_one_scale(t: Tensors, x: Tensor, *, ceil_mode: bool = True) -> Tensor:
    """DeepLabV2-ResNet101, keys ``base.*``: logits at an eighth of the size."""

    def part(x: Tensor, key: str, stride: int = 1, padding: int = 0, dilation: int = 1) -> Tensor:
        x = F.conv2d(x, t[f"{key}.conv.weight"], None, stride, padding, dilation)
        return batch_norm(x, t, f"{key}.bn")

    x = F.relu(part(x, "base.layer1.conv1", 2, 3))
    x = F.max_pool2d(x, 3, 2, 1, ceil_mode=ceil_mode)
    for layer, blocks, stride, dilation in ((2, 3, 1, 1), (3, 4, 2, 1), (4, 23, 1, 2), (5, 3, 1, 4)):
        for block in range(1, blocks + 1):
            key, step = f"base.layer{layer}.block{block}", stride if block == 1 else 1
            y = F.relu(part(x, f"{key}.reduce", step))
            y = F.relu(part(y, f"{key}.conv3x3", 1, dilation, dilation))
            y = part(y, f"{key}.increase")
            x = F.relu(y + (part(x, f"{key}.shortcut", step) if block == 1 else x))
    logits = torch.zeros(())
    for branch, rate in enumerate((6, 12, 18, 24)):
        key = f"base.aspp.c{branch}"
        logits = logits + F.conv2d(x, t[f"{key}.weight"], t[f"{key}.bias"], 1, rate, rate)
    return logits


def deeplab_logits(t: Tensors, x: Tensor, **settings: bool) -> Tensor:
    """The element-wise maximum over the scales 1, 0.5 and 0.75, at the size of scale 1's logits."""
    found = [deeplab_one_scale(t, x, **settings)]
    for scale in (0.5, 0.75):
        small = F.interpolate(x, scale_factor=scale, mode="bilinear", align_corners=False)
        found.append(bilinear(deeplab_one_scale(t, small, **settings), found[0].shape[2:]))
    return torch.stack(found).max(dim=0)[0]


def residual(x: Tensor, t: Tensors, key: str, stride: int, dilation: int) -> Tensor:
    """A bottleneck with torchvision's names, the stride on its 3x3 convolution."""
    y = F.relu(batch_norm(F.conv2d(x, t[f"{key}.conv1.weight"]), t, f"{key}.bn1"))
    y = F.conv2d(y, t[f"{key}.conv2.weight"], None, stride, dilation, dilation)
    y = F.relu(batch_norm(y, t, f"{key}.bn2"))
    y = batch_norm(F.conv2d(y, t[f"{key}.conv3.weight"]), t, f"{key}.bn3")
    if f"{key}.downsample.0.weight" in t:
        x = batch_norm(F.conv2d(x, t[f"{key}.downsample.0.weight"], None, stride), t, f"{key}.downsample.1")
    return F.relu(y + x)


def upernet_logits(encoder: Tensors, decoder: Tensors, x: Tensor, *, resize_first: bool = True) -> Tensor:
    """UPerNet101 of CSAIL: logits at a quarter of the size."""
    for place, stride in ((1, 2), (2, 1), (3, 1)):
        x = F.conv2d(x, encoder[f"conv{place}.weight"], None, stride, 1)
        x = F.relu(batch_norm(x, encoder, f"bn{place}"))
    x = F.max_pool2d(x, 3, 2, 1)
    features = []
    for layer, blocks in ((1, 3), (2, 4), (3, 23), (4, 3)):
        for block in range(blocks):
            stride = 2 if layer > 1 and block == 0 else 1
            x = residual(x, encoder, f"layer{layer}.{block}", stride, 1)
        features.append(x)

    def part(x: Tensor, key: str, padding: int = 0) -> Tensor:
        x = F.conv2d(x, decoder[f"{key}.0.weight"], None, 1, padding)
        return F.relu(batch_norm(x, decoder, f"{key}.1"))

    size, pooled = x.shape[2:], [x]
    for place, grid in enumerate((1, 2, 3, 6)):
        y = F.adaptive_avg_pool2d(x, grid)
        key = f"ppm_conv.{place}"
        pooled.append(part(bilinear(y, size), key) if resize_first else bilinear(part(y, key), size))
    top = part(torch.cat(pooled, 1), "ppm_last_conv", 1)
    maps = [top]
    for level in (2, 1, 0):
        lateral = part(features[level], f"fpn_in.{level}")
        top = lateral + bilinear(top, lateral.shape[2:])
        maps.insert(0, part(top, f"fpn_out.{level}.0", 1))
    fused = torch.cat([maps[0], *(bilinear(one, maps[0].shape[2:]) for one in maps[1:])], 1)
    fused = part(fused, "conv_last.0", 1)
    return F.conv2d(fused, decoder["conv_last.1.weight"], decoder["conv_last.1.bias"])


def drn_logits(t: Tensors, x: Tensor) -> Tensor:
    """DRN-D-105: logits of the 1x1 layer, at an eighth of the size."""

    def plain(x: Tensor, layer: int, stride: int = 1, padding: int = 1, dilation: int = 1) -> Tensor:
        x = F.conv2d(x, t[f"base.{layer}.0.weight"], None, stride, padding, dilation)
        return F.relu(batch_norm(x, t, f"base.{layer}.1"))

    x = plain(plain(plain(x, 0, padding=3), 1), 2, stride=2)
    for layer, blocks, stride, dilation in ((3, 3, 2, 1), (4, 4, 2, 1), (5, 23, 1, 2), (6, 3, 1, 4)):
        for block in range(blocks):
            x = residual(x, t, f"base.{layer}.{block}", stride if block == 0 else 1, dilation)
    x = plain(plain(x, 7, padding=2, dilation=2), 8)
    return F.conv2d(x, t["seg.weight"], t["seg.bias"])


def drn_log_probabilities(t: Tensors, x: Tensor) -> NDArray[np.float32]:
    enlarged = F.conv_transpose2d(drn_logits(t, x), t["up.weight"], stride=8, padding=4, groups=19)
    return np.asarray(F.log_softmax(enlarged, dim=1)[0].numpy())


def triangle(x: float) -> float:
    return max(0.0, 1.0 - abs(x))


def cubic(x: float) -> float:
    """Keys' cubic with a = -0.5."""
    x = abs(x)
    if x < 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0


def pil_matrix(inputs: int, outputs: int, kernel: Callable[[float], float], reach: float) -> NDArray[np.float64]:
    """(outputs, inputs) weights of PIL's resizing: the kernel widens with the step where an image shrinks."""
    step = inputs / outputs
    wide = max(step, 1.0)
    matrix = np.zeros((outputs, inputs))
    for place in range(outputs):
        centre = (place + 0.5) * step
        first, last = max(0, int(centre - reach * wide + 0.5)), min(inputs, int(centre + reach * wide + 0.5))
        weights = [kernel((source - centre + 0.5) * (1.0 / wide)) for source in range(first, last)]
        matrix[place, first:last] = np.array(weights) / sum(weights)
    return matrix


def pil_resized(image: Image, size: Size, kernel: Callable[[float], float], reach: float) -> Image:
    """PIL on 8 bits: weights in units of 2**-22, rows first, rounded to 8 bits after each of the two passes."""

    def one_pass(values: NDArray[np.int64], length: int) -> NDArray[np.int64]:
        """Along the second axis."""
        exact = pil_matrix(values.shape[1], length, kernel, reach) * 2**22
        weights = np.where(exact < 0, exact - 0.5, exact + 0.5).astype(np.int64)
        found = np.einsum("oi,aic->aoc", weights, values)
        return ((found + 2**21) >> 22).clip(0, 255)

    across = one_pass(image.astype(np.int64), size[1])
    down = one_pass(across.transpose(1, 0, 2), size[0]).transpose(1, 0, 2)
    return down.astype(np.uint8)


def pil_resized_scores(scores: NDArray[np.float32], size: Size) -> NDArray[np.float32]:
    """PIL's bilinear on float images (K, h, w): sums in float64, tap by tap, float32 after each pass."""
    if scores.shape[1:] == size:
        return scores

    def one_pass(values: NDArray[np.float32], length: int) -> NDArray[np.float32]:
        """Along the last axis."""
        matrix = pil_matrix(values.shape[-1], length, triangle, 1.0)
        total = np.zeros((*values.shape[:-1], length))
        for source in range(values.shape[-1]):
            total += values[..., source, None].astype(np.float64) * matrix[:, source]
        return total.astype(np.float32)

    across = one_pass(scores, size[1])
    return one_pass(across.transpose(0, 2, 1), size[0]).transpose(0, 2, 1)


def from_zero_to_one(image: Image, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """(1, 3, H, W) float32: RGB / 255, then each channel less its mean, divided by its deviation."""
    planes = []
    for channel in range(3):
        plane = torch.from_numpy(np.float32(image[:, :, channel]) / np.float32(255))
        planes.append((plane - np.float32(mean[channel])) / np.float32(std[channel]))
    return torch.stack(planes)[None]


def deeplab_labels(t: Tensors, image: Image, size: Size) -> NDArray[np.int64]:
    blue_first = np.float32(image[:, :, [2, 1, 0]])
    blue_first -= np.array((104.008, 116.669, 122.675))
    logits = deeplab_logits(t, torch.from_numpy(blue_first.transpose(2, 0, 1).copy())[None])
    return np.asarray(F.softmax(bilinear(logits, size), dim=1).argmax(dim=1)[0].numpy())


def upernet_labels(
    encoder: Tensors, decoder: Tensors, image: Image, size: Size, short_sides: Sequence[int], *, long_side: int = 1000
) -> NDArray[np.int64]:
    height, width = image.shape[:2]
    scores = torch.zeros(1, 150, *size)
    for short_side in short_sides:
        factor = min(short_side / min(height, width), long_side / max(height, width))
        target = tuple((int(side * factor) + 31) // 32 * 32 for side in (height, width))
        resized = pil_resized(image, (target[0], target[1]), triangle, 1.0)
        x = from_zero_to_one(resized, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
        logits = bilinear(upernet_logits(encoder, decoder, x), size)
        scores = scores + F.softmax(logits, dim=1) / len(short_sides)
    return np.asarray(scores.argmax(dim=1)[0].numpy())


def drn_labels(t: Tensors, image: Image, size: Size, scales: Sequence[float] = ()) -> NDArray[np.int64]:
    """With ``scales``, as its --ms: the image as it is and at each scale, summed at the image's size."""
    mean = (0.29010095242892997, 0.32808144844279574, 0.28696394422942517)
    std = (0.1829540508368939, 0.18656561047509476, 0.18447508988480435)
    height, width = image.shape[:2]
    total = drn_log_probabilities(t, from_zero_to_one(image, mean, std))
    if scales:
        total = pil_resized_scores(total, (height, width))
    for scale in scales:
        resized = pil_resized(image, (int(height * scale), int(width * scale)), cubic, 2.0)
        found = drn_log_probabilities(t, from_zero_to_one(resized, mean, std))
        total = total + pil_resized_scores(found, (height, width))
    return pil_resized_scores(total, size).argmax(axis=0)


def counted(truth: NDArray[np.integer], labels: NDArray[np.integer]) -> Counter[tuple[int, int]]:
    """Pixels by (ground truth, class), one pixel after the other."""
    counts: Counter[tuple[int, int]] = Counter()
    for row, found in zip(truth.tolist(), labels.tolist(), strict=True):
        for true, seen in zip(row, found, strict=True):
            counts[true, seen] += 1
    return counts
