"""The light of a scene: hour, weather, exposure. The same thing has other colours in another light."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.data.world.canvas import Array

Rgb = tuple[float, float, float]


def rgb(*colours: Rgb) -> Array:
    """Colours as (n, 3) float32."""
    return np.asarray(colours, np.float32)


@dataclass(frozen=True, kw_only=True)
class Light:
    """Colours are (3, 1, 1) float32 in [0, 1]."""

    hour: str
    zenith: Array
    horizon: Array
    tint: Array
    """Multiplies every surface."""
    warm: Array
    """What the sun adds: rims of clouds, glitter on water."""
    contrast: float
    """Strength of light and shadow, 0 (overcast) to 1 (clear)."""
    side: float
    """Where the light comes from: -1 left, 1 right."""
    sun: tuple[float, float]
    """Position of the sun, as fractions of the width and of the sky's height."""

    def lit(self, colour: Array) -> Array:
        """A surface of that colour in this light."""
        return colour * self.tint


_HOURS = ("day", "dusk", "overcast", "dawn", "night")
_ODDS = (0.36, 0.22, 0.18, 0.14, 0.10)
_ZENITH = {
    "day": rgb((0.22, 0.47, 0.80), (0.30, 0.60, 0.86), (0.16, 0.38, 0.70)),
    "dusk": rgb((0.32, 0.28, 0.52), (0.46, 0.32, 0.48), (0.24, 0.30, 0.52)),
    "overcast": rgb((0.55, 0.60, 0.65), (0.46, 0.50, 0.54), (0.64, 0.66, 0.68)),
    "dawn": rgb((0.50, 0.62, 0.80), (0.60, 0.58, 0.74), (0.44, 0.62, 0.72)),
    "night": rgb((0.05, 0.08, 0.20), (0.08, 0.10, 0.26), (0.04, 0.12, 0.22)),
}
_HORIZON = {
    "day": rgb((0.74, 0.86, 0.95), (0.66, 0.84, 0.92), (0.82, 0.88, 0.90)),
    "dusk": rgb((0.98, 0.62, 0.36), (0.96, 0.52, 0.42), (0.99, 0.76, 0.44)),
    "overcast": rgb((0.74, 0.76, 0.78), (0.68, 0.70, 0.72), (0.80, 0.80, 0.79)),
    "dawn": rgb((0.98, 0.84, 0.74), (0.96, 0.78, 0.78), (0.97, 0.90, 0.70)),
    "night": rgb((0.16, 0.22, 0.38), (0.24, 0.22, 0.38), (0.12, 0.26, 0.34)),
}
_TINT = {
    "day": rgb((1.0, 0.99, 0.95), (1.06, 1.02, 0.94), (0.92, 0.96, 1.0)),
    "dusk": rgb((0.98, 0.70, 0.56), (0.86, 0.62, 0.62), (1.0, 0.78, 0.52)),
    "overcast": rgb((0.76, 0.79, 0.82), (0.68, 0.71, 0.73), (0.82, 0.82, 0.80)),
    "dawn": rgb((1.0, 0.88, 0.82), (0.92, 0.84, 0.88), (1.0, 0.92, 0.76)),
    "night": rgb((0.28, 0.34, 0.52), (0.34, 0.34, 0.56), (0.24, 0.38, 0.48)),
}
_WARM = {
    "day": rgb((1.0, 0.97, 0.86)),
    "dusk": rgb((1.0, 0.72, 0.40), (1.0, 0.60, 0.44)),
    "overcast": rgb((0.92, 0.93, 0.93)),
    "dawn": rgb((1.0, 0.90, 0.74), (1.0, 0.84, 0.80)),
    "night": rgb((0.80, 0.86, 0.96), (0.94, 0.92, 0.84)),
}
_CONTRAST = {"day": 1.0, "dusk": 0.9, "overcast": 0.35, "dawn": 0.75, "night": 0.7}


def pick(rng: np.random.Generator, table: Array, jitter: float = 0.03) -> Array:
    """A mixture of two rows of the table, moved a little; (3, 1, 1)."""
    first, second = rng.integers(len(table), size=2)
    weight, *moves = rng.random(4)
    colour = table[first] + np.float32(weight * 0.5) * (table[second] - table[first])
    moved = colour + (np.asarray(moves, np.float32) - np.float32(0.5)) * np.float32(2 * jitter)
    planar: Array = np.clip(moved, 0.0, 1.0).astype(np.float32)[:, None, None]
    return planar


def draw_light(rng: np.random.Generator) -> Light:
    """Draw hour, colours and the place of the sun."""
    hour = _HOURS[int(np.searchsorted(np.cumsum(_ODDS), rng.random(), side="right").clip(0, len(_HOURS) - 1))]
    exposure = np.float32(0.82 + 0.30 * rng.random())
    side = -1.0 if rng.random() < 0.5 else 1.0
    low = hour in ("dusk", "dawn")
    sun_x = 0.5 + side * (0.05 + 0.33 * rng.random())
    sun_y = 0.46 + 0.26 * rng.random() if low else 0.16 + 0.34 * rng.random()
    return Light(
        hour=hour,
        zenith=pick(rng, _ZENITH[hour]) * exposure,
        horizon=np.minimum(pick(rng, _HORIZON[hour]) * exposure, 1.0),
        tint=pick(rng, _TINT[hour], 0.04) * exposure,
        warm=pick(rng, _WARM[hour], 0.02),
        contrast=_CONTRAST[hour],
        side=side,
        sun=(float(sun_x), float(sun_y)),
    )
