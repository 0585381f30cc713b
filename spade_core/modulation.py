"""Normalization, modulation and activation of features in one pass, with gamma and beta read from tables.

Works through the features in chunks that stay in the processor's cache, in the order N, H, W, C, so that the modulated
features are all that is written of their size. For the backward nothing of that size is kept but the input and the
output, which the convolutions before and behind keep as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from spade_core.moments import Moments

_CHUNK_VALUES = 2**18
"""Values in a chunk of features on the CPU; its buffers fit into the cache. An accelerator takes everything at once."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Modulation:
    """gamma and beta of every pixel of a batch of label maps, as rows of two tables."""

    gamma: Tensor
    """(R, C)"""
    beta: Tensor
    """(R, C)"""
    row_of_pixel: Tensor | None
    """(N * H * W,) int64; None where each pixel has a row of its own, in this order."""
    size: tuple[int, int]
    """H and W."""

    def maps(self) -> tuple[Tensor, Tensor]:
        """gamma and beta (N, C, H, W)."""
        return self._map(self.gamma), self._map(self.beta)

    def _map(self, table: Tensor) -> Tensor:
        rows = table if self.row_of_pixel is None else table[self.row_of_pixel]
        return rows.view(-1, *self.size, rows.shape[1]).permute(0, 3, 1, 2)


def modulate(
    x: Tensor,
    modulation: Modulation,
    moments: Moments | None,
    *,
    slope: float = 1.0,
    doubled: bool = False,
    projection: Tensor | None = None,
) -> Tensor:
    """leaky_relu((x - mean) * inverse_std * (1 + gamma) + beta), ``slope`` below zero; 1 leaves values as they are.

    ``x`` is (N, C, H, W), or (N, C, H / 2, W / 2) with ``doubled``, which repeats each of its pixels twice in both
    directions. ``moments`` None takes ``x`` as it is. The result (N, C, H, W) lies in memory in the order N, H, W, C.
    With ``projection`` (C', C), the weight of a 1 x 1 convolution, the result is that convolution's (N, C', H, W); what
    it is of never exists as a whole.
    """
    tables = modulation.gamma, modulation.beta, modulation.row_of_pixel
    projection = projection if projection is None else projection.to(x.dtype)
    output = _Modulate.apply(x, *tables, moments, slope, doubled, projection)
    assert isinstance(output, Tensor)
    return output


class _Modulate(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        gamma: Tensor,
        beta: Tensor,
        row_of_pixel: Tensor | None,
        moments: Moments | None,
        slope: float,
        doubled: bool,
        projection: Tensor | None,
    ) -> Tensor:
        source = _Rows(x, doubled)
        rows = _TableRows(gamma, beta, row_of_pixel, moments)
        output = source.new_output(x.shape[1] if projection is None else len(projection))
        for chunk in source.chunks():
            if projection is None:
                chunk.modulated(rows, slope, out=output[chunk.pixels])
            else:
                torch.mm(chunk.modulated(rows, slope), projection.t(), out=output[chunk.pixels])
        image = source.as_image(output)
        keeps_output = slope != 1.0 and projection is None
        ctx.save_for_backward(x, gamma, beta, row_of_pixel, projection, image if keeps_output else None)
        ctx.moments, ctx.slope, ctx.doubled = moments, slope, doubled
        return image

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, gamma, beta, row_of_pixel, projection, image = ctx.saved_tensors
        moments: Moments | None = ctx.moments
        source = _Rows(x, ctx.doubled)
        rows = _TableRows(gamma, beta, row_of_pixel, moments)
        incoming = _as_rows(gradients[0])
        output = _as_rows(image) if image is not None else None
        x_gradient = torch.empty_like(source.x)
        projection_gradient = None if projection is None else torch.zeros_like(projection)
        kind = torch.float64 if gamma.dtype == torch.float64 else torch.float32  # sums over many pixels
        gamma_gradient, beta_gradient = (torch.zeros_like(table, dtype=kind) for table in (gamma, beta))
        for chunk in source.chunks():
            gradient = incoming[chunk.pixels]
            activated = output[chunk.pixels] if output is not None else None
            if projection_gradient is not None:
                activated = chunk.modulated(rows, ctx.slope)
                projection_gradient.addmm_(gradient.t(), activated)
                gradient = torch.mm(gradient, projection)
            if activated is not None and ctx.slope != 1.0:
                gradient = torch.ops.aten.leaky_relu_backward(gradient, activated, ctx.slope, True)
            product = (chunk.shaped(gradient) * _normalized(chunk.x, moments)).view_as(gradient)
            if row_of_pixel is None:
                gamma_gradient[chunk.pixels], beta_gradient[chunk.pixels] = product, gradient
            else:
                gamma_gradient.index_add_(0, row_of_pixel[chunk.pixels], product.to(kind))
                beta_gradient.index_add_(0, row_of_pixel[chunk.pixels], gradient.to(kind))
            chunk.add_up(torch.mul(gradient, rows.scale_at(chunk.pixels), out=product), x_gradient)
        if moments is not None and moments.count is not None:
            _through_moments(x_gradient, source, gamma, gamma_gradient, beta_gradient, moments)
        table_gradients = gamma_gradient.to(gamma.dtype), beta_gradient.to(beta.dtype)
        return source.as_input(x_gradient), *table_gradients, None, None, None, None, projection_gradient


