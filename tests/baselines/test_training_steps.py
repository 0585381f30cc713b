"""The optimisation steps of the recipes compute what the released training code computes, in float64."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from baselines.batch import Batch
from baselines.recipe import CODE, PAPER, PIX2PIXHD, Recipe
from baselines.settings import Pix2pixHDSettings
from baselines.steps import Networks, TrainingStep, build_step
from spade_core.label_spec import LabelSpec
from spade_core.perceptual import VGG19PerceptualLoss, vgg19_features
from spade_core.released import to_released_state_dict
from spade_core.settings import DiscriminatorSettings, SpadeSettings
from tests.spade_core.golden import assert_matches, fill_vgg19, golden, image, label_map, labels, load_filled

STEPS = golden("train_steps")
NETWORKS = golden("networks")
SPADE_SPEC = LabelSpec(classes=10, dont_care=True)
EDGE_SPEC = LabelSpec(classes=10, instance_edges=True)
LOSSES = {
    "shared": {
        "GAN": ("generator/adversarial", 1.0),
        "GAN_Feat": ("generator/feature_matching", 1.0),
        "VGG": ("generator/perceptual", 1.0),
        "D_Fake": ("discriminator/fake", 1.0),
        "D_real": ("discriminator/real", 1.0),
    },
    "pix2pixhd": {  # recorded before the factor 0.5 of the discriminator's loss
        "G_GAN": ("generator/adversarial", 1.0),
        "G_GAN_Feat": ("generator/feature_matching", 1.0),
        "G_VGG": ("generator/perceptual", 1.0),
        "D_fake": ("discriminator/fake", 2.0),
        "D_real": ("discriminator/real", 2.0),
    },
}


class Recorded(nn.Module):
    """A generator that remembers its newest image with a gradient: the one of the generator's step."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator
        self.fake: torch.Tensor | None = None

    def forward(self, *arguments: Any) -> torch.Tensor:
        fake: torch.Tensor = self.generator(*arguments)
        if fake.requires_grad:
            self.fake = fake.detach().clone()
        return fake


def perceptual() -> VGG19PerceptualLoss:
    features = vgg19_features()
    fill_vgg19(features)
    return VGG19PerceptualLoss(features=features).double()


def shared_step(recipe: Recipe, betas: list[float]) -> TrainingStep:
    generator = SpadeSettings(width=8).build(SPADE_SPEC, (64, 64))
    load_filled(generator, NETWORKS["spade_64"]["keys"], "G.")
    discriminator = DiscriminatorSettings(width=8).build(SPADE_SPEC)
    discriminator_keys = {
        key: [shape[0], 14, *shape[2:]] if key.endswith("model0.0.weight") else shape
        for key, shape in NETWORKS["disc"]["keys"].items()
    }
    load_filled(discriminator, discriminator_keys, "D.")
    assert [recipe.beta1, recipe.beta2] == betas
    networks = Networks(
        generator=Recorded(generator.double().train()), discriminator=discriminator.double().train(), encoder=None
    )
    return build_step(recipe, networks, perceptual())


def pix2pixhd_step(case: dict[str, Any]) -> TrainingStep:
    generator = Pix2pixHDSettings(width=8, norm="instance", spectral_norm=False).build(EDGE_SPEC, (64, 64))
    load_filled(generator, NETWORKS["nvidia_pix2pixhd_global"]["keys"], "G.")
    assert PIX2PIXHD.discriminator is not None
    discriminator = replace(PIX2PIXHD.discriminator, width=8).build(EDGE_SPEC)
    load_filled(discriminator, case["keys_discriminator"], "D.")
    networks = Networks(
        generator=Recorded(generator.double().train()), discriminator=discriminator.double().train(), encoder=None
    )
    return build_step(PIX2PIXHD, networks, perceptual())


