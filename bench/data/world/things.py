"""Things that are counted: trees, buildings, cars; and the road they stand beside or drive on."""

from __future__ import annotations

import numpy as np

from bench.data.world import classes
from bench.data.world.canvas import Array, Canvas
from bench.data.world.light import Light, pick, rgb
from bench.data.world.noise import sample

_LEAVES = rgb((0.22, 0.42, 0.18), (0.34, 0.50, 0.20), (0.66, 0.44, 0.18), (0.20, 0.36, 0.28), (0.58, 0.56, 0.24))
_TRUNK = rgb((0.32, 0.24, 0.18), (0.40, 0.34, 0.28))
_WALL = rgb(
    (0.62, 0.34, 0.26),
    (0.86, 0.78, 0.62),
    (0.62, 0.62, 0.62),
    (0.90, 0.88, 0.84),
    (0.44, 0.54, 0.62),
    (0.78, 0.62, 0.46),
)
_ROOF = rgb((0.56, 0.28, 0.20), (0.34, 0.34, 0.38), (0.46, 0.40, 0.34))
_ASPHALT = rgb((0.36, 0.37, 0.39), (0.48, 0.48, 0.48), (0.58, 0.54, 0.50), (0.60, 0.50, 0.38), (0.28, 0.29, 0.32))
_PAINT = rgb(
    (0.74, 0.14, 0.14),
    (0.92, 0.92, 0.92),
    (0.16, 0.30, 0.56),
    (0.24, 0.25, 0.27),
    (0.86, 0.66, 0.16),
    (0.30, 0.50, 0.36),
)


def shadow(canvas: Canvas, light: Light, x: float, y: float, half: float) -> None:
    """A soft shadow on the ground, away from the light."""
    x -= light.side * half * 0.55
    window = canvas.window(x - half * 1.4, x + half * 1.4, y - half * 0.3, y + half * 0.3)
    if window is None:
        return
    away = np.hypot(
        (window.x - np.float32(x)) / np.float32(1.3 * half), (window.y - np.float32(y)) / np.float32(0.28 * half)
    )
    cover = np.clip(np.float32(1.0) - away, 0.0, 1.0) * np.float32(0.25 + 0.35 * light.contrast)
    canvas.tint(window, cover, canvas.image[:, window.rows, window.columns] * np.float32(0.35))


def tree(canvas: Canvas, rng: np.random.Generator, light: Light, x: float, y: float, height: float) -> None:
    """A broad-leaved tree, a poplar or a conifer, standing at (x, y)."""
    leaves, bark = pick(rng, _LEAVES), pick(rng, _TRUNK)
    kind, shift, girth = rng.random(3)
    half = height * (0.16 if kind < 0.2 else 0.27 if kind < 0.5 else 0.40) * (0.85 + 0.3 * girth)
    shadow(canvas, light, x, y, half)
    window = canvas.window(x - half * 1.25, x + half * 1.25, y - height * 1.06, y + 0.004)
    if window is None:
        return
    across, up = (window.x - np.float32(x)) / np.float32(half), (np.float32(y) - window.y) / np.float32(height)
    size = np.float32(0.55 / max(height, 0.08) ** 0.5)
    step = canvas.pixel * float(size)
    foliage = sample("clump", window.x * size + np.float32(shift), window.y * size + np.float32(shift), step)
    if 0.2 <= kind < 0.5:
        tiers = up * np.float32(4.0) - np.floor(up * np.float32(4.0))
        reach = np.clip(
            (np.float32(1.0) - up) * np.float32(0.95) + np.float32(0.13) * (np.float32(0.5) - tiers), 0.0, 1.2
        )
        inside = np.minimum((reach - np.abs(across)) * np.float32(half), (up - np.float32(0.10)) * np.float32(height))
        shade = np.float32(0.86) - np.float32(0.22) * tiers
    else:
        middle, tall = (0.54, 0.46) if kind < 0.2 else (0.64, 0.36)
        radius = np.hypot(across, (up - np.float32(middle)) / np.float32(tall))
        inside = (np.float32(1.0) - radius) * np.float32(half)
        shade = np.float32(0.70) + np.float32(0.36) * np.clip(up - np.float32(middle - tall * 0.5), -0.4, 0.6)
    inside = inside + foliage * np.float32(half * 0.065)
    shade = shade + np.float32(0.16 * light.contrast * light.side) * across + np.float32(0.17) * foliage
    trunk = canvas.coverage(
        np.minimum(
            np.float32(0.10 * half + 0.4 * canvas.pixel) - np.abs(across) * np.float32(half), np.float32(0.4) - up
        )
    )
    crown = canvas.coverage(inside)
    colour = light.lit(bark) + crown * (light.lit(leaves) * shade - light.lit(bark))
    instance = canvas.new_instance(classes.TREE)
    canvas.paint(window, np.maximum(crown, trunk * (up > 0)), np.clip(colour, 0.0, 1.0), classes.TREE, instance)


