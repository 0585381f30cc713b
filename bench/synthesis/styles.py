"""Style images: read, checked, encoded."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from bench.synthesis.drawing import NamedStyle, file_stem
from bench.synthesis.inputs import InputError, read_photograph, style_pixels
from bench.synthesis.model import NO_ENCODER, Synthesizer


def read_styles(model: Synthesizer, files: Sequence[Path]) -> tuple[NamedStyle, ...]:
    """The styles of image files, prepared as training images are.

    Raises ValueError for a model without an image encoder, InputError for files that are no images or share a name.
    """
    if files and model.encoder is None:
        raise ValueError(f"--style {files[0]}: {model.name}: {NO_ENCODER}")
    styles: list[NamedStyle] = []
    for file in files:
        if not file.is_file():
            raise InputError(f"--style {file}: there is no such file; give an image (PNG or JPEG)")
        name = file_stem(file.stem)
        if same := next((each.source for each in styles if each.name == name), None):
            raise InputError(f"--style {same} and --style {file} have one name, which names the outputs; rename one")
        content = file.read_bytes()
        pixels = style_pixels(read_photograph(content, f"--style {file}"), model.size)
        styles.append(
            NamedStyle(
                name=name,
                source=file,
                sha256=hashlib.sha256(content).hexdigest(),
                style=model.style_of(pixels),
                pixels=pixels,
            )
        )
    return tuple(styles)
