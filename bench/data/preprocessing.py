"""What is done to a pair before a network sees it: as the paper tells it, as the released code does it, and here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of the preprocessing (paper: section 4 and appendix; code: the released data set options)."""

    step: str
    paper: str
    code: str
    here: str


_NOT_STATED = "not stated"
_MIRROR = Step(step="mirroring (training)", paper=_NOT_STATED, code="probability 0.5", here="probability 0.5")


def _resized(size: str, load: str) -> tuple[Step, ...]:
    crop = f"{size}, uniformly" if load != size else "none"
    by = "PIL bicubic, ids nearest, aspect ratio not kept"
    return (
        Step(step="size (width x height)", paper=size, code=size, here=size),
        Step(step="resizing (training)", paper=_NOT_STATED, code=f"to {load}: {by}", here=f"to {load}: {by}"),
        Step(step="random crop (training)", paper=_NOT_STATED, code=crop, here=crop),
        _MIRROR,
        Step(step="test", paper=_NOT_STATED, code=f"to {size}: {by}", here=f"to {size}: {by}"),
    )


_COCO = (
    *_resized("256x256", "286x286"),
    Step(step="label ids", paper="182 classes", code="255 becomes 182 (don't care)", here="255 becomes 182"),
    Step(
        step="instance edges",
        paper=_NOT_STATED,
        code="4-neighbours in a map of label ids overdrawn with numbered polygons (numbers wrap after 255)",
        here="the same map, drawn by `prepare` (numbers do not wrap)",
    ),
)
_ADE20K = (
    *_resized("256x256", "286x286"),
    Step(
        step="label ids",
        paper="150 classes",
        code="meant: label - 1, unknown 150; done: as in the files, unknown 0 (the result is never written back)",
        here="as in the files; a checkpoint's label convention may say otherwise",
    ),
)
_CITYSCAPES = (
    *_resized("512x256", "512x256"),
    Step(
        step="label ids",
        paper=_NOT_STATED,
        code="labelIds 0 to 33 in 35 channels, not the 19 train ids",
        here="the same; scores are of the 19 train ids",
    ),
    Step(
        step="instance edges",
        paper=_NOT_STATED,
        code="4-neighbours in the instanceIds",
        here="4-neighbours in the instanceIds",
    ),
    Step(step="training pairs", paper="3,000", code="2,975", here="2,975, the official split (the paper rounds)"),
)
_LANDSCAPES = (
    Step(step="size (width x height)", paper="256x256", code="no released options", here="256x256"),
    Step(
        step="resizing, crop, mirroring",
        paper=_NOT_STATED,
        code="no released options",
        here="as for COCO-Stuff: our choice",
    ),
    Step(
        step="label maps",
        paper="DeepLabV2 trained on COCO-Stuff",
        code="not released",
        here="DeepLabV2 by `prepare`, ids 0 to 181",
    ),
)

PREPROCESSING: Mapping[str, tuple[Step, ...]] = {
    "coco_stuff": _COCO,
    "ade20k": _ADE20K,
    "ade20k_outdoor": _ADE20K,
    "cityscapes": _CITYSCAPES,
    "flickr_landscapes": _LANDSCAPES,
}
"""By data set of the paper: what ``transforms`` does, beside the paper's text and the released code."""
