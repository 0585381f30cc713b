"""The width sweep gives the counts of the released networks at each width."""

from __future__ import annotations

import pytest

from baselines.building import count_parameters
from baselines.registry import get_variant
from baselines.sweeps import WIDTHS, width_sweep
from spade_core.label_spec import LabelSpec
from tests.spade_core.golden import facts

ADE20K = LabelSpec(classes=150, dont_care=True)


def test_the_sweep_of_the_decoder_has_the_released_counts() -> None:
    rows = {int(row["ngf"]): row for row in facts("ngf_sweep") if row["dataset"] == "ade20k"}
    column = next(name for name in rows[64] if rows[64][name] == "96492483")
    swept = width_sweep(get_variant("spade-decoder"))
    assert [item.generator.width for item in swept] == list(WIDTHS) == [32, 40, 48, 56, 64, 72, 80, 88, 96]
    for item, width in zip(swept, WIDTHS, strict=True):
        if width in rows:
            assert count_parameters(item.generator, ADE20K, (256, 256)) == int(rows[width][column])
    assert [item.paper_params_m for item in swept if item.generator.width == 64] == [96]
    assert {item.paper_params_m for item in swept if item.generator.width != 64} == {None}


def test_a_width_that_is_not_allowed_is_an_error() -> None:
    with pytest.raises(ValueError, match="width is 0; it must be at least 1"):
        width_sweep(get_variant("pix2pixhd-pp"), [0])