def _as_rows(image: Tensor) -> Tensor:
    """(N, C, H, W) to (N * H * W, C); copies unless the memory has that order already."""
    return image.permute(0, 2, 3, 1).reshape(-1, image.shape[1])


@dataclass(frozen=True, kw_only=True, eq=False)
class _Chunk:
    x: Tensor
    """(l, 1, w, 1, C): lines of the input."""
    lines: slice
    pixels: slice
    """The pixels of the output that come from these lines."""
    copies: int

    def shaped(self, rows: Tensor) -> Tensor:
        """Rows of the output's pixels, (l * copies * w * copies, C), beside ``x``."""
        lines, _, width, _, channels = self.x.shape
        return rows.view(lines, self.copies, width, self.copies, channels)

    def modulated(self, rows: _TableRows, slope: float, *, out: Tensor | None = None) -> Tensor:
        """The activated rows of the output's pixels, (pixels, C), written to ``out`` if that is given."""
        scale, shift = rows.at(self.pixels)
        result = torch.empty_like(shift, dtype=self.x.dtype) if out is None else out
        torch.addcmul(self.shaped(shift), self.x, self.shaped(scale), out=self.shaped(result))
        return result if slope == 1.0 else F.leaky_relu_(result, slope)

    def add_up(self, gradient: Tensor, x_gradient: Tensor) -> None:
        """Write the gradient of the input, (lines, w, C) in all, from that of its copies."""
        if self.copies == 1:
            x_gradient[self.lines] = self.shaped(gradient)[:, 0, :, 0]
        else:
            (a, b), (c, d) = (row.unbind(2) for row in self.shaped(gradient).unbind(1))
            torch.add(a, b, out=x_gradient[self.lines]).add_(c).add_(d)  # torch.sum over both is slow


