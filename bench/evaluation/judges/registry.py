"""Judges by the name that a protocol gives them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from bench.evaluation.generate import exact_float32
from bench.evaluation.protocol import Protocol
from bench.evaluation.weights import file_sha256, missing_reason, require_weights, weights_sha256

Label = Callable[[NDArray[np.uint8], tuple[int, int]], NDArray[np.int64]]


class UnavailableError(ValueError):
    """A score that cannot be computed here; the message is the cell's reason."""


@dataclass(frozen=True, kw_only=True)
class Judge:
    """A segmentation network, ready to label images."""

    name: str
    sha256: str
    """Of its weights file; of several files joined by ``+``, in the order of the protocol's ``judge_weights``."""
    classes: int
    class_names: tuple[str, ...] = ()
    """As its checkpoint or config gives them; empty for the judges whose classes are the data set's."""
    label: Label
    """An RGB image (H, W, 3) uint8 and a size (h, w) to classes (h, w), 0 to ``classes`` - 1.

    One image per forward pass, always: the number of images in a batch decides which convolution algorithm runs, and
    with it the last digits; where two classes tie, a pixel would change sides. So counts are the same on any batch size
    and any number of ranks.
    """


def build_judge(protocol: Protocol, device: torch.device) -> Judge:
    """The judge of ``protocol``: its network, files and test procedure.

    Raises UnavailableError with a cell's reason where it cannot be had, CheckpointError (a ValueError) for files that
    are not this network's.
    """
    if protocol.judge not in _JUDGES:
        known = ", ".join(list_judges())
        raise UnavailableError(f"judge {protocol.judge!r} is not built into this version; it has: {known}")
    missing = [name for name in protocol.judge_weights if weights_sha256(name) == "missing"]
    if missing:
        raise UnavailableError("; ".join(missing_reason(name) for name in missing))
    files = [require_weights(name) for name in protocol.judge_weights]
    return _JUDGES[protocol.judge](protocol, files, device)


def list_judges() -> list[str]:
    """The names that a protocol's ``judge`` may have."""
    return list(_JUDGES)


def _synthetic(protocol: Protocol, files: list[Path], device: torch.device) -> Judge:
    from bench.evaluation.judges.synthetic import load_synthetic_judge

    network = load_synthetic_judge().to(device).eval()

    def label(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.int64]:
        with torch.no_grad(), exact_float32():
            logits = network(_normalised(image[None], device))
            if logits.shape[-2:] != size:
                logits = F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
            labels: NDArray[np.int64] = logits.argmax(dim=1)[0].cpu().numpy()
        return labels

    classes = network.classify.out_channels
    return Judge(name=protocol.judge, sha256=weights_sha256("synthetic-judge"), classes=classes, label=label)


def _published(protocol: Protocol, files: list[Path], device: torch.device) -> Judge:
    from bench.evaluation.judges.pipeline import label_image
    from bench.evaluation.judges.published import NETWORKS, build_published

    test = protocol.test
    assert test is not None, "a protocol of these judges has a test procedure"
    network = build_published(protocol.judge, test, files).to(device)

    def label(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.int64]:
        return label_image(network, test, image, size, device)

    sha256 = "+".join(file_sha256(path) for path in files)
    return Judge(name=protocol.judge, sha256=sha256, classes=NETWORKS[protocol.judge].classes, label=label)


def _mmseg(protocol: Protocol, files: list[Path], device: torch.device) -> Judge:
    from bench.evaluation.judges.mmseg_judge import build_mmseg_judge

    assert protocol.mmseg is not None, "a protocol of this judge names config and checkpoint"
    checkpoint = files[0] if files else Path(protocol.mmseg.checkpoint)
    if not checkpoint.is_file():
        raise UnavailableError(f"checkpoint {checkpoint} is missing")
    return build_mmseg_judge(protocol.mmseg.config, checkpoint, device)


_JUDGES: dict[str, Callable[[Protocol, list[Path], torch.device], Judge]] = {
    "synthetic-judge": _synthetic,
    "deeplabv2-resnet101-msc-cocostuff164k": _published,
    "upernet101-csail": _published,
    "drn-d-105": _published,
    "mmseg": _mmseg,
}


def _normalised(images: NDArray[np.uint8], device: torch.device) -> torch.Tensor:
    """(N, H, W, 3) uint8 to (N, 3, H, W) float32 in [-1, 1]."""
    return torch.from_numpy(images.transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1.0).to(device)
