"""pix2pixHD's and pix2pixHD++'s generators compute what the released ones compute."""

from __future__ import annotations

import torch

from baselines.settings import Pix2pixHDSettings
from spade_core.label_spec import LabelSpec
from tests.spade_core.golden import assert_matches, golden, label_map, load_filled

CASES = golden("networks")


def test_pix2pixhd_pp_equals_the_released_one() -> None:
    case = CASES["pix2pixhd_spectralsync"]
    spec = LabelSpec(classes=10, dont_care=True)
    generator = Pix2pixHDSettings(width=8, norm="sync_batch", spectral_norm=True).build(spec, (64, 64))
    load_filled(generator, case["keys"], "G.")
    assert sum(p.numel() for p in generator.parameters()) == case["params"]
    batch = label_map(2, 64, 64, 11, 14, spec=spec)
    with torch.no_grad():
        assert_matches(generator.eval()(batch), case["eval"], 1e-4)
        assert_matches(generator.train()(batch), case["train"], 1e-4)


def test_pix2pixhd_equals_nvidias() -> None:
    case = CASES["nvidia_pix2pixhd_global"]
    spec = LabelSpec(classes=10, instance_edges=True)
    generator = Pix2pixHDSettings(width=8, norm="instance", spectral_norm=False).build(spec, (64, 64))
    load_filled(generator, case["keys"], "G.")
    generator.double()
    assert sum(p.numel() for p in generator.parameters()) == case["params"]
    with torch.no_grad():
        assert_matches(generator(label_map(2, 64, 64, 10, 71, spec=spec)), case["output"], 1e-10)
