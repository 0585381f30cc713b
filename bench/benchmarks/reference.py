"""The SPADE generator in the released order of operations: what the fast one is measured against and compared with.

Each layer reads the one-hot map resized to its features, convolves it, and takes gamma and beta from one convolution
each; weights are divided by their singular value; nothing is shared, merged or looked up. Parameters and buffers have
the names of ``spade_core.generators.SpadeGenerator``, so that a state dict of one fits the other.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spade_core.generators import divisible_size
from spade_core.label_spec import LabelSpec
from spade_core.labels import LabelMap
from spade_core.normalization import param_free_norm
from spade_core.settings import UPSAMPLING_LAYERS, SpadeSettings


class DenseSpectralConv2d(nn.Conv2d):
    """A convolution whose weight is divided by its singular value, v before u, one iteration per training forward."""

    weight_u: Tensor
    weight_v: Tensor

    def __init__(self, channels_in: int, channels_out: int, kernel: int, *, bias: bool = True) -> None:
        super().__init__(channels_in, channels_out, kernel, padding=kernel // 2, bias=bias)
        weight = self._parameters.pop("weight")
        assert weight is not None
        self.weight_orig = weight
        self.register_buffer("weight_u", F.normalize(torch.randn(channels_out), dim=0))
        self.register_buffer("weight_v", F.normalize(torch.randn(weight[0].numel()), dim=0))

    def forward(self, input: Tensor) -> Tensor:
        matrix = self.weight_orig.flatten(1)
        if self.training:
            with torch.no_grad():
                self.weight_v.copy_(F.normalize(torch.mv(matrix.t(), self.weight_u), dim=0, eps=1e-12))
                self.weight_u.copy_(F.normalize(torch.mv(matrix, self.weight_v), dim=0, eps=1e-12))
        u, v = self.weight_u.clone(), self.weight_v.clone()
        normalized = self.weight_orig / torch.dot(u, torch.mv(matrix, v))
        return F.conv2d(input, normalized, self.bias, padding=self.kernel_size[0] // 2)


def _convolution(channels_in: int, channels_out: int, kernel: int, spectral: bool, *, bias: bool = True) -> nn.Conv2d:
    if spectral:
        return DenseSpectralConv2d(channels_in, channels_out, kernel, bias=bias)
    return nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2, bias=bias)


class DenseSPADE(nn.Module):
    """SPADE with every convolution at every pixel."""

    def __init__(self, channels: int, map_channels: int, settings: SpadeSettings) -> None:
        super().__init__()
        kernel, padding = settings.kernel, settings.kernel // 2
        self.param_free_norm = param_free_norm(settings.norm, channels)
        self.mlp_shared = nn.Sequential(nn.Conv2d(map_channels, settings.hidden, kernel, padding=padding), nn.ReLU())
        self.mlp_gamma = nn.Conv2d(settings.hidden, channels, kernel, padding=padding)
        self.mlp_beta = nn.Conv2d(settings.hidden, channels, kernel, padding=padding)

    def forward(self, x: Tensor, one_hot: Tensor) -> Tensor:
        normalized = self.param_free_norm(x)
        hidden = self.mlp_shared(F.interpolate(one_hot, size=x.shape[2:], mode="nearest"))
        modulated: Tensor = normalized * (1 + self.mlp_gamma(hidden)) + self.mlp_beta(hidden)
        return modulated


class DenseBlock(nn.Module):
    """The residual block of the decoder."""

    def __init__(self, channels_in: int, channels_out: int, map_channels: int, settings: SpadeSettings) -> None:
        super().__init__()
        middle = min(channels_in, channels_out)
        self.conv_0 = _convolution(channels_in, middle, 3, settings.spectral_norm)
        self.conv_1 = _convolution(middle, channels_out, 3, settings.spectral_norm)
        self.norm_0 = DenseSPADE(channels_in, map_channels, settings)
        self.norm_1 = DenseSPADE(middle, map_channels, settings)
        self.learned_shortcut = channels_in != channels_out
        if self.learned_shortcut:
            self.conv_s = _convolution(channels_in, channels_out, 1, settings.spectral_norm, bias=False)
            self.norm_s = DenseSPADE(channels_in, map_channels, settings)

    def forward(self, x: Tensor, one_hot: Tensor) -> Tensor:
        shortcut = self.conv_s(self.norm_s(x, one_hot)) if self.learned_shortcut else x
        residual = self.conv_0(F.leaky_relu(self.norm_0(x, one_hot), 0.2))
        residual = self.conv_1(F.leaky_relu(self.norm_1(residual, one_hot), 0.2))
        return torch.add(shortcut, residual)


class DenseGenerator(nn.Module):
    """The decoder of ``settings`` (from the label map, not from z) for maps of ``spec`` and images of ``size``."""

    def __init__(self, settings: SpadeSettings, spec: LabelSpec, size: tuple[int, int]) -> None:
        super().__init__()
        if settings.source != "segmap":
            raise ValueError(f"the dense reference starts from the label map; source is {settings.source!r}")
        self.doublings = UPSAMPLING_LAYERS[settings.upsampling]
        divisible_size(size, self.doublings, f"a decoder with {self.doublings} doublings")
        widths = [16, 16, 16, 16, 8, 4, 2, 1]
        channels = [factor * settings.width for factor in widths]
        if settings.upsampling == "most":
            channels.append(settings.width // 2)
        self.fc = nn.Conv2d(spec.channels, channels[0], 3, padding=1)
        names = ["head_0", "G_middle_0", "G_middle_1", "up_0", "up_1", "up_2", "up_3", "up_4"]
        self.names = names[: len(channels) - 1]
        for name, narrow, wide in zip(self.names, channels[:-1], channels[1:], strict=True):
            self.add_module(name, DenseBlock(narrow, wide, spec.channels, settings))
        self.conv_img = nn.Conv2d(channels[-1], 3, 3, padding=1)

    def forward(self, label_map: LabelMap) -> Tensor:
        """Images (N, 3, H, W) in [-1, 1]."""
        return self.from_one_hot(label_map.one_hot(label_map.size, self.conv_img.weight.dtype))

    def from_one_hot(self, one_hot: Tensor) -> Tensor:
        """The same from a map (N, K, H, W) of 0 and 1."""
        height, width = (n // 2**self.doublings for n in one_hot.shape[2:])
        x = self.fc(F.interpolate(one_hot, size=(height, width), mode="nearest"))
        for name in self.names:
            if name not in ("head_0", "G_middle_1") or (name == "G_middle_1" and self.doublings > 5):
                x = F.interpolate(x, scale_factor=2, mode="nearest")
            x = self.get_submodule(name)(x, one_hot)
        return torch.tanh(self.conv_img(F.leaky_relu(x, 0.2)))
