"""What the three networks of SIMS are made of. Free of torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

LABEL_CHANNELS = 20
"""Cityscapes: the 19 scored classes and one channel for everything else."""
REFINED_HEIGHT = 512


def _check(name: str, classes: int, width: int) -> None:
    if classes < 2:
        raise ValueError(f"{name}.classes is {classes}; it must be at least 2: one class, and one for everything else")
    if width < 1:
        raise ValueError(f"{name}.width is {width}; it must be at least 1 (published: 64)")


@dataclass(frozen=True, kw_only=True)
class TransformationSettings:
    """The network that moves a retrieved segment to where the label map wants it."""

    classes: int = LABEL_CHANNELS
    """Label channels, the one for everything else included."""
    width: int = 64
    """Channels of the first convolutions; the others are multiples of it."""

    def __post_init__(self) -> None:
        _check("TransformationSettings", self.classes, self.width)


@dataclass(frozen=True, kw_only=True)
class OrderingSettings:
    """The network that says which of two segments is in front."""

    classes: int = LABEL_CHANNELS
    """Classes it chooses from, the one for everything else included."""
    width: int = 64
    """Channels of the first convolutions; the others are multiples of it."""

    def __post_init__(self) -> None:
        _check("OrderingSettings", self.classes, self.width)


@dataclass(frozen=True, kw_only=True)
class SynthesisSettings:
    """The network that turns label map and canvas into an image."""

    classes: int = LABEL_CHANNELS
    """Label channels, the one for everything else included."""
    width: int = 64
    """Channels of the first convolutions; the others are multiples of it."""
    size: tuple[int, int] = (256, 512)
    """Height and width of the image in px."""

    def __post_init__(self) -> None:
        _check("SynthesisSettings", self.classes, self.width)
        step = 2 ** (self.poolings + self.refined)
        if self.poolings < 2 or any(side % step for side in self.size):
            height, width = self.size
            raise ValueError(
                f"SynthesisSettings.size is {height}x{width}; the height must be at least 16 and both sides multiples "
                f"of {step}, because {height} px are halved {self.poolings + self.refined} times"
            )

    @property
    def refined(self) -> bool:
        """Whether the last stage works at twice the size that the encoder sees, as the published 512-px network does.

        That its encoder sees half the size is inferred: no other reading gives the published parameter count.
        """
        return self.size[0] >= REFINED_HEIGHT

    @property
    def poolings(self) -> int:
        """Poolings of the encoder, down to about 4 px: 6 for a height of 256."""
        return max(1, min(6, int(math.log2(self.size[0] / 4)) - int(self.refined)))
