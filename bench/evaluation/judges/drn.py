"""DRN-D-105, a dilated residual network, as a model of mmsegmentation: the judge of Cityscapes (19 classes).

Reads the checkpoints of fyu/drn. Importing this module registers backbone and head.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bench.evaluation.judges.checkpoint import renamed
from bench.evaluation.judges.mmseg_parts import MODELS, BaseModule, Bottleneck, FCNHead

CLASSES = 19
"""Cityscapes' train ids."""
STRIDE = 8
"""Of the backbone, and how many times the head enlarges."""


def _conv_layer(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    padding = kernel // 2 * dilation
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=padding, dilation=dilation, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def _residual_layer(inputs: int, planes: int, blocks: int, *, stride: int, dilation: int) -> nn.Sequential:
    outputs = planes * Bottleneck.expansion
    shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs))
    first = Bottleneck(inputs, planes, stride=stride, dilation=dilation, downsample=shortcut)
    return nn.Sequential(first, *(Bottleneck(outputs, planes, dilation=dilation) for _ in range(blocks - 1)))


@MODELS.register_module()
class DRND(BaseModule):  # type: ignore[misc]
    """The dilated residual network of type D: plain convolutions at both ends, bottlenecks between, stride 8."""

    def __init__(self, blocks: Sequence[int] = (3, 4, 23, 3)) -> None:
        super().__init__()
        layer3, layer4, layer5, layer6 = blocks
        self.layers = nn.ModuleList(
            [
                _conv_layer(3, 16, kernel=7),
                _conv_layer(16, 16),
                _conv_layer(16, 32, stride=2),
                _residual_layer(32, 64, layer3, stride=2, dilation=1),
                _residual_layer(256, 128, layer4, stride=2, dilation=1),
                _residual_layer(512, 256, layer5, stride=1, dilation=2),
                _residual_layer(1024, 512, layer6, stride=1, dilation=4),
                _conv_layer(2048, 512, dilation=2),
                _conv_layer(512, 512),
            ]
        )

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Images (N, 3, H, W) to one map of features (N, 512, H / 8, W / 8)."""
        x = images
        for layer in self.layers:
            x = layer(x)
        return (x,)


@MODELS.register_module()
class DeconvolutionHead(FCNHead):  # type: ignore[misc]
    """A 1x1 convolution to the classes, enlarged 8 times by a fixed transposed convolution.

    Its kernel is bilinear; its padding lets zeros in at the border, so logits shrink in the outer 4 px.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(num_convs=0, concat_input=False, **settings)
        self.up = nn.ConvTranspose2d(
            self.num_classes, self.num_classes, 2 * STRIDE, STRIDE, STRIDE // 2, groups=self.num_classes, bias=False
        )
        self.up.weight.requires_grad_(False).copy_(bilinear_kernel(STRIDE))

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Backbone features to logits (N, classes, 8 h, 8 w)."""
        enlarged: Tensor = self.up(super().forward(inputs))
        return enlarged


def bilinear_kernel(factor: int) -> Tensor:
    """The (2 factor, 2 factor) kernel of a transposed convolution that enlarges bilinearly; ``factor`` is even."""
    distance = torch.arange(2 * factor, dtype=torch.float64) - (factor - 0.5)
    slope = 1 - distance.abs() / factor
    return torch.outer(slope, slope).float()


def drn_config(classes: int = CLASSES) -> dict[str, Any]:
    """The model's configuration for `MODELS.build`."""
    return {
        "type": "EncoderDecoder",
        "backbone": {"type": "DRND"},
        "decode_head": {
            "type": "DeconvolutionHead",
            "in_channels": 512,
            "in_index": 0,
            "channels": 512,
            "num_classes": classes,
            "align_corners": False,
        },
        "test_cfg": {"mode": "whole"},
    }


_RULES = (("backbone.layers.", "base."), ("decode_head.conv_seg.", "seg."), ("decode_head.up.", "up."))


def published_key(key: str) -> str:
    """Our key as the published checkpoint has it."""
    return renamed(key, _RULES)
