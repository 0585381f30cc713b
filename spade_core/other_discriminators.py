"""Discriminators that the paper tried beside the patch discriminator: residual ones, and SPADE inside.

It says that both gave similar results at a higher cost in memory, and no more. So these are reconstructions: they keep
the scales, strides and channels of the patch discriminator, and return its kind of features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spade_core.discriminators import Conditioned, DiscriminatorLayer, doubling_widths, halved
from spade_core.normalization import LEAKY_SLOPE, SPADE, leaky_relu
from spade_core.settings import DiscriminatorSettings
from spade_core.spectral_norm import conv2d


class MultiscaleJudges(nn.Module):
    """Discriminators on the image at full size, half size and so on, each of which sees the label map itself."""

    def __init__(self, discriminators: Sequence[nn.Module]) -> None:
        super().__init__()
        self.discriminators = nn.ModuleList(discriminators)

    def forward(self, x: Conditioned) -> list[list[Tensor]]:
        """Per scale (full size first) the outputs of all layers, the last of them the logits (M * N, 1, h, w)."""
        results = []
        for index, discriminator in enumerate(self.discriminators):
            if index > 0:
                x = replace(x, images=halved(x.images))
            results.append(discriminator(x, index))
        return results


def multiscale_residual(settings: DiscriminatorSettings, channels_in: int) -> MultiscaleJudges:
    """Residual discriminators; ``channels_in`` counts the one-hot map and the image."""
    return MultiscaleJudges([ResidualDiscriminator(channels_in, settings) for _ in range(settings.scales)])


def multiscale_spade(settings: DiscriminatorSettings, channels_in: int) -> MultiscaleJudges:
    """Patch discriminators with SPADE inside; ``channels_in`` counts the one-hot map and the image."""
    return MultiscaleJudges([SpadePatchDiscriminator(channels_in, settings) for _ in range(settings.scales)])


class ResidualBlock(nn.Module):
    """x through two 3 x 3 convolutions, each behind a leaky ReLU, plus a 1 x 1 convolution of it; perhaps halved.

    Without normalization, as in the residual discriminators of Miyato and Koyama (2018) and Mescheder et al. (2018).
    """

    def __init__(self, channels_in: int, channels_out: int, *, halves: bool, first: bool, spectral_norm: bool) -> None:
        """``first`` is a block on the image itself, without the activation in front."""
        super().__init__()
        self.conv_0 = conv2d(channels_in, channels_out, 3, padding=1, spectral_norm=spectral_norm)
        self.conv_1 = conv2d(channels_out, channels_out, 3, padding=1, spectral_norm=spectral_norm)
        self.conv_s = conv2d(channels_in, channels_out, 1, bias=False, spectral_norm=spectral_norm)
        self.halves = halves
        self.first = first

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, C_in, H, W) to (N, C_out, H, W), or (N, C_out, H / 2, W / 2)."""
        residual = self.conv_1(leaky_relu(self.conv_0(x if self.first else leaky_relu(x))))
        if self.halves:
            residual, x = F.avg_pool2d(residual, 2), F.avg_pool2d(x, 2)
        return torch.add(residual, self.conv_s(x))


class ResidualDiscriminator(nn.Module):
    """Residual blocks on the one-hot map with the image behind it, and a logit for every patch."""

    def __init__(self, channels_in: int, settings: DiscriminatorSettings) -> None:
        """``settings.layers`` blocks, of which all but the last halve."""
        super().__init__()
        layers, spectral = settings.layers, settings.spectral_norm
        widths = doubling_widths(layers, settings.width)
        self.blocks = nn.ModuleList(
            ResidualBlock(before, channels, halves=number < layers - 1, first=number == 0, spectral_norm=spectral)
            for number, (before, channels) in enumerate(zip([channels_in, *widths[:-1]], widths, strict=True))
        )
        self.to_logits = nn.Conv2d(widths[-1], 1, 3, padding=1)

    def forward(self, x: Conditioned, halvings: int) -> list[Tensor]:
        """The output of every block, (M * N, C, H, W) each, and the logits; the images are halved so often already."""
        label_map, dtype = x.label_map, x.images.dtype
        one_hot = label_map.averaged(halvings, dtype) if halvings else label_map.one_hot(label_map.size, dtype)
        batches = len(x.images) // len(label_map)
        features = [torch.cat([one_hot.repeat(batches, 1, 1, 1), x.images], dim=1)]
        for block in self.blocks:
            features.append(block(features[-1]))
        features.append(self.to_logits(leaky_relu(features[-1])))
        return features[1:]


class SpadePatchDiscriminator(nn.Module):
    """The patch discriminator with SPADE on instance norm in place of its instance norms."""

    def __init__(self, channels_in: int, settings: DiscriminatorSettings) -> None:
        super().__init__()
        widths = doubling_widths(settings.layers, settings.width)

        def layer(before: int, channels: int, *, stride: int, spectral: bool) -> DiscriminatorLayer:
            return DiscriminatorLayer(
                before, channels, stride=stride, spectral_norm=spectral, norm=False, activation=False
            )

        self.first = layer(channels_in, settings.width, stride=2, spectral=False)
        self.middle = nn.ModuleList(
            layer(before, channels, stride=1 if last else 2, spectral=settings.spectral_norm)
            for before, channels, last in zip(
                widths[:-1], widths[1:], [False] * (settings.layers - 2) + [True], strict=True
            )
        )
        # the image is not among the channels that SPADE sees
        self.norms = nn.ModuleList(
            SPADE(channels, channels_in - 3, "instance", settings.kernel, settings.hidden) for channels in widths[1:]
        )
        self.to_logits = layer(widths[-1], 1, stride=1, spectral=False)

    def forward(self, x: Conditioned, halvings: int) -> list[Tensor]:
        """The output of every layer, (M * N, C, H, W) each, and the logits; the images are halved so often already."""
        batches = len(x.images) // len(x.label_map)
        features = [leaky_relu(self.first.of_map_and_image(x.label_map, x.images, halvings))]
        for layer, norm in zip(self.middle, self.norms, strict=True):
            # statistics are those of an image, so each batch passes by itself
            parts = layer(features[-1]).chunk(batches)
            features.append(torch.cat([norm(part, x.label_map, slope=LEAKY_SLOPE) for part in parts]))
        features.append(self.to_logits(features[-1]))
        return features
