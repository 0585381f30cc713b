"""The perceptual loss on VGG19 features, as in the released code of pix2pixHD and SPADE."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

VGG19_FILE = "vgg19-dcbb9e9d.pth"
"""torchvision's ImageNet weights (VGG19_Weights.IMAGENET1K_V1)."""
VGG19_URL = f"https://download.pytorch.org/models/{VGG19_FILE}"

_TAPS = {1: 1 / 32, 6: 1 / 16, 11: 1 / 8, 20: 1 / 4, 29: 1.0}
"""Index in torchvision's ``features`` of relu1_1, relu2_1, relu3_1, relu4_1 and relu5_1 -> weight."""
_PREFIX = "features."


def vgg19_features() -> nn.Sequential:
    """torchvision's VGG19 trunk up to relu5_1, its weights not yet set (uninitialized memory)."""
    from torchvision.models import vgg19

    with torch.device("meta"):  # the classifier that is not needed has 124 million parameters
        features = vgg19(weights=None).features
    return nn.Sequential(*list(features.children())[: max(_TAPS) + 1]).to_empty(device="cpu")


def load_vgg19_features(weights_file: Path) -> nn.Sequential:
    """The trunk up to relu5_1 with the weights of a torchvision state dict (``features.*``; the rest is unused).

    A ValueError if the file is missing or its keys do not fit.
    """
    if not weights_file.is_file():
        raise ValueError(
            f"the perceptual loss needs torchvision's VGG19 weights, and there is no file {weights_file}. "
            f"Get {VGG19_FILE} from {VGG19_URL} and put it there, or train without the perceptual loss"
        )
    state = torch.load(weights_file, map_location="cpu", weights_only=True)
    trunk = vgg19_features()
    wanted = trunk.state_dict()
    given = {key.removeprefix(_PREFIX): value for key, value in state.items() if key.startswith(_PREFIX)}
    deeper = {key for key in given if int(key.split(".")[0]) > max(_TAPS)}
    given = {key: value for key, value in given.items() if key not in deeper}
    problems = [f"missing: {_PREFIX}{key}" for key in wanted if key not in given]
    problems += [f"unexpected: {_PREFIX}{key}" for key in given if key not in wanted]
    problems += [
        f"shape: {_PREFIX}{key} is {tuple(given[key].shape)}, expected {tuple(value.shape)}"
        for key, value in wanted.items()
        if key in given and given[key].shape != value.shape
    ]
    if problems:
        raise ValueError(
            f"{weights_file} does not hold torchvision's VGG19 (expected {VGG19_FILE}):\n  " + "\n  ".join(problems)
        )
    trunk.load_state_dict(given, strict=True)
    return trunk


class VGG19PerceptualLoss(nn.Module):
    """Weighted L1 distance of VGG19 features: relu1_1 to relu5_1 with weights 1/32, 1/16, 1/8, 1/4 and 1.

    Images are (N, 3, H, W) in [-1, 1] and are not normalized further, as in the released code. The trunk is frozen and
    stays in eval mode.
    """

    def __init__(self, features: nn.Module | None = None, weights_file: Path | None = None) -> None:
        """Give either ``features`` (a sequence of layers like torchvision's ``vgg19().features``) or a file.

        A ValueError if neither or both are given, or if the file is missing or unfit.
        """
        super().__init__()
        if (features is None) == (weights_file is None):
            raise ValueError("give VGG19PerceptualLoss either features or weights_file, not both and not neither")
        if features is None:
            assert weights_file is not None
            features = load_vgg19_features(weights_file)
        layers = list(features.children())
        if len(layers) <= max(_TAPS):
            raise ValueError(f"features has {len(layers)} layers; relu5_1 of VGG19 is the layer {max(_TAPS)} (from 0)")
        self.layers = nn.ModuleList(layers[: max(_TAPS) + 1])
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> VGG19PerceptualLoss:
        """Stays in eval mode."""
        return super().train(False)

    def forward(self, fake: Tensor, real: Tensor) -> Tensor:
        """The loss, a scalar; no gradient into ``real``."""
        with torch.no_grad():
            targets = self.tapped(real)
        losses = [
            weight * F.l1_loss(feature, target)
            for weight, feature, target in zip(_TAPS.values(), self.tapped(fake), targets, strict=True)
        ]
        return torch.stack(losses).sum()

    def tapped(self, image: Tensor) -> list[Tensor]:
        """The five features (N, C, H, W) of an image (N, 3, H, W)."""
        features = []
        x = image
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if index in _TAPS:
                features.append(x)
        return features
