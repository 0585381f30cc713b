"""Normalizations: without parameters, with learned scale and shift, and spatially adaptive (SPADE)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spade_core.calibration import rates_for
from spade_core.costs import Layer, tables_are_faster
from spade_core.label_windows import LabelWindows
from spade_core.labels import LabelMap, one_hot_dtype
from spade_core.memory_format import channels_last_parameters
from spade_core.modulation import Modulation, modulate
from spade_core.moments import shared_moments
from spade_core.patch_tables import patch_table
from spade_core.plain import computes_plainly
from spade_core.row_sums import sum_rows
from spade_core.settings import NormKind
from spade_core.sync_batch_norm import SyncBatchNorm2d
from spade_core.windows import Frame

LEAKY_SLOPE = 0.2
"""Slope of the released networks' leaky ReLU below zero."""


def param_free_norm(kind: NormKind, channels: int) -> nn.Module:
    """Normalization of (N, C, H, W) without learned scale and shift; epsilon 1e-5."""
    return _norm(kind, channels, affine=False)


def affine_norm(kind: NormKind, channels: int) -> nn.Module:
    """Normalization as in the released networks without SPADE: batch norms learn scale and shift, instance does not."""
    return _norm(kind, channels, affine=kind != "instance")


def _norm(kind: NormKind, channels: int, *, affine: bool) -> nn.Module:
    if kind == "sync_batch":
        return SyncBatchNorm2d(channels, affine=affine)
    if kind == "batch":
        return nn.BatchNorm2d(channels, affine=affine)
    if kind == "instance":
        return nn.InstanceNorm2d(channels, affine=affine)
    raise ValueError(f"normalization {kind!r} is unknown; allowed are 'sync_batch', 'batch' and 'instance'")


