"""What the small studies share."""

from __future__ import annotations

from dataclasses import replace

from baselines.recipe import Recipe


def scaled_recipe(recipe: Recipe, *, discriminator_width: int) -> Recipe:
    """``recipe`` without the perceptual loss (which needs a weights file) and with narrower discriminators."""
    if recipe.discriminator is None:
        return replace(recipe, perceptual_weight=0.0)
    narrow = replace(recipe.discriminator, width=discriminator_width)
    return replace(recipe, perceptual_weight=0.0, discriminator=narrow)