def building(
    canvas: Canvas, rng: np.random.Generator, light: Light, x: float, y: float, width: float, height: float, gable: bool
) -> None:
    """A house with a gable roof or a block with a flat one; rows of windows, some lit after sunset."""
    wall, roof = pick(rng, _WALL), pick(rng, _ROOF)
    shift, brick, side, glass = rng.random(4)
    lamps = rng.random((16, 16)).astype(np.float32)
    roof_height = min(width * 0.42, height * 0.6) if gable else height * 0.03
    shadow(canvas, light, x, y, width * 0.6)
    window = canvas.window(x - width * 0.58, x + width * 0.58, y - height - roof_height, y + 0.003)
    if window is None:
        return
    across, up = (window.x - np.float32(x)) / np.float32(width), (np.float32(y) - window.y) / np.float32(height)
    floor = 0.075 if not gable else 0.09
    floors, columns = max(1, min(15, round(height / floor))), max(2, min(15, round(width / floor)))
    row, column = up * np.float32(floors), (across + np.float32(0.5)) * np.float32(columns)
    panes = (np.abs(column - np.floor(column) - np.float32(0.5)) < 0.27) & (
        np.abs(row - np.floor(row) - np.float32(0.52)) < 0.25
    )
    lamp = lamps[np.clip(row, 0, 15).astype(np.int32), np.clip(column, 0, 15).astype(np.int32)]
    grain = sample("grain", window.x + np.float32(shift), window.y, canvas.pixel)
    courses = np.float32(0.05 * (brick < 0.5)) * np.sign(
        np.sin(window.y * np.float32(2 * np.pi / max(0.02, 2.2 * canvas.pixel)))
    )
    turned = across * np.float32(light.side) < np.float32(-0.5 + 0.30 * side)
    shade = (np.float32(0.96) + np.float32(0.022) * grain + courses) * np.where(
        turned, np.float32(1 - 0.32 * (0.3 + light.contrast)), 1
    )
    dark = light.hour in ("night", "dusk")
    pane = light.lit(wall) * np.float32(0.30) + light.zenith * np.float32(0.18 + 0.25 * glass) + lamp * np.float32(0.06)
    lit = np.asarray((1.0, 0.82, 0.46), np.float32)[:, None, None] * np.float32(0.92)
    pane = np.where(lamp > (0.45 if light.hour == "night" else 0.7), lit, pane) if dark else pane
    colour = np.where(panes & (up < 1.0), pane, light.lit(wall) * shade)
    front = np.minimum(np.float32(width / 2) - np.abs(window.x - np.float32(x)), np.float32(y) - window.y)
    if gable:
        slope = np.float32(roof_height) * (np.float32(1.0) - np.abs(across) / np.float32(0.58))
        under_roof = window.y - np.float32(y - height)
        above = np.minimum(slope + under_roof, -under_roof)
        ridges = np.float32(0.9) + np.float32(0.10) * np.sin(
            window.y * np.float32(2 * np.pi / max(0.016, 2.5 * canvas.pixel))
        )
        tiles = light.lit(roof) * ridges * (1 + np.float32(0.15 * light.contrast * light.side) * np.sign(across))
        colour = np.where(under_roof < 0, tiles, colour)
        shape = np.maximum(np.minimum(front, under_roof + np.float32(canvas.pixel)), above)
    else:
        shape = np.minimum(front, window.y - np.float32(y - height))
        colour = np.where(up > 1 - roof_height / height * 1.2, light.lit(wall) * np.float32(0.7), colour)
    instance = canvas.new_instance(classes.BUILDING)
    canvas.paint(window, canvas.coverage(shape), np.clip(colour, 0.0, 1.0), classes.BUILDING, instance)


def street(canvas: Canvas, rng: np.random.Generator, light: Light, top: float, bottom: float) -> None:
    """A road across the picture with kerbs and a dashed line."""
    base, (shift, dashes) = pick(rng, _ASPHALT), rng.random(2)
    window = canvas.window(0.0, canvas.aspect, top - 0.01, bottom + 0.01)
    if window is None:
        return
    grain = sample("grain", window.x + np.float32(shift), window.y, canvas.pixel)
    worn = sample("smooth", window.x * np.float32(0.12) + np.float32(shift), window.y * np.float32(0.8), canvas.pixel)
    colour = light.lit(base) * (np.float32(0.92) + np.float32(0.035) * grain + np.float32(0.05) * worn)
    line = canvas.coverage(
        np.float32(max(0.008, 0.6 * canvas.pixel)) - np.abs(window.y - np.float32((top + bottom) / 2))
    )
    beat = (window.x + np.float32(shift)) / np.float32(0.16 + 0.08 * dashes)
    line = line * (beat - np.floor(beat) < 0.55)
    kerb = np.minimum(np.abs(window.y - np.float32(top + 0.014)), np.abs(window.y - np.float32(bottom - 0.014)))
    edge = canvas.coverage(np.float32(max(0.008, 0.6 * canvas.pixel)) - kerb)
    white = light.lit(np.full((3, 1, 1), 0.90, np.float32))
    colour = colour + line * (white - colour)
    colour = colour + edge * np.float32(0.7) * (white * np.float32(0.85) - colour)
    cover = canvas.coverage(np.minimum(window.y - np.float32(top), np.float32(bottom) - window.y)) + np.zeros_like(
        grain
    )
    canvas.paint(window, cover, np.clip(colour, 0.0, 1.0), classes.ROAD)


