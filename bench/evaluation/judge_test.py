"""How a judge is shown an image and its outputs become one label map, as its authors published it. Free of torch.

The constants are the published test procedures; `SOURCES` says where each of their fields was read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal, get_args, get_origin, get_type_hints

Triple = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class JudgeTest:
    """The published test procedure of a judge.

    In order: the image is resized (`input_resize`) to each of its sizes, normalised, and fed alone; the logits are
    enlarged (`output_resize`), turned into scores (`score`), combined over the sizes (`combination`); the largest score
    is the class, the smaller class index where two are equal. Raises ValueError listing every field that does not fit.
    """

    input_order: Literal["RGB", "BGR"] = "RGB"
    input_range: Literal[1, 255] = 1
    """The value of a white pixel before the mean is taken off."""
    input_mean: Triple
    """In the order and range above."""
    input_std: Triple = (1.0, 1.0, 1.0)
    short_sides: tuple[int, ...] = ()
    """px. The image is fed once for each, resized so that its short side is this long; () feeds it as it is."""
    long_side_at_most: int | None = None
    """px. Where the long side would be longer, this decides instead of the short side. None: no limit."""
    side_multiple: int = 1
    """px. Resized sides are rounded up to a multiple of this (the aspect ratio gives way)."""
    scales: tuple[float, ...] = (1.0,)
    """The image is fed once for each, its sides multiplied by this and rounded down; not together with short sides."""
    input_resize: Literal["none", "pil-bilinear", "pil-bicubic", "opencv-bilinear", "tensor-bilinear"] = "none"
    """PIL smooths when it shrinks, OpenCV and tensors do not. ``tensor-bilinear`` resizes the normalised image."""
    scale_step: Literal["factor", "size-ratio"] = "factor"
    """The step of ``tensor-bilinear`` over the image: 1 / scale, or the ratio of the rounded sizes. They agree where
    the sides times the scale are whole numbers (so at 256 px)."""
    output_resize: Literal["bilinear", "deconvolution-x8"] = "bilinear"
    """``bilinear``: logits to the label map's size (corners not aligned). ``deconvolution-x8``: by the network's own
    fixed layer, which lets zeros in at the border."""
    score: Literal["softmax", "log-softmax"] = "softmax"
    score_resize: Literal["none", "pil-bilinear"] = "none"
    """Of scores whose size is not yet the image's and, once combined, the label map's."""
    combination: Literal["none", "logit-max", "softmax-mean", "log-softmax-sum"] = "none"
    """Over the sizes. ``logit-max``: of logits, at the size of the first scale's, before they are enlarged."""
    flip: bool = False
    """Whether the mirrored image is fed too. None of the published procedures does, so only False is built."""
    crf: bool = False
    """Whether a dense CRF follows. Only False is built."""

    def __post_init__(self) -> None:
        problems = [*self._wrong_values(), *self._wrong_together()]
        if problems:
            raise ValueError("this test procedure cannot be: " + "; ".join(problems))

    @property
    def looks(self) -> int:
        """How many times the network sees an image."""
        return len(self.short_sides or self.scales)

    def _wrong_values(self) -> list[str]:
        hints = get_type_hints(JudgeTest)
        problems = [
            f"{field.name}={value!r}, allowed are: {', '.join(map(repr, allowed))}"
            for field in fields(self)
            if get_origin(hints[field.name]) is Literal
            and (value := getattr(self, field.name)) not in (allowed := get_args(hints[field.name]))
        ]
        if len(self.input_mean) != 3 or len(self.input_std) != 3 or min(self.input_std) <= 0:
            problems.append(
                f"input_mean={self.input_mean}, input_std={self.input_std}, expected three numbers each, the latter > 0"
            )
        if any(side < 1 for side in (*self.short_sides, self.side_multiple, self.long_side_at_most or 1)):
            problems.append(
                f"short_sides={self.short_sides}, long_side_at_most={self.long_side_at_most}, "
                f"side_multiple={self.side_multiple}, expected positive lengths"
            )
        if not self.scales or min(self.scales) <= 0:
            problems.append(f"scales={self.scales}, expected at least one positive factor")
        if self.flip or self.crf:
            problems.append(f"flip={self.flip}, crf={self.crf}, only False is built")
        return problems

    def _wrong_together(self) -> list[str]:
        problems = []
        resized = bool(self.short_sides) or self.scales != (1.0,)
        if self.short_sides and self.scales != (1.0,):
            problems.append(f"short_sides={self.short_sides} with scales={self.scales}, give one of the two")
        if not self.short_sides and (self.long_side_at_most is not None or self.side_multiple != 1):
            problems.append("long_side_at_most and side_multiple need short_sides")
        if resized == (self.input_resize == "none"):
            problems.append(f"input_resize={self.input_resize!r} with sizes {self.short_sides or self.scales}")
        if (self.looks > 1) == (self.combination == "none"):
            problems.append(f"combination={self.combination!r} of {self.looks} size(s)")
        if self.combination.startswith(("softmax", "log-softmax")) and not self.combination.startswith(
            f"{self.score}-"
        ):
            problems.append(f"combination={self.combination!r} of score={self.score!r}")
        if (self.combination == "logit-max") != (self.input_resize == "tensor-bilinear"):
            problems.append("combination='logit-max' and input_resize='tensor-bilinear' go together")
        if (self.output_resize == "bilinear") != (self.score_resize == "none"):
            problems.append(f"score_resize={self.score_resize!r} after output_resize={self.output_resize!r}")
        return problems


