from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spade_core.losses import (
    feature_matching_loss,
    hinge_discriminator_loss,
    hinge_generator_loss,
    kl_divergence,
    least_squares_discriminator_loss,
    least_squares_generator_loss,
)
from spade_core.perceptual import VGG19PerceptualLoss, vgg19_features
from tests.spade_core.golden import fill_vgg19, image


def logits(*scales: list[float]) -> list[Tensor]:
    return [torch.tensor(values).view(1, 1, 1, -1) for values in scales]


FAKE = logits([-2.0, 0.0], [0.5])
REAL = logits([2.0, -1.0], [0.5])


def test_hinge() -> None:
    fake, real = hinge_discriminator_loss(FAKE, REAL)
    assert (fake.item(), real.item()) == ((0.5 + 1.5) / 2, (1.0 + 0.5) / 2)
    assert hinge_generator_loss(FAKE).item() == (1.0 - 0.5) / 2
    assert hinge_generator_loss(FAKE, "sum").item() == 0.5


def test_least_squares() -> None:
    fake, real = least_squares_discriminator_loss(FAKE, REAL, "sum")
    assert (fake.item(), real.item()) == (2.0 + 0.25, 2.5 + 0.25)
    assert least_squares_generator_loss(FAKE, "sum").item() == 5.0 + 0.25
    assert least_squares_generator_loss(FAKE).item() == (5.0 + 0.25) / 2


def test_an_unknown_reduction_is_refused() -> None:
    with pytest.raises(ValueError, match="reduction is 'max'; allowed are 'mean' and 'sum'"):
        hinge_generator_loss(FAKE, "max")  # type: ignore[arg-type]


def test_feature_matching_leaves_out_the_logits_and_the_gradient_of_the_real() -> None:
    fake = [[torch.zeros(1, 2, requires_grad=True), torch.zeros(2), torch.zeros(1)], [torch.zeros(3), torch.zeros(1)]]
    real = [
        [torch.full((1, 2), 2.0, requires_grad=True), torch.ones(2), torch.ones(1)],
        [-torch.ones(3), torch.ones(1)],
    ]
    loss = feature_matching_loss(fake, real)
    loss.backward()
    assert loss.item() == ((2.0 + 1.0) + 1.0) / 2
    assert fake[0][0].grad is not None
    assert real[0][0].grad is None
    with pytest.raises(ValueError, match="numbers of layers differ"):
        feature_matching_loss(fake, real[:1])


def test_kl_divergence_is_the_closed_form_and_independent_of_the_batch() -> None:
    mu, logvar = torch.randn(4, 6), torch.randn(4, 6)
    normal = torch.distributions.Normal(mu, (0.5 * logvar).exp())
    expected = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0)).sum(1).mean()
    torch.testing.assert_close(kl_divergence(mu, logvar), expected)
    torch.testing.assert_close(kl_divergence(mu.repeat(3, 1), logvar.repeat(3, 1)), expected)


@pytest.fixture(scope="module")
def trunk() -> nn.Sequential:
    features = vgg19_features()
    fill_vgg19(features)
    return features


def test_perceptual_loss_is_the_weighted_distance_of_five_features(trunk: nn.Sequential) -> None:
    fake, real = image(1, 32, 32, 1).requires_grad_(), image(1, 32, 32, 2).requires_grad_()
    loss = VGG19PerceptualLoss(trunk)(fake, real)
    loss.backward()
    expected = 0.0
    convolutions_before = (1, 3, 5, 9, 13)
    for count, weight in zip(convolutions_before, (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1), strict=True):
        features = [image(1, 32, 32, seed) for seed in (1, 2)]
        done = 0
        for layer in trunk:
            features = [layer(f) for f in features]
            done += isinstance(layer, nn.Conv2d)
            if done == count and isinstance(layer, nn.ReLU):
                break
        expected += weight * F.l1_loss(*features).item()
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    assert fake.grad is not None
    assert real.grad is None


def test_the_trunk_is_frozen_and_stays_in_eval_mode(trunk: nn.Sequential) -> None:
    loss = VGG19PerceptualLoss(trunk).train()
    assert not any(p.requires_grad for p in loss.parameters())
    assert not any(m.training for m in loss.modules())


def test_weights_come_from_torchvisions_file(trunk: nn.Sequential, tmp_path: Path) -> None:
    state = {f"features.{key}": value for key, value in trunk.state_dict().items()}
    deeper = {"features.30.weight": torch.zeros(1), "classifier.0.bias": torch.zeros(1)}
    path = tmp_path / "vgg19-dcbb9e9d.pth"
    torch.save(state | deeper, path)
    fake, real = image(1, 32, 32, 1), image(1, 32, 32, 2)
    assert torch.equal(VGG19PerceptualLoss(weights_file=path)(fake, real), VGG19PerceptualLoss(trunk)(fake, real))
    state["features.0.bias"] = torch.zeros(3)
    del state["features.2.weight"]
    torch.save(state, path)
    with pytest.raises(
        ValueError, match=r"dcbb9e9d\.pth does not hold(.|\n)*missing: features\.2\.weight\n  shape: fea"
    ):
        VGG19PerceptualLoss(weights_file=path)


def test_a_missing_file_is_explained(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no file .*/none\.pth. Get vgg19-dcbb9e9d\.pth from https://download"):
        VGG19PerceptualLoss(weights_file=tmp_path / "none.pth")
    with pytest.raises(ValueError, match="either features or weights_file, not both and not neither"):
        VGG19PerceptualLoss()
    with pytest.raises(ValueError, match="features has 1 layers; relu5_1 of VGG19 is the layer 29"):
        VGG19PerceptualLoss(nn.Sequential(nn.ReLU()))