def highway(canvas: Canvas, rng: np.random.Generator, light: Light, horizon: float, end: float, foot: float) -> None:
    """A road to the horizon: from (foot, 1) at the front to (end, horizon), winding a little."""
    base = pick(rng, _ASPHALT)
    shift, bend, breadth = rng.random(3)
    window = canvas.below(horizon + 0.012)
    if window is None:
        return
    depth = (window.y - np.float32(horizon)) / np.float32(1.0 - horizon)
    centre = (
        np.float32(end)
        + np.float32(foot - end) * depth
        + np.float32(0.16 * (bend - 0.5)) * np.sin(depth * np.float32(3.1)) * (1 - depth)
    )
    half = np.float32(0.012) + np.float32(0.22 + 0.10 * breadth) * depth
    across = (window.x - centre) / half
    grain = sample("grain", window.x + np.float32(shift), window.y, canvas.pixel)
    worn = sample("smooth", across * np.float32(0.2), window.y * np.float32(0.2) + np.float32(shift), canvas.pixel)
    colour = light.lit(base) * (np.float32(0.92) + np.float32(0.035) * grain + np.float32(0.05) * worn)
    beat = np.log(depth + np.float32(0.05)) * np.float32(3.2) + np.float32(shift)
    middle = canvas.coverage((np.float32(0.035) - np.abs(across)) * half) * (beat - np.floor(beat) < 0.55)
    edge = canvas.coverage((np.float32(0.030) - np.abs(np.abs(across) - np.float32(0.88))) * half)
    white = light.lit(np.full((3, 1, 1), 0.92, np.float32))
    colour = colour + np.maximum(middle, edge * np.float32(0.8)) * (white - colour)
    canvas.paint(window, canvas.coverage((1 - np.abs(across)) * half), np.clip(colour, 0.0, 1.0), classes.ROAD)


def car(
    canvas: Canvas, rng: np.random.Generator, light: Light, x: float, y: float, length: float, from_side: bool
) -> None:
    """A car on its wheels at (x, y), ``length`` long, seen from the side or from behind."""
    paint, (van, lamps) = pick(rng, _PAINT), rng.random(2)
    high = length * (0.42 + 0.12 * (van < 0.3)) if from_side else length * 0.85
    shadow(canvas, light, x, y, length * 0.62)
    window = canvas.window(x - length * 0.55, x + length * 0.55, y - high * 1.05, y + 0.01)
    if window is None:
        return
    across, up = (window.x - np.float32(x)) / np.float32(length), (np.float32(y) - window.y) / np.float32(high)
    lean = np.float32(0.10 if from_side else 0.05)
    cabin_half = np.float32((0.30 + 0.12 * (van < 0.3)) if from_side else 0.40) - lean * (up - np.float32(0.5)) * 2
    body = np.minimum(
        (np.float32(0.5) - np.abs(across)) * np.float32(length),
        np.minimum(np.float32(0.58) - up, up - np.float32(0.14)) * np.float32(high),
    )
    cabin = np.minimum(
        (cabin_half - np.abs(across)) * np.float32(length),
        np.minimum(np.float32(1.0) - up, up - np.float32(0.5)) * np.float32(high),
    )
    wheels_at = np.float32(0.29 if from_side else 0.34)
    wheel = np.float32(0.115 if from_side else 0.10) * np.float32(length) - np.hypot(
        (np.abs(across) - wheels_at) * np.float32(length), (up - np.float32(0.17)) * np.float32(high)
    )
    glass = np.minimum(
        cabin - np.float32(0.05 * length), np.minimum(np.float32(0.92) - up, up - np.float32(0.55)) * np.float32(high)
    )
    if from_side:
        glass = np.minimum(glass, (np.abs(across) - np.float32(0.02)) * np.float32(length))
    shape = np.maximum(np.maximum(body, cabin), wheel)
    gloss = np.float32(0.80) + np.float32(0.30) * np.clip(up, 0.0, 1.0)
    colour = light.lit(paint) * gloss
    pane = light.lit(np.full((3, 1, 1), 0.16, np.float32)) + light.zenith * np.float32(0.30)
    colour = colour + canvas.coverage(glass) * (pane - colour)
    colour = colour + canvas.coverage(wheel) * (light.lit(np.full((3, 1, 1), 0.10, np.float32)) - colour)
    lamp: Array = canvas.coverage(
        np.minimum(
            (np.abs(across) - np.float32(0.42)) * np.float32(length),
            np.minimum(np.float32(0.50) - up, up - np.float32(0.34)) * np.float32(high),
        )
    )
    glow = np.asarray((0.95, 0.22, 0.12) if lamps < 0.6 else (1.0, 0.92, 0.66), np.float32)[:, None, None]
    colour = colour + lamp * (glow - colour)
    instance = canvas.new_instance(classes.CAR)
    canvas.paint(window, canvas.coverage(shape), np.clip(colour, 0.0, 1.0), classes.CAR, instance)