@pytest.mark.parametrize("name", ["spade_paper_betas", "spade_code_betas", "pix2pixhd_global"])
def test_two_training_steps_equal_the_released_ones(name: str) -> None:
    case = STEPS[name]
    pix2pixhd = name == "pix2pixhd_global"
    spec = EDGE_SPEC if pix2pixhd else SPADE_SPEC
    label_seed, image_seed, ids = (51, 101, 10) if pix2pixhd else (21, 71, 11)
    if pix2pixhd:
        step = pix2pixhd_step(case)
    else:
        step = shared_step(PAPER if name == "spade_paper_betas" else CODE, case["betas"])
    for number, record in enumerate(case["losses"]):
        ids_map, instances = labels(2, 64, 64, ids, label_seed + number)
        batch = Batch(
            spec=spec,
            labels=ids_map,
            instances=instances if spec.instance_edges else None,
            images=image(2, 64, 64, image_seed + number).double(),
        )
        losses = step([batch])
        for released, (ours, factor) in LOSSES[step.recipe.step].items():
            assert losses[ours].item() * factor == pytest.approx(record[released], rel=1e-8), released
        assert_matches(step.networks.generator.fake, record["generator_step_fake"], 1e-8)

    generator = step.networks.generator.generator
    discriminator = step.networks.discriminator
    assert discriminator is not None
    state = {f"G.{key}": value for key, value in to_released_state_dict(generator).items()}
    form = f"MultiscaleDiscriminator of {'pix2pixHD' if pix2pixhd else 'SPADE'}"
    state |= {f"D.{key}": value for key, value in to_released_state_dict(discriminator, form).items()}
    for key, record in case["params_after"].items():
        assert_matches(state[key], record, 1e-8)
    last = label_map(2, 64, 64, ids, label_seed + 1, spec=spec)
    with torch.no_grad():
        assert_matches(generator.eval()(last, None), case["after"], 1e-8)


def test_a_step_without_discriminator_trains_on_the_perceptual_loss_alone() -> None:
    recipe = replace(CODE, discriminator=None, feature_matching_weight=0.0)
    generator = SpadeSettings(width=4).build(SPADE_SPEC, (32, 32)).train()
    before = [parameter.detach().clone() for parameter in generator.parameters()]
    step = build_step(recipe, Networks(generator=generator, discriminator=None, encoder=None), _PixelDistance())
    ids, _ = labels(2, 32, 32, 11, 3)
    losses = step([Batch(spec=SPADE_SPEC, labels=ids, instances=None, images=image(2, 32, 32, 4))])
    assert set(losses) == {"generator/perceptual"}
    assert any(not torch.equal(old, new) for old, new in zip(before, generator.parameters(), strict=True))


def test_a_weighted_perceptual_loss_needs_its_network() -> None:
    generator = SpadeSettings(width=4).build(SPADE_SPEC, (32, 32))
    networks = Networks(generator=generator, discriminator=None, encoder=None)
    recipe = replace(CODE, discriminator=None, feature_matching_weight=0.0)
    with pytest.raises(ValueError, match="perceptual loss with 10.0 but no perceptual network.*no-perceptual"):
        build_step(recipe, networks, None)


def test_accumulated_parts_give_the_gradient_of_their_mean() -> None:
    """Without batch statistics, two parts of one image each are the batch of two (up to float64 rounding)."""
    ids, _ = labels(2, 64, 64, 11, 5)
    real = image(2, 64, 64, 6).double()
    parts = [Batch(spec=SPADE_SPEC, labels=ids[i : i + 1], instances=None, images=real[i : i + 1]) for i in range(2)]
    whole = [Batch(spec=SPADE_SPEC, labels=ids, instances=None, images=real)]
    gradients = []
    for given in (parts, whole):
        torch.manual_seed(1)
        settings = SpadeSettings(width=4, norm="instance", spectral_norm=False)
        generator = settings.build(SPADE_SPEC, (64, 64)).double().train()
        discriminator = DiscriminatorSettings(width=4, spectral_norm=False).build(SPADE_SPEC).double().train()
        networks = Networks(generator=generator, discriminator=discriminator, encoder=None)
        recipe = replace(CODE, perceptual_weight=0.0)
        build_step(recipe, networks, None)(given)
        gradients.append(
            [p.grad.clone() for n in (generator, discriminator) for p in n.parameters() if p.grad is not None]
        )
    for ours, theirs in zip(*gradients, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-7, atol=1e-10)


class _PixelDistance(nn.Module):
    def forward(self, fake: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        return (fake - real).abs().mean()
