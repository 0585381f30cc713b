"""The cascaded refinement network: from the label map alone to one image or several, coarse to fine."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.settings import CRN_FIRST_PX, CrnSettings
from spade_core.label_spec import LabelSpec
from spade_core.labels import LabelMap, one_hot_dtype
from spade_core.normalization import leaky_relu

_NORM_EPSILON = 1e-12
"""Of the released code's layer norm (TensorFlow-Slim)."""


class RefinementModule(nn.Module):
    """Features of the module before, doubled, with the label map behind them, through two convolutions.

    Each is 3 x 3 without bias, then layer norm over height, width and channels with a scale and a shift for each
    channel, then leaky ReLU of slope 0.2 (Chen and Koltun, section 3; released code).
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        """``channels_in`` counts the features and the label map."""
        super().__init__()
        self.conv_0 = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)
        self.norm_0 = nn.GroupNorm(1, channels_out, eps=_NORM_EPSILON)  # one group: all channels of an image
        self.conv_1 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.norm_1 = nn.GroupNorm(1, channels_out, eps=_NORM_EPSILON)

    def forward(self, x: Tensor | None, one_hot: Tensor) -> Tensor:
        """Features (N, C, h', w'), None in the first module, and the map (N, K, h, w) to features (N, C_out, h, w)."""
        if x is None:
            x = one_hot
        else:
            doubled = F.interpolate(x, size=one_hot.shape[2:], mode="bilinear", align_corners=True)
            x = torch.cat([doubled, one_hot.to(doubled.dtype)], dim=1)
        x = leaky_relu(self.norm_0(self.conv_0(x)))
        return leaky_relu(self.norm_1(self.conv_1(x)))


class CrnGenerator(nn.Module):
    """Refinement modules from 4 px height upward, each of twice the size of the one before, and a 1 x 1 convolution.

    As in the released code there is no noise and nothing bounds the images (no tanh); they are clipped where they are
    looked at. Instance edges are no input of this system: of the one-hot map it sees the label ids alone.
    """

    def __init__(self, settings: CrnSettings, spec: LabelSpec, size: tuple[int, int]) -> None:
        """For label maps of ``spec`` and images of ``size`` (h, w); later maps may have other sizes of as many modules.

        A ValueError if the height is not one the modules cover.
        """
        super().__init__()
        self.settings = settings
        self.spec = spec
        self.modules_px = module_sizes(size)
        """Height and width at which each module works, the coarsest first."""
        widths = settings.widths(len(self.modules_px))
        entering = [0, *widths[:-1]]
        self.refinement = nn.ModuleList(
            RefinementModule(before + spec.ids, channels) for before, channels in zip(entering, widths, strict=True)
        )
        self.to_rgb = nn.Conv2d(widths[-1], 3 * settings.images, 1)

    def forward(self, label_map: LabelMap, z: Tensor | None = None, *, every_image: bool = False) -> Tensor:
        """Images (N, 3, H, W) in [-1, 1] of the size of the label map: the first of those drawn, clipped.

        With ``every_image`` all of them, (N, images, 3, H, W), as they are, not clipped: what the losses compare. A
        ValueError with ``z``, or where the map's size needs another number of modules.
        """
        if z is not None:
            raise ValueError("this generator starts from the label map and takes no z")
        sizes = module_sizes(label_map.size)
        if len(sizes) != len(self.refinement):
            raise ValueError(
                f"this network has {len(self.refinement)} modules, for images of "
                f"{self.modules_px[-1][0]} x {self.modules_px[-1][1]} pixels (height x width); a map of "
                f"{label_map.size[0]} x {label_map.size[1]} needs {len(sizes)}. Build it for that size"
            )
        full = label_map.one_hot(label_map.size, one_hot_dtype(self.to_rgb.weight))[:, : self.spec.ids]
        x: Tensor | None = None
        for module, size in zip(self.refinement, sizes, strict=True):
            x = module(x, area_averaged(full, size))
        drawn: Tensor = self.to_rgb(x)
        images = drawn.view(len(drawn), self.settings.images, 3, *drawn.shape[2:])
        return images if every_image else images[:, 0].clamp(-1.0, 1.0)


def module_sizes(size: tuple[int, int]) -> list[tuple[int, int]]:
    """(height, width) of each module for images of ``size`` (h, w), the coarsest first.

    Each is half of the next one, rounded; the first is 4 px high, or up to 7 where the height is no power of two. A
    ValueError where the height is less than 4 px or more than the modules cover.
    """
    height, width = size
    if height < CRN_FIRST_PX:
        raise ValueError(f"an image of {height} x {width} pixels (height x width) is lower than CRN's first module, 4")
    count = (height // CRN_FIRST_PX).bit_length()
    return [(max(1, round(height / 2**i)), max(1, round(width / 2**i))) for i in reversed(range(count))]


def area_averaged(one_hot: Tensor, size: tuple[int, int]) -> Tensor:
    """The map (N, K, H, W) at a smaller ``size`` (h, w): the share of each label in the area of each pixel."""
    return one_hot if tuple(one_hot.shape[2:]) == tuple(size) else F.interpolate(one_hot, size=size, mode="area")
