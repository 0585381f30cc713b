"""The three networks of SIMS (Qi et al. 2018), with the published parameter counts.

Letters of shapes: N images, K label channels, H height and W width in px. All convolutions are 3 x 3 without bias,
followed by layer norm (over channels and pixels, with a scale and an offset a channel) and LeakyReLU(0.2); average
pooling. Source: facts, section 5 and ``facts/baseline_counts.csv``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.sims.matching import changed, matching_map, moments
from baselines.sims.settings import OrderingSettings, SynthesisSettings, TransformationSettings

_VGG16 = ((1, 2), (2, 2), (4, 3), (8, 3), (8, 3))
"""(multiple of the width, convolutions) of the five groups of VGG16."""
_ENCODER = (*_VGG16, (8, 3))
_SLOPE = 0.2


def layers(inputs: int, outputs: int, count: int) -> nn.Sequential:
    """``count`` times convolution, layer norm and LeakyReLU, from ``inputs`` to ``outputs`` channels."""
    made: list[nn.Module] = []
    for index in range(count):
        made += [
            nn.Conv2d(inputs if index == 0 else outputs, outputs, 3, padding=1, bias=False),
            nn.GroupNorm(1, outputs),  # one group: the layer norm of TensorFlow's slim
            nn.LeakyReLU(_SLOPE),
        ]
    return nn.Sequential(*made)


def initialize(network: nn.Module, seed: int) -> None:
    """Glorot's uniform weights for convolutions and linear layers (slim's default), zero biases; from ``seed`` alone.

    Layers named in the network's ``kept_layers`` keep what they have.
    """
    generator = torch.Generator().manual_seed(seed)
    kept = getattr(network, "kept_layers", ())
    for name, module in network.named_modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)) and name not in kept:
            nn.init.xavier_uniform_(module.weight, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


class _Features(nn.Module):
    """VGG16's convolutions with layer norm: (N, inputs, H, W) to (N, 8 * width, H / 32, W / 32), rounded up."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.groups = nn.ModuleList()
        for multiple, count in _VGG16:
            self.groups.append(layers(inputs, multiple * width, count))
            inputs = multiple * width

    def forward(self, x: Tensor) -> Tensor:
        for group in self.groups:
            x = halved(group(x))
        return x


def placed_means(x: Tensor) -> Tensor:
    """Means over the pixels that tell where things are: (N, C, h, w) to (N, C).

    Every third channel is averaged as it is, the ones after them times x and times y, from -1 to 1.
    """
    height, width = x.shape[2:]
    across = (2 * torch.arange(width, device=x.device, dtype=x.dtype) + 1) / width - 1
    down = (2 * torch.arange(height, device=x.device, dtype=x.dtype) + 1) / height - 1
    weights = torch.stack([torch.ones_like(x[0, 0]), across.expand(height, width), down[:, None].expand(height, width)])
    return (x * weights[torch.arange(x.shape[1], device=x.device) % 3]).mean((2, 3))


def halved(x: Tensor) -> Tensor:
    """Average pooling to half the size; a side of 1 px stays."""
    return F.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False)


class TransformationNetwork(nn.Module):
    """Segment, its mask and the wanted region to an affine map (N, 2, 3); 14,734,086 parameters at 20 labels.

    The map takes normalized coordinates of the result, from -1 to 1, to those of the segment, as ``F.affine_grid``
    wants it. It begins as the map that matches the moments of the segment and the region (``matching_map``): the last
    layer begins at 0, and what it says changes that map (``changed``).
    Reconstruction, where the facts are silent: that beginning; the network sees the segment moved by it; the pixels are
    averaged by ``placed_means`` (the plain mean, to which a convolutional network tells nothing of where a segment
    lies, is what the ordering network has); and the mask channel is the moved mask minus the wanted region.
    """

    kept_layers = ("affine",)

    def __init__(self, settings: TransformationSettings) -> None:
        super().__init__()
        self.settings = settings
        self.features = _Features(3 + 1 + settings.classes, settings.width)
        self.affine = nn.Linear(8 * settings.width, 6)
        with torch.no_grad():
            self.affine.weight.zero_()
            self.affine.bias.zero_()

    def forward(self, segment: Tensor, mask: Tensor, wanted: Tensor) -> Tensor:
        """``segment`` (N, 3, H, W) in [-1, 1], 0 outside ``mask`` (N, 1, H, W) of 0 and 1.

        ``wanted`` (N, K, H, W) is 1 in the class channel at the pixels of the region to fill, else 0
        (reconstruction: the facts say "label, 20 channels").
        """
        region = wanted.sum(1, keepdim=True)
        asked = moments(region)
        theta = matching_map(moments(mask), asked)
        moved = transformed(torch.cat([segment, mask], 1), theta)
        seen = torch.cat([moved[:, :3], moved[:, 3:] - region, wanted], 1)
        change = self.affine(placed_means(self.features(seen))).unflatten(1, (2, 3))
        return changed(theta, change, asked)


