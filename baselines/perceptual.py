"""The perceptual network of a recipe, by its name; the names are those of the weights files that they read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import nn

from baselines.crn.features import CaffeVGG19, EfficientNetLite0, load_caffe_vgg19, load_efficientnet_lite0
from baselines.recipe import PerceptualNetwork
from spade_core.perceptual import VGG19PerceptualLoss, vgg19_features

_LOADED: dict[PerceptualNetwork, Callable[[Path], nn.Module]] = {
    "vgg19": lambda path: VGG19PerceptualLoss(weights_file=path),
    "vgg19-caffe": load_caffe_vgg19,
    "efficientnet-lite0": load_efficientnet_lite0,
}
_DRAWN: dict[PerceptualNetwork, Callable[[], nn.Module]] = {
    "vgg19": lambda: VGG19PerceptualLoss(features=vgg19_features()),
    "vgg19-caffe": CaffeVGG19,
    "efficientnet-lite0": EfficientNetLite0,
}


def load_perceptual(name: PerceptualNetwork, weights_file: Path) -> nn.Module:
    """What ``build_step`` takes for a recipe of this perceptual network. A ValueError if the file does not fit."""
    return _LOADED[name](weights_file)


def perceptual_without_weights(name: PerceptualNetwork) -> nn.Module:
    """The same network with values of no meaning, to find out what it costs."""
    return _DRAWN[name]()
