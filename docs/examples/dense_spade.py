"""A SPADE generator as one writes it down first: an example for ``benchmark generator --third-party FILE``.

It imports nothing of this project. ``build(channels, size)`` returns a network that takes the one-hot map (N, channels,
H, W), float32, and returns images (N, 3, H, W). Any other generator can be timed by a file like this one.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

HIDDEN = 128


class Spade(nn.Module):
    """Batch norm without parameters; scale and shift from two convolutions over the label map."""

    def __init__(self, channels: int, map_channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.shared = nn.Conv2d(map_channels, HIDDEN, 3, padding=1)
        self.gamma = nn.Conv2d(HIDDEN, channels, 3, padding=1)
        self.beta = nn.Conv2d(HIDDEN, channels, 3, padding=1)

    def forward(self, x: Tensor, segmap: Tensor) -> Tensor:
        hidden = torch.relu(self.shared(F.interpolate(segmap, size=x.shape[-2:], mode="nearest")))
        return self.norm(x) * (1 + self.gamma(hidden)) + self.beta(hidden)


class Block(nn.Module):
    """Two convolutions, each behind SPADE and a leaky ReLU, beside a shortcut."""

    def __init__(self, wide: int, narrow: int, map_channels: int) -> None:
        super().__init__()
        self.spades = nn.ModuleList([Spade(wide, map_channels), Spade(narrow, map_channels)])
        self.convs = nn.ModuleList(
            [
                spectral_norm(nn.Conv2d(wide, narrow, 3, padding=1)),
                spectral_norm(nn.Conv2d(narrow, narrow, 3, padding=1)),
            ]
        )
        self.shortcut = None
        if wide != narrow:
            self.shortcut = nn.ModuleList(
                [Spade(wide, map_channels), spectral_norm(nn.Conv2d(wide, narrow, 1, bias=False))]
            )

    def forward(self, x: Tensor, segmap: Tensor) -> Tensor:
        y = x
        for spade, conv in zip(self.spades, self.convs, strict=True):
            y = conv(F.leaky_relu(spade(y, segmap), 0.2))
        if self.shortcut is not None:
            spade, conv = self.shortcut
            x = conv(spade(x, segmap))
        return x + y


class Generator(nn.Module):
    """Seven blocks; the resolution doubles between them, five times or six."""

    def __init__(self, map_channels: int, width: int = 64, doublings: int = 5) -> None:
        super().__init__()
        self.doublings = doublings
        self.first = nn.Conv2d(map_channels, 16 * width, 3, padding=1)
        widths = [16 * width, 16 * width, 16 * width, 16 * width, 8 * width, 4 * width, 2 * width, width]
        self.blocks = nn.ModuleList(
            Block(wide, narrow, map_channels) for wide, narrow in zip(widths[:-1], widths[1:], strict=True)
        )
        self.last = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, segmap: Tensor) -> Tensor:
        small = [side >> self.doublings for side in segmap.shape[-2:]]
        x = self.first(F.interpolate(segmap, size=small, mode="nearest"))
        for number, block in enumerate(self.blocks):
            if number not in (0, 2) or (number == 2 and self.doublings > 5):
                x = F.interpolate(x, scale_factor=2, mode="nearest")
            x = block(x, segmap)
        return torch.tanh(self.last(F.leaky_relu(x, 0.2)))


def build(channels: int, size: tuple[int, int]) -> nn.Module:
    """For one-hot maps of so many channels and images of ``size`` (height, width): six doublings beyond 256 px."""
    return Generator(channels, doublings=6 if max(size) > 256 else 5)
