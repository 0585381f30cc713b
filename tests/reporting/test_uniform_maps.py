"""The figure of uniform maps: a row without variation is one grey, whatever rounding left of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.reporting.uniform_maps import UniformRow, draw_uniform_maps, shown

RNG = np.random.default_rng(0)


def row(images: np.ndarray, *, stretched: bool = True, share: float = 0.5) -> UniformRow:
    return UniformRow(name="a network", detail="untrained", share=share, images=images, stretched=stretched)


def test_rows_are_stretched_to_their_own_range_and_rounding_is_not() -> None:
    faint = 1e-4 * RNG.standard_normal((2, 4, 4, 3))
    assert np.ptp(shown(row(faint))) > 100
    assert np.ptp(shown(row(0.3 + 1e-12 * faint))) == 0
    assert np.ptp(shown(row(faint, stretched=False))) <= 1
    assert shown(row(np.ones((2, 4, 4, 3)), stretched=False)).max() == 255


def test_the_figure_has_a_column_for_each_label(tmp_path: Path) -> None:
    rows = [row(RNG.uniform(-1, 1, (2, 8, 8, 3)), share=share) for share in (0.0, 1e-14, 0.7)]
    colours = np.array([[10, 20, 30], [200, 100, 50]], np.uint8)
    first = {"instance norm": 2e-14, "SPADE": 0.4, "exact": 0.0}
    drawn = draw_uniform_maps(rows, ["sky", "grass"], colours, first, tmp_path, kinds=("png",))
    pixels = np.asarray(Image.open(drawn.shown).convert("RGB"))
    assert all((pixels == colour).all(-1).sum() > 500 for colour in colours)
    assert "largest difference" in drawn.caption
    with pytest.raises(ValueError, match="3 labels have names, but not every row has as many images"):
        draw_uniform_maps(rows, ["sky", "grass", "sea"], colours, first, tmp_path)
