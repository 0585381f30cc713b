"""Feature extractors of the Frechet distances: images (N, H, W, 3) uint8 to features (N, D)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bench.evaluation.weights import require_weights

Extractor = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def inception_extractor(device: torch.device) -> Extractor:
    """pytorch-fid's Inception network (2048 features of its last pooling), with its own weights file.

    Raises MissingWeightsError when the file is not on this machine.
    """
    from pytorch_fid import inception

    path = require_weights("inception-fid")
    with _weights_from(inception, path):
        network = inception.InceptionV3([inception.InceptionV3.BLOCK_INDEX_BY_DIM[2048]])
    network = network.to(device).eval()

    @torch.no_grad()
    def extract(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        batch = torch.from_numpy(images.transpose(0, 3, 1, 2).astype(np.float32) / 255.0).to(device)
        features: NDArray[np.float32] = network(batch)[0].squeeze(3).squeeze(2).cpu().numpy()
        return features

    return extract


@contextmanager
def _weights_from(module: object, path: Path) -> Iterator[None]:
    """pytorch-fid downloads its weights when the network is built; for that moment it is handed our file instead."""
    original = module.load_state_dict_from_url  # type: ignore[attr-defined]

    def load(*_: object, **__: object) -> dict[str, torch.Tensor]:
        state: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
        return state

    module.load_state_dict_from_url = load  # type: ignore[attr-defined]
    try:
        yield
    finally:
        module.load_state_dict_from_url = original  # type: ignore[attr-defined]
