"""What the small studies share."""

from __future__ import annotations

from dataclasses import replace

from baselines.recipe import Recipe


def scaled_recipe(recipe: Recipe, *, discriminator_width: int, rates: float = 1.0) -> Recipe:
    """``recipe`` for a small study.

    Without the perceptual loss (it needs a weights file), with narrower discriminators, and with both learning rates
    multiplied by ``rates`` (short runs of narrow networks bear and need faster ones).
    """
    discriminator = recipe.discriminator
    return replace(
        recipe,
        perceptual_weight=0.0,
        learning_rate_generator=recipe.learning_rate_generator * rates,
        learning_rate_discriminator=recipe.learning_rate_discriminator * rates,
        discriminator=replace(discriminator, width=discriminator_width) if discriminator is not None else None,
    )
