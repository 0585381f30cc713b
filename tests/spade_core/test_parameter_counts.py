"""Parameter counts of the paper's networks, as the released classes have them; nothing is allocated."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from spade_core.label_spec import LabelSpec
from spade_core.settings import DiscriminatorSettings, EncoderSettings, SpadeSettings
from tests.spade_core.golden import facts

SPECS = {
    "coco": LabelSpec(classes=182, dont_care=True, instance_edges=True),
    "ade20k": LabelSpec(classes=150, dont_care=True),
    "cityscapes": LabelSpec(classes=35, instance_edges=True),
}
SIZES = {"coco": (256, 256), "ade20k": (256, 256), "cityscapes": (256, 512)}


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def spade_count(dataset: str, settings: SpadeSettings) -> int:
    with torch.device("meta"):
        return count(settings.build(SPECS[dataset], SIZES[dataset]))


@pytest.mark.parametrize("stride", [8, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("dataset", SPECS)
def test_spade_at_the_widths_of_the_sweep(dataset: str, stride: int) -> None:
    """Every eighth width by default, every one in the slow tests."""
    upsampling = "more" if dataset == "cityscapes" else "normal"
    rows = [row for row in facts("ngf_sweep") if row["dataset"] == dataset]
    assert len(rows) > 60
    for row in rows[::stride] + rows[-1:]:
        width = int(row["ngf"])
        from_map = SpadeSettings(width=width, upsampling=upsampling)
        from_z = SpadeSettings(width=width, upsampling=upsampling, source="z")
        assert spade_count(dataset, from_map) == int(row["spade_segmap"]), f"width {width}"
        assert spade_count(dataset, from_z) == int(row["spade_randomz"]), f"width {width}, from z"


@pytest.mark.parametrize("row", [r for r in facts("official_spade_counts") if "Pix2Pix" not in r["network"]], ids=str)
def test_released_networks(row: dict[str, str]) -> None:
    dataset, network = row["dataset"], row["network"]
    upsampling = "more" if dataset == "cityscapes" else "normal"
    spec = SPECS[dataset]
    assert spec.channels == int(row["semantic_nc"])
    with torch.device("meta"):
        if network.startswith("MultiscaleDiscriminator"):
            module: nn.Module = DiscriminatorSettings().build(spec)
        elif network == "ConvEncoder":
            module = EncoderSettings().build()
        elif " ks " in network:
            kernel = int(network[-1])
            module = SpadeSettings(kernel=kernel, upsampling=upsampling).build(spec, SIZES[dataset])
        else:
            source = "z" if "random input" in network else "segmap"
            module = SpadeSettings(source=source, upsampling=upsampling).build(spec, SIZES[dataset])
    assert count(module) == int(row["params"])


def test_rows_of_table_3_and_4_on_ade20k() -> None:
    counts = [spade_count("ade20k", SpadeSettings(width=width)) for width in (64, 48, 80)]
    assert counts == [96_492_483, 60_642_771, 140_682_163]
