"""Sky, clouds, mountains, water and ground: the large regions, from the back of the scene to the front."""

from __future__ import annotations

import numpy as np

from bench.data.world import classes
from bench.data.world.canvas import Array, Canvas, Window
from bench.data.world.light import Light, pick, rgb
from bench.data.world.noise import curve, sample

_CLOUD = rgb((0.97, 0.97, 0.98), (0.90, 0.91, 0.94), (0.80, 0.82, 0.86))
_MOUNTAIN = rgb((0.40, 0.42, 0.46), (0.45, 0.38, 0.32), (0.34, 0.42, 0.34), (0.52, 0.50, 0.50), (0.62, 0.46, 0.36))
_SEA = rgb((0.08, 0.34, 0.52), (0.10, 0.46, 0.52), (0.16, 0.30, 0.40), (0.20, 0.54, 0.62), (0.24, 0.36, 0.34))
_SAND = rgb((0.88, 0.78, 0.58), (0.80, 0.70, 0.56), (0.92, 0.86, 0.74), (0.62, 0.56, 0.50), (0.84, 0.66, 0.48))
_GRASS = rgb((0.36, 0.56, 0.22), (0.50, 0.62, 0.26), (0.64, 0.60, 0.32), (0.28, 0.46, 0.22), (0.72, 0.66, 0.42))
_CROP = rgb((0.86, 0.72, 0.30), (0.40, 0.60, 0.24), (0.56, 0.40, 0.66), (0.78, 0.34, 0.28), (0.70, 0.66, 0.36))
_SOIL = rgb((0.44, 0.32, 0.22), (0.52, 0.42, 0.30), (0.30, 0.42, 0.18), (0.60, 0.52, 0.36))


def wave(phase: Array) -> Array:
    """A sine of period 1, from -1 to 1."""
    values: Array = np.sin(phase * np.float32(2 * np.pi))
    return values


def ground_axes(canvas: Canvas, window: Window, horizon: float) -> tuple[Array, Array]:
    """Coordinates on the ground plane: across (h, w) and into the depth (h, 1), in perspective below the horizon."""
    depth = np.maximum(window.y - np.float32(horizon), 0.0) + np.float32(0.05)
    across = (window.x - np.float32(canvas.aspect / 2)) / (depth + np.float32(0.22))
    return across, np.log(depth)


def sky(canvas: Canvas, light: Light, horizon: float) -> None:
    """Fill everything with sky, glowing towards the sun."""
    window = canvas.below(0.0)
    assert window is not None
    height = np.clip(window.y / np.float32(horizon + 0.05), 0.0, 1.0)
    colour = light.zenith + height**1.3 * (light.horizon - light.zenith)
    canvas.paint(window, np.ones((canvas.height, canvas.width), np.float32), colour, classes.SKY)
    if light.contrast > 0.5:
        x, y = light.sun[0] * canvas.aspect, light.sun[1] * horizon
        away = np.hypot(window.x - np.float32(x), (window.y - np.float32(y)) * np.float32(1.3))
        canvas.tint(window, np.float32(0.55) * np.exp(-away * np.float32(5.0)), light.warm)


def sun(canvas: Canvas, light: Light, horizon: float, radius: float) -> None:
    """The disc of the sun, or of the moon at night."""
    x, y = light.sun[0] * canvas.aspect, light.sun[1] * horizon
    window = canvas.window(x - radius, x + radius, y - radius, y + radius)
    if window is None:
        return
    away = np.hypot(window.x - np.float32(x), window.y - np.float32(y))
    rim = np.float32(0.10) * (away / np.float32(radius)) ** 2
    colour = np.minimum(light.warm * np.float32(1.04) + np.float32(0.06) - rim, 1.0)
    instance = canvas.new_instance(classes.SUN)
    canvas.paint(window, canvas.coverage(np.float32(radius) - away), colour, classes.SUN, instance)


def cloud(canvas: Canvas, rng: np.random.Generator, light: Light, x: float, y: float, width: float) -> None:
    """A heap of lobes with a flat base, bright on top."""
    lobes = int(rng.integers(3, 6))
    shift, lit = rng.random(2)
    window = canvas.window(x - width * 0.75, x + width * 0.75, y - width * 0.42, y + width * 0.14)
    offsets = (np.arange(lobes) / (lobes - 1) - 0.5) * width * 0.8
    radii = width * (0.12 + 0.12 * rng.random(lobes)) * (1.25 - np.abs(offsets) / width)
    base = pick(rng, _CLOUD)
    if window is None:
        return
    field = np.full((window.y.shape[0], window.x.shape[1]), -np.inf, np.float32)
    for offset, radius in zip(offsets, radii, strict=True):
        away = np.hypot(
            window.x - np.float32(x + offset), (window.y - np.float32(y - radius * 0.35)) * np.float32(1.15)
        )
        np.maximum(field, np.float32(radius) - away, out=field)
    step = canvas.pixel * 1.3
    puffs = sample("smooth", window.x * 1.3 + shift, window.y * 1.3 + shift, step)
    field += puffs * np.float32(width * 0.035)
    field = np.minimum(field, np.float32(y + width * 0.07) - window.y + puffs * np.float32(width * 0.012))
    above = np.clip((np.float32(y + width * 0.08) - window.y) / np.float32(width * 0.38), 0.0, 1.0)
    shade = np.float32(0.70) + np.float32(0.30) * above + puffs * np.float32(0.045)
    colour = (
        base * light.tint * np.float32(0.55) + light.horizon * np.float32(0.25) + light.warm * np.float32(0.24)
    ) * shade
    if light.hour == "night":
        colour = colour * np.float32(0.55 + 0.1 * lit)
    cover = np.clip(field / np.float32(max(canvas.pixel * 1.5, width * 0.03)) + np.float32(0.5), 0.0, 1.0)
    canvas.paint(window, cover, np.minimum(colour, 1.0), classes.CLOUD)


