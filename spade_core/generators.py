"""The decoder generator: from a label map (or a random vector) to an image, by residual blocks and upsampling."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spade_core.blocks import SpadeResBlock
from spade_core.label_layers import convolved_map
from spade_core.label_spec import LabelSpec
from spade_core.labels import LabelMap
from spade_core.normalization import leaky_relu
from spade_core.released import ReleasedFormat, released_format
from spade_core.settings import UPSAMPLING_LAYERS, SpadeSettings, Upsampling

BlockFactory = Callable[[int, int], nn.Module]
"""Makes the residual block for given numbers of input and output channels; called as block(x, label_map)."""


def spade_generator(settings: SpadeSettings, spec: LabelSpec, size: tuple[int, int]) -> SpadeGenerator:
    """The paper's generator: the decoder skeleton with SPADE residual blocks."""

    def block(channels_in: int, channels_out: int) -> nn.Module:
        return SpadeResBlock(channels_in, channels_out, spec.channels, settings)

    return SpadeGenerator(
        spec,
        size,
        width=settings.width,
        upsampling=settings.upsampling,
        block=block,
        z_dim=settings.z_dim if settings.source == "z" else None,
    )


def divisible_size(size: tuple[int, int], halvings: int, why: str) -> tuple[int, int]:
    """``size`` (h, w) divided by 2**halvings; a ValueError, telling ``why``, if that leaves a remainder."""
    factor = 2**halvings
    if min(size) < factor or size[0] % factor or size[1] % factor:
        raise ValueError(
            f"an image of {size[0]} x {size[1]} pixels (height x width) does not fit {why}, which needs both to be "
            f"multiples of 2**{halvings} = {factor}; resize or crop it, or choose another number of such layers"
        )
    return size[0] // factor, size[1] // factor


class SpadeGenerator(nn.Module):
    """The decoder (paper, figure 12; released: no doubling between the middle blocks nor after the last one).

    Seven blocks (eight with ``most``) of 16, 16, 16, 8, 4, 2, 1 (and 1/2) times ``width`` channels. Submodules are
    named as in the released checkpoints.
    """

    def __init__(
        self,
        spec: LabelSpec,
        size: tuple[int, int],
        *,
        width: int,
        upsampling: Upsampling,
        block: BlockFactory,
        z_dim: int | None = None,
    ) -> None:
        """For label maps of ``spec`` and images of ``size`` (h, w); see the settings for the rest.

        ``z_dim`` None starts from the label map; then maps of other sizes that divide as well are accepted later.
        """
        super().__init__()
        self.spec = spec
        self.upsampling_layers = UPSAMPLING_LAYERS[upsampling]
        self.z_dim = z_dim
        """Length of the random vector that ``forward`` takes; None if it starts from the label map."""
        self.start_channels = 16 * width
        self.start_size = self._start_size(size)
        if z_dim is None:
            self.fc: nn.Module = nn.Conv2d(spec.channels, self.start_channels, 3, padding=1)
        else:
            self.fc = nn.Linear(z_dim, self.start_channels * self.start_size[0] * self.start_size[1])
        self.head_0 = block(16 * width, 16 * width)
        self.G_middle_0 = block(16 * width, 16 * width)
        self.G_middle_1 = block(16 * width, 16 * width)
        self.up_0 = block(16 * width, 8 * width)
        self.up_1 = block(8 * width, 4 * width)
        self.up_2 = block(4 * width, 2 * width)
        self.up_3 = block(2 * width, width)
        self.up_4: nn.Module | None = block(width, width // 2) if upsampling == "most" else None
        self.conv_img = nn.Conv2d(width // 2 if upsampling == "most" else width, 3, 3, padding=1)

    def forward(self, label_map: LabelMap, z: Tensor | None = None, *, shown: object | None = None) -> Tensor:
        """Images (N, 3, H, W) in [-1, 1] of the size of the label map.

        ``shown`` is what the blocks see beside the features, for blocks that see something else than the label map.
        ``z`` (N, z_dim) is the random vector of a generator built with one; None draws it from a standard normal
        distribution. A ValueError if sizes do not fit, or if ``z`` is given to a generator without.
        """
        shown = label_map if shown is None else shown
        x: Tensor = self._start(label_map, z)
        x = self.head_0(x, shown)
        x = self.G_middle_0(_double(x), shown)
        if self.upsampling_layers > UPSAMPLING_LAYERS["normal"]:
            x = _double(x)
        x = self.G_middle_1(x, shown)
        for block in (self.up_0, self.up_1, self.up_2, self.up_3, self.up_4):
            if isinstance(block, SpadeResBlock):
                x = block(x, shown, doubled=True)
            elif block is not None:
                x = block(_double(x), shown)
        return torch.tanh(self.conv_img(leaky_relu(x)))

    def released_formats(self) -> Sequence[ReleasedFormat]:
        """The names are the released ones."""
        return [released_format("SPADEGenerator", self, {"": ""})]

    def _start_size(self, size: tuple[int, int]) -> tuple[int, int]:
        return divisible_size(size, self.upsampling_layers, f"a decoder with {self.upsampling_layers} doublings")

    def _start(self, label_map: LabelMap, z: Tensor | None) -> Tensor:
        size = self._start_size(label_map.size)
        weight = self.conv_img.weight
        if self.z_dim is None:
            if z is not None:
                raise ValueError("this generator starts from the label map and takes no z; build it with source='z'")
            assert isinstance(self.fc, nn.Conv2d)
            return convolved_map(self.fc, label_map, size)
        if size != self.start_size:
            height, width = (n * 2**self.upsampling_layers for n in self.start_size)
            raise ValueError(
                f"this generator starts from z and was built for {height} x {width} pixels (height x width); the label "
                f"map has {label_map.size[0]} x {label_map.size[1]}. Build it for that size"
            )
        if z is None:
            z = torch.randn(len(label_map), self.z_dim, dtype=weight.dtype, device=label_map.device)
        if z.shape != (len(label_map), self.z_dim):
            raise ValueError(f"z has the shape {tuple(z.shape)}; it must be {(len(label_map), self.z_dim)}")
        start: Tensor = self.fc(z)
        return start.view(-1, self.start_channels, *self.start_size)


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="nearest")
