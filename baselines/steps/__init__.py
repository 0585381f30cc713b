"""One optimisation step of each recipe. The trainer's loop calls them and knows nothing of their losses."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from baselines.recipe import Recipe, StepName
from baselines.steps.crn import CrnStep
from baselines.steps.pix2pixhd import Pix2pixHDStep
from baselines.steps.shared import SharedStep
from baselines.steps.step import Networks, TrainingStep

_STEPS: dict[StepName, Callable[[Recipe, Networks, nn.Module | None], TrainingStep]] = {
    "shared": SharedStep,
    "pix2pixhd": Pix2pixHDStep,
    "crn": CrnStep,
}


def build_step(recipe: Recipe, networks: Networks, perceptual: nn.Module | None) -> TrainingStep:
    """The step of ``recipe`` over ``networks``, with fresh optimisers.

    ``perceptual`` is what ``baselines.perceptual`` has for the recipe's ``perceptual_network``: it maps (fake, real),
    each (N, 3, H, W) in [-1, 1], to a scalar loss, or, for CRN's step, images to features. It may be None only where
    the recipe's weight for it is 0 (ValueError otherwise).
    """
    if recipe.perceptual_weight and perceptual is None:
        raise ValueError(
            f"recipe {recipe.name!r} weights the perceptual loss with {recipe.perceptual_weight} but no perceptual "
            f"network was given; give one or set perceptual_weight to 0 (switch no-perceptual)"
        )
    return _STEPS[recipe.step](recipe, networks, perceptual)


__all__ = ["Networks", "TrainingStep", "build_step"]