DEEPLAB_V2_TEST = JudgeTest(
    input_order="BGR",
    input_range=255,
    input_mean=(104.008, 116.669, 122.675),
    scales=(1.0, 0.75, 0.5),
    input_resize="tensor-bilinear",
    combination="logit-max",
)
UPERNET_CSAIL_TEST = JudgeTest(
    input_mean=(0.485, 0.456, 0.406),
    input_std=(0.229, 0.224, 0.225),
    short_sides=(300, 375, 450, 525, 600),
    long_side_at_most=1000,
    side_multiple=32,
    input_resize="pil-bilinear",
    combination="softmax-mean",
)
UPERNET_CSAIL_SINGLE_TEST = JudgeTest(
    input_mean=(0.485, 0.456, 0.406),
    input_std=(0.229, 0.224, 0.225),
    short_sides=(450,),
    long_side_at_most=1000,
    side_multiple=32,
    input_resize="pil-bilinear",
)
UPERNET_CSAIL_BASELINE_TEST = JudgeTest(
    input_order="BGR",
    input_range=255,
    input_mean=(102.9801, 115.9465, 122.7717),
    short_sides=(450,),
    long_side_at_most=1000,
    side_multiple=32,
    input_resize="opencv-bilinear",
)
"""For the files of ``baseline-resnet101-upernet/`` (until August 2019), which take other input than today's."""
DRN_TEST = JudgeTest(
    input_mean=(0.29010095242892997, 0.32808144844279574, 0.28696394422942517),
    input_std=(0.1829540508368939, 0.18656561047509476, 0.18447508988480435),
    output_resize="deconvolution-x8",
    score="log-softmax",
    score_resize="pil-bilinear",
)
DRN_MULTI_SCALE_TEST = JudgeTest(
    input_mean=DRN_TEST.input_mean,
    input_std=DRN_TEST.input_std,
    scales=(1.0, 0.5, 0.75, 1.25, 1.5, 1.75),
    input_resize="pil-bicubic",
    output_resize="deconvolution-x8",
    score="log-softmax",
    score_resize="pil-bilinear",
    combination="log-softmax-sum",
)

