"""The perceptual distance between an image and the real one of the same label map (LPIPS; Zhang et al. 2018).

A small distance to the one photograph that was taken of a layout is no aim of synthesis from a label map, which allows
many; the score says how close a generator comes to it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from bench.evaluation.judges.checkpoint import load_strictly, read_tensors
from bench.evaluation.metric_table import METRICS
from bench.evaluation.weights import require_weights

Images = NDArray[np.uint8]
Similarity = Callable[[Images, Images], NDArray[np.float64]]
_LEAST_SIDE = 31
"""AlexNet's last layers see nothing of smaller images."""


def build_similarity(name: str, device: torch.device) -> Similarity:
    """The perceptual distance called ``name`` (``LPIPS@alex``): two batches (N, H, W, 3) uint8 to distances (N,).

    The package lpips, version 0.1 of its linear layers, which come with it; AlexNet's weights are torchvision's file,
    never a download. Images are fed at their own size in [-1, 1]. Each pair's distance depends on the other pairs of
    its batch by the rounding of float32 only. The global random state is left as it was.

    Raises ValueError for another name or a file of another network, MissingWeightsError where the file is not on this
    machine; the distance raises ValueError for images of different or too small size.
    """
    if name not in METRICS or METRICS[name].kind != "similarity":
        known = ", ".join(metric.name for metric in METRICS.values() if metric.kind == "similarity")
        raise ValueError(f"no perceptual distance is called {name!r}; known are: {known}")
    network = _alexnet_lpips().to(device)

    def prepared(images: Images) -> torch.Tensor:
        planes = np.ascontiguousarray(images.transpose(0, 3, 1, 2), dtype=np.float32)
        return torch.from_numpy(planes).to(device) / 127.5 - 1.0

    @torch.no_grad()
    def distances(real: Images, judged: Images) -> NDArray[np.float64]:
        _check(real, judged)
        found: NDArray[np.float64] = network(prepared(real), prepared(judged)).flatten().double().cpu().numpy()
        return found

    return distances


def _alexnet_lpips() -> torch.nn.Module:
    import lpips

    path = require_weights("alexnet")
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module=r"torchvision\.models")
        network: torch.nn.Module = lpips.LPIPS(net="alex", version="0.1", pnet_rand=True, verbose=False)
    # The package cuts torchvision's `features` into slices, whose layers keep their numbers.
    load_strictly(
        network.net,  # type: ignore[arg-type]
        read_tensors(path),
        source=str(path),
        file_key=lambda key: f"features.{key.partition('.')[2]}",
        dropped=lambda key: key.startswith("classifier."),
    )
    return network.eval().requires_grad_(False)


def _check(real: Images, judged: Images) -> None:
    for images in (real, judged):
        if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
            raise ValueError(f"images have shape {images.shape} and type {images.dtype}; expected (N, H, W, 3) uint8")
    if real.shape != judged.shape:
        raise ValueError(f"real images have shape {real.shape}, judged ones {judged.shape}; they must be equal")
    if min(real.shape[1:3]) < _LEAST_SIDE:
        raise ValueError(
            f"images are {real.shape[2]}x{real.shape[1]} px; LPIPS@alex needs at least {_LEAST_SIDE} px on each side"
        )
