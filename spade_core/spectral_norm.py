"""Spectral normalization in the released order: v, then u, one power iteration per training forward.

The same numbers as ``torch.nn.utils.spectral_norm`` (and the same names: ``weight_orig``, ``weight_u``, ``weight_v``),
without its hooks: no plain ``weight`` tensor lies about that a deepcopy, an initialization or a move to another device
could miss.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spade_core.memory_format import channels_last_parameters
from spade_core.plain import computes_plainly

_EPS = 1e-12


class SpectralNormConvolution(nn.Module):
    """What the spectrally normalized convolutions share; not to be used alone.

    ``weight_orig`` is the parameter, ``weight_u`` (out) and ``weight_v`` (the rest) are buffers of unit length. A
    forward in training mode does one power iteration; in eval mode the stored vectors are used.
    """

    weight_orig: nn.Parameter
    weight_u: Tensor
    weight_v: Tensor
    stored_axes = (0, 1, 2, 3)
    """The axes of ``weight_orig`` with the output channels first, then the others as they lie in memory."""

    def matrix(self) -> Tensor:
        """``weight_orig`` as a matrix (output channels, all the rest), without a copy."""
        return self.weight_orig.permute(self.stored_axes).flatten(1)

    def stored_v(self) -> Tensor:
        """``weight_v`` in the order of the columns of ``matrix``."""
        first, *rest = self.stored_axes
        logical = [axis for axis in range(4) if axis != first]
        sizes = [self.weight_orig.shape[axis] for axis in logical]
        return self.weight_v.view(sizes).permute([logical.index(axis) for axis in rest]).flatten()

    def singular(self) -> tuple[Tensor, Tensor, Tensor]:
        """The estimated largest singular value, without gradient, and copies of u and of ``stored_v``.

        Iterates once in training mode. Copies, because a second forward writes to the buffers before the backward of
        the first.
        """
        with torch.no_grad():
            matrix, v = self.matrix(), self.stored_v()
            if not self.training:
                u = self.weight_u.clone()
                return torch.dot(u, torch.mv(matrix, v)), u, v
            v = F.normalize(torch.mv(matrix.t(), self.weight_u), dim=0, eps=_EPS)
            product = torch.mv(matrix, v)
            u = F.normalize(product, dim=0, eps=_EPS)
            self.weight_u.copy_(u)
            self._store_v(v)
            return torch.dot(u, product), u, v

    def normalized_weight(self) -> Tensor:
        """The weight divided by its estimated largest singular value; iterates once in training mode."""
        with _without_autocast(self.weight_orig.device):
            _, u, v = self.singular()
            weight: Tensor = self.weight_orig / torch.dot(u, torch.mv(self.matrix(), v))
            return weight

    def _store_v(self, v: Tensor) -> None:
        first, *rest = self.stored_axes
        logical = [axis for axis in range(4) if axis != first]
        sizes = [self.weight_orig.shape[axis] for axis in rest]
        self.weight_v.copy_(v.view(sizes).permute([rest.index(axis) for axis in logical]).flatten())

    def _take_over_weight(self) -> None:
        channels_last_parameters(self)
        weight = self._parameters.pop("weight")
        assert weight is not None
        self.weight_orig = weight
        rows, columns = self.matrix().shape
        for name, length in (("weight_u", rows), ("weight_v", columns)):
            vector = torch.randn(length, dtype=weight.dtype, device=weight.device)
            self.register_buffer(name, F.normalize(vector, dim=0, eps=_EPS))


class _ScaledConvolution(torch.autograd.Function):
    """A convolution with weight / sigma that divides its output, for weights that are larger than the output."""

    @staticmethod
    def forward(
        ctx: Any,
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        singular: tuple[Tensor, Tensor, Tensor],
        stride: tuple[int, ...],
        padding: tuple[int, ...],
    ) -> Tensor:
        product = F.conv2d(input, weight, None, stride, padding)
        ctx.save_for_backward(input, weight, product, *singular)
        ctx.geometry, ctx.has_bias = (list(stride), list(padding)), bias is not None
        output = product / singular[0]
        return output if bias is None else output.add_(bias[:, None, None])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        input, weight, product, sigma, u, v = ctx.saved_tensors
        (gradient,) = gradients
        stride, padding = ctx.geometry
        to_input, to_weight = ctx.needs_input_grad[:2]
        of_input, of_weight, _ = torch.ops.aten.convolution_backward(
            gradient / sigma,
            input,
            weight,
            None,
            stride,
            padding,
            [1, 1],
            False,
            [0, 0],
            1,
            [to_input, to_weight, False],
        )
        if to_weight:
            # the derivative of 1 / sigma, in place: d sigma / d weight = u v^T
            of_weight = of_weight.contiguous(memory_format=torch.channels_last)
            through_sigma = -(gradient * product).sum() / sigma.square()
            of_weight.permute(SpectralNormConv2d.stored_axes).flatten(1).addr_(u * through_sigma, v)
        return of_input, of_weight, gradient.sum((0, 2, 3)) if ctx.has_bias else None, None, None, None


class SpectralNormConv2d(SpectralNormConvolution, nn.Conv2d):
    """``nn.Conv2d`` with a spectrally normalized weight; input and output (N, C, H, W)."""

    stored_axes = (0, 2, 3, 1)

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
        if self._divides_output(input):
            padding = self.padding
            assert isinstance(padding, tuple)
            scaled = _ScaledConvolution.apply(input, self.weight_orig, self.bias, self.singular(), self.stride, padding)
            assert isinstance(scaled, Tensor)
            return scaled
        output: Tensor = self._conv_forward(input, self.normalized_weight(), self.bias)
        return output

    def _divides_output(self, input: Tensor) -> bool:
        """Whether the output is smaller than the weight, so that dividing it is the cheaper way."""
        if input.device.type != "cpu" or torch.is_autocast_enabled("cpu") or computes_plainly():
            return False
        pixels = input.shape[0] * input.shape[2] * input.shape[3] // (self.stride[0] * self.stride[1])
        return pixels * self.out_channels < self.weight_orig.numel()


class SpectralNormConvTranspose2d(SpectralNormConvolution, nn.ConvTranspose2d):
    """``nn.ConvTranspose2d`` with a spectrally normalized weight; input and output (N, C, H, W)."""

    stored_axes = (1, 0, 2, 3)

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
