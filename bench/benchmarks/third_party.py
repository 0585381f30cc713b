"""Somebody else's generator, timed by the same script."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from torch import nn


def load_third_party(file: Path, channels: int, size: tuple[int, int]) -> nn.Module:
    """The network that ``build(channels, size)`` of a Python file returns.

    ``channels`` K counts those of the one-hot map, ``size`` is (height, width) in px. The network is called with the
    one-hot map, (N, K, H, W) float32, and returns images. Raises ValueError where the file is not like that.
    """
    if not file.is_file():
        raise ValueError(f"--third-party {file}: there is no such file; it is to define build(channels, size)")
    loader = importlib.util.spec_from_file_location("third_party_generator", file)
    if loader is None or loader.loader is None:
        raise ValueError(f"--third-party {file}: not a Python file; it is to define build(channels, size)")
    module = importlib.util.module_from_spec(loader)
    loader.loader.exec_module(module)
    build = getattr(module, "build", None)
    if not callable(build):
        raise ValueError(f"--third-party {file}: it defines no function build(channels, size) that returns a network")
    network = build(channels, size)
    if not isinstance(network, nn.Module):
        raise ValueError(f"--third-party {file}: build returned {type(network).__name__}; it must return an nn.Module")
    return network
