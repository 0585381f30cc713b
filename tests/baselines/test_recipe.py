"""Schedules and recipes: the released decay, the paper's values, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from baselines.recipe import CODE, PAPER, PIX2PIXHD, Schedule
from spade_core.settings import DiscriminatorSettings


def test_the_last_epoch_of_100_and_100_runs_at_one_percent() -> None:
    schedule = Schedule(epochs=200, decay_from=100)
    factors = {epoch: schedule.factor(epoch) for epoch in (1, 100, 101, 102, 151, 200, 201)}
    assert factors == pytest.approx({1: 1.0, 100: 1.0, 101: 1.0, 102: 0.99, 151: 0.5, 200: 0.01, 201: 0.01})


def test_without_decay_the_rate_is_constant() -> None:
    assert {Schedule(epochs=50).factor(epoch) for epoch in (1, 25, 50)} == {1.0}


def test_decay_from_the_start() -> None:
    assert [Schedule(epochs=4, decay_from=0).factor(epoch) for epoch in (1, 2, 3, 4)] == [1.0, 0.75, 0.5, 0.25]


def test_schedules_are_the_papers() -> None:
    assert CODE.schedules == PAPER.schedules
    assert CODE.schedules["cityscapes"] == CODE.schedules["ade20k"] == Schedule(epochs=200, decay_from=100)
    assert CODE.schedules["coco_stuff"] == Schedule(epochs=100)


def test_paper_and_code_differ_where_the_facts_say() -> None:
    differing = {key for key, value in vars(CODE).items() if vars(PAPER)[key] != value}
    assert differing == {"name", "beta2", "initialization", "sources"}
    assert (CODE.beta1, CODE.beta2, PAPER.beta2) == (0.0, 0.9, 0.999)
    assert (CODE.learning_rate_generator, CODE.learning_rate_discriminator) == (1e-4, 4e-4)
    assert (CODE.initialization, PAPER.initialization) == ("released", "glorot")
    assert (CODE.feature_matching_weight, CODE.perceptual_weight, CODE.kl_weight) == (10.0, 10.0, 0.2)
    assert CODE.discriminator == DiscriminatorSettings(scales=2, layers=4, width=64, spectral_norm=True)


def test_pix2pixhd_has_its_own() -> None:
    rates = (PIX2PIXHD.learning_rate_generator, PIX2PIXHD.learning_rate_discriminator)
    assert (*rates, PIX2PIXHD.beta1, PIX2PIXHD.beta2) == (2e-4, 2e-4, 0.5, 0.999)
    assert (PIX2PIXHD.step, PIX2PIXHD.adversarial) == ("pix2pixhd", "least_squares")
    assert PIX2PIXHD.discriminator == DiscriminatorSettings(scales=2, layers=4, width=64, spectral_norm=False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rate_generator": 0.0}, r"Recipe.learning_rate_generator is 0.0; a learning rate must be positive"),
        ({"learning_rate_discriminator": -1.0}, r"Recipe.learning_rate_discriminator is -1.0"),
        ({"beta1": 1.0}, r"Recipe.beta1 is 1.0; Adam needs 0 <= beta < 1"),
        ({"beta2": -0.1}, r"Recipe.beta2 is -0.1"),
        ({"perceptual_weight": -1.0}, r"Recipe.perceptual_weight is -1.0; use 0 to switch a loss off"),
        ({"kl_weight": -1.0}, r"Recipe.kl_weight is -1.0"),
        ({"batch_images": 0}, r"Recipe.batch_images is 0; it must be at least 1"),
        ({"discriminator": None}, r"has no discriminator but feature_matching_weight=10.0.*set it to 0"),
        ({"adversarial": "wgan"}, r"Recipe.adversarial is 'wgan'; allowed are 'hinge', 'least_squares'"),
        ({"step": "sims"}, r"Recipe.step is 'sims'; allowed are 'shared', 'pix2pixhd', 'crn'"),
        (
            {"step": "pix2pixhd", "discriminator": None, "feature_matching_weight": 0.0},
            r"step 'pix2pixhd' needs a discr",
        ),
        (
            {"initialization": "zeros"},
            "Recipe.initialization is 'zeros'; allowed are 'released', 'glorot'",
        ),
    ],
)
def test_a_recipe_is_validated(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(CODE, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "Schedule.epochs is 0; it must be at least 1"),
        ({"epochs": 5, "decay_from": 5}, r"Schedule.decay_from is 5; it must lie in 0 .. 4"),
    ],
)
def test_a_schedule_is_validated(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Schedule(**changes)
