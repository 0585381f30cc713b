"""The judge of the embedded world: a small segmentation network trained on real synthetic pairs, shipped with us.

Its weights (`synthetic_judge_v1.safetensors`) and its card (`.json`: sha256, world version, scores on real validation
scenes, how it was trained) lie beside this file; `train_synthetic.py` makes both.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load as load_tensors
from torch import Tensor, nn

from bench.data.registry import WORLD_VERSION
from bench.data.synthetic import SYNTHETIC_SPEC

WEIGHTS = Path(__file__).with_name("synthetic_judge_v1.safetensors")
FEATURES = 128
"""Length of a feature vector."""


class JudgeError(ValueError):
    """A judge whose files are missing, changed, or made for another world."""


def _conv(inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=dilation, dilation=dilation, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class SyntheticJudge(nn.Module):
    """A U-shaped network of four scales, whose coarsest one also sees the mean of the whole image.

    Images are (N, 3, H, W) float in [-1, 1], H and W multiples of 8; it was trained at 64, 96 and 128 px.
    """

    WIDTHS = (24, 40, 64, 96)

    def __init__(self, classes: int = SYNTHETIC_SPEC.classes) -> None:
        super().__init__()
        w0, w1, w2, w3 = self.WIDTHS
        self.scale0 = nn.Sequential(_conv(3, w0), _conv(w0, w0))
        self.scale1 = nn.Sequential(_conv(w0, w1, stride=2), _conv(w1, w1))
        self.scale2 = nn.Sequential(_conv(w1, w2, stride=2), _conv(w2, w2))
        self.scale3 = nn.Sequential(_conv(w2, w3, stride=2), _conv(w3, w3, dilation=2), _conv(w3, w3, dilation=4))
        self.context = nn.Linear(w3, w3)
        self.join2, self.merge2 = nn.Conv2d(w3, w2, 1), _conv(w2, w2)
        self.join1, self.merge1 = nn.Conv2d(w2, w1, 1), _conv(w1, w1)
        self.join0, self.merge0 = nn.Conv2d(w1, w0, 1), _conv(w0, FEATURES - w3)
        self.classify = nn.Conv2d(FEATURES - w3, classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, classes, H, W). Raises ValueError for images of another shape."""
        logits: Tensor = self.classify(self._maps(images)[1])
        return logits

    def features(self, images: Tensor) -> Tensor:
        """(N, 128): means over the image of the coarsest scale (96) and of the last layer before the logits (32)."""
        coarse, fine = self._maps(images)
        return torch.cat([coarse.mean((2, 3)), fine.mean((2, 3))], 1)

    def _maps(self, images: Tensor) -> tuple[Tensor, Tensor]:
        if images.dim() != 4 or images.shape[1] != 3 or images.shape[2] % 8 or images.shape[3] % 8:
            raise ValueError(
                f"the synthetic judge was given {tuple(images.shape)}; it takes (N, 3, H, W) in [-1, 1] with H and W "
                "multiples of 8"
            )
        x0 = self.scale0(images)
        x1 = self.scale1(x0)
        x2 = self.scale2(x1)
        x3 = self.scale3(x2)
        x3 = F.relu(x3 + self.context(x3.mean((2, 3)))[:, :, None, None])
        y = self.merge2(x2 + self._up(self.join2(x3)))
        y = self.merge1(x1 + self._up(self.join1(y)))
        return x3, self.merge0(x0 + self._up(self.join0(y)))

    @staticmethod
    def _up(x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def card_of(weights: Path) -> dict[str, Any]:
    """The JSON card beside a weights file. Raises JudgeError if it is missing or not a card."""
    path = weights.with_suffix(".json")
    if not path.is_file():
        raise JudgeError(
            f"{path}: no card beside the judge's weights; run python -m bench.evaluation.judges.train_synthetic"
        )
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise JudgeError(f"{path}: not JSON ({error}); restore it or train the judge again") from error
    missing = {"sha256", "world_version"} - set(card)
    if missing:
        raise JudgeError(f"{path}: lacks {', '.join(sorted(missing))}; restore it or train the judge again")
    return dict(card)


def load_synthetic_judge(weights: Path = WEIGHTS) -> SyntheticJudge:
    """The shipped judge in eval mode, float32, without gradients.

    Raises JudgeError if the file is missing, its sha256 is not the card's, or it was trained on another world.
    """
    if not weights.is_file():
        raise JudgeError(
            f"{weights}: no such file; run python -m bench.evaluation.judges.train_synthetic --out {weights}"
        )
    card = card_of(weights)
    content = weights.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != card["sha256"]:
        raise JudgeError(f"{weights}: sha256 is {found}, its card says {card['sha256']}; restore both files together")
    if card["world_version"] != WORLD_VERSION:
        raise JudgeError(
            f"{weights}: trained on version {card['world_version']} of the synthetic world, which is now version "
            f"{WORLD_VERSION}; train it again (python -m bench.evaluation.judges.train_synthetic)"
        )
    judge = SyntheticJudge()
    judge.load_state_dict(
        {key: value.float() if value.is_floating_point() else value for key, value in load_tensors(content).items()}
    )
    return judge.eval().requires_grad_(False)
