"""UPerNet with ResNet-101 as CSAIL made it, as a model of mmsegmentation: the judge of ADE20K (150 classes).

Reads the two files (encoder and decoder) of CSAILVision/semantic-segmentation-pytorch. Importing this module registers
the head.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.evaluation.judges.checkpoint import renamed
from bench.evaluation.judges.mmseg_parts import MODELS, UPerHead

CLASSES = 150
"""ADE20K's labels 1 to 150 are classes 0 to 149."""


@MODELS.register_module()
class CSAILUPerHead(UPerHead):  # type: ignore[misc]
    """UPerNet's head that enlarges the pooled map before it is convolved; mmsegmentation's own does so after."""

    def psp_forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """The pyramid pooling of the last features (N, C, h, w), joined to (N, channels, h, w)."""
        last = inputs[-1]
        parts = [last]
        for pool, convolve in self.psp_modules:
            enlarged = F.interpolate(pool(last), size=last.shape[-2:], mode="bilinear", align_corners=False)
            parts.append(convolve(enlarged))
        joined: Tensor = self.bottleneck(torch.cat(parts, dim=1))
        return joined


def upernet_csail_config(classes: int = CLASSES) -> dict[str, Any]:
    """The model's configuration for `MODELS.build`: a stem of three convolutions, 512 channels in the head."""
    return {
        "type": "EncoderDecoder",
        "backbone": {"type": "ResNetV1c", "depth": 101, "stem_channels": 128, "norm_cfg": {"type": "BN"}},
        "decode_head": {
            "type": "CSAILUPerHead",
            "in_channels": (256, 512, 1024, 2048),
            "in_index": (0, 1, 2, 3),
            "channels": 512,
            "num_classes": classes,
            "norm_cfg": {"type": "BN"},
            "align_corners": False,
        },
        "test_cfg": {"mode": "whole"},
    }


_STEM = {"0": "conv1", "1": "bn1", "3": "conv2", "4": "bn2", "6": "conv3", "7": "bn3"}
_HEAD_RULES = (
    ("decode_head.bottleneck.", "decoder.ppm_last_conv."),
    ("decode_head.fpn_bottleneck.", "decoder.conv_last.0."),
    ("decode_head.conv_seg.", "decoder.conv_last.1."),
)
_PLACE = {".conv.": ".0.", ".bn.": ".1."}


def published_key(key: str) -> str:
    """Our key as the published files have it, with ``encoder.`` or ``decoder.`` for the file in front."""
    if found := re.fullmatch(r"backbone\.stem\.(\d)\.(\w+)", key):
        return f"encoder.{_STEM[found[1]]}.{found[2]}"
    if key.startswith("backbone."):
        return "encoder." + key.removeprefix("backbone.")
    for ours, theirs in _PLACE.items():
        key = key.replace(ours, theirs)
    if found := re.fullmatch(r"decode_head\.psp_modules\.(\d)\.1\.(.+)", key):
        return f"decoder.ppm_conv.{found[1]}.{found[2]}"
    if found := re.fullmatch(r"decode_head\.lateral_convs\.(\d)\.(.+)", key):
        return f"decoder.fpn_in.{found[1]}.{found[2]}"
    if found := re.fullmatch(r"decode_head\.fpn_convs\.(\d)\.(.+)", key):
        return f"decoder.fpn_out.{found[1]}.0.{found[2]}"
    return renamed(key, _HEAD_RULES)


def is_dropped(key: str) -> bool:
    """Whether a published key is a buffer of CSAIL's synchronized batch norm, which says nothing at test."""
    return key.endswith(("._tmp_running_mean", "._tmp_running_var", "._running_iter"))
