"""Losses of the paper and of pix2pixHD.

``outputs`` is always what MultiscaleDiscriminator returns: per scale the features (N, C, H, W) of all layers, the last
of them the logits. All losses are scalars without weights; the recipe multiplies them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Outputs = Sequence[Sequence[Tensor]]
Reduction = Literal["mean", "sum"]
"""Over the scales: SPADE takes the mean, pix2pixHD the sum. Over patches and images it is always the mean."""


def hinge_discriminator_loss(outputs: Outputs, *, real: bool, reduction: Reduction = "mean") -> Tensor:
    """max(0, 1 - logit) for real images, max(0, 1 + logit) for fake ones (paper, appendix; released GANLoss)."""
    sign = -1.0 if real else 1.0
    return _over_scales(outputs, lambda logits: F.relu(1 + sign * logits).mean(), reduction)


def hinge_generator_loss(outputs: Outputs, *, reduction: Reduction = "mean") -> Tensor:
    """Minus the logit of the fake images."""
    return _over_scales(outputs, lambda logits: -logits.mean(), reduction)


def least_squares_discriminator_loss(outputs: Outputs, *, real: bool, reduction: Reduction = "sum") -> Tensor:
    """Squared distance of the logits from 1 (real) or 0 (fake), as pix2pixHD; its sum over scales is the default."""
    target = 1.0 if real else 0.0
    return _over_scales(outputs, lambda logits: (logits - target).square().mean(), reduction)


def least_squares_generator_loss(outputs: Outputs, *, reduction: Reduction = "sum") -> Tensor:
    """Squared distance of the logits of the fake images from 1."""
    return least_squares_discriminator_loss(outputs, real=True, reduction=reduction)


def feature_matching_loss(fake: Outputs, real: Outputs) -> Tensor:
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


def _over_scales(outputs: Outputs, loss: Callable[[Tensor], Tensor], reduction: Reduction) -> Tensor:
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction is {reduction!r}; allowed are 'mean' and 'sum'")
    losses = torch.stack([loss(features[-1]) for features in outputs])
    return losses.mean() if reduction == "mean" else losses.sum()
