"""A memory bank of six small scenes."""

from __future__ import annotations

import pytest

from bench.sims.bank import build_bank
from bench.sims.workspace import Workspace


@pytest.fixture(scope="module")
def banked(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """One for each file: its tests put trained networks beside the bank."""
    folder = tmp_path_factory.mktemp("sims")
    made = Workspace(folder=folder, dataset="synthetic", root=None, size=(64, 64), min_area_px=1500, images=(6, 2))
    made.write()
    build_bank(made, workers=1)
    return made
