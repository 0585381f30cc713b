"""Building protocols from one another, with the sources that they share. Free of torch and numpy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bench.evaluation.judge_test import SOURCES
from bench.evaluation.protocol import GUESS, Protocol

_NAMING = ("name", "version", "summary", "expected")
SEGMENTATION = ("mIoU", "accu@all", "accu@labelled")
PAPER_METRICS = (*SEGMENTATION, "FID@tv2019", "FID@tf", "KID@tf")
FOLLOWERS_METRICS = (*SEGMENTATION, "FID@tf", "KID@tf")
COMMON = {
    "dataset": "paper section 4, 'Datasets'",
    "conditioning": "paper section 4: label maps alone",
    "image_format": "released code: PNG",
    "pixel_rounding": "released code: util.tensor2im casts to uint8, which truncates",
    "reference": "NVlabs/SPADE#51: a user gets the paper's 22.6 (COCO-Stuff) and 33.9 (ADE20K) so; "
    "CLADE compares with training images",
    "reference_resize": f"{GUESS}: as the generated ones; NVlabs/SPADE#39 asks whether they are cropped, no answer is "
    "public",
    "subject": "this project: generated images, and the real ones through the same path as the upper bound",
}


def variation(base: Protocol, *, sources: Mapping[str, str], **changes: Any) -> Protocol:
    """``base`` with some fields changed; each of them needs its source anew, the old one speaks of another value."""
    renewed = set(sources) | {name.partition(".")[0] for name in sources}
    stale = [name for name, value in changes.items() if name not in _NAMING and value != getattr(base, name)]
    forgotten = [name for name in stale if name not in renewed]
    assert not forgotten, f"{changes.get('name', base.name)}: changed without a source: {', '.join(forgotten)}"
    kept = {name: text for name, text in base.sources.items() if name.partition(".")[0] not in stale}
    return replace(base, **changes, sources={**kept, **sources})


def sources_of_test(constant: str, **changes: str) -> dict[str, str]:
    """Sources of the fields of a test procedure of ``judge_test``, some of them with other words."""
    return {f"test.{name}": text for name, text in {**SOURCES[constant], **changes}.items()}
