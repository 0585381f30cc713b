"""Weights and inputs that anyone can rebuild from a name or a seed; the rules are in tests/golden/README.md."""

from __future__ import annotations

import csv
import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from spade_core.label_spec import LabelSpec
from spade_core.labels import LabelMap
from spade_core.released import load_released_state_dict

TESTS = Path(__file__).resolve().parents[1]
SQRT_2 = float(np.sqrt(2.0))


def golden(name: str) -> dict[str, Any]:
    """A file of reference numbers, tests/golden/NAME.json."""
    loaded: dict[str, Any] = json.loads((TESTS / "golden" / f"{name}.json").read_text())
    return loaded


def facts(name: str) -> list[dict[str, str]]:
    """The rows of tests/facts/NAME.csv."""
    with (TESTS / "facts" / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def fill(key: str, shape: Sequence[int]) -> np.ndarray:
    """The float32 values of the tensor with this (prefixed) name; spectral-norm vectors are not yet settled."""
    random = np.random.RandomState(zlib.crc32(key.encode()) & 0x7FFFFFFF)
    a = np.asarray(random.standard_normal(tuple(shape)))
    if key.endswith("running_var"):
        a = 0.5 + np.abs(a)
    elif key.endswith(("running_mean", "bias")):
        a = 0.1 * a
    elif key.endswith("num_batches_tracked"):
        return np.zeros(tuple(shape), dtype=np.int64)
    elif key.endswith(("weight_u", "weight_v")):
        a = a / np.linalg.norm(a)
    elif not key.endswith("weight_orig"):
        a = a / np.sqrt(np.prod(shape[1:]))
    return a.astype(np.float32)


def settle(weight_orig: np.ndarray, u: np.ndarray, *, transposed: bool) -> tuple[np.ndarray, np.ndarray]:
    """u and v (float32) after 20 power iterations in float64."""
    weight = weight_orig.astype(np.float64)
    if transposed:
        weight = weight.swapaxes(0, 1)
    matrix = weight.reshape(weight.shape[0], -1)
    u = u.astype(np.float64)
    v = np.zeros(matrix.shape[1])
    for _ in range(20):
        v = matrix.T @ u
        v /= np.linalg.norm(v)
        u = matrix @ v
        u /= np.linalg.norm(u)
    return u.astype(np.float32), v.astype(np.float32)


def filled_state_dict(shapes: Mapping[str, Sequence[int]], prefix: str) -> dict[str, Tensor]:
    """The filled and settled state dict with these released names and shapes; ``prefix`` is ``G.``, ``D.`` or so."""
    state = {key: fill(prefix + key, shape) for key, shape in shapes.items()}
    for key in shapes:
        if key.endswith(".weight_orig"):
            stem = key.removesuffix("orig")
            # a transposed convolution has its outputs on the second axis
            transposed = state[key].shape[0] != state[stem + "u"].shape[0]
            state[stem + "u"], state[stem + "v"] = settle(state[key], state[stem + "u"], transposed=transposed)
    return {key: torch.from_numpy(np.array(value)) for key, value in state.items()}


def load_filled(module: nn.Module, shapes: Mapping[str, Sequence[int]], prefix: str) -> None:
    """Fill a network by its released names, through the reader of released checkpoints."""
    load_released_state_dict(module, filled_state_dict(shapes, prefix))


def fill_vgg19(features: nn.Module) -> None:
    """Fill torchvision's vgg19().features (or its beginning) in place; weights times sqrt 2."""
    with torch.no_grad():
        for key, value in features.state_dict().items():
            filled = torch.from_numpy(fill(f"VGG.features.{key}", value.shape))
            if key.endswith(".weight"):
                filled = torch.from_numpy((filled.numpy() * SQRT_2).astype(np.float32))
            value.copy_(filled)


def labels(images: int, height: int, width: int, channels: int, seed: int) -> tuple[Tensor, Tensor]:
    """Label ids and instance ids, int64 (N, H, W); ``channels`` counts don't care but not the edges."""
    random = np.random.RandomState(seed)
    y, x = np.mgrid[0:height, 0:width]
    label_maps, instance_maps = [], []
    for _ in range(images):
        points = random.rand(12, 2) * [height, width]
        classes = random.randint(0, channels, 12)
        squared = (y[..., None] - points[:, 0]) ** 2 + (x[..., None] - points[:, 1]) ** 2
        instances = squared.argmin(-1)
        instance_maps.append(instances)
        label_maps.append(classes[instances])
    return torch.from_numpy(np.stack(label_maps)).long(), torch.from_numpy(np.stack(instance_maps)).long()


def label_map(images: int, height: int, width: int, channels: int, seed: int, *, spec: LabelSpec) -> LabelMap:
    """``labels`` as the networks take them."""
    return LabelMap(*labels(images, height, width, channels, seed), spec=spec)


def image(images: int, height: int, width: int, seed: int) -> Tensor:
    """Images (N, 3, H, W) in [-1, 1], float32."""
    random = np.random.RandomState(seed)
    return torch.from_numpy(np.tanh(random.standard_normal((images, 3, height, width))).astype(np.float32))


def assert_matches(actual: Tensor, record: Mapping[str, Any], tolerance: float) -> None:
    """Compare a tensor with a record: shape, mean, standard deviation and 16 samples, absolutely."""
    assert list(actual.shape) == record["shape"]
    flat = actual.detach().double().flatten()
    index = np.linspace(0, flat.numel() - 1, 16).astype(int)
    std = flat.std().item() if flat.numel() > 1 else 0.0
    measured = [flat.mean().item(), std, *flat[torch.from_numpy(index)].tolist()]
    np.testing.assert_allclose(measured, [record["mean"], record["std"], *record["samples"]], rtol=0, atol=tolerance)
