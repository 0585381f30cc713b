"""Spectral normalization in the released order: v, then u, one power iteration per training forward.

The same numbers as ``torch.nn.utils.spectral_norm`` (and the same names: ``weight_orig``, ``weight_u``, ``weight_v``),
without its hooks: no plain ``weight`` tensor lies about that a deepcopy, an initialization or a move to another device
could miss.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_EPS = 1e-12


class SpectralNormConvolution(nn.Module):
    """What the spectrally normalized convolutions share; not to be used alone.

    ``weight_orig`` is the parameter, ``weight_u`` (out) and ``weight_v`` (the rest) are buffers of unit length. A
    forward in training mode does one power iteration; in eval mode the stored vectors are used.
    """

    weight_orig: nn.Parameter
    weight_u: Tensor
    weight_v: Tensor
    output_axis = 0
    """The axis of ``weight_orig`` that counts output channels."""

    def matrix(self) -> Tensor:
        """``weight_orig`` as a matrix (output channels, all the rest)."""
        weight: Tensor = self.weight_orig
        if self.output_axis != 0:
            weight = weight.transpose(0, self.output_axis)
        return weight.reshape(weight.shape[0], -1)

    def normalized_weight(self) -> Tensor:
        """The weight divided by its estimated largest singular value; iterates once in training mode."""
        with _without_autocast(self.weight_orig.device):
            matrix = self.matrix()
            if self.training:
                with torch.no_grad():
                    self.weight_v.copy_(F.normalize(torch.mv(matrix.t(), self.weight_u), dim=0, eps=_EPS))
                    self.weight_u.copy_(F.normalize(torch.mv(matrix, self.weight_v), dim=0, eps=_EPS))
            # copies, because a second forward writes to the buffers before the backward of the first
            u, v = self.weight_u.clone(), self.weight_v.clone()
            weight: Tensor = self.weight_orig / torch.dot(u, torch.mv(matrix, v))
            return weight

    def _take_over_weight(self) -> None:
        weight = self._parameters.pop("weight")
        assert weight is not None
        self.weight_orig = weight
        rows, columns = self.matrix().shape
        for name, length in (("weight_u", rows), ("weight_v", columns)):
            vector = torch.randn(length, dtype=weight.dtype, device=weight.device)
            self.register_buffer(name, F.normalize(vector, dim=0, eps=_EPS))


class SpectralNormConv2d(SpectralNormConvolution, nn.Conv2d):
    """``nn.Conv2d`` with a spectrally normalized weight; input and output (N, C, H, W)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        padding: int = 0,
        bias: bool = True,
    ) -> None:
        nn.Conv2d.__init__(self, in_channels, out_channels, kernel_size, stride=stride, padding=padding, bias=bias)
        self._take_over_weight()

    def forward(self, input: Tensor) -> Tensor:
        output: Tensor = self._conv_forward(input, self.normalized_weight(), self.bias)
        return output


class SpectralNormConvTranspose2d(SpectralNormConvolution, nn.ConvTranspose2d):
    """``nn.ConvTranspose2d`` with a spectrally normalized weight; input and output (N, C, H, W)."""

    output_axis = 1

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        padding: int = 0,
        output_padding: int = 0,
        bias: bool = True,
    ) -> None:
        nn.ConvTranspose2d.__init__(
            self,
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=padding,
            output_padding=output_padding,
            bias=bias,
        )
        self._take_over_weight()

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        assert output_size is None
        stride, padding, output_padding = self.stride, self.padding, self.output_padding
        assert isinstance(padding, tuple)
        return F.conv_transpose2d(input, self.normalized_weight(), self.bias, stride, padding, output_padding)


def conv2d(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    *,
    spectral_norm: bool,
    stride: int = 1,
    padding: int = 0,
    bias: bool = True,
) -> nn.Conv2d:
    """A convolution, spectrally normalized or not."""
    kind = SpectralNormConv2d if spectral_norm else nn.Conv2d
    return kind(in_channels, out_channels, kernel_size, stride=stride, padding=padding, bias=bias)


def _without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Full precision for the estimate of the singular value; the meta device knows no autocast."""
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)