def transformed(values: Tensor, theta: Tensor) -> Tensor:
    """``values`` (N, C, H, W) moved by ``theta`` (N, 2, 3), bilinear, 0 from outside; differentiable in both."""
    grid = F.affine_grid(theta, list(values.shape), align_corners=False)
    return F.grid_sample(values, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


class OrderingNetwork(nn.Module):
    """A pair of segments and the label map, drawn in colours, to K scores of the class in front; 15,267,476 parameters.

    Between the averaged features and the scores lies one layer of 16 * width units with layer norm: the reading of
    the facts that gives the published count.
    """

    def __init__(self, settings: OrderingSettings) -> None:
        super().__init__()
        self.features = _Features(6, settings.width)
        self.hidden = nn.Linear(8 * settings.width, 16 * settings.width, bias=False)
        self.norm = nn.LayerNorm(16 * settings.width)
        self.scores = nn.Linear(16 * settings.width, settings.classes)

    def forward(self, drawn: Tensor) -> Tensor:
        """``drawn`` (N, 6, H, W) in [0, 1]: the pair on black, then the whole map. Returns logits (N, K)."""
        hidden = F.leaky_relu(self.norm(self.hidden(self.features(drawn).mean((2, 3)))), _SLOPE)
        logits: Tensor = self.scores(hidden)
        return logits


class SynthesisNetwork(nn.Module):
    """Label map, canvas and its mask to an image and to scores of the classes; 55,671,319 parameters at 256 px.

    An encoder of average-poolings and a decoder of CRN's modules, each fed with the upsampled result of the one
    below, the encoder's pooled features of its size and the input itself. At 512 px a last module of 2 * width
    channels works at the full size (56,138,903 parameters).
    """

    def __init__(self, settings: SynthesisSettings) -> None:
        super().__init__()
        self.settings = settings
        width, fed = settings.width, settings.classes + 3 + 1
        self.encoder = nn.ModuleList()
        channels = [fed]
        for multiple, count in _ENCODER[: settings.poolings]:
            self.encoder.append(layers(channels[-1], multiple * width, count))
            channels.append(multiple * width)
        self.decoder = nn.ModuleList()
        below = 0
        for level in range(settings.poolings, -1, -1):
            skipped = channels[level] if level else 0
            here = (8 if level > 1 else 4) * width
            self.decoder.append(layers(below + skipped + fed, here, 2))
            below = here
        if settings.refined:
            self.decoder.append(layers(below + fed, 2 * width, 2))
            below = 2 * width
        self.image = nn.Conv2d(below, 3, 1)
        self.semantic = nn.Conv2d(below, settings.classes, 1)

    def forward(self, labels: Tensor, canvas: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """``labels`` (N, K, H, W) one-hot, ``canvas`` (N, 3, H, W) in [-1, 1], 0 where ``mask`` (N, 1, H, W) is 0.

        Returns the image (N, 3, H, W), meant for [-1, 1] and not bounded, and class logits (N, K, H, W).
        Raises ValueError for another size than the settings'.
        """
        fed = torch.cat([labels, canvas, mask], 1)
        if fed.shape[2:] != self.settings.size:
            raise ValueError(
                f"the network was made for {self.settings.size} (height, width) px, the input has "
                f"{tuple(fed.shape[2:])}; resize it, or train a network for that size"
            )
        inputs = [fed]
        for _ in range(self.settings.poolings + int(self.settings.refined)):
            inputs.append(F.avg_pool2d(inputs[-1], 2))  # CRN: area-averaged one-hot maps
        lowest = int(self.settings.refined)
        skips = self._encoded(inputs[lowest])
        x: Tensor | None = None
        for stage, level in zip(self.decoder, range(len(inputs) - 1, -1, -1), strict=True):
            parts: Sequence[Tensor] = [inputs[level]]
            if level > lowest:
                parts = [skips[level - lowest - 1], *parts]
            if x is not None:
                up = F.interpolate(x, size=inputs[level].shape[2:], mode="bilinear", align_corners=True)
                parts = [up, *parts]
            x = stage(torch.cat(list(parts), 1))
        assert x is not None
        return self.image(x), self.semantic(x)

    def _encoded(self, x: Tensor) -> list[Tensor]:
        """The pooled features of every group, largest first."""
        found = []
        for group in self.encoder:
            x = F.avg_pool2d(group(x), 2)
            found.append(x)
        return found
