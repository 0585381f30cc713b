"""The image encoder of the variational variant (paper, section 3 and figure 14)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spade_core.normalization import leaky_relu, param_free_norm
from spade_core.released import ReleasedFormat, released_format
from spade_core.spectral_norm import conv2d

_INPUT_PX = 256
_OUTPUT_PX = 4


class ImageEncoder(nn.Module):
    """An image to the mean and log variance of a normal distribution; names as in the released checkpoints.

    Six 3 x 3 convolutions of stride 2 with instance norm and leaky ReLU on the image at 256 x 256 pixels.
    """

    def __init__(self, *, width: int, z_dim: int, spectral_norm: bool) -> None:
        super().__init__()

        def layer(channels_in: int, channels_out: int) -> nn.Sequential:
            conv = conv2d(channels_in, channels_out, 3, stride=2, padding=1, bias=False, spectral_norm=spectral_norm)
            return nn.Sequential(conv, param_free_norm("instance", channels_out))

        self.layer1 = layer(3, width)
        self.layer2 = layer(width, 2 * width)
        self.layer3 = layer(2 * width, 4 * width)
        self.layer4 = layer(4 * width, 8 * width)
        self.layer5 = layer(8 * width, 8 * width)
        self.layer6 = layer(8 * width, 8 * width)
        self.fc_mu = nn.Linear(8 * width * _OUTPUT_PX**2, z_dim)
        self.fc_var = nn.Linear(8 * width * _OUTPUT_PX**2, z_dim)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance (N, z_dim) of images (N, 3, H, W) in [-1, 1] of any size.

        Other sizes than 256 x 256 are resized bilinearly. (Figure 14 says sigma squared; the released code, whose
        layer is named fc_var, treats it as the logarithm.)
        """
        x = image
        if x.shape[2:] != (_INPUT_PX, _INPUT_PX):
            x = F.interpolate(x, size=(_INPUT_PX, _INPUT_PX), mode="bilinear")
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4, self.layer5, self.layer6):
            x = leaky_relu(layer(x))
        x = x.flatten(1)
        return self.fc_mu(x), self.fc_var(x)

    def released_formats(self) -> Sequence[ReleasedFormat]:
        """The names are the released ones."""
        return [released_format("ConvEncoder", self, {"": ""})]


def reparameterize(mu: Tensor, logvar: Tensor, noise: Tensor) -> Tensor:
    """mu + noise * exp(logvar / 2); all (N, z_dim), ``noise`` standard normal."""
    return mu + noise * torch.exp(0.5 * logvar)
