"""SPADE with its figures taken at their word, where the released code departs from them.

Figure 11: ReLU in the residual block, and a shortcut of SPADE, ReLU and a 3 x 3 convolution. Figure 12: the decoder
starts from a random vector at 4 px height. A reconstruction: no code was released for it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from baselines.settings import SpadeLiteralSettings
from spade_core.generators import SpadeGenerator
from spade_core.label_spec import LabelSpec
from spade_core.labels import LabelMap
from spade_core.normalization import SPADE
from spade_core.spectral_norm import conv2d


class LiteralResBlock(nn.Module):
    """SPADE ResBlk as figure 11 draws it: SPADE, ReLU, 3 x 3 convolution, twice, and once more for the shortcut."""

    def __init__(self, channels_in: int, channels_out: int, spec_channels: int, settings: SpadeLiteralSettings) -> None:
        super().__init__()
        middle = min(channels_in, channels_out)
        kernel, spectral = settings.shortcut_kernel, settings.spectral_norm

        def spade(channels: int) -> SPADE:
            return SPADE(channels, spec_channels, settings.norm, settings.kernel, settings.hidden)

        self.conv_0 = conv2d(channels_in, middle, 3, padding=1, spectral_norm=spectral)
        self.conv_1 = conv2d(middle, channels_out, 3, padding=1, spectral_norm=spectral)
        self.norm_0 = spade(channels_in)
        self.norm_1 = spade(middle)
        self.conv_s: nn.Conv2d | None = None
        self.norm_s: SPADE | None = None
        if channels_in != channels_out:
            padding = kernel // 2
            self.conv_s = conv2d(channels_in, channels_out, kernel, padding=padding, bias=False, spectral_norm=spectral)
            self.norm_s = spade(channels_in)

    def forward(self, x: Tensor, label_map: LabelMap) -> Tensor:
        """Features (N, C_in, H, W) to (N, C_out, H, W)."""
        shortcut = x
        if self.conv_s is not None and self.norm_s is not None:
            shortcut = self.conv_s(self.norm_s(x, label_map, slope=0.0))
        residual = self.conv_0(self.norm_0(x, label_map, slope=0.0))
        residual = self.conv_1(self.norm_1(residual, label_map, slope=0.0))
        return torch.add(shortcut, residual)


def literal_decoder(settings: SpadeLiteralSettings, spec: LabelSpec, size: tuple[int, int]) -> SpadeGenerator:
    """The decoder of figures 11 and 12 for images of ``size`` (h, w) in pixels: six doublings, from 4 px at 256."""

    def block(channels_in: int, channels_out: int) -> nn.Module:
        return LiteralResBlock(channels_in, channels_out, spec.channels, settings)

    z_dim = settings.z_dim if settings.source == "z" else None
    return SpadeGenerator(spec, size, width=settings.width, upsampling="more", block=block, z_dim=z_dim)
