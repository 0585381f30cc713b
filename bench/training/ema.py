"""A moving average of a network's weights."""

from __future__ import annotations

import copy

import torch
from torch import nn


class MovingAverage:
    """The exponential moving average of the parameters; buffers (running statistics, power iterations) are copied."""

    def __init__(self, network: nn.Module, *, halflife_images: int, batch_images: int) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.keep = 0.5 ** (batch_images / halflife_images)
        """What one step keeps of the average: half of it is left after ``halflife_images`` images."""

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Move the average towards ``network``; called after each optimisation step."""
        for average, current in zip(self.network.parameters(), network.parameters(), strict=True):
            average.lerp_(current.detach(), 1.0 - self.keep)
        for kept, present in zip(self.network.buffers(), network.buffers(), strict=True):
            kept.copy_(present)
