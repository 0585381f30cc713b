"""Residual blocks of the decoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spade_core.labels import LabelMap
from spade_core.normalization import SPADE, leaky_relu
from spade_core.settings import SpadeSettings
from spade_core.spectral_norm import conv2d


class SpadeResBlock(nn.Module):
    """SPADE ResBlk (paper, figure 11), in its released form.

    Twice SPADE, leaky ReLU, 3 x 3 convolution. If the number of channels changes, the shortcut is SPADE and a 1 x 1
    convolution without bias and activation (figure 11 draws ReLU and 3 x 3; the parameter count of Table 3 says 1 x 1).
    """

    def __init__(self, channels_in: int, channels_out: int, spec_channels: int, settings: SpadeSettings) -> None:
        """``spec_channels`` K of the one-hot map; of the settings norm, kernel, hidden and spectral_norm count."""
        super().__init__()
        middle = min(channels_in, channels_out)
        spectral = settings.spectral_norm

        def spade(channels: int) -> SPADE:
            return SPADE(channels, spec_channels, settings.norm, settings.kernel, settings.hidden)

        self.conv_0 = conv2d(channels_in, middle, 3, padding=1, spectral_norm=spectral)
        self.conv_1 = conv2d(middle, channels_out, 3, padding=1, spectral_norm=spectral)
        self.norm_0 = spade(channels_in)
        self.norm_1 = spade(middle)
        self.conv_s: nn.Conv2d | None = None
        self.norm_s: SPADE | None = None
        if channels_in != channels_out:
            self.conv_s = conv2d(channels_in, channels_out, 1, bias=False, spectral_norm=spectral)
            self.norm_s = spade(channels_in)

    def forward(self, x: Tensor, label_map: LabelMap) -> Tensor:
        """Features (N, C_in, H, W) to (N, C_out, H, W)."""
        shortcut: Tensor = x
        if self.conv_s is not None and self.norm_s is not None:
            shortcut = self.conv_s(self.norm_s(x, label_map))
        residual = self.conv_0(leaky_relu(self.norm_0(x, label_map)))
        residual = self.conv_1(leaky_relu(self.norm_1(residual, label_map)))
        return torch.add(shortcut, residual)