def mountains(
    canvas: Canvas, rng: np.random.Generator, light: Light, horizon: float, far: float, height: float
) -> None:
    """One range; ``far`` from 0 (near) to 1 (lost in the haze)."""
    base = pick(rng, _MOUNTAIN)
    line, shift, snow, rough = rng.random(4)
    top = horizon - height * 1.5
    window = canvas.window(0.0, canvas.aspect, top - 0.02, horizon + 0.04)
    if window is None:
        return
    step = canvas.pixel
    scale = 0.28 + 0.25 * rough
    outline = curve("ridge", window.x[0] * np.float32(scale) + np.float32(shift), line, step * scale)
    outline = outline + np.float32(0.22) * curve("smooth", window.x[0] * 0.9 + np.float32(line), shift, step)
    relief = np.float32(0.55) + np.float32(0.34) * outline
    relief = np.where(relief > 1.0, 1.0 + np.tanh(relief - 1.0) * np.float32(0.6), np.maximum(relief, 0.08))
    ridge = np.float32(horizon) - np.float32(height) * relief
    down = window.y - ridge[None]
    u, v = (
        window.x * np.float32(0.55) + np.float32(shift),
        down * np.float32(0.75) + window.x * np.float32(0.18 * light.side),
    )
    bump = sample("smooth", u, v, step) - sample("smooth", u + np.float32(0.02 * light.side), v, step)
    shade = np.float32(0.80) + np.float32(0.26 * (0.35 + light.contrast)) * np.clip(bump, -1.6, 1.6)
    colour = light.lit(base) * shade
    if snow < 0.45 and height > 0.17:
        line_of_snow = (
            np.float32(height * 0.42) + np.float32(0.05) * bump + np.float32(0.10) * (ridge[None] - np.float32(horizon))
        )
        cap = np.clip((line_of_snow - down) * np.float32(30.0), 0.0, 1.0)
        colour = colour + cap * (
            light.lit(np.full((3, 1, 1), 0.97, np.float32)) * np.clip(shade + np.float32(0.12), 0.6, 1.05) - colour
        )
    foot = np.clip(down / np.float32(height * 1.3), 0.0, 1.0)
    haze = np.clip(np.float32(far * 0.62) + np.float32(0.25) * foot, 0.0, 0.92)
    colour = colour + haze * (light.horizon - colour)
    canvas.paint(window, canvas.coverage(down), np.clip(colour, 0.0, 1.0), classes.MOUNTAIN)


def sea(canvas: Canvas, rng: np.random.Generator, light: Light, horizon: float, bottom: Array | float = 1.1) -> None:
    """Water from the horizon down to the line ``bottom`` (w,), with foam where it ends."""
    deep, (shift, chop) = pick(rng, _SEA), rng.random(2)
    window = canvas.below(horizon)
    if window is None:
        return
    across, depth = ground_axes(canvas, window, horizon)
    step = canvas.pixel * 2.0
    swell = sample("smooth", across * np.float32(0.16) + np.float32(shift), depth * np.float32(0.55), step * 0.5)
    ripple = sample("clump", across * np.float32(0.10) + np.float32(shift), depth * np.float32(0.50), step * 0.5)
    near = np.clip((window.y - np.float32(horizon)) / np.float32(0.45), 0.0, 1.0) ** np.float32(0.7)
    water = light.lit(deep) * np.float32(0.62) + light.zenith * np.float32(0.38)
    colour = light.horizon * np.float32(0.88) + (water - light.horizon * np.float32(0.88)) * (
        np.float32(0.30) + near * np.float32(0.70)
    )
    strength = np.float32(0.07 + 0.05 * chop) * (np.float32(0.5) + near)
    colour = colour * (np.float32(1.0) + strength * (swell + ripple))
    glint = np.clip(ripple - np.float32(0.7), 0.0, 1.0)
    if light.contrast > 0.5:
        path = (window.x - np.float32(light.sun[0] * canvas.aspect)) / (np.float32(0.05) + np.float32(0.16) * near)
        glint = glint * np.float32(0.25) + np.exp(-path * path) * np.clip(
            ripple + np.float32(0.4), 0.0, 1.5
        ) * np.float32(0.60)
    colour = colour + np.minimum(glint, 1.0) * (light.warm - colour)
    if not isinstance(bottom, float):
        foam = (bottom[None] - window.y) / np.float32(0.030) + swell * np.float32(0.30)
        crest = np.exp(-(foam * foam)) + np.float32(0.7) * np.exp(-((foam - np.float32(2.6)) ** 2) * 3)
        colour = colour + np.minimum(crest, 0.9) * (light.lit(np.full((3, 1, 1), 0.98, np.float32)) - colour)
    canvas.paint(window, np.ones(swell.shape, np.float32), np.clip(colour, 0.0, 1.0), classes.SEA)


