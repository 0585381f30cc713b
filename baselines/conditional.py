"""The decoder on normalizations whose scale and shift are the same at every pixel: SPADE's relatives.

The paper (section 3.1) names two special cases of SPADE. With the class label of the image in place of the map it is
conditional batch norm (Dumoulin et al. 2016; de Vries et al. 2017); with a real image in place of the map and
statistics of each image alone it is adaptive instance norm, AdaIN (Huang and Belongie 2017). Here both stand in the
paper's decoder in place of SPADE, so the label map reaches its first layer alone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.settings import ConditionalDecoderSettings
from spade_core.generators import SpadeGenerator
from spade_core.label_spec import LabelSpec
from spade_core.labels import LabelMap
from spade_core.normalization import leaky_relu, param_free_norm
from spade_core.settings import NormKind
from spade_core.spectral_norm import conv2d


class ConditionalNorm(nn.Module):
    """Normalization without parameters, times 1 + gamma, plus beta; both are affine functions of a vector.

    Over a batch and with the one-hot class as the vector: conditional batch norm. Over each image alone and with a
    style code: AdaIN, whose standard deviation and mean of the style are 1 + gamma and beta.
    """

    def __init__(self, channels: int, condition: int, norm: NormKind) -> None:
        """``channels`` C of the features, ``condition`` D the length of the vector."""
        super().__init__()
        self.param_free_norm = param_free_norm(norm, channels)
        self.to_gamma = nn.Linear(condition, channels)
        self.to_beta = nn.Linear(condition, channels)

    def forward(self, x: Tensor, vector: Tensor) -> Tensor:
        """Features (N, C, H, W) modulated by vectors (N, D)."""
        gamma, beta = self.to_gamma(vector)[:, :, None, None], self.to_beta(vector)[:, :, None, None]
        modulated: Tensor = self.param_free_norm(x) * (1 + gamma) + beta
        return modulated


class ConditionalResBlock(nn.Module):
    """The residual block of the decoder with ConditionalNorm in place of SPADE."""

    def __init__(
        self, channels_in: int, channels_out: int, condition: int, *, norm: NormKind, spectral_norm: bool
    ) -> None:
        super().__init__()
        middle = min(channels_in, channels_out)
        self.conv_0 = conv2d(channels_in, middle, 3, padding=1, spectral_norm=spectral_norm)
        self.conv_1 = conv2d(middle, channels_out, 3, padding=1, spectral_norm=spectral_norm)
        self.norm_0 = ConditionalNorm(channels_in, condition, norm)
        self.norm_1 = ConditionalNorm(middle, condition, norm)
        self.conv_s: nn.Conv2d | None = None
        self.norm_s: ConditionalNorm | None = None
        if channels_in != channels_out:
            self.conv_s = conv2d(channels_in, channels_out, 1, bias=False, spectral_norm=spectral_norm)
            self.norm_s = ConditionalNorm(channels_in, condition, norm)

    def forward(self, x: Tensor, vector: Tensor) -> Tensor:
        """Features (N, C_in, H, W) to (N, C_out, H, W)."""
        shortcut = x
        if self.conv_s is not None and self.norm_s is not None:
            shortcut = self.conv_s(self.norm_s(x, vector))
        residual = self.conv_0(leaky_relu(self.norm_0(x, vector)))
        residual = self.conv_1(leaky_relu(self.norm_1(residual, vector)))
        return torch.add(shortcut, residual)


class ConditionalDecoder(nn.Module):
    """The paper's decoder from the label map at its start, on ConditionalNorm; see ConditionalDecoderSettings."""

    def __init__(self, settings: ConditionalDecoderSettings, spec: LabelSpec, size: tuple[int, int]) -> None:
        super().__init__()
        self.settings = settings
        condition = spec.ids if settings.condition == "class" else settings.z_dim

        def block(channels_in: int, channels_out: int) -> nn.Module:
            return ConditionalResBlock(
                channels_in, channels_out, condition, norm=settings.norm, spectral_norm=settings.spectral_norm
            )

        self.decoder = SpadeGenerator(spec, size, width=settings.width, upsampling=settings.upsampling, block=block)

    def forward(self, label_map: LabelMap, z: Tensor | None = None) -> Tensor:
        """Images (N, 3, H, W) in [-1, 1] of the size of the label map.

        ``z`` (N, z_dim) is the style; None draws it from a standard normal distribution. A ValueError if its shape does
        not fit, or if it is given where the class conditions.
        """
        weight = self.decoder.conv_img.weight
        if self.settings.condition == "class":
            if z is not None:
                raise ValueError("this generator is conditioned by the class of the image and takes no z")
            vector = dominant_label(label_map).to(weight.dtype)
        else:
            expected = (len(label_map), self.settings.z_dim)
            vector = torch.randn(expected, dtype=weight.dtype, device=label_map.device) if z is None else z
            if vector.shape != expected:
                raise ValueError(f"z has the shape {tuple(vector.shape)}; it must be {expected}")
        images: Tensor = self.decoder(label_map, shown=vector)
        return images


def dominant_label(label_map: LabelMap) -> Tensor:
    """The label that covers most of each map, as a one-hot vector (N, K), int64; of equals the lowest id."""
    ids = label_map.labels.long().flatten(1)
    counts = torch.zeros(len(ids), label_map.spec.ids, dtype=torch.int64, device=ids.device)
    counts.scatter_add_(1, ids, torch.ones_like(ids))
    most = (counts == counts.amax(1, keepdim=True)).long().argmax(1)
    return F.one_hot(most, label_map.spec.ids)
