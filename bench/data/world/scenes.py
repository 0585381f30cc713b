"""Where things stand: coasts, lakes, farmland, towns, and maps of one class alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bench.data.world import classes, land, things
from bench.data.world.canvas import Array, Canvas
from bench.data.world.light import Light, draw_light
from bench.data.world.noise import curve

SINGLE_CLASS_SHARE = 0.02
_KINDS = ("farmland", "coast", "town", "lake")
_KIND_ODDS = (0.30, 0.25, 0.27, 0.18)
_SINGLE = (classes.SKY, classes.SEA, classes.SAND, classes.GRASS, classes.FIELD)


def draw_scene(rng: np.random.Generator, height: int, width: int) -> Canvas:
    """Paint one scene of height x width pixels; every decision comes from ``rng``."""
    canvas = Canvas(height, width)
    light = draw_light(rng)
    if rng.random() < SINGLE_CLASS_SHARE:
        _single_class(canvas, rng, light)
    else:
        kind = _KINDS[min(int(np.searchsorted(np.cumsum(_KIND_ODDS), rng.random(), side="right")), len(_KINDS) - 1)]
        {"farmland": _farmland, "coast": _coast, "town": _town, "lake": _lake}[kind](canvas, rng, light)
    return canvas


def _line(canvas: Canvas, rng: np.random.Generator, y: float, swing: float, scale: float = 0.12) -> Array:
    """A wavy line across the picture, (w,): its y at every column."""
    row, shift = rng.random(2)
    x = (np.arange(canvas.width, dtype=np.float32) + 0.5) * np.float32(canvas.pixel * scale) + np.float32(shift)
    line: Array = (y + swing * curve("ridge", x, row, canvas.pixel * scale)).astype(np.float32)
    return line


def _single_class(canvas: Canvas, rng: np.random.Generator, light: Light) -> None:
    which = _SINGLE[int(rng.integers(len(_SINGLE)))]
    above = np.full(canvas.width, -0.3, np.float32)
    land.sky(canvas, light, 1.2)
    if which == classes.SEA:
        land.sea(canvas, rng, light, -0.3)
    elif which == classes.SAND:
        land.sand(canvas, rng, light, -0.3, above)
    elif which == classes.GRASS:
        land.grass(canvas, rng, light, -0.3, above)
    elif which == classes.FIELD:
        land.field(canvas, rng, light, -0.3, above, above + np.float32(1.8))


def _backdrop(canvas: Canvas, rng: np.random.Generator, light: Light, horizon: float, clouds: int, ranges: int) -> None:
    """Sky, sun, clouds and mountain ranges."""
    land.sky(canvas, light, horizon)
    shown, size = rng.random(2)
    if light.hour != "overcast" and shown < 0.75:
        land.sun(canvas, light, horizon, 0.062 + 0.034 * size)
    for _ in range(clouds):
        x, y, width = rng.random(3)
        land.cloud(canvas, rng, light, x * canvas.aspect, horizon * (0.20 + 0.52 * y), 0.26 + 0.34 * width)
    for i in range(ranges):
        height = horizon * (0.46 - 0.15 * i) * (0.75 + 0.5 * rng.random())
        land.mountains(canvas, rng, light, horizon, far=0.75 * (1 - i / max(ranges, 2)) ** 1.3, height=height)


def _clouds(rng: np.random.Generator, light: Light, most: int) -> int:
    return int(rng.integers(2 if light.hour == "overcast" else 0, most + 1))


def _plant(
    canvas: Canvas,
    rng: np.random.Generator,
    light: Light,
    count: int,
    horizon: float,
    near: float,
    free: Callable[[float, float], bool],
) -> None:
    """Trees on the ground from the far end to y = ``near``, where ``free(x, y)`` allows one; nearer ones are taller."""
    spots = rng.random((count, 3))
    for depth, x, tall in spots[np.argsort(spots[:, 0])]:
        y = horizon + 0.02 + (near - horizon) * depth**1.4
        if free(x * canvas.aspect, y):
            things.tree(canvas, rng, light, x * canvas.aspect, y, (0.16 + 0.62 * (y - horizon)) * (0.8 + 0.5 * tall))


def _farmland(canvas: Canvas, rng: np.random.Generator, light: Light) -> None:
    horizon = 0.36 + 0.18 * rng.random()
    _backdrop(canvas, rng, light, horizon, _clouds(rng, light, 4), int(rng.integers(0, 4)))
    land.grass(canvas, rng, light, horizon, _line(canvas, rng, horizon, 0.008))
    top, y = _line(canvas, rng, horizon + 0.03, 0.010), horizon + 0.03
    for _ in range(int(rng.integers(0, 3))):
        y += 0.14 + 0.34 * rng.random()
        bottom = _line(canvas, rng, y if y < 0.92 else 1.2, 0.015)
        land.field(canvas, rng, light, horizon, top, bottom)
        top = bottom
    road = rng.random() < 0.45
    end, foot = canvas.aspect * (0.3 + 0.4 * rng.random()), canvas.aspect * (0.2 + 0.6 * rng.random())
    if road:
        things.highway(canvas, rng, light, horizon, end, foot)

    def on_road(x: float, y: float) -> bool:
        depth = (y - horizon) / (1 - horizon)
        return road and abs(x - (end + (foot - end) * depth)) < 0.10 + 0.36 * depth

    houses = rng.random((int(rng.integers(0, 4)), 3))
    for depth, x, size in houses[np.argsort(houses[:, 0])]:
        y = horizon + 0.04 + 0.16 * depth
        width = 0.16 + 0.16 * size
        if not on_road(x * canvas.aspect, y):
            things.building(canvas, rng, light, x * canvas.aspect, y, width, width * 0.55, gable=True)
    _plant(canvas, rng, light, int(rng.integers(2, 9)), horizon, 0.92, lambda x, y: not on_road(x, y))
    if road:
        for depth in np.sort(rng.random(int(rng.integers(0, 3)))):
            part = 0.22 + 0.5 * depth
            side = 0.10 * part * (1 if rng.random() < 0.5 else -1)
            x = end + (foot - end) * part + side
            things.car(canvas, rng, light, x, horizon + (1 - horizon) * part, 0.08 + 0.19 * part, from_side=False)


def _coast(canvas: Canvas, rng: np.random.Generator, light: Light) -> None:
    horizon = 0.34 + 0.20 * rng.random()
    _backdrop(canvas, rng, light, horizon, _clouds(rng, light, 4), int(rng.integers(0, 2)))
    shore = horizon + 0.10 + 0.30 * rng.random()
    tilt: Array = (0.22 * (rng.random() - 0.5) * np.linspace(-0.5, 0.5, canvas.width)).astype(np.float32)
    beach = _line(canvas, rng, shore, 0.022) + tilt
    land.sea(canvas, rng, light, horizon, beach)
    land.sand(canvas, rng, light, horizon, beach)
    dune = shore + 0.14 + 0.24 * rng.random()
    meadow = rng.random() < 0.6
    if meadow:
        land.grass(canvas, rng, light, horizon, _line(canvas, rng, dune, 0.03) - tilt)
    for _ in range(int(rng.integers(0, 3))):
        x, size, y = rng.random(3)
        width = 0.15 + 0.14 * size
        things.building(
            canvas, rng, light, x * canvas.aspect, shore + 0.10 + 0.06 * y, width, width * 0.6, gable=rng.random() < 0.7
        )
    _plant(
        canvas, rng, light, int(rng.integers(0, 6)), shore, 0.95, lambda x, y: y > (dune if meadow else shore + 0.12)
    )
    if not meadow and rng.random() < 0.35:
        things.car(
            canvas, rng, light, canvas.aspect * rng.random(), shore + 0.22 + 0.1 * rng.random(), 0.26, from_side=True
        )


def _lake(canvas: Canvas, rng: np.random.Generator, light: Light) -> None:
    horizon = 0.42 + 0.14 * rng.random()
    _backdrop(canvas, rng, light, horizon, _clouds(rng, light, 3), int(rng.integers(2, 4)))
    shore = horizon + 0.14 + 0.28 * rng.random()
    bank = _line(canvas, rng, shore, 0.04)
    land.sea(canvas, rng, light, horizon, bank)
    if rng.random() < 0.3:
        land.sand(canvas, rng, light, horizon, bank)
        bank = (bank + np.float32(0.08)).astype(np.float32)
    land.grass(canvas, rng, light, horizon, bank)
    if rng.random() < 0.4:
        x, size = rng.random(2)
        things.building(canvas, rng, light, x * canvas.aspect, shore + 0.10, 0.20 + 0.1 * size, 0.14, gable=True)
    _plant(canvas, rng, light, int(rng.integers(2, 8)), shore, 0.97, lambda x, y: y > shore + 0.04)


def _town(canvas: Canvas, rng: np.random.Generator, light: Light) -> None:
    ground = 0.56 + 0.12 * rng.random()
    _backdrop(canvas, rng, light, ground - 0.05, _clouds(rng, light, 3), int(rng.integers(0, 2)))
    land.grass(canvas, rng, light, ground - 0.12, np.full(canvas.width, ground - 0.045, np.float32))
    suburb, x = rng.random() < 0.35, -0.05
    while x < canvas.aspect:
        width, tall, gap = rng.random(3)
        breadth = 0.16 + 0.16 * width
        height = 0.13 + 0.08 * tall if suburb else 0.16 + 0.34 * tall
        base = ground + 0.004 * float(rng.integers(0, 4))
        if gap < 0.86:
            things.building(canvas, rng, light, x + breadth / 2, base, breadth, height, gable=suburb)
        x += breadth * (1.06 if suburb else 1.01) + (0.05 if gap > 0.6 else 0.0)
    top = ground + 0.05 + 0.06 * rng.random()
    bottom = min(top + 0.22 + 0.14 * rng.random(), 0.98)
    _plant(canvas, rng, light, int(rng.integers(0, 5)), ground - 0.02, top - 0.01, lambda x, y: True)
    things.street(canvas, rng, light, top, bottom)
    for lane in (0.36, 0.86):
        x = float(rng.random()) * 0.5
        while x < canvas.aspect:
            length = 0.20 + 0.08 * float(rng.random())
            if rng.random() < 0.45:
                things.car(
                    canvas, rng, light, x, top + (bottom - top) * lane, length * (0.9 + 0.25 * lane), from_side=True
                )
            x += length * 1.25 + 0.3 * float(rng.random())
    if bottom < 0.93 and rng.random() < 0.5:
        for _ in range(int(rng.integers(1, 3))):
            things.tree(canvas, rng, light, canvas.aspect * rng.random(), 0.99, 0.30 + 0.12 * rng.random())