class SPADE(nn.Module):
    """Spatially-adaptive normalization (paper, equation 1; released form (1 + gamma) * x + beta).

    gamma and beta (N, C, H, W) come from the label map: a convolution to ``hidden`` channels with ReLU, and one
    convolution each. Names of the submodules as in the released checkpoints.

    Equal neighbourhoods of the label map have equal gamma and beta, and a map has few distinct ones: where that is the
    faster way (``spade_core.costs``), gamma and beta are computed once for each of them and looked up. How many there
    are depends on the data, which a compiled graph cannot know: inside ``torch.compile`` everything is computed at
    every pixel, with the same result.
    """

    def __init__(self, channels: int, spec_channels: int, norm: NormKind, kernel: int, hidden: int) -> None:
        """``channels`` C of the features, ``spec_channels`` K of the one-hot map, ``kernel`` odd, in pixels."""
        super().__init__()
        padding = kernel // 2
        self.param_free_norm = param_free_norm(norm, channels)
        self.mlp_shared = nn.Sequential(nn.Conv2d(spec_channels, hidden, kernel, padding=padding), nn.ReLU())
        self.mlp_gamma = nn.Conv2d(hidden, channels, kernel, padding=padding)
        self.mlp_beta = nn.Conv2d(hidden, channels, kernel, padding=padding)
        self.layer = Layer(channels=channels, hidden=hidden, kernel=kernel)
        channels_last_parameters(self)

    def forward(self, x: Tensor, label_map: LabelMap, *, slope: float = 1.0) -> Tensor:
        """Normalize ``x`` (N, C, H, W) and modulate it by the label map, read at the size of ``x``.

        A leaky ReLU with ``slope`` follows: 1 is none, 0 ReLU.
        """
        if computes_plainly():
            modulated = self.at_every_pixel(x, label_map)
            return modulated if slope == 1.0 else F.leaky_relu(modulated, slope)
        (modulation,) = modulations([self], label_map, (x.shape[2], x.shape[3]))
        x, (moments,) = shared_moments([self.param_free_norm], x)
        return modulate(x, modulation, moments, slope=slope)

    def at_every_pixel(self, x: Tensor, label_map: LabelMap) -> Tensor:
        """The same as ``forward``, by convolutions of the whole one-hot map alone."""
        one_hot = label_map.one_hot((x.shape[2], x.shape[3]), one_hot_dtype(self.mlp_gamma.weight))
        hidden = self.mlp_shared(one_hot)
        modulated: Tensor = self.param_free_norm(x) * (1 + self.mlp_gamma(hidden)) + self.mlp_beta(hidden)
        return modulated

    def modulation(self, label_map: LabelMap, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """gamma and beta (N, C, h, w) of a label map at ``size`` (h, w)."""
        (modulation,) = modulations([self], label_map, size)
        return modulation.maps()


def modulations(layers: Sequence[SPADE], label_map: LabelMap, size: tuple[int, int]) -> list[Modulation]:
    """gamma and beta of several layers with one kernel that work at ``size`` (h, w), each the faster way."""
    kernel = layers[0].layer.kernel
    windows = label_map.windows_at(size, Frame(kernel=kernel, padding=kernel // 2))
    return [
        _from_tables(layer, hidden, windows)
        if _tables_pay(layer.layer, windows, hidden.dtype)
        else _at_every_pixel(layer, hidden, windows)
        for layer, hidden in zip(layers, _hidden_rows(layers, windows), strict=True)
    ]


def _tables_pay(layer: Layer, windows: LabelWindows, dtype: torch.dtype) -> bool:
    of_pixel, seen = windows.windows.of_pixel, len(windows.windows)
    rates = rates_for(of_pixel.device, dtype)
    # there are no fewer patches than windows: where these are too many already, the patches are not looked for
    return tables_are_faster(layer, pixels=of_pixel.numel(), windows=seen, patches=seen, rates=rates) and (
        tables_are_faster(layer, pixels=of_pixel.numel(), windows=seen, patches=len(windows.patches), rates=rates)
    )


def _hidden_rows(layers: Sequence[SPADE], windows: LabelWindows) -> Sequence[Tensor]:
    """The hidden activations (windows, hidden) of each layer: the first convolution as a sum of rows, and ReLU."""
    rows, biases = [], []
    for layer in layers:
        convolution = layer.mlp_shared[0]
        assert isinstance(convolution, nn.Conv2d)
        assert convolution.bias is not None
        dtype = one_hot_dtype(convolution.weight)
        rows.append(windows.label_rows(convolution.weight.to(dtype)))
        biases.append(convolution.bias.to(dtype))
    summed = sum_rows(torch.cat(rows, dim=1), windows.label_bags) + torch.cat(biases)
    return torch.split(F.relu(summed), [layer.layer.hidden for layer in layers], dim=1)


def _from_tables(layer: SPADE, hidden: Tensor, windows: LabelWindows) -> Modulation:
    gamma, beta = (
        patch_table(hidden, part.weight.to(hidden.dtype), part.bias.to(hidden.dtype), windows.patch_bags)
        for part in (layer.mlp_gamma, layer.mlp_beta)
        if part.bias is not None
    )
    return Modulation(gamma=gamma, beta=beta, row_of_pixel=windows.patches.of_pixel.flatten(), size=windows.size)


def _at_every_pixel(layer: SPADE, hidden: Tensor, windows: LabelWindows) -> Modulation:
    of_pixel = windows.windows.of_pixel
    pixels = hidden.index_select(0, of_pixel.flatten())
    hidden_map = pixels.view(*of_pixel.shape, -1).permute(0, 3, 1, 2)
    gamma, beta = (part(hidden_map).permute(0, 2, 3, 1).flatten(0, 2) for part in (layer.mlp_gamma, layer.mlp_beta))
    return Modulation(gamma=gamma, beta=beta, row_of_pixel=None, size=windows.size)


def leaky_relu(x: Tensor) -> Tensor:
    """The released networks' leaky ReLU, slope 0.2 below zero."""
    return F.leaky_relu(x, LEAKY_SLOPE)
