"""Convolution weights in the memory order of the features."""

from __future__ import annotations

import torch
from torch import nn


def channels_last_parameters(module: nn.Module) -> None:
    """Store the weights (4 axes) of ``module``'s convolutions in the order out, height, width, in; shapes stay.

    Then a convolution need not reorder them, and the weights at one offset of the kernel are a plain matrix.
    """
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            for parameter in part.parameters(recurse=False):
                if parameter.ndim == 4:
                    parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
