"""Tileable noise, made once per process from fixed seeds, and sampled at any scale.

Every kind is a pyramid of tiles, each with mean 0 and standard deviation 1, so that a texture keeps its contrast
whatever the size of the image.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from bench.data.world.canvas import Array

_TILE = 512
_LEVELS = 6
_SEEDS = {"smooth": 11, "clump": 12, "grain": 13, "ridge": 14}


@cache
def _pyramid(kind: str) -> tuple[Array, ...]:
    white = np.random.default_rng(_SEEDS[kind]).standard_normal((_TILE, _TILE))
    frequency = np.hypot(np.fft.fftfreq(_TILE)[:, None] * _TILE, np.fft.rfftfreq(_TILE)[None] * _TILE)
    frequency[0, 0] = 1.0
    if kind == "grain":
        gain = np.ones_like(frequency)
    elif kind == "clump":  # one size of clump, about 1/24 of the tile
        gain = np.exp(-((np.log(frequency / 24.0) / 0.55) ** 2))
    else:
        gain = np.where(frequency < 3.0, 0.0, frequency ** (-1.7 if kind == "smooth" else -2.2))
    gain[0, 0] = 0.0
    tile = np.fft.irfft2(np.fft.rfft2(white) * gain, s=(_TILE, _TILE))
    levels = []
    for _ in range(_LEVELS):
        levels.append((tile / tile.std()).astype(np.float32))
        tile = (tile[::2, ::2] + tile[1::2, ::2] + tile[::2, 1::2] + tile[1::2, 1::2]) / 4
    return tuple(levels)


def sample(kind: str, u: NDArray[np.floating], v: NDArray[np.floating], step: float) -> Array:
    """Noise at (u, v), which broadcast; the tile has period 1 and ``step`` is how far one pixel reaches in u or v."""
    level = int(np.clip(np.log2(max(step * _TILE, 1.0)), 0, _LEVELS - 1))
    tile = _pyramid(kind)[level]
    size = len(tile)
    row = np.floor(v * np.float32(size)).astype(np.int32) & (size - 1)
    column = np.floor(u * np.float32(size)).astype(np.int32) & (size - 1)
    values: Array = tile.ravel().take(row * size + column)
    return values


def curve(kind: str, u: NDArray[np.floating], v: float, step: float) -> Array:
    """Noise along one line of the tile, interpolated linearly: for ridges and shores."""
    level = int(np.clip(np.log2(max(step * _TILE, 1.0)), 0, _LEVELS - 1))
    line = _pyramid(kind)[level]
    size = len(line)
    row = line[int(v * size) & (size - 1)]
    position = u * np.float32(size)
    left = np.floor(position).astype(np.int32)
    part = (position - left).astype(np.float32)
    values: Array = row[left & (size - 1)] * (1 - part) + row[(left + 1) & (size - 1)] * part
    return values
