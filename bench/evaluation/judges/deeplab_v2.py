"""DeepLabV2 with ResNet-101 and multi-scale input, as a model of mmsegmentation: the judge of COCO-Stuff (182 classes).

Reads the checkpoints of kazuto1011/deeplab-pytorch. Importing this module registers the model's new parts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.evaluation.judges.mmseg_parts import MODELS, BaseDecodeHead, EncoderDecoder, ResNet

CLASSES = 182
"""COCO-Stuff's ids 0 to 181; 11 of them never occur."""


@MODELS.register_module()
class CeilPoolResNet(ResNet):  # type: ignore[misc]
    """A ResNet whose max pooling rounds sizes up, as Caffe does. Rounding down moves every feature off its place."""

    def _make_stem_layer(self, in_channels: int, stem_channels: int) -> None:
        super()._make_stem_layer(in_channels, stem_channels)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1, ceil_mode=True)


@MODELS.register_module()
class ASPPSumHead(BaseDecodeHead):  # type: ignore[misc]
    """DeepLabV2's atrous spatial pyramid: the sum of dilated 3x3 convolutions straight to the classes."""

    def __init__(self, *, in_channels: int, num_classes: int, dilations: Sequence[int], **settings: Any) -> None:
        super().__init__(
            in_channels=in_channels, channels=in_channels, num_classes=num_classes, dropout_ratio=0, **settings
        )
        del self.conv_seg
        self.convs = nn.ModuleList(
            nn.Conv2d(in_channels, num_classes, 3, padding=dilation, dilation=dilation) for dilation in dilations
        )

    def init_weights(self) -> None:
        """Small normal weights, zero biases."""
        for name, value in self.convs.named_parameters():
            nn.init.zeros_(value) if name.endswith("bias") else nn.init.normal_(value, std=0.01)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Backbone features to logits (N, classes, h, w) at the features' size."""
        features = self._transform_inputs(inputs)
        total: Tensor = self.convs[0](features)
        for conv in self.convs[1:]:
            total = total + conv(features)
        return total


@MODELS.register_module()
class MSCEncoderDecoder(EncoderDecoder):  # type: ignore[misc]
    """Looks at the image at several scales and keeps the largest logit of each class and place.

    Images are resized bilinearly (corners not aligned) to their sides times the scale, rounded down, with a step of
    1 / scale or (``by_size_ratio``) of the ratio of the sizes; logits to the size of the first scale's.
    """

    def __init__(self, *, scales: Sequence[float], by_size_ratio: bool = False, **settings: Any) -> None:
        super().__init__(**settings)
        self.scales = tuple(scales)
        self.by_size_ratio = by_size_ratio

    def encode_decode(self, inputs: Tensor, batch_img_metas: list[dict[str, Any]]) -> Tensor:
        """Images (N, 3, H, W) to logits of the same size."""
        logits: Tensor = self.decode_head.predict_by_feat(self._forward(inputs), batch_img_metas)
        return logits

    def _forward(self, inputs: Tensor, data_samples: object = None) -> Tensor:
        best: Tensor | None = None
        for scale in self.scales:
            logits: Tensor = super()._forward(inputs if scale == 1.0 else self._scaled(inputs, scale))
            if best is None:
                best = logits
            else:
                enlarged = F.interpolate(logits, size=best.shape[-2:], mode="bilinear", align_corners=False)
                best = torch.maximum(best, enlarged)
        assert best is not None, "a protocol's scales are never empty"
        return best

    def _scaled(self, images: Tensor, scale: float) -> Tensor:
        return F.interpolate(
            images,
            scale_factor=scale,
            mode="bilinear",
            align_corners=False,
            recompute_scale_factor=self.by_size_ratio,
        )


def deeplab_v2_config(
    scales: Sequence[float] = (1.0, 0.75, 0.5), *, by_size_ratio: bool = False, classes: int = CLASSES
) -> dict[str, Any]:
    """The model's configuration for `MODELS.build`; output stride 8, dilations 6, 12, 18, 24 (the published config)."""
    return {
        "type": "MSCEncoderDecoder",
        "scales": tuple(scales),
        "by_size_ratio": by_size_ratio,
        "backbone": {
            "type": "CeilPoolResNet",
            "depth": 101,
            "style": "caffe",
            "strides": (1, 2, 1, 1),
            "dilations": (1, 1, 2, 4),
            "norm_cfg": {"type": "BN", "requires_grad": False},
            "norm_eval": True,
        },
        "decode_head": {
            "type": "ASPPSumHead",
            "in_channels": 2048,
            "in_index": 3,
            "num_classes": classes,
            "dilations": (6, 12, 18, 24),
            "align_corners": False,
        },
        "test_cfg": {"mode": "whole"},
    }


_BLOCK = re.compile(r"backbone\.layer(?P<layer>\d)\.(?P<block>\d+)\.(?P<part>[a-z]+)\.?(?P<place>\d)\.(?P<rest>\w+)")
_BRANCHES = {"1": "reduce", "2": "conv3x3", "3": "increase"}


def published_key(key: str) -> str:
    """Our key as the published checkpoint has it."""
    if found := _BLOCK.fullmatch(key):
        part, place, rest = found["part"], found["place"], found["rest"]
        if part == "downsample":
            branch, kind = "shortcut", ("conv", "bn")[int(place)]
        else:
            branch, kind = _BRANCHES[place], part
        return f"base.layer{int(found['layer']) + 1}.block{int(found['block']) + 1}.{branch}.{kind}.{rest}"
    if found := re.fullmatch(r"decode_head\.convs\.(\d)\.(\w+)", key):
        return f"base.aspp.c{found[1]}.{found[2]}"
    if found := re.fullmatch(r"backbone\.(conv|bn)1\.(\w+)", key):
        return f"base.layer1.conv1.{found[1]}.{found[2]}"
    raise KeyError(key)
