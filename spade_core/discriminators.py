"""The multi-scale patch discriminator (pix2pixHD's; with spectral norm in the paper, figure 13)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spade_core.labels import LabelMap, one_hot_dtype
from spade_core.normalization import leaky_relu, param_free_norm
from spade_core.plain import computes_plainly
from spade_core.released import ReleasedFormat, released_format
from spade_core.spectral_norm import conv2d
from spade_core.windows import Frame

_KERNEL = 4
_PADDING = 2
_MOST_CHANNELS = 512


@dataclass(frozen=True, kw_only=True, eq=False)
class Conditioned:
    """Images beside the label maps that they should show: what a discriminator judges."""

    label_map: LabelMap
    images: Tensor
    """(M * N, 3, H, W) in [-1, 1] for N label maps of that size: M batches, one behind the other."""

    def joined(self, dtype: torch.dtype) -> Tensor:
        """One-hot map and image as channels of one tensor, (M * N, K + 3, H, W)."""
        one_hot = self.label_map.one_hot((self.images.shape[2], self.images.shape[3]), dtype)
        batches = len(self.images) // len(self.label_map)
        return torch.cat([one_hot.repeat(batches, 1, 1, 1), self.images.to(dtype)], dim=1)


class DiscriminatorLayer(nn.Module):
    """A 4 x 4 convolution with padding 2, then perhaps instance norm and perhaps leaky ReLU."""

    def __init__(
        self, channels_in: int, channels_out: int, *, stride: int, spectral_norm: bool, norm: bool, activation: bool
    ) -> None:
        super().__init__()
        self.conv = conv2d(
            channels_in,
            channels_out,
            _KERNEL,
            stride=stride,
            padding=_PADDING,
            bias=not spectral_norm,
            spectral_norm=spectral_norm,
        )
        self.norm: nn.Module | None = param_free_norm("instance", channels_out) if norm else None
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, C_in, H, W) to (N, C_out, H', W')."""
        return self._finished(self.conv(x))

    def of_map_and_image(self, label_map: LabelMap, image: Tensor, halvings: int) -> Tensor:
        """The layer on a one-hot map (N, K, H, W) with images (M * N, 3, h, w) behind it, both averaged so often.

        The map's share of the convolution is a sum of rows of the weight, and the same for all M batches of images.
        """
        convolution = self.conv
        weight = convolution.weight.to(one_hot_dtype(convolution.weight))
        of_map, of_image = weight[:, : label_map.spec.channels], weight[:, label_map.spec.channels :]
        stride, padding = convolution.stride, convolution.padding
        assert isinstance(padding, tuple)
        if halvings == 0:
            frame = Frame(kernel=_KERNEL, stride=stride[0], padding=_PADDING)
            map_part = label_map.windows_at(label_map.size, frame).convolution(of_map)
        else:
            map_part = F.conv2d(label_map.averaged(halvings, weight.dtype), of_map, None, stride, padding)
        bias = None if convolution.bias is None else convolution.bias.to(weight.dtype)
        image_part = F.conv2d(image, of_image, bias, stride, padding)
        return self._finished((image_part.view(-1, len(label_map), *image_part.shape[1:]) + map_part).flatten(0, 1))

    def _finished(self, x: Tensor) -> Tensor:
        if self.norm is not None:
            x = self.norm(x)
        return leaky_relu(x) if self.activation else x


