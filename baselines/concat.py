"""The "decoder w/ Concat" of Table 3.

A reconstruction: the paper says only that the label map is the input of all intermediate layers by concatenation along
the channels, and no code was released. Concatenation to the input of all three convolutions of every block, over a
normalization without parameters, gives the published number of parameters (79,226,115 on ADE20K against 79M).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from baselines.settings import ConcatDecoderSettings
from spade_core.generators import SpadeGenerator
from spade_core.label_layers import convolved_with_map
from spade_core.label_spec import LabelSpec
from spade_core.labels import LabelMap
from spade_core.normalization import leaky_relu, param_free_norm
from spade_core.settings import NormKind
from spade_core.spectral_norm import conv2d


class ConcatResBlock(nn.Module):
    """The residual block of the decoder with plain normalization, and the label map at every convolution."""

    def __init__(
        self, channels_in: int, channels_out: int, spec_channels: int, *, norm: NormKind, spectral_norm: bool
    ) -> None:
        super().__init__()
        middle = min(channels_in, channels_out)
        self.conv_0 = conv2d(channels_in + spec_channels, middle, 3, padding=1, spectral_norm=spectral_norm)
        self.conv_1 = conv2d(middle + spec_channels, channels_out, 3, padding=1, spectral_norm=spectral_norm)
        self.norm_0 = param_free_norm(norm, channels_in)
        self.norm_1 = param_free_norm(norm, middle)
        self.conv_s: nn.Conv2d | None = None
        self.norm_s: nn.Module | None = None
        if channels_in != channels_out:
            self.conv_s = conv2d(channels_in + spec_channels, channels_out, 1, bias=False, spectral_norm=spectral_norm)
            self.norm_s = param_free_norm(norm, channels_in)

    def forward(self, x: Tensor, label_map: LabelMap) -> Tensor:
        """Features (N, C_in, H, W) to (N, C_out, H, W)."""
        shortcut = x
        if self.conv_s is not None and self.norm_s is not None:
            shortcut = convolved_with_map(self.conv_s, self.norm_s(x), label_map)
        residual = convolved_with_map(self.conv_0, leaky_relu(self.norm_0(x)), label_map)
        residual = convolved_with_map(self.conv_1, leaky_relu(self.norm_1(residual)), label_map)
        return torch.add(shortcut, residual)


def concat_decoder(settings: ConcatDecoderSettings, spec: LabelSpec, size: tuple[int, int]) -> SpadeGenerator:
    """The decoder skeleton with ConcatResBlock for its blocks, for images of ``size`` (h, w) in pixels."""

    def block(channels_in: int, channels_out: int) -> nn.Module:
        return ConcatResBlock(
            channels_in,
            channels_out,
            spec.channels,
            norm=settings.norm,
            spectral_norm=settings.spectral_norm,
        )

    return SpadeGenerator(spec, size, width=settings.width, upsampling=settings.upsampling, block=block)