class _Rows:
    """Features (N, C, H, W) as lines of pixels, (N * H, W, C), and what they become."""

    def __init__(self, x: Tensor, doubled: bool) -> None:
        self.shape = x.shape
        self.x = x.permute(0, 2, 3, 1).reshape(-1, x.shape[3], x.shape[1])
        self.copies = 2 if doubled else 1

    def chunks(self) -> Iterator[_Chunk]:
        lines, width, channels = self.x.shape
        pixels_of_line = width * self.copies**2
        step = max(1, _CHUNK_VALUES // (pixels_of_line * channels)) if self.x.device.type == "cpu" else lines
        for begin in range(0, lines, step):
            end = min(begin + step, lines)
            yield _Chunk(
                x=self.x[begin:end, None, :, None],
                lines=slice(begin, end),
                pixels=slice(begin * pixels_of_line, end * pixels_of_line),
                copies=self.copies,
            )

    def new_output(self, channels: int) -> Tensor:
        lines, width, _ = self.x.shape
        return self.x.new_empty(lines * width * self.copies**2, channels)

    def as_image(self, rows: Tensor) -> Tensor:
        images, _, height, width = self.shape
        return rows.view(images, height * self.copies, width * self.copies, -1).permute(0, 3, 1, 2)

    def as_input(self, lines: Tensor) -> Tensor:
        images, channels, height, width = self.shape
        return lines.view(images, height, width, channels).permute(0, 3, 1, 2)


class _TableRows:
    """Scale and shift of pixels: (1 + gamma) * inverse_std, and beta without what the mean adds."""

    def __init__(self, gamma: Tensor, beta: Tensor, row_of_pixel: Tensor | None, moments: Moments | None) -> None:
        self.row_of_pixel, self.moments = row_of_pixel, moments
        self.tables = (gamma, beta) if row_of_pixel is None else self._scale_and_shift(gamma, beta)
        self.buffers: dict[int, Tensor] = {}

    def at(self, pixels: slice) -> tuple[Tensor, Tensor]:
        """Scale and shift (pixels, C) each; valid until the next call."""
        if self.row_of_pixel is None:
            return self._scale_and_shift(self.tables[0][pixels], self.tables[1][pixels])
        return self._fetched(0, pixels), self._fetched(1, pixels)

    def scale_at(self, pixels: slice) -> Tensor:
        """The scale alone."""
        return self.at(pixels)[0] if self.row_of_pixel is None else self._fetched(0, pixels)

    def _fetched(self, table: int, pixels: slice) -> Tensor:
        assert self.row_of_pixel is not None
        index = self.row_of_pixel[pixels]
        buffer = self.buffers.get(table)
        if buffer is None or len(buffer) < len(index):
            buffer = self.buffers[table] = self.tables[table].new_empty(len(index), self.tables[table].shape[1])
        return torch.index_select(self.tables[table], 0, index, out=buffer[: len(index)])

    def _scale_and_shift(self, gamma: Tensor, beta: Tensor) -> tuple[Tensor, Tensor]:
        if self.moments is None:
            return 1 + gamma, beta
        mean, inverse_std = self.moments.mean, self.moments.inverse_std
        scale = torch.addcmul(inverse_std, gamma, inverse_std)
        return scale.to(gamma.dtype), torch.addcmul(beta, scale, mean, value=-1).to(beta.dtype)


def _normalized(x: Tensor, moments: Moments | None) -> Tensor:
    if moments is None:
        return x
    return torch.addcmul(-moments.mean * moments.inverse_std, x, moments.inverse_std).to(x.dtype)


def _through_moments(
    x_gradient: Tensor,
    source: _Rows,
    gamma: Tensor,
    gamma_gradient: Tensor,
    beta_gradient: Tensor,
    moments: Moments,
) -> None:
    """Add to ``x_gradient`` what reaches the input through mean and deviation.

    Both need the sums over all pixels of the normalized features' gradient and of its product with them; they are sums
    over the rows of the tables, because gamma is constant on the pixels of a row.
    """
    sums = torch.stack([beta_gradient, gamma_gradient])
    sums = (sums + sums * gamma).sum(1).to(moments.mean.dtype)
    if moments.sum_over_ranks is not None:
        moments.sum_over_ranks(sums)
    assert moments.count is not None
    of_mean, of_product = sums / moments.count * source.copies**2
    factor = -moments.inverse_std.square() * of_product
    constant = -moments.inverse_std * of_mean - moments.mean * factor
    x_gradient.add_(torch.addcmul(constant, source.x, factor))
