"""Residual blocks of the decoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spade_core.label_layers import weight_and_bias
from spade_core.labels import LabelMap
from spade_core.modulation import modulate
from spade_core.moments import shared_moments
from spade_core.normalization import LEAKY_SLOPE, SPADE, leaky_relu, modulations
from spade_core.plain import computes_plainly
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

    def forward(self, x: Tensor, label_map: LabelMap, *, doubled: bool = False) -> Tensor:
        """Features (N, C_in, H, W) to (N, C_out, H, W); with ``doubled`` to (N, C_out, 2 H, 2 W).

        ``doubled`` is the block on ``x`` with each pixel repeated twice in both directions, which never exists as such.
        """
        if computes_plainly():
            return self._at_every_pixel(F.interpolate(x, scale_factor=2, mode="nearest") if doubled else x, label_map)
        factor = 2 if doubled else 1
        size = (factor * x.shape[2], factor * x.shape[3])
        layers = [self.norm_0, self.norm_1, *([] if self.norm_s is None else [self.norm_s])]
        modulation_0, modulation_1, *modulation_s = modulations(layers, label_map, size)
        seeing_x = [layer.param_free_norm for layer in layers if layer is not self.norm_1]
        features, (moments_0, *moments_s) = shared_moments(seeing_x, x, copies=factor**2)
        residual = self.conv_0(modulate(features, modulation_0, moments_0, slope=LEAKY_SLOPE, doubled=doubled))
        if self.conv_s is None:
            shortcut = F.interpolate(x, scale_factor=2, mode="nearest") if doubled else x
        else:
            weight = weight_and_bias(self.conv_s)[0].flatten(1)
            shortcut = modulate(features, modulation_s[0], moments_s[0], doubled=doubled, projection=weight)
        residual, (moments_1,) = shared_moments([self.norm_1.param_free_norm], residual)
        residual = self.conv_1(modulate(residual, modulation_1, moments_1, slope=LEAKY_SLOPE))
        return torch.add(shortcut, residual)

    def _at_every_pixel(self, x: Tensor, label_map: LabelMap) -> Tensor:
        """For a compiled graph, whose sizes may not depend on the label map (see SPADE)."""
        shortcut = x
        if self.conv_s is not None and self.norm_s is not None:
            shortcut = self.conv_s(self.norm_s.at_every_pixel(x, label_map))
        residual = self.conv_0(leaky_relu(self.norm_0.at_every_pixel(x, label_map)))
        residual = self.conv_1(leaky_relu(self.norm_1.at_every_pixel(residual, label_map)))
        return torch.add(shortcut, residual)
