"""What tells the ordering network which of two neighbouring segments of a training picture is in front."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.data.dataset import Sample
from bench.sims.classes import SimsClasses
from bench.sims.stage import StageError

Source = Literal["disparity", "canvas", "layers"]
SOURCES: tuple[Source, ...] = ("disparity", "canvas", "layers")
TOLD: dict[Source, str] = {
    "disparity": "median disparity along the shared boundary, objects over planar classes (as published)",
    "canvas": "the label map, where segments of other pictures in the place of the two would overlap (a substitute)",
    "layers": "the stated layers of classes (a substitute for disparity: objects over planar classes)",
}
_DISPARITY_STEPS = 256.0


def check_source(name: str) -> None:
    """Raises StageError where nothing is called so."""
    if name not in SOURCES:
        raise StageError(f"--supervision is {name!r}; choose one of {', '.join(SOURCES)}")


@dataclass(frozen=True, kw_only=True)
class Supervision:
    """One of the SOURCES. The canvas asks what is retrieved (``bench.sims.fronts``), the others know a nearness."""

    source: Source
    classes: SimsClasses
    disparity: Path | None = None
    """Folder with 16-bit files <sample id>_disparity.png or <sample id>.png, anywhere below: 256 d + 1, 0 unknown."""

    def __post_init__(self) -> None:
        check_source(self.source)
        if (self.source == "disparity") != (self.disparity is not None):
            raise StageError("--supervision disparity and --disparity DIR belong together; give both or neither")
        if self.disparity is not None and not self.disparity.is_dir():
            raise StageError(f"--disparity {self.disparity} is not a folder; it should hold <sample id>_disparity.png")
        if self.source == "layers" and not self.classes.layers:
            raise StageError(
                "--supervision layers: no layers are stated for this data set (bench/sims/classes.py has them for "
                "Cityscapes and the synthetic scenes); use --supervision canvas, or --disparity DIR"
            )

    @cached_property
    def inputs(self) -> dict[str, str]:
        """What a stage that learns from it has read: names, sizes and times of the disparity files."""
        if self.disparity is None:
            return {}
        found = [(path, path.stat()) for path in sorted(self._files.values())]
        lines = [f"{path.relative_to(self.disparity)} {stat.st_size} {stat.st_mtime_ns}\n" for path, stat in found]
        return {"disparity": hashlib.sha256("".join(lines).encode()).hexdigest()}

    @property
    def planar(self) -> Sequence[int]:
        """Classes that are behind whatever stands before them, whatever their nearness says."""
        return self.classes.planar if self.source == "disparity" else ()

    def nearness(self, sample: Sample) -> NDArray[np.float64]:
        """(H, W), greater is nearer, NaN unknown; not of the canvas.

        Raises StageError where a disparity file is missing or unfit.
        """
        assert self.source != "canvas"
        if self.source == "disparity":
            return self._read(sample)
        layer_of = np.full(self.classes.count, np.nan)
        for number, layer in enumerate(self.classes.layers):
            layer_of[list(layer)] = number
        near = layer_of[self.classes.of_label[sample.labels]]
        top = len(self.classes.layers) - 1
        if sample.instances is not None and self.classes.painted_in_order:
            counted = (near == top) & (sample.instances >= 1000)
            near = np.where(counted, top + (sample.instances % 1000) / 1000.0, near)
        return np.asarray(near, np.float64)

    @cached_property
    def _files(self) -> dict[str, Path]:
        assert self.disparity is not None
        return {path.stem.removesuffix("_disparity"): path for path in sorted(self.disparity.rglob("*.png"))}

    def _read(self, sample: Sample) -> NDArray[np.float64]:
        path = self._files.get(sample.id)
        if path is None:
            raise StageError(
                f"--disparity {self.disparity}: nothing for sample {sample.id} among {len(self._files)} png files; "
                f"expected {sample.id}_disparity.png"
            )
        with Image.open(path) as opened:
            if opened.mode not in ("I;16", "I"):
                raise StageError(f"{path}: mode {opened.mode}; disparity files are 16-bit grey")
            height, width = sample.labels.shape
            values = np.asarray(opened.resize((width, height), Image.Resampling.NEAREST), np.float64)
        return np.where(values > 0, (values - 1) / _DISPARITY_STEPS, np.nan)