class PatchDiscriminator(nn.Module):
    """One discriminator: a logit for every patch of the image."""

    def __init__(self, channels_in: int, *, layers: int, width: int, spectral_norm: bool) -> None:
        super().__init__()
        stages = [DiscriminatorLayer(channels_in, width, stride=2, spectral_norm=False, norm=False, activation=True)]
        channels = width
        for index in range(1, layers):
            previous, channels = channels, min(2 * channels, _MOST_CHANNELS)
            stride = 1 if index == layers - 1 else 2
            stages.append(
                DiscriminatorLayer(
                    previous, channels, stride=stride, spectral_norm=spectral_norm, norm=True, activation=True
                )
            )
        stages.append(DiscriminatorLayer(channels, 1, stride=1, spectral_norm=False, norm=False, activation=False))
        self.layers = nn.ModuleList(stages)

    def forward(self, x: Tensor | Conditioned, halvings: int = 0) -> list[Tensor]:
        """The output of every layer, (N, C, H, W) each; the last is the map of logits (N, 1, H, W).

        Of a Conditioned the images are halved already, so many times; the label map is not.
        """
        first, *others = self.layers
        if isinstance(x, Conditioned):
            assert isinstance(first, DiscriminatorLayer)
            features = [first.of_map_and_image(x.label_map, x.images, halvings)]
        else:
            features = [first(x)]
        for layer in others:
            features.append(layer(features[-1]))
        return features


class MultiscaleDiscriminator(nn.Module):
    """Patch discriminators on the image at full size, half size and so on."""

    def __init__(self, channels_in: int, *, scales: int, layers: int, width: int, spectral_norm: bool) -> None:
        """``channels_in`` counts the one-hot map and the three of the image; the rest as in DiscriminatorSettings."""
        super().__init__()
        self.spectral_norm = spectral_norm
        self.discriminators = nn.ModuleList(
            PatchDiscriminator(channels_in, layers=layers, width=width, spectral_norm=spectral_norm)
            for _ in range(scales)
        )

    def forward(self, x: Tensor | Conditioned) -> list[list[Tensor]]:
        """Per scale (full size first) the outputs of all layers, the last of them the logits.

        ``x`` is the one-hot map with the image in [-1, 1] behind it, as one tensor (N, K + 3, H, W) or, faster, as
        label map and images. Inside ``torch.compile`` the latter is joined to the former.
        """
        if isinstance(x, Conditioned) and computes_plainly():
            x = x.joined(x.images.dtype)
        results = []
        for index, discriminator in enumerate(self.discriminators):
            if index > 0:
                x = replace(x, images=halved(x.images)) if isinstance(x, Conditioned) else halved(x)
            results.append(discriminator(x, index))
        return results

    def released_formats(self) -> Sequence[ReleasedFormat]:
        """SPADE's names, and pix2pixHD's, where the highest scale index is the discriminator on the full size.

        The code that has such a network comes first: SPADE's with spectral norm, pix2pixHD's without.
        """
        spade: dict[str, str] = {}
        nvidia: dict[str, str] = {}
        for scale, discriminator in enumerate(self.discriminators):
            assert isinstance(discriminator, PatchDiscriminator)
            for index, layer in enumerate(discriminator.layers):
                assert isinstance(layer, DiscriminatorLayer)
                own = f"discriminators.{scale}.layers.{index}"
                stage = f"discriminator_{scale}.model{index}.0"
                flat = f"scale{len(self.discriminators) - 1 - scale}_layer{index}"
                spade[f"{own}.conv."] = f"{stage}." if layer.norm is None else f"{stage}.0."
                spade[f"{own}.norm."] = f"{stage}.1."
                nvidia[f"{own}.conv."] = f"{flat}.0."
                nvidia[f"{own}.norm."] = f"{flat}.1."
        formats = [
            released_format("MultiscaleDiscriminator of SPADE", self, spade),
            released_format("MultiscaleDiscriminator of pix2pixHD", self, nvidia),
        ]
        return formats if self.spectral_norm else formats[::-1]


def doubling_widths(layers: int, width: int) -> list[int]:
    """Output channels of so many layers: ``width``, then twice as many each, up to 512."""
    widths = [width]
    while len(widths) < layers:
        widths.append(min(2 * widths[-1], _MOST_CHANNELS))
    return widths


def halved(x: Tensor) -> Tensor:
    """Images at half the size, as the discriminator of the next scale sees them (pix2pixHD's released code)."""
    return F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)
