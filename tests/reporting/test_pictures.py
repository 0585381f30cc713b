"""How figures look: labels that can be read, colours that are told apart, equal files for equal numbers."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.reporting.capacity import draw_score_against_parameters
from bench.reporting.labels import place_labels
from bench.reporting.material import gather
from bench.reporting.style import COLOURS, INK, SOFT, lighter, mark, readable, settle
from bench.reporting.tables import study_tables

from .conftest import FakeStore


def test_the_same_numbers_give_the_same_files(partial: FakeStore, tmp_path: Path) -> None:
    material = gather(partial.study, partial.store, study_tables(partial.study, partial.store))
    first = draw_score_against_parameters(material, tmp_path / "a", kinds=("svg", "png", "pdf"))
    second = draw_score_against_parameters(material, tmp_path / "b", kinds=("svg", "png", "pdf"))
    assert first is not None
    assert second is not None
    assert [path.suffix for path in first.files] == [".svg", ".png", ".pdf"]
    assert [path.read_bytes() for path in first.files] == [path.read_bytes() for path in second.files]
    with Image.open(first.files[1]) as picture:
        assert picture.text["Description"] == first.caption
        assert picture.size == (920, 670)  # 4.6 x 3.35 inches at 200 dots per inch


def test_labels_cover_neither_each_other_nor_markers() -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.5, 3.3), layout="constrained")
    panel = figure.subplots()
    rng = np.random.default_rng(3)
    points = [
        (float(x), float(y), f"a row called {index}", "#0072B2") for index, (x, y) in enumerate(rng.random((8, 2)))
    ]
    panel.plot([point[0] for point in points], [point[1] for point in points], "o")
    panel.set_xlim(-0.4, 1.4)
    settle(figure)
    before = len(panel.lines)
    place_labels(panel, points)
    assert len(panel.lines) == before
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    boxes = [text.get_window_extent(renderer) for text in panel.texts if text.get_text()]
    assert len(boxes) == 8
    assert not any(first.overlaps(second) for first, second in combinations(boxes, 2))
    centres = panel.transData.transform([point[:2] for point in points])
    assert not any(box.contains(*centre) for box in boxes for centre in centres)


def test_first_sixteen_rows_look_different() -> None:
    marks = [mark(index) for index in range(2 * len(COLOURS))]
    assert len(set(marks)) == len(marks)


# Machado, Oliveira and Fernandes (2009), "A physiologically-based model for simulation of color vision deficiency",
# IEEE TVCG 15(6): matrices for severity 1.0, acting on linear RGB.
DEFICIENCIES = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
CONFUSABLE = 10.0
"""CIEDE2000 difference from which two patches of colour are told apart at a glance (about 2 is just noticeable)."""


PALE = tuple(lighter(colour, 0.55) for colour in COLOURS)


def linear(colour: str) -> np.ndarray:
    channels = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


@pytest.mark.parametrize("vision", list(DEFICIENCIES))
def test_colours_are_told_apart_with_any_colour_vision(vision: str) -> None:
    from skimage.color import deltaE_ciede2000, xyz2lab
    from skimage.color.colorconv import xyz_from_rgb

    seen = [np.clip(np.asarray(DEFICIENCIES[vision]) @ linear(colour), 0, 1) for colour in COLOURS]
    labs = [xyz2lab(rgb @ xyz_from_rgb.T) for rgb in seen]
    differences = {
        (COLOURS[a], COLOURS[b]): float(deltaE_ciede2000(labs[a], labs[b]))
        for a, b in combinations(range(len(labs)), 2)
    }
    closest = min(differences, key=lambda pair: differences[pair])
    assert differences[closest] > CONFUSABLE, (closest, differences[closest])


def test_names_written_in_a_colour_can_be_read_on_white() -> None:
    def luminance(colour: str) -> float:
        return float(linear(colour) @ [0.2126, 0.7152, 0.0722])

    for colour in (*(readable(colour) for colour in (*COLOURS, *PALE)), INK, SOFT):
        assert 1.05 / (luminance(colour) + 0.05) >= 4.5, colour  # WCAG 2, level AA
