"""A convolution computed once for each distinct neighbourhood of the map, and not at every pixel."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from spade_core.row_sums import Bags, sum_rows_backward

_BLOCK_BYTES = 64 * 2**20
"""Products with all offsets of the kernel exist for so many channels at a time, to bound the memory they take."""

_FEWEST_CHANNELS = 32
"""Fewer would make the matrix products slow."""


def patch_table(hidden: Tensor, weight: Tensor, bias: Tensor | None, patches: Bags) -> Tensor:
    """The convolution with ``weight`` (C, M, k, k) of a map that has one of the D rows of ``hidden`` (D, M) at a pixel.

    Returns (E, C), one row for each of the E patches. ``patches`` has k * k entries for each: the number of the pixel's
    row plus (D + 1) times the offset's number; row D, outside the map, counts as zero, as a convolution pads. Instead
    of E products with the whole kernel it takes D with each offset of it, and adds them up.
    """
    result = _PatchTable.apply(hidden, weight, bias, patches)
    assert isinstance(result, Tensor)
    return result


class _PatchTable(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, patches: Bags) -> Tensor:
        ctx.save_for_backward(hidden, weight)
        ctx.patches, ctx.has_bias = patches, bias is not None
        offsets = weight.permute(2, 3, 0, 1).flatten(0, 1)
        result = hidden.new_empty(len(patches.entries), len(weight))
        for part in _channel_blocks(hidden, weight):
            products = hidden.new_empty(len(offsets), len(hidden) + 1, part.stop - part.start)
            products[:, -1] = 0
            for product, offset in zip(products, offsets, strict=True):
                torch.mm(hidden, offset[part].t(), out=product[:-1])
            result[:, part] = F.embedding_bag(patches.entries, products.flatten(0, 1), mode="sum")
        return result if bias is None else result.add_(bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor | None, None]:
        hidden, weight = ctx.saved_tensors
        (gradient,) = gradients
        offsets = weight.permute(2, 3, 0, 1).flatten(0, 1)
        hidden_gradient = torch.zeros_like(hidden)
        weight_gradient = torch.empty_like(weight, memory_format=torch.channels_last)
        offset_gradients = weight_gradient.permute(2, 3, 0, 1).flatten(0, 1)
        for part in _channel_blocks(hidden, weight):
            products = sum_rows_backward(gradient[:, part].contiguous(), ctx.patches)
            products = products.view(len(offsets), len(hidden) + 1, -1)
            for product, offset, target in zip(products[:, :-1], offsets, offset_gradients, strict=True):
                hidden_gradient.addmm_(product, offset[part])
                torch.mm(product.t(), hidden, out=target[part])
        return hidden_gradient, weight_gradient, gradient.sum(0) if ctx.has_bias else None, None


def _channel_blocks(hidden: Tensor, weight: Tensor) -> list[slice]:
    channels, _, height, width = weight.shape
    bytes_per_channel = height * width * (len(hidden) + 1) * hidden.element_size()
    block = max(_FEWEST_CHANNELS, _BLOCK_BYTES // bytes_per_channel // _FEWEST_CHANNELS * _FEWEST_CHANNELS)
    return [slice(begin, min(begin + block, channels)) for begin in range(0, channels, block)]
