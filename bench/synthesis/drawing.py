"""Which images are made of a label map, and from which z: samples, styles, steps between two of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.evaluation.generate import noise_for
from bench.synthesis.model import Style

Vector = NDArray[np.float32]
MOST_SAMPLES = 100
_NEARLY_PARALLEL = 1e-4


@dataclass(frozen=True, kw_only=True)
class NamedStyle:
    """A style image, and what the encoder made of it."""

    name: str
    """In file names: the image's own without its suffix."""
    source: Path
    sha256: str
    style: Style
    pixels: NDArray[np.uint8]
    """(H, W, 3), as the encoder saw it."""


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is asked of every label map."""

    samples: int = 1
    """Images of each style, or of none."""
    styles: tuple[NamedStyle, ...] = ()
    interpolate: int | None = None
    """Steps from the first of two styles (or samples) to the second, both ends included."""
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.samples <= MOST_SAMPLES:
            raise ValueError(f"--samples is {self.samples}; it must be from 1 to {MOST_SAMPLES}")
        if self.seed < 0:
            raise ValueError(f"--seed is {self.seed}; it must be at least 0")
        if self.interpolate is None:
            return
        if not 2 <= self.interpolate <= MOST_SAMPLES:
            raise ValueError(f"--interpolate is {self.interpolate} steps; it must be from 2 to {MOST_SAMPLES}")
        if len(self.styles) not in (0, 2):
            raise ValueError(
                f"--interpolate goes from one style to another, and {len(self.styles)} were given; give --style twice, "
                f"or not at all to go from one sample to the next"
            )
        if self.samples != 1:
            raise ValueError(f"--samples {self.samples} means nothing with --interpolate; leave one of them out")


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """One image to be made."""

    file: str
    """Name of its PNG."""
    z: Vector | None
    """(z_dim,); None for a model without."""
    style: str | None = None
    sample: int | None = None
    """Number among the samples of its map and style, from 0."""
    between: tuple[str, str, float] | None = None
    """The two ends, and how far from the first to the second, 0 to 1."""


def drawings(map_id: str, wish: Wish, z_dim: int | None) -> list[Drawing]:
    """The images of the label map ``map_id``: names and z, a function of the arguments alone.

    Sample 0 without a style has the noise that `evaluate` draws for that name and seed; sample 0 in a style is the
    mean of the encoder's distribution, the others are drawn from it. Raises ValueError for a model without z
    (``z_dim`` None) where more than its one image is asked for.
    """
    stem = file_stem(map_id)
    if z_dim is None:
        _refuse_without_z(wish)
        return [Drawing(file=f"{stem}.png", z=None)]
    noise = [_noise(map_id, number, wish.seed, z_dim) for number in range(max(2, wish.samples))]
    if wish.interpolate is not None:
        ends = [(each.name, each.style.mean) for each in wish.styles] or [
            (f"sample{number:02d}", noise[number]) for number in (0, 1)
        ]
        return _steps(stem, ends, wish.interpolate)
    if not wish.styles:
        return [
            Drawing(file=f"{stem}_sample{number:02d}.png", z=noise[number], sample=number)
            for number in range(wish.samples)
        ]
    return [
        Drawing(
            file=f"{stem}_style-{file_stem(each.name)}_sample{number:02d}.png",
            z=each.style.mean if number == 0 else each.style.mean + each.style.deviation * noise[number],
            style=each.name,
            sample=number,
        )
        for each in wish.styles
        for number in range(wish.samples)
    ]


def between(first: Vector, second: Vector, share: float) -> Vector:
    """The vector ``share`` (0 to 1) of the way from one (Z,) to the other, along the arc between them.

    The direction turns evenly and the length changes evenly, so that samples of a normal distribution keep a typical
    length on the way (a straight line would pass nearer to 0); along the straight line where the two are parallel.
    """
    lengths = [float(np.linalg.norm(vector)) for vector in (first, second)]
    if min(lengths) == 0.0:
        return ((1.0 - share) * first + share * second).astype(np.float32)
    a, b = first / lengths[0], second / lengths[1]
    angle = float(np.arccos(np.clip(np.dot(a, b), -1.0, 1.0)))
    if np.sin(angle) < _NEARLY_PARALLEL:
        return ((1.0 - share) * first + share * second).astype(np.float32)
    direction = (np.sin((1.0 - share) * angle) * a + np.sin(share * angle) * b) / np.sin(angle)
    length = (1.0 - share) * lengths[0] + share * lengths[1]
    turned: Vector = (length * direction).astype(np.float32)
    return turned


def file_stem(name: str) -> str:
    """``name`` fit for a file name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-") or "unnamed"


def _noise(map_id: str, number: int, seed: int, z_dim: int) -> Vector:
    return noise_for(map_id if number == 0 else f"{map_id} sample {number}", seed, z_dim)


def _steps(stem: str, ends: Sequence[tuple[str, Vector]], count: int) -> list[Drawing]:
    (first, start), (second, stop) = ends
    names = f"{file_stem(first)}-to-{file_stem(second)}"
    return [
        Drawing(
            file=f"{stem}_{names}_step{number:02d}of{count:02d}.png",
            z=between(start, stop, number / (count - 1)),
            between=(first, second, number / (count - 1)),
        )
        for number in range(count)
    ]


def _refuse_without_z(wish: Wish) -> None:
    asked = []
    if wish.samples > 1:
        asked.append(f"--samples {wish.samples}")
    if wish.styles:
        asked.append("--style")
    if wish.interpolate is not None:
        asked.append(f"--interpolate {wish.interpolate}")
    if asked:
        raise ValueError(
            f"{' and '.join(asked)}: this model makes one image of a label map, there is no z to vary. Train one that "
            f"starts from z: ./run_study.py train spade-decoder --switch vae ... (or spade-decoder-random-input)"
        )
