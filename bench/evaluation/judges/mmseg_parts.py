"""The pieces of mmsegmentation that the judges are made of. Importing this takes seconds: only judges do."""

from __future__ import annotations

from bench.evaluation.judges.mmcv_stand_in import ensure_mmseg

ensure_mmseg()

from mmengine.config import ConfigDict  # noqa: E402
from mmengine.model import BaseModule  # noqa: E402
from mmengine.registry import DefaultScope  # noqa: E402
from mmseg.models.backbones.resnet import Bottleneck, ResNet  # noqa: E402
from mmseg.models.decode_heads.decode_head import BaseDecodeHead  # noqa: E402
from mmseg.models.decode_heads.fcn_head import FCNHead  # noqa: E402
from mmseg.models.decode_heads.uper_head import UPerHead  # noqa: E402
from mmseg.models.segmentors.encoder_decoder import EncoderDecoder  # noqa: E402
from mmseg.registry import MODELS  # noqa: E402

__all__ = [
    "MODELS",
    "BaseDecodeHead",
    "BaseModule",
    "Bottleneck",
    "ConfigDict",
    "DefaultScope",
    "EncoderDecoder",
    "FCNHead",
    "ResNet",
    "UPerHead",
]
