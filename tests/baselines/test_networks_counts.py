"""Parameter counts of the rows of Table 3 that are not SPADE's; nothing is allocated."""

from __future__ import annotations

import pytest
import torch

from baselines.building import count_multiply_adds
from baselines.settings import ConcatDecoderSettings, LocalEnhancerSettings, Pix2pixHDSettings
from spade_core.label_spec import LabelSpec
from spade_core.settings import DiscriminatorSettings, SpadeSettings
from tests.spade_core.golden import facts

SPECS = {
    "coco": LabelSpec(classes=182, dont_care=True, instance_edges=True),
    "ade20k": LabelSpec(classes=150, dont_care=True),
    "cityscapes": LabelSpec(classes=35, instance_edges=True),
}
PIX2PIXHD = Pix2pixHDSettings(norm="instance", spectral_norm=False)
PLUS_PLUS = Pix2pixHDSettings(norm="sync_batch", spectral_norm=True)

Settings = ConcatDecoderSettings | LocalEnhancerSettings | Pix2pixHDSettings


def count(settings: Settings, dataset: str) -> int:
    with torch.device("meta"):
        module = settings.build(SPECS[dataset], (256, 512) if dataset == "cityscapes" else (256, 256))
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        pytest.param(ConcatDecoderSettings(), 79_226_115, id="decoder w/ Concat"),
        pytest.param(
            Pix2pixHDSettings(norm="sync_batch", spectral_norm=True, conditioning="spade"),
            236_879_235,
            id="pix2pixHD++ w/ SPADE",
        ),
        pytest.param(
            Pix2pixHDSettings(norm="sync_batch", spectral_norm=True, conditioning="concat"),
            195_453_315,
            id="pix2pixHD++ w/ Concat",
        ),
        pytest.param(PLUS_PLUS, 182_928_771, id="pix2pixHD++"),
        pytest.param(
            Pix2pixHDSettings(width=48, norm="sync_batch", spectral_norm=True), 102_996_003, id="compact pix2pixHD++"
        ),
        pytest.param(PIX2PIXHD, 182_907_395, id="pix2pixHD"),
    ],
)
def test_rows_of_table_3_on_ade20k(settings: Settings, expected: int) -> None:
    assert count(settings, "ade20k") == expected


def test_the_facts_name_the_same_counts() -> None:
    published = {row["table_row"]: int(row["params"]) for row in facts("param_match")}
    assert published["decoder w/ Concat"] == count(ConcatDecoderSettings(), "ade20k")
    assert published["pix2pixHD++"] == count(PLUS_PLUS, "ade20k")


@pytest.mark.parametrize("row", [r for r in facts("official_spade_counts") if "Pix2Pix" in r["network"]], ids=str)
def test_pix2pixhd_pp_of_the_released_spade_code(row: dict[str, str]) -> None:
    norm = row["network"].rsplit("spectral")[-1]
    assert norm in ("sync_batch", "instance", "batch")
    settings = Pix2pixHDSettings(norm=norm, spectral_norm=True)
    assert count(settings, row["dataset"]) == int(row["params"])


@pytest.mark.parametrize("stride", [8, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("dataset", SPECS)
def test_pix2pixhd_pp_at_the_widths_of_the_sweep(dataset: str, stride: int) -> None:
    rows = [row for row in facts("ngf_sweep") if row["dataset"] == dataset]
    for row in rows[::stride] + rows[-1:]:
        settings = Pix2pixHDSettings(width=int(row["ngf"]), norm="sync_batch", spectral_norm=True)
        assert count(settings, dataset) == int(row["p2phd_sync_batch"]), f"width {row['ngf']}"


@pytest.mark.parametrize(("dataset", "setting"), [("coco", "184"), ("ade20k", "151"), ("cityscapes", "36 ")])
def test_nvidias_global_generator(dataset: str, setting: str) -> None:
    (row,) = [
        r
        for r in facts("baseline_counts")
        if r["network"] == "pix2pixHD GlobalGenerator ngf64" and r["setting"].startswith(setting)
    ]
    assert count(PIX2PIXHD, dataset) == int(row["params"])


def test_nvidias_local_enhancer_and_discriminators() -> None:
    rows = {row["network"]: int(row["params"]) for row in facts("baseline_counts") if row["network"].startswith("pix")}
    assert count(LocalEnhancerSettings(), "cityscapes") == rows["pix2pixHD LocalEnhancer ngf32"] == 182_857_059
    for scales, name in ((2, "pix2pixHD D num_D2 n_layers3"), (3, "pix2pixHD D num_D3")):
        with torch.device("meta"):
            network = DiscriminatorSettings(scales=scales, spectral_norm=False).build(SPECS["cityscapes"])
        assert sum(p.numel() for p in network.parameters()) == rows[name]


def test_multiply_adds_are_those_counted_by_hand() -> None:
    """The decoder with SPADE on Cityscapes, 256x512 px, layer by layer from the paper's description (section A)."""
    map_channels, hidden, window = 36, 128, 9

    def spade(channels: int) -> int:
        return map_channels * hidden * window + 2 * hidden * channels * window

    def block(channels: int, out: int) -> int:
        middle = min(channels, out)
        convolutions = channels * middle * window + middle * out * window
        shortcut = spade(channels) + channels * out if channels != out else 0
        return spade(channels) + spade(middle) + convolutions + shortcut

    smallest = 8 * 16
    expected = smallest * (map_channels * 1024 * window + block(1024, 1024)) + 2 * 4 * smallest * block(1024, 1024)
    for level, channels in enumerate((1024, 512, 256, 128), start=2):
        expected += smallest * 4**level * block(channels, channels // 2)
    expected += 256 * 512 * 64 * 3 * window
    assert count_multiply_adds(SpadeSettings(), SPECS["cityscapes"], (256, 512)) == expected


def test_multiply_adds_of_a_generator_that_starts_from_noise() -> None:
    from_map = count_multiply_adds(SpadeSettings(width=8), SPECS["ade20k"], (256, 256))
    from_noise = count_multiply_adds(SpadeSettings(width=8, source="z"), SPECS["ade20k"], (256, 256))
    # 8 x 8 px: a 3 x 3 convolution of the map against one product of z with each of them
    assert from_map - from_noise == 8 * 8 * 16 * 8 * (151 * 9 - 256)
