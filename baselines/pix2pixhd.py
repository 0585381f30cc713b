"""pix2pixHD's generators, and pix2pixHD++ with the label map at the input, by SPADE or by concatenation.

pix2pixHD: the global generator and the local enhancer of NVIDIA's code. pix2pixHD++: the same architecture with
spectral norm and affine (synchronized) batch norm, as the released SPADE code builds it. The two that show the label
map again are reconstructions that give the published parameter counts: "w/ SPADE" has SPADE in place of all
normalizations, "w/ Concat" the one-hot map at the input of every residual block.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.settings import LocalEnhancerSettings, Pix2pixHDSettings
from spade_core.generators import divisible_size
from spade_core.label_layers import convolved_map, convolved_with_map
from spade_core.label_spec import LabelSpec
from spade_core.labels import LabelMap, one_hot_dtype
from spade_core.normalization import SPADE, affine_norm
from spade_core.released import ReleasedFormat, released_format
from spade_core.spectral_norm import SpectralNormConvTranspose2d, conv2d

Layout = Literal["spade", "nvidia"]
"""How a released code numbers its layers: SPADE's puts convolution and normalization into one entry, NVIDIA's not."""


class NormedConvolution(nn.Module):
    """A convolution (perhaps reflection-padded, strided or transposed), its normalization, and ReLU or not."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int,
        settings: Pix2pixHDSettings,
        spec: LabelSpec,
        *,
        stride: int = 1,
        transposed: bool = False,
        activation: bool = True,
    ) -> None:
        """``kernel`` odd, in pixels. Stride 1 pads by reflection, else with zeros; ``transposed`` doubles the size."""
        super().__init__()
        bias = settings.convolution_biases
        spectral = settings.spectral_norm
        self.reflection = kernel // 2 if stride == 1 and not transposed else 0
        self.activation = activation
        self.conv: nn.Module
        if transposed:
            kind = SpectralNormConvTranspose2d if spectral else nn.ConvTranspose2d
            self.conv = kind(
                channels_in, channels_out, kernel, stride=2, padding=kernel // 2, output_padding=1, bias=bias
            )
        else:
            padding = 0 if self.reflection else kernel // 2
            self.conv = conv2d(
                channels_in, channels_out, kernel, stride=stride, padding=padding, bias=bias, spectral_norm=spectral
            )
        self.norm: nn.Module
        if settings.conditioning == "spade":
            self.norm = SPADE(channels_out, spec.channels, settings.norm, settings.kernel, settings.hidden)
        else:
            self.norm = affine_norm(settings.norm, channels_out)

    def forward(self, x: Tensor, label_map: LabelMap) -> Tensor:
        """Features (N, C_in, H, W) to (N, C_out, H', W')."""
        return self._finished(self.conv(_reflect(x, self.reflection)), label_map)

    def of_map(self, label_map: LabelMap) -> Tensor:
        """The layer on the one-hot map itself: (N, C_out, H, W)."""
        assert isinstance(self.conv, nn.Conv2d)
        return self._finished(convolved_map(self.conv, label_map, label_map.size, reflect=self.reflection), label_map)

    def with_map(self, x: Tensor, label_map: LabelMap) -> Tensor:
        """The layer on features (N, C, H, W) with the one-hot map at their size behind them."""
        assert isinstance(self.conv, nn.Conv2d)
        return self._finished(convolved_with_map(self.conv, x, label_map, reflect=self.reflection), label_map)

    def _finished(self, x: Tensor, label_map: LabelMap) -> Tensor:
        if isinstance(self.norm, SPADE):
            modulated: Tensor = self.norm(x, label_map, slope=0.0 if self.activation else 1.0)
            return modulated
        x = self.norm(x)
        return F.relu(x) if self.activation else x


class ResidualBlock(nn.Module):
    """x plus two 3 x 3 convolutions of it, ReLU only between them; with ``concat`` the first sees the label map."""

    def __init__(self, channels: int, settings: Pix2pixHDSettings, spec: LabelSpec) -> None:
        super().__init__()
        self.concat = settings.conditioning == "concat"
        channels_in = channels + (spec.channels if self.concat else 0)
        self.conv_0 = NormedConvolution(channels_in, channels, 3, settings, spec)
        self.conv_1 = NormedConvolution(channels, channels, 3, settings, spec, activation=False)

    def forward(self, x: Tensor, label_map: LabelMap) -> Tensor:
        """Features (N, C, H, W), same shape out."""
        residual = self.conv_0.with_map(x, label_map) if self.concat else self.conv_0(x, label_map)
        return torch.add(x, self.conv_1(residual, label_map))


