"""Checkpoint files of the published judges, in their published form, with weights that anyone can rebuild from names.

The rules are in tests/golden/README.md.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tests.spade_core.golden import golden

Tensors = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Published:
    """One judge of tests/golden/judges.json and its files."""

    golden: str
    judge: str
    """Its name in the registry."""
    files: tuple[tuple[str, str, str], ...]
    """For each file: its name in the table of weights, its key list in the golden file, the prefix of the fill."""


DEEPLAB = Published(
    golden="deeplabv2_msc",
    judge="deeplabv2-resnet101-msc-cocostuff164k",
    files=(("deeplabv2-cocostuff164k", "keys", "deeplabv2."),),
)
UPERNET = Published(
    golden="upernet101_csail",
    judge="upernet101-csail",
    files=(
        ("upernet101-encoder-ade20k", "keys_encoder", "encoder."),
        ("upernet101-decoder-ade20k", "keys_decoder", "decoder."),
    ),
)
DRN = Published(golden="drn_d_105", judge="drn-d-105", files=(("drn-d-105-cityscapes", "keys", "drn."),))


def record(published: Published) -> dict[str, Any]:
    """The judge's part of the golden file."""
    part: dict[str, Any] = golden("judges")[published.golden]
    return part


def fill(key: str, shape: Sequence[int]) -> Tensor:
    """The tensor with this (prefixed) name."""
    a = np.asarray(np.random.RandomState(zlib.crc32(key.encode()) & 0x7FFFFFFF).standard_normal(tuple(shape)))
    if key.endswith("num_batches_tracked"):
        return torch.zeros(tuple(shape), dtype=torch.int64)
    if key.endswith("running_var"):
        a = 0.8 + 0.2 * np.abs(a)
    elif key.endswith(("running_mean", "bias")):
        a = 0.1 * a
    elif len(shape) == 1:
        a = 0.7 + 0.1 * a
    else:
        a = a * np.sqrt(2 / np.prod(shape[1:]))
    return torch.from_numpy(np.array(a, dtype=np.float32))


def published_up_weight(channels: int = 19) -> Tensor:
    """DRN's fixed kernel, number by number."""
    f, c = 8.0, (2 * 8 - 1 - 8 % 2) / (2.0 * 8)
    rows = [[(1 - abs(i / f - c)) * (1 - abs(j / f - c)) for j in range(16)] for i in range(16)]
    return torch.tensor(rows).expand(channels, 1, 16, 16).clone()


def filled(published: Published) -> list[Tensors]:
    """The state dict of each file, filled by the golden rules."""
    part = record(published)
    return [
        {
            key: published_up_weight(shape[0]) if key == "up.weight" else fill(prefix + key, shape)
            for key, shape in part[keys].items()
        }
        for _, keys, prefix in published.files
    ]


def hollow(published: Published) -> list[Tensors]:
    """The same keys and shapes without content: every value is 0, and a saved file is small."""
    part = record(published)
    return [
        {key: torch.zeros(()).expand(tuple(shape)) for key, shape in part[keys].items()}
        for _, keys, _ in published.files
    ]


def save(tensors: Tensors, path: Path) -> Path:
    """As torch saved in 2018 and 2019: an ordered state dict in the format before zip files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(OrderedDict(tensors), path, _use_new_zipfile_serialization=False)
    return path
