"""What the small studies share."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from baselines.recipe import Recipe
from baselines.registry import get_variant
from bench.study import Row


def scaled_row(label: str, name: str, settings: dict[str, Any], *, discriminator_width: int, rates: float = 1.0) -> Row:
    """The published row ``label``: variant ``name`` with narrower ``settings``, trained by its scaled first recipe."""
    variant = get_variant(name).scaled(**settings)
    recipe = scaled_recipe(variant.recipe(), discriminator_width=discriminator_width, rates=rates)
    return Row(label=label, variant=variant, recipe=recipe, published_method=label)


def scaled_recipe(recipe: Recipe, *, discriminator_width: int, rates: float = 1.0) -> Recipe:
    """``recipe`` for a small study.

    Without the perceptual loss where that needs a weights file (that on EfficientNet-Lite0 does not), with narrower
    discriminators, and with both learning rates multiplied by ``rates`` (short runs of narrow networks bear and need
    faster ones).
    """
    discriminator = recipe.discriminator
    return replace(
        recipe,
        perceptual_weight=recipe.perceptual_weight if recipe.perceptual_network == "efficientnet-lite0" else 0.0,
        learning_rate_generator=recipe.learning_rate_generator * rates,
        learning_rate_discriminator=recipe.learning_rate_discriminator * rates,
        discriminator=replace(discriminator, width=discriminator_width) if discriminator is not None else None,
    )
