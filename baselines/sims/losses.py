"""The losses of SIMS' three networks. Letters of shapes: N images, K classes, C channels, H height and W width."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

SEMANTIC_WEIGHT = 10.0
"""Of the cross-entropy beside the perceptual loss (facts, section 5)."""

COLOUR_WEIGHT = 0.5
"""Of the masked L1 beside the distance of the masks (reconstruction)."""

Features = Callable[[Tensor], list[Tensor]]
"""Images (N, 3, H, W) in [-1, 1] to feature maps (N, C, h, w), the image itself not among them."""


@dataclass(frozen=True, kw_only=True)
class Perceptual:
    """A perceptual loss: features, and what the distance in each is divided by."""

    name: str
    """Which network's features; written beside every number that comes of it."""
    features: Features
    divisors: tuple[float, ...]
    """For the image itself (distances of values from 0 to 255), then for each feature map."""

    def __post_init__(self) -> None:
        if not self.divisors or min(self.divisors) <= 0:
            raise ValueError(f"Perceptual.divisors is {self.divisors}; give a positive number for each distance")


def perceptual_loss(fake: Tensor, real: Tensor, perceptual: Perceptual) -> Tensor:
    """CRN's loss for one image: mean absolute distances of images (N, 3, H, W) in [-1, 1] and of their features.

    CRN weights the error with the area-averaged one-hot map and adds up over the classes. The map's channels sum to 1
    at every pixel, so with one image that is the plain mean; only the choice among several images needs the classes.
    Raises ValueError where the number of feature maps is not that of the divisors.
    """
    with torch.no_grad():
        wanted = [real * 127.5, *perceptual.features(real)]
    found = [fake * 127.5, *perceptual.features(fake)]
    if len(found) != len(perceptual.divisors):
        raise ValueError(
            f"perceptual features {perceptual.name!r} gave {len(found) - 1} maps; there are divisors for "
            f"{len(perceptual.divisors) - 1}"
        )
    return torch.stack(
        [F.l1_loss(one, other) / by for one, other, by in zip(found, wanted, perceptual.divisors, strict=True)]
    ).sum()


def synthesis_losses(
    image: Tensor, logits: Tensor, real: Tensor, classes: Tensor, perceptual: Perceptual
) -> dict[str, Tensor]:
    """The terms of the synthesis network's loss, weighted; it minimises their sum.

    ``image`` and ``real`` (N, 3, H, W) for [-1, 1], ``logits`` (N, K, H, W), ``classes`` (N, H, W) int64.
    """
    return {
        "perceptual": perceptual_loss(image, real, perceptual),
        "semantic": SEMANTIC_WEIGHT * F.cross_entropy(logits, classes),
    }


def placement_losses(moved: Tensor, moved_mask: Tensor, wanted: Tensor, wanted_mask: Tensor) -> dict[str, Tensor]:
    """The terms of the transformation network's loss: masked L1 of the colours, and how far the masks are apart.

    ``masked_l1`` is the mean absolute difference, from 0 to 1, of two segments (N, 3, H, W) in [-1, 1], 0 outside their
    masks, over the pixels that both cover: a mean, so a segment gains nothing by covering fewer pixels. It is divided
    by at least a quarter of the wanted area, which bounds its gradient, and weighs COLOUR_WEIGHT. Alone it would not
    tell where a segment should lie, so the masks (N, 1, H, W) in [0, 1] add ``apart``: one minus the soft Dice
    coefficient 2 ab / (aa + bb) of the masks, blurred. Unblurred, the gradient of bilinear sampling where a map meets
    whole pixels is one-sided. Reconstruction: the facts say "masked L1".
    """
    both = moved_mask * wanted_mask
    least = wanted_mask.sum((1, 2, 3)).clamp_min(1.0) / 4
    differences = ((moved - wanted).abs().mean(1, keepdim=True) / 2 * both).sum((1, 2, 3))
    colours = differences / torch.maximum(both.sum((1, 2, 3)), least)
    one, other = blurred(moved_mask), blurred(wanted_mask)
    squares = (one.square() + other.square()).sum((1, 2, 3)).clamp_min(1e-6)
    apart = 1 - 2 * (one * other).sum((1, 2, 3)) / squares
    return {"masked_l1": COLOUR_WEIGHT * colours.mean(), "apart": apart.mean()}


def blurred(masks: Tensor) -> Tensor:
    """Masks (N, 1, H, W) averaged twice over squares that reach a 32nd of the height to each side."""
    reach = max(1, round(masks.shape[2] / 32))
    for _ in range(2):
        masks = F.avg_pool2d(masks, 2 * reach + 1, stride=1, padding=reach)
    return masks