class Pix2pixHDTrunk(nn.Module):
    """The global generator without its last convolution: one-hot map in, ``width`` feature channels out."""

    def __init__(self, settings: Pix2pixHDSettings, spec: LabelSpec) -> None:
        super().__init__()
        widths = [settings.width * 2**i for i in range(settings.down + 1)]
        self.stem = NormedConvolution(spec.channels, widths[0], 7, settings, spec)
        self.down = nn.ModuleList(
            NormedConvolution(narrow, wide, 3, settings, spec, stride=2)
            for narrow, wide in zip(widths[:-1], widths[1:], strict=True)
        )
        self.blocks = nn.ModuleList(ResidualBlock(widths[-1], settings, spec) for _ in range(settings.blocks))
        self.up = nn.ModuleList(
            NormedConvolution(wide, narrow, 3, settings, spec, transposed=True)
            for narrow, wide in reversed(list(zip(widths[:-1], widths[1:], strict=True)))
        )

    def forward(self, given: Tensor | None, label_map: LabelMap) -> Tensor:
        """A map (N, K, H, W) to features (N, C, H, W); None is the one-hot map of ``label_map``.

        ``label_map`` is also what the later layers are shown again.
        """
        assert isinstance(self.stem, NormedConvolution)
        x = self.stem.of_map(label_map) if given is None else self.stem(given, label_map)
        for layers in (self.down, self.blocks, self.up):
            for layer in layers:
                x = layer(x, label_map)
        return x

    def released_prefixes(self, own: str, layout: Layout) -> tuple[dict[str, str], int]:
        """Own key prefixes (starting with ``own``) -> those of the released ``model``, and its next free index."""
        prefixes: dict[str, str] = {}
        step = 2 if layout == "spade" else 3
        prefixes.update(_layer_prefixes(f"{own}stem.", "model.", 1, layout))
        index = 1 + step
        for i in range(len(self.down)):
            prefixes.update(_layer_prefixes(f"{own}down.{i}.", "model.", index, layout))
            index += step
        for i in range(len(self.blocks)):
            prefixes.update(_block_prefixes(f"{own}blocks.{i}.", f"model.{index}.", layout))
            index += 1
        for i in range(len(self.up)):
            prefixes.update(_layer_prefixes(f"{own}up.{i}.", "model.", index, layout))
            index += step
        return prefixes, index


class Pix2pixHDGenerator(nn.Module):
    """pix2pixHD's global generator, in the forms that Pix2pixHDSettings describes."""

    def __init__(self, settings: Pix2pixHDSettings, spec: LabelSpec, size: tuple[int, int]) -> None:
        super().__init__()
        self.settings = settings
        self.spec = spec
        self.trunk = Pix2pixHDTrunk(settings, spec)
        self.to_rgb = nn.Conv2d(settings.width, 3, 7)
        self._check_size(size)

    def forward(self, label_map: LabelMap, z: Tensor | None = None) -> Tensor:
        """Images (N, 3, H, W) in [-1, 1] of the size of the label map. A ValueError if that does not fit, or with z."""
        self._check_size(label_map.size)
        _refuse(z)
        x = self.trunk(None, label_map)
        return torch.tanh(self.to_rgb(_reflect(x, 3)))

    def released_formats(self) -> Sequence[ReleasedFormat]:
        """NVIDIA's names and those of the SPADE code; the one that has such a network comes first.

        SPADE inside, and concatenation, follow the same scheme; nobody released such files.
        """
        formats = []
        layouts: tuple[tuple[Layout, str], ...] = (
            ("spade", "Pix2PixHDGenerator of SPADE"),
            ("nvidia", "GlobalGenerator of pix2pixHD"),
        )
        for layout, name in layouts:
            prefixes, index = self.trunk.released_prefixes("trunk.", layout)
            formats.append(released_format(name, self, {**prefixes, "to_rgb.": f"model.{index + 1}."}))
        return formats[::-1] if self.settings.convolution_biases else formats

    def _check_size(self, size: tuple[int, int]) -> None:
        divisible_size(size, self.settings.down, f"a generator with {self.settings.down} halvings")