def sand(canvas: Canvas, rng: np.random.Generator, light: Light, horizon: float, top: Array) -> None:
    """Sand below the line ``top`` (w,): fine grain, ripples of the wind, wet along its upper edge."""
    base, (shift, ripples) = pick(rng, _SAND), rng.random(2)
    window = canvas.below(float(top.min()) - 0.01)
    if window is None:
        return
    across, depth = ground_axes(canvas, window, horizon)
    grain = sample("grain", window.x + np.float32(shift), window.y + np.float32(shift), canvas.pixel)
    dune = sample("smooth", across * np.float32(0.35), depth * np.float32(0.35) + np.float32(shift), canvas.pixel)
    crest = wave(depth * np.float32(4.0 + 4.0 * ripples) + dune * np.float32(0.45) + across * np.float32(0.5))
    shade = (
        np.float32(0.93)
        + np.float32(0.045) * grain
        + np.float32(0.05) * dune
        + np.float32(0.055 * (0.3 + light.contrast)) * crest
    )
    wet = np.exp(-np.clip(window.y - top[None], 0.0, 1.0) * np.float32(28.0)) * np.float32(0.28)
    colour = light.lit(base) * (shade - wet)
    canvas.paint(window, canvas.coverage(window.y - top[None]), np.clip(colour, 0.0, 1.0), classes.SAND)


def grass(canvas: Canvas, rng: np.random.Generator, light: Light, horizon: float, top: Array) -> None:
    """A meadow below the line ``top`` (w,): tufts, smaller towards the horizon."""
    base, (shift, blades) = pick(rng, _GRASS), rng.random(2)
    window = canvas.below(float(top.min()) - 0.01)
    if window is None:
        return
    across, depth = ground_axes(canvas, window, horizon)
    tufts = sample("clump", across * np.float32(0.42) + np.float32(shift), depth * np.float32(0.42), canvas.pixel * 0.6)
    stalks = sample("grain", window.x * np.float32(1.0), window.y * np.float32(0.34) + np.float32(shift), canvas.pixel)
    patches = sample(
        "smooth", across * np.float32(0.25), depth * np.float32(0.25) + np.float32(shift), canvas.pixel * 0.5
    )
    near = np.clip((window.y - np.float32(horizon)) / np.float32(0.5), 0.15, 1.0)
    shade = (
        np.float32(0.88)
        + np.float32(0.09) * patches
        + near * (np.float32(0.12) * tufts + np.float32(0.07 + 0.04 * blades) * stalks)
    )
    dry = np.asarray((0.06, 0.03, -0.02), np.float32)[:, None, None] * patches
    canvas.paint(
        window, canvas.coverage(window.y - top[None]), np.clip(light.lit(base + dry) * shade, 0.0, 1.0), classes.GRASS
    )


def field(canvas: Canvas, rng: np.random.Generator, light: Light, horizon: float, top: Array, bottom: Array) -> None:
    """Rows of a crop between two lines (w,), running to a point on the horizon or across."""
    crop, soil = pick(rng, _CROP), pick(rng, _SOIL)
    shift, centre, density, lengthwise = rng.random(4)
    window = canvas.window(0.0, canvas.aspect, float(top.min()) - 0.01, float(bottom.max()) + 0.01)
    if window is None:
        return
    across, depth = ground_axes(canvas, window, horizon)
    tufts = sample("clump", across * np.float32(0.5) + np.float32(shift), depth * np.float32(0.5), canvas.pixel * 0.7)
    reach = np.maximum(window.y - np.float32(horizon), 0.0) + np.float32(0.09)
    if lengthwise < 0.65:
        scale = np.float32(1.6 + 1.1 * density) / reach
        phase = (window.x - np.float32(canvas.aspect * (0.2 + 0.6 * centre))) * scale
    else:
        scale = np.float32(2.4 + 1.8 * density) / reach
        phase = np.log(reach) * np.float32(2.4 + 1.8 * density) + across * np.float32(0.4 * (centre - 0.5))
    visible = np.clip(np.float32(1.5) - np.float32(3.2 * canvas.pixel) * scale, 0.0, 1.0)
    rows = np.clip(wave(phase) * np.float32(1.3) + tufts * np.float32(0.25), -1.0, 1.0) * visible
    between = np.float32(0.38) - np.float32(0.38) * rows
    colour = light.lit(crop + between * (soil * np.float32(0.70) - crop)) * (
        np.float32(0.95) + np.float32(0.07) * tufts
    )
    cover = canvas.coverage(np.minimum(window.y - top[None], bottom[None] - window.y))
    canvas.paint(window, cover, np.clip(colour, 0.0, 1.0), classes.FIELD)
