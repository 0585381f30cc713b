"""The initializations that the paper, its released code and pix2pixHD use, each by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import torch
from torch import Tensor, nn
from torch.nn import init

from spade_core.settings import Initialization
from spade_core.spectral_norm import SpectralNormConvolution

_GAIN = 0.02
"""Gain of the Glorot schemes and standard deviation of the normal ones."""
_LAYERS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


def initialize(module: nn.Module, scheme: Initialization) -> None:
    """Initialize a freshly built network in place, drawing from torch's global generator.

    - ``released``: what the released SPADE code does on a GPU. Glorot (normal, gain 0.02) on layers without spectral
      norm; spectrally normalized weights keep torch's default, because the released code writes to a tensor that no
      longer is the parameter. Biases 0.
    - ``glorot``: the paper's text. Glorot with the same gain on every layer. Biases 0.
    - ``pix2pixhd``: convolutions from N(0, 0.02); their biases and linear layers keep torch's default.
    - ``crn``: TensorFlow-Slim's default, of the released CRN code. Glorot (uniform, gain 1) on every layer. Biases 0.

    Scales of affine batch norms come from N(1, 0.02), shifts are 0, in all of them.
    """
    if scheme not in get_args(Initialization):
        allowed = ", ".join(map(repr, get_args(Initialization)))
        raise ValueError(f"initialization {scheme!r} is unknown; allowed are {allowed}")
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            if part.affine:
                init.normal_(part.weight, 1.0, _GAIN)
                init.zeros_(part.bias)
        elif isinstance(part, _LAYERS):
            _initialize_layer(part, scheme)


def _initialize_layer(layer: nn.Conv2d | nn.ConvTranspose2d | nn.Linear, scheme: Initialization) -> None:
    spectral = isinstance(layer, SpectralNormConvolution)
    weight = layer.weight_orig if isinstance(layer, SpectralNormConvolution) else layer.weight
    if scheme == "pix2pixhd":
        if not isinstance(layer, nn.Linear):
            _draw(weight, lambda values: init.normal_(values, 0.0, _GAIN))
        return
    if scheme == "crn":
        _draw(weight, init.xavier_uniform_)
    elif scheme == "glorot" or not spectral:
        _draw(weight, lambda values: init.xavier_normal_(values, _GAIN))
    if layer.bias is not None:
        init.zeros_(layer.bias)


@torch.no_grad()
def _draw(weight: Tensor, fill: Callable[[Tensor], object]) -> None:
    """Fill in the order of the axes, however the weight lies in memory: a seed means the same weights everywhere."""
    values = torch.empty_like(weight, memory_format=torch.contiguous_format)
    fill(values)
    weight.copy_(values)
