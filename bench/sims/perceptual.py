"""The perceptual network of the synthesis network's loss.

SIMS compares features of Caffe's VGG19 (imagenet-vgg-verydeep-19), as CRN does. Where its file is not at hand
EfficientNet-Lite0 stands in for it, whose weights come with a package; the record of the training names it.
"""

from __future__ import annotations

from typing import Final

import torch

from baselines.crn.features import PerceptualFeatures, load_caffe_vgg19, load_efficientnet_lite0
from baselines.sims.losses import Perceptual
from bench.sims.stage import StageError

ORIGINAL, SUBSTITUTE, NONE = "vgg19-caffe", "efficientnet-lite0", "none"
_LOADERS: Final = {ORIGINAL: load_caffe_vgg19, SUBSTITUTE: load_efficientnet_lite0}
PERCEPTUAL_NAMES = (*_LOADERS, NONE)


def build_perceptual(name: str, device: torch.device, *, height: int) -> Perceptual:
    """The perceptual loss called ``name`` for pictures of ``height`` px, frozen, on ``device``.

    Network and divisors are CRN's (``baselines.crn.features``); ``none`` compares the pixels alone. Raises StageError
    for an unknown name, MissingWeightsError (a ValueError) where the weights are not here, ValueError for a file that
    does not fit and where a package is missing.
    """
    from bench.evaluation.weights import require_weights

    if name not in PERCEPTUAL_NAMES:
        raise StageError(f"--perceptual is {name!r}; choose one of {', '.join(PERCEPTUAL_NAMES)}")
    if name == NONE:
        return Perceptual(name=NONE, features=lambda images: [], divisors=(1.0,))
    with torch.random.fork_rng(devices=[]):  # building a network draws weights
        network: PerceptualFeatures = _LOADERS[name](require_weights(name))
    if height < network.least_px:
        raise StageError(f"{name} needs pictures of {network.least_px} px or more, not {height}; use --perceptual none")
    return Perceptual(name=name, features=network.to(device), divisors=network.divisors_at(height))
