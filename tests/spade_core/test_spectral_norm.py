from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from spade_core.spectral_norm import SpectralNormConv2d, SpectralNormConvTranspose2d

released_spectral_norm = getattr(nn.utils, "spectral_norm", None)

PAIRS = {
    "conv": (
        lambda: SpectralNormConv2d(5, 7, 3, stride=2, padding=1),
        lambda: nn.Conv2d(5, 7, 3, stride=2, padding=1),
    ),
    "conv without bias": (
        lambda: SpectralNormConv2d(5, 7, 1, bias=False),
        lambda: nn.Conv2d(5, 7, 1, bias=False),
    ),
    "conv of few pixels": (
        lambda: SpectralNormConv2d(5, 70, 5, padding=1),
        lambda: nn.Conv2d(5, 70, 5, padding=1),
    ),
    "transposed conv": (
        lambda: SpectralNormConvTranspose2d(5, 7, 3, stride=2, padding=1, output_padding=1),
        lambda: nn.ConvTranspose2d(5, 7, 3, stride=2, padding=1, output_padding=1),
    ),
}


@pytest.mark.skipif(released_spectral_norm is None, reason="this torch has no torch.nn.utils.spectral_norm")
@pytest.mark.parametrize("name", PAIRS)
def test_equals_torchs_hook(name: str) -> None:
    """Up to the order of summation, so in float64: another order of v and u would show at 1e-4."""
    torch.manual_seed(0)
    make_own, make_plain = PAIRS[name]
    own = make_own().double()
    reference = released_spectral_norm(make_plain().double())
    own.load_state_dict(reference.state_dict(), strict=True)
    for _ in range(3):
        x = torch.randn(2, 5, 6, 6, dtype=torch.float64)
        results = []
        for module in (own, reference):
            module.zero_grad()
            inputs = x.clone().requires_grad_()
            # two forwards before the backward, as a training step with two losses has them
            output = module(inputs) + 0.5 * module(inputs.flip(0))
            output.square().sum().backward()
            results.append((output.detach(), inputs.grad, module.weight_orig.grad, module.weight_u, module.weight_v))
        ours, theirs = results
        torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-13)
    own.eval()
    reference.eval()
    torch.testing.assert_close(own(x), reference(x), rtol=1e-11, atol=1e-13)


def test_training_converges_to_the_largest_singular_value_and_eval_leaves_it() -> None:
    torch.manual_seed(1)
    layer = SpectralNormConv2d(4, 6, 3)
    x = torch.randn(1, 4, 5, 5)
    with torch.no_grad():
        for _ in range(300):
            layer(x)
        largest = torch.linalg.matrix_norm(layer.eval().normalized_weight().flatten(1), ord=2)
    assert largest.item() == pytest.approx(1.0, abs=1e-5)
    before = layer.weight_u.clone()
    layer(x)
    assert torch.equal(layer.weight_u, before)


def test_a_copy_is_independent_and_moves_type() -> None:
    layer = SpectralNormConv2d(3, 4, 3)
    x = torch.randn(1, 3, 5, 5)
    layer(x)
    twin = copy.deepcopy(layer).double()
    layer(x)
    assert not torch.equal(layer.weight_u.double(), twin.weight_u)
    assert sorted(twin.state_dict()) == ["bias", "weight_orig", "weight_u", "weight_v"]
    assert twin(x.double()).dtype == torch.float64


def test_an_evaluation_between_forward_and_backward_does_no_harm() -> None:
    layer = SpectralNormConv2d(3, 4, 3)
    x = torch.randn(1, 3, 5, 5)
    loss = layer.eval()(x).sum()
    layer.train()(x)
    loss.backward()
    assert layer.weight_orig.grad is not None


def test_autocast_does_not_reach_the_power_iteration() -> None:
    torch.manual_seed(2)
    layer = SpectralNormConv2d(8, 8, 3)
    twin = copy.deepcopy(layer)
    x = torch.randn(1, 8, 5, 5)
    layer(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert twin(x).dtype == torch.bfloat16
    assert torch.equal(layer.weight_u, twin.weight_u)
