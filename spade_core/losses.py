"""Losses of the paper and of pix2pixHD.

Features are what MultiscaleDiscriminator returns: per scale the outputs (N, C, H, W) of all layers, the last of them
the logits; adversarial losses take the logits alone, one map (N, 1, H, W) per scale. All losses are scalars without
weights; the recipe multiplies them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Features = Sequence[Sequence[Tensor]]
Reduction = Literal["mean", "sum"]
"""Over the scales: SPADE takes the mean, pix2pixHD the sum. Over patches and images it is always the mean."""


def hinge_discriminator_loss(
    fake: Sequence[Tensor], real: Sequence[Tensor], reduction: Reduction = "mean"
) -> tuple[Tensor, Tensor]:
    """max(0, 1 + logit) of the fake images and max(0, 1 - logit) of the real ones, in this order.

    Paper, section 3 (hinge in place of least squares); the released code adds the two without a factor 0.5.
    """
    return (
        _over_scales([F.relu(1 + logits).mean() for logits in fake], reduction),
        _over_scales([F.relu(1 - logits).mean() for logits in real], reduction),
    )


def hinge_generator_loss(fake: Sequence[Tensor], reduction: Reduction = "mean") -> Tensor:
    """Minus the logits of the fake images."""
    return _over_scales([-logits.mean() for logits in fake], reduction)


def least_squares_discriminator_loss(
    fake: Sequence[Tensor], real: Sequence[Tensor], reduction: Reduction = "mean"
) -> tuple[Tensor, Tensor]:
    """Squared distance from 0 of the logits of the fake images and from 1 of the real ones, in this order (LSGAN)."""
    return (
        _over_scales([logits.square().mean() for logits in fake], reduction),
        _over_scales([(logits - 1).square().mean() for logits in real], reduction),
    )


def least_squares_generator_loss(fake: Sequence[Tensor], reduction: Reduction = "mean") -> Tensor:
    """Squared distance from 1 of the logits of the fake images."""
    return _over_scales([(logits - 1).square().mean() for logits in fake], reduction)


def feature_matching_loss(fake: Features, real: Features) -> Tensor:
    """Mean over the scales of the sum over the intermediate layers of the L1 distance; no gradient into ``real``."""
    if len(fake) != len(real) or any(len(f) != len(r) for f, r in zip(fake, real, strict=True)):
        raise ValueError("fake and real features come from different discriminators: their numbers of layers differ")
    scales = [
        torch.stack([F.l1_loss(f, r.detach()) for f, r in zip(fakes[:-1], reals[:-1], strict=True)]).sum()
        for fakes, reals in zip(fake, real, strict=True)
    ]
    return torch.stack(scales).mean()


def kl_divergence(mu: Tensor, logvar: Tensor) -> Tensor:
    """Divergence of N(mu, exp(logvar)) from N(0, 1): the sum over the dimensions, the mean over the N images.

    The released code sums over the images of one GPU, so its weight 0.05 with 4 images a GPU is 0.2 here. Both inputs
    are (N, z_dim).
    """
    return (-0.5 * (1 + logvar - mu.square() - logvar.exp()).sum(dim=1)).mean()


def _over_scales(losses: Sequence[Tensor], reduction: Reduction) -> Tensor:
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction is {reduction!r}; allowed are 'mean' and 'sum'")
    stacked = torch.stack(list(losses))
    return stacked.mean() if reduction == "mean" else stacked.sum()
