"""Weights files with drawn values, in the published formats, put where they are looked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from bench.evaluation import weights
from bench.evaluation.weights import file_sha256, get_weights


def drawn_state(network: nn.Module, seed: int = 1) -> dict[str, Tensor]:
    """A state dict of ``network`` whose features vary: He-scaled weights, batch norms that do something."""
    generator = torch.Generator().manual_seed(seed)

    def draw(key: str, value: Tensor) -> Tensor:
        noise = torch.randn(value.shape, generator=generator)
        if value.ndim >= 2:
            return noise * (2.0 / value[0].numel()) ** 0.5
        if key.endswith("running_var") or (key.endswith("weight") and value.ndim == 1):
            return 1.0 + 0.3 * noise.abs()
        return 0.1 * noise

    return {
        key: draw(key, value) if value.is_floating_point() else value for key, value in network.state_dict().items()
    }


def put_weights(name: str, state: Mapping[str, Tensor], folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write ``state`` as the table's file ``name`` into ``folder``, and let the table expect its digest."""
    entry = get_weights(name)
    folder.mkdir(exist_ok=True)
    path = folder / entry.filename
    torch.save(dict(state), path)
    changed = replace(entry, sha256=None, sha256_prefix=file_sha256(path)[:8], size_bytes=None)
    table = tuple(changed if item.name == name else item for item in weights.WEIGHTS)
    monkeypatch.setattr(weights, "WEIGHTS", table)
    monkeypatch.setenv("SPADE_BENCH_WEIGHTS", str(folder))
    return path
