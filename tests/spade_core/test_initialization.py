from __future__ import annotations

import pytest
import torch
from torch import nn

from spade_core.initialization import initialize
from spade_core.spectral_norm import SpectralNormConv2d

GLOROT_STD = 0.02 * (2 / (64 * 9 + 32 * 9)) ** 0.5


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(64, 32, 3), SpectralNormConv2d(64, 32, 3), nn.BatchNorm2d(500), nn.ConvTranspose2d(32, 64, 3)
    )


def initialized(scheme: str) -> tuple[nn.Sequential, nn.Sequential]:
    before, after = network(), network()
    initialize(after, scheme)  # type: ignore[arg-type]
    return before, after


@pytest.mark.parametrize("scheme", ["released", "glorot", "pix2pixhd"])
def test_batch_norms_start_near_one(scheme: str) -> None:
    _, after = initialized(scheme)
    assert after[2].weight.mean().item() == pytest.approx(1.0, abs=0.003)
    assert after[2].weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert after[2].bias.abs().max().item() == 0


def test_released_leaves_spectrally_normalized_weights() -> None:
    before, after = initialized("released")
    assert torch.equal(after[1].weight_orig, before[1].weight_orig)
    assert after[0].weight.std().item() == pytest.approx(GLOROT_STD, rel=0.03)
    assert after[3].weight.std().item() == pytest.approx(GLOROT_STD, rel=0.03)
    assert all(after[i].bias.abs().max().item() == 0 for i in (0, 1, 3))


def test_glorot_reaches_every_layer() -> None:
    _, after = initialized("glorot")
    assert after[1].weight_orig.std().item() == pytest.approx(GLOROT_STD, rel=0.03)
    assert after[0].weight.std().item() == pytest.approx(GLOROT_STD, rel=0.03)


def test_pix2pixhd_draws_weights_and_keeps_biases() -> None:
    before, after = initialized("pix2pixhd")
    for layer, weight in ((0, "weight"), (1, "weight_orig"), (3, "weight")):
        assert getattr(after[layer], weight).std().item() == pytest.approx(0.02, rel=0.03)
        assert torch.equal(after[layer].bias, before[layer].bias)


def test_crn_is_glorot_uniform_of_gain_1() -> None:
    _, after = initialized("crn")
    weight = after[0].weight
    assert weight.std().item() == pytest.approx(GLOROT_STD / 0.02, rel=0.03)
    assert weight.abs().max().item() == pytest.approx(3**0.5 * GLOROT_STD / 0.02, rel=0.03)  # a uniform one has a bound
    assert after[0].bias.abs().max().item() == 0


def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(ValueError, match="initialization 'kaiming' is unknown; allowed are 'released', 'glorot', "):
        initialize(nn.Linear(1, 1), "kaiming")  # type: ignore[arg-type]
