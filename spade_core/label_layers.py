"""Convolutions of the label map as sums of rows of their weights, for layers that see the map itself."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spade_core.labels import LabelMap, one_hot_dtype
from spade_core.plain import computes_plainly
from spade_core.spectral_norm import SpectralNormConvolution
from spade_core.windows import Frame


def convolved_map(convolution: nn.Conv2d, label_map: LabelMap, size: tuple[int, int], *, reflect: int = 0) -> Tensor:
    """``convolution`` (zero padding, one group, square kernel) of the one-hot map at ``size``: (N, C, h, w).

    ``reflect`` pads the map by reflection, so many pixels, in front of a convolution that does not pad.
    """
    weight, bias = weight_and_bias(convolution)
    if computes_plainly():
        one_hot = _reflected(label_map.one_hot(size, weight.dtype), reflect)
        return F.conv2d(one_hot, weight, bias, *_geometry(convolution))
    product = label_map.windows_at(size, _frame(convolution, reflect)).convolution(weight)
    return product if bias is None else product + bias[:, None, None]


def convolved_with_map(convolution: nn.Conv2d, x: Tensor, label_map: LabelMap, *, reflect: int = 0) -> Tensor:
    """``convolution`` of features (N, C, H, W) with the one-hot map at their size behind them; see ``convolved_map``.

    On few pixels the features and the map are joined as they stand; on many, the map's share is a sum of rows.
    """
    height, width = x.shape[2:]
    channels, map_channels = x.shape[1], label_map.spec.channels
    worth = len(label_map) * height * width * map_channels > _COPY_COST * convolution.in_channels
    if computes_plainly() or not worth:
        joined = torch.cat([x, label_map.one_hot((height, width), x.dtype)], dim=1)
        result: Tensor = convolution(_reflected(joined, reflect))
        return result
    weight, bias = weight_and_bias(convolution)
    product = label_map.windows_at((height, width), _frame(convolution, reflect)).convolution(weight[:, channels:])
    of_features = F.conv2d(_reflected(x, reflect).to(weight.dtype), weight[:, :channels], bias, *_geometry(convolution))
    return torch.add(of_features, product)


_COPY_COST = 160
"""Taking a weight apart costs as much time as convolving so many values for each of its input channels (measured)."""


def weight_and_bias(convolution: nn.Conv2d) -> tuple[Tensor, Tensor | None]:
    """What ``convolution`` computes with, in the type it computes in; a spectral norm iterates as in its forward."""
    spectral = isinstance(convolution, SpectralNormConvolution)
    weight: Tensor = convolution.normalized_weight() if spectral else convolution.weight  # type: ignore[operator]
    dtype = one_hot_dtype(weight)
    return weight.to(dtype), None if convolution.bias is None else convolution.bias.to(dtype)


def _geometry(convolution: nn.Conv2d) -> tuple[tuple[int, ...], tuple[int, ...]]:
    assert isinstance(convolution.padding, tuple)
    return convolution.stride, convolution.padding


def _frame(convolution: nn.Conv2d, reflect: int) -> Frame:
    stride, padding = _geometry(convolution)
    return Frame(
        kernel=convolution.kernel_size[0], stride=stride[0], padding=reflect or padding[0], reflect=reflect > 0
    )


def _reflected(x: Tensor, pixels: int) -> Tensor:
    return F.pad(x, (pixels, pixels, pixels, pixels), mode="reflect") if pixels else x
