"""Judges by the name that a protocol gives them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from bench.evaluation.features import Extractor
from bench.evaluation.protocols import Protocol
from bench.evaluation.weights import missing_reason, require_weights, weights_sha256


class UnavailableError(ValueError):
    """A score that cannot be computed here; the message is the cell's reason."""


@dataclass(frozen=True, kw_only=True)
class Judge:
    """A segmentation network, ready to label images."""

    name: str
    sha256: str
    """Of its weights file."""
    label: Callable[[NDArray[np.uint8]], NDArray[np.int64]]
    """Images (N, H, W, 3) uint8 to class indices (N, H, W), 0 to the number of scored classes - 1."""


def _synthetic(device: torch.device) -> Judge:
    from bench.evaluation.judges.synthetic import load_synthetic_judge

    network = load_synthetic_judge().to(device).eval()

    @torch.no_grad()
    def label(images: NDArray[np.uint8]) -> NDArray[np.int64]:
        result: NDArray[np.int64] = network(_normalised(images, device)).argmax(dim=1).cpu().numpy()
        return result

    return Judge(name="synthetic-judge", sha256=weights_sha256("synthetic-judge"), label=label)


_JUDGES: dict[str, Callable[[torch.device], Judge]] = {"synthetic-judge": _synthetic}


def build_judge(protocol: Protocol, device: torch.device) -> Judge:
    """The judge of ``protocol``. Raises UnavailableError with a cell's reason where it cannot be had."""
    if weights_sha256(protocol.judge_weights) == "missing":
        raise UnavailableError(missing_reason(protocol.judge_weights))
    if protocol.judge not in _JUDGES:
        raise UnavailableError(f"judge {protocol.judge} is not built into this version; it has: {', '.join(_JUDGES)}")
    require_weights(protocol.judge_weights)
    return _JUDGES[protocol.judge](device)


def judge_features(device: torch.device) -> Extractor:
    """Pooled features of the synthetic judge: images (N, H, W, 3) uint8 to (N, D)."""
    from bench.evaluation.judges.synthetic import load_synthetic_judge

    network = load_synthetic_judge().to(device).eval()

    @torch.no_grad()
    def extract(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        features: NDArray[np.float32] = network.features(_normalised(images, device)).float().cpu().numpy()
        return features

    return extract


def _normalised(images: NDArray[np.uint8], device: torch.device) -> torch.Tensor:
    """(N, H, W, 3) uint8 to (N, 3, H, W) float32 in [-1, 1]."""
    return torch.from_numpy(images.transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1.0).to(device)