class LocalEnhancer(nn.Module):
    """pix2pixHD's local enhancer around its global generator.

    The one-hot map, averaged to half its size, goes through the global generator; its features are added to those of a
    strided convolution of the full-size map, and residual blocks and one doubling finish the image.
    """

    def __init__(self, settings: LocalEnhancerSettings, spec: LabelSpec, size: tuple[int, int]) -> None:
        super().__init__()
        self.settings = settings
        self.spec = spec
        inner = settings.global_generator
        width = settings.width
        self.trunk = Pix2pixHDTrunk(inner, spec)
        self.stem = NormedConvolution(spec.channels, width, 7, inner, spec)
        self.down = NormedConvolution(width, 2 * width, 3, inner, spec, stride=2)
        self.blocks = nn.ModuleList(ResidualBlock(2 * width, inner, spec) for _ in range(settings.blocks))
        self.up = NormedConvolution(2 * width, width, 3, inner, spec, transposed=True)
        self.to_rgb = nn.Conv2d(width, 3, 7)
        self._check_size(size)

    def forward(self, label_map: LabelMap, z: Tensor | None = None) -> Tensor:
        """Images (N, 3, H, W) in [-1, 1] of the size of the label map. A ValueError if that does not fit, or with z."""
        self._check_size(label_map.size)
        _refuse(z)
        half = label_map.averaged(1, one_hot_dtype(self.to_rgb.weight))
        x = self.down(self.stem.of_map(label_map), label_map) + self.trunk(half, label_map)
        for block in self.blocks:
            x = block(x, label_map)
        x = self.up(x, label_map)
        return torch.tanh(self.to_rgb(_reflect(x, 3)))

    def load_global_generator(self, generator: Pix2pixHDGenerator) -> None:
        """Copy the weights of a trained global generator, all but its last convolution (pix2pixHD's second stage)."""
        if generator.settings != self.settings.global_generator or generator.spec != self.spec:
            raise ValueError(
                "the global generator was built with other settings than this local enhancer: "
                f"{generator.settings}, {generator.spec} against {self.settings.global_generator}, {self.spec}"
            )
        self.trunk.load_state_dict(generator.trunk.state_dict())

    def released_formats(self) -> Sequence[ReleasedFormat]:
        """NVIDIA's names."""
        prefixes, _ = self.trunk.released_prefixes("trunk.", "nvidia")
        prefixes.update(_layer_prefixes("stem.", "model1_1.", 1, "nvidia"))
        prefixes.update(_layer_prefixes("down.", "model1_1.", 4, "nvidia"))
        count = len(self.blocks)
        for i in range(count):
            prefixes.update(_block_prefixes(f"blocks.{i}.", f"model1_2.{i}.", "nvidia"))
        prefixes.update(_layer_prefixes("up.", "model1_2.", count, "nvidia"))
        prefixes["to_rgb."] = f"model1_2.{count + 4}."
        return [released_format("LocalEnhancer of pix2pixHD", self, prefixes)]

    def _check_size(self, size: tuple[int, int]) -> None:
        halvings = self.settings.global_generator.down + 1
        divisible_size(size, halvings, f"a generator with {halvings} halvings")


def _layer_prefixes(own: str, released: str, index: int, layout: Layout) -> dict[str, str]:
    if layout == "spade":
        return {f"{own}conv.": f"{released}{index}.0.", f"{own}norm.": f"{released}{index}.1."}
    return {f"{own}conv.": f"{released}{index}.", f"{own}norm.": f"{released}{index + 1}."}


def _block_prefixes(own: str, released: str, layout: Layout) -> dict[str, str]:
    inside = f"{released}conv_block."
    second = 4 if layout == "spade" else 5
    return {
        **_layer_prefixes(f"{own}conv_0.", inside, 1, layout),
        **_layer_prefixes(f"{own}conv_1.", inside, second, layout),
    }


def _reflect(x: Tensor, pixels: int) -> Tensor:
    return F.pad(x, (pixels, pixels, pixels, pixels), mode="reflect") if pixels else x


def _refuse(z: Tensor | None) -> None:
    if z is not None:
        raise ValueError("this generator starts from the label map and takes no z")
