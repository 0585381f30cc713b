"""What the small studies share: the synthetic world at 64 px, narrow networks, 250 steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from baselines.recipe import Recipe
from baselines.registry import get_variant
from baselines.variant import Variant
from bench.data.opening import dataset_ref
from bench.run_spec import Training
from bench.study import Row, Study, StudyDataset

STEPS = 250
BATCH_IMAGES = 8
RATES = 2.0
SIZE = (64, 64)
TRAIN_IMAGES, VAL_IMAGES = 2000, 200
DISCRIMINATOR_WIDTH = 16
SCALE_NOTE = (
    f"Scaled down: synthetic scenes at {SIZE[1]}x{SIZE[0]} px instead of photographs at 256x256, generators of "
    f"width 8 instead of 64, 32 hidden channels in SPADE instead of 128, discriminators of width {DISCRIMINATOR_WIDTH} "
    f"instead of 64, {STEPS} steps of {BATCH_IMAGES} images instead of 100 epochs at batch 32, learning rates times "
    f"{RATES:g}, no perceptual loss. The paper's numbers stand beside it for the order of the rows, not for their size."
)


def small_row(label: str, name: str, settings: Mapping[str, Any]) -> Row:
    """The published row ``label`` at an eighth of its width, with doubled learning rates."""
    return scaled_row(label, name, dict(settings), discriminator_width=DISCRIMINATOR_WIDTH, rates=RATES)


def small_study(
    *,
    name: str,
    title: str,
    question: str,
    rows: Sequence[Row],
    table: str,
    ranks: int = 1,
    seeds: tuple[int, ...] = (0,),
    imports: tuple[str, ...] = (),
    further_note: str = "",
) -> Study:
    """``table`` of the paper on the synthetic world, in minutes; equal rows of two such studies are one run."""
    training = Training(
        steps=STEPS,
        batch_images=BATCH_IMAGES,
        save_every_steps=100,
        sample_every_steps=100,
        log_every_steps=25,
    )
    ref = dataset_ref("synthetic", size=SIZE, train_images=TRAIN_IMAGES, val_images=VAL_IMAGES)
    return Study(
        name=name,
        title=title,
        question=question,
        rows=tuple(rows),
        datasets=(StudyDataset(ref=ref, training=training, protocol="synthetic"),),
        seeds=seeds,
        ranks=ranks,
        imports=imports,
        published_table=table,
        scale_note=" ".join(part for part in (SCALE_NOTE, further_note) if part),
    )


def scaled_row(label: str, name: str, settings: dict[str, Any], *, discriminator_width: int, rates: float = 1.0) -> Row:
    """The published row ``label``: variant ``name`` with narrower ``settings``, trained by its scaled first recipe."""
    return row_of(label, get_variant(name).scaled(**settings), discriminator_width=discriminator_width, rates=rates)


def row_of(label: str, variant: Variant, *, discriminator_width: int, rates: float = 1.0) -> Row:
    """The published row ``label``: ``variant``, trained by its scaled first recipe."""
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