_NOT_THERE = {"flip": "the published test code mirrors nothing", "crf": "the published test code has no CRF"}
_NO_SIDES = dict.fromkeys(("short_sides", "long_side_at_most", "side_multiple"), "the published test code resizes none")
_DEEPLAB = "kazuto1011/deeplab-pytorch"
_DEEPLAB_SOURCES = {
    "input_order": f"{_DEEPLAB} libs/datasets/cocostuff.py: images are read by OpenCV in colour",
    "input_range": f"{_DEEPLAB} libs/datasets/cocostuff.py: float32 without division",
    "input_mean": f"{_DEEPLAB} configs/cocostuff164k.yaml, IMAGE.MEAN",
    "input_std": f"{_DEEPLAB} libs/datasets/base.py: the mean is taken off, nothing else",
    **dict.fromkeys(
        ("short_sides", "long_side_at_most", "side_multiple"),
        f"{_DEEPLAB} libs/datasets/base.py: without augmentation the image keeps its size",
    ),
    "scales": f"{_DEEPLAB} libs/models/msc.py and README (1, 0.75, 0.5); sides rounded down",
    "input_resize": f"{_DEEPLAB} libs/models/msc.py: bilinear on the tensor, corners not aligned",
    "scale_step": f"{_DEEPLAB} libs/models/msc.py interpolates by scale_factor, on torch from 1.6; until 1.5, when its "
    "scores were made, the step was size-ratio",
    "output_resize": f"{_DEEPLAB} main.py test: bilinear to the label map's size; README: corners not aligned",
    "score": f"{_DEEPLAB} main.py test: arg-max of the softmax",
    "score_resize": f"{_DEEPLAB} main.py test: logits are resized, scores are not",
    "combination": f"{_DEEPLAB} libs/models/msc.py: element-wise maximum at the size of scale 1's logits",
    "flip": _NOT_THERE["flip"],
    "crf": f"{_DEEPLAB} main.py: the CRF is a separate command (README: mIoU 39.7 with, 39.1 without it)",
}
_CSAIL = "CSAILVision/semantic-segmentation-pytorch"
_UPERNET_SOURCES = {
    "input_order": f"{_CSAIL} dataset.py, PIL's RGB since pull request 190 (August 2019), weights converted with it",
    "input_range": f"{_CSAIL} dataset.py, img_transform divides by 255",
    "input_mean": f"{_CSAIL} dataset.py",
    "input_std": f"{_CSAIL} dataset.py",
    "short_sides": f"{_CSAIL} config/ade20k-resnet101-upernet.yaml, imgSizes (42.66 mIoU, 81.01 accuracy)",
    "long_side_at_most": f"{_CSAIL} config/ade20k-resnet101-upernet.yaml, imgMaxSize",
    "side_multiple": f"{_CSAIL} config/ade20k-resnet101-upernet.yaml, padding_constant; dataset.py rounds sides up",
    "scales": f"{_CSAIL} dataset.py: sizes come from short sides",
    "input_resize": f"{_CSAIL} dataset.py, imresize calls PIL's bilinear",
    "scale_step": "no tensor is resized",
    "output_resize": f"{_CSAIL} models.py, UPerNet resizes logits to segSize, the label map's size (eval.py)",
    "score": f"{_CSAIL} models.py, use_softmax at test",
    "score_resize": f"{_CSAIL} eval.py: scores have the label map's size",
    "combination": f"{_CSAIL} eval.py adds scores divided by the number of sizes",
    **_NOT_THERE,
}
_SINGLE_SIDE = (
    f"{_CSAIL} eval.py before config/ existed: imgSize [450] unless given, the README's row without multi-scale"
)
_BASELINE_SOURCES = {
    **_UPERNET_SOURCES,
    "input_order": f"{_CSAIL} dataset.py before pull request 190: read by OpenCV; README: BGR",
    "input_range": f"{_CSAIL} dataset.py before pull request 190: no division",
    "input_mean": f"{_CSAIL} dataset.py before pull request 190",
    "input_std": f"{_CSAIL} dataset.py before pull request 190: ones",
    "short_sides": _SINGLE_SIDE,
    "long_side_at_most": f"{_CSAIL} eval.py before config/ existed, imgMaxSize",
    "side_multiple": f"{_CSAIL} README before config/ existed: --padding_constant 32 for UPerNet101",
    "input_resize": f"{_CSAIL} dataset.py before pull request 190: OpenCV's default",
    "combination": "one size",
}
_DRN = "fyu/drn"
_DRN_SOURCES = {
    "input_order": f"{_DRN} segment.py opens images with PIL",
    "input_range": f"{_DRN} data_transforms.py divides by 255",
    "input_mean": f"{_DRN} datasets/cityscapes/info.json",
    "input_std": f"{_DRN} datasets/cityscapes/info.json",
    **_NO_SIDES,
    "scales": f"{_DRN} segment.py test: the image as it is",
    "input_resize": f"{_DRN} segment.py test: the image as it is",
    "scale_step": "no tensor is resized",
    "output_resize": f"{_DRN} segment.py, fixed bilinear ConvTranspose2d(16, stride 8, padding 4)",
    "score": f"{_DRN} segment.py, LogSoftmax after the deconvolution",
    "score_resize": f"{_DRN} segment.py, resize_4d_tensor (as mit-han-lab/gan-compression does to 2048x1024 labels)",
    "combination": "one size",
    **_NOT_THERE,
}
SOURCES: Mapping[str, Mapping[str, str]] = {
    "DEEPLAB_V2_TEST": _DEEPLAB_SOURCES,
    "UPERNET_CSAIL_TEST": _UPERNET_SOURCES,
    "UPERNET_CSAIL_SINGLE_TEST": {**_UPERNET_SOURCES, "short_sides": _SINGLE_SIDE, "combination": "one size"},
    "UPERNET_CSAIL_BASELINE_TEST": _BASELINE_SOURCES,
    "DRN_TEST": _DRN_SOURCES,
    "DRN_MULTI_SCALE_TEST": {
        **_DRN_SOURCES,
        "scales": f"{_DRN} segment.py --ms: the image as it is, then 0.5 0.75 1.25 1.5 1.75; sides rounded down",
        "input_resize": f"{_DRN} segment.py SegListMS: PIL's bicubic",
        "combination": f"{_DRN} segment.py test_ms sums the log-softmax maps at the image's size",
    },
}
"""Constant, field, where it was read."""
