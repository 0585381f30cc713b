"""Variants, runs and data small enough for a test: width 4, 32 px (64 where a norm needs it), 16 synthetic scenes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from baselines.recipe import Recipe
from baselines.registry import get_variant
from baselines.settings import LocalEnhancerSettings, SpadeLiteralSettings
from baselines.variant import Variant
from bench.data.synthetic import SyntheticScenes
from bench.run_spec import DatasetRef, RunSpec, Training, norm_group_images

Z_DIM = 8


def small(variant: Variant) -> Variant:
    """The variant at width 4, with 2 residual blocks where it has any, and z of length 8."""
    if isinstance(variant.generator, LocalEnhancerSettings):
        inner = replace(variant.generator.global_generator, width=4, blocks=2)
        return variant.scaled(width=2, blocks=1, global_generator=inner)
    wanted = {"width": 4, "hidden": 16, "blocks": 2, "z_dim": Z_DIM}
    return variant.scaled(**{name: value for name, value in wanted.items() if hasattr(variant.generator, name)})


def small_recipe(recipe: Recipe, **changes: Any) -> Recipe:
    """The recipe with discriminator and encoder of width 4 and without the perceptual loss."""
    if recipe.discriminator is not None:
        changes.setdefault("discriminator", replace(recipe.discriminator, width=4))
    if recipe.encoder is not None:
        changes.setdefault("encoder", replace(recipe.encoder, width=4, z_dim=Z_DIM))
    return replace(recipe, **{"perceptual_weight": 0.0, **changes})


def side_of(variant: Variant) -> int:
    """Height and width in px: instance norm needs more than one pixel at the smallest resolution.

    The figures' decoder doubles six times.
    """
    if isinstance(variant.generator, SpadeLiteralSettings):
        return 64
    return 64 if getattr(variant.generator, "norm", "instance") == "instance" else 32


def tiny_run(
    name: str = "spade-decoder",
    *,
    seed: int = 3,
    ranks: int = 1,
    generator: dict[str, Any] | None = None,
    recipe: dict[str, Any] | None = None,
    images: int = 16,
    side_px: int | None = None,
    **training: Any,
) -> RunSpec:
    """A run of a few steps on 16 scenes; ``training`` are fields of Training, the others change what they name."""
    variant = small(get_variant(name)).scaled(**(generator or {}))
    fields = {
        "steps": 4,
        "batch_images": 4,
        "log_every_steps": 1,
        "save_every_steps": 2,
        "sample_every_steps": 100,
        **training,
    }
    norm = getattr(variant.generator, "norm", "instance")
    group = norm_group_images(norm, fields["batch_images"], fields.get("accumulate", 1), ranks)
    side = side_px or side_of(variant)
    size = (side, side)
    return RunSpec(
        variant=name,
        generator=variant.generator,
        recipe=small_recipe(variant.recipe(), **(recipe or {})),
        dataset=DatasetRef(
            name="synthetic",
            size=size,
            manifest=SyntheticScenes(split="train", size=size, images=images).manifest_hash,
            val_manifest=SyntheticScenes(split="val", size=size, images=4).manifest_hash,
            train_images=images,
            val_images=4,
        ),
        training=Training(**{"norm_group_images": group, **fields}),
        seed=seed,
    )


def splits(run: RunSpec) -> tuple[SyntheticScenes, SyntheticScenes]:
    """The training and the validation split of a tiny run."""
    assert run.dataset.train_images is not None
    train = SyntheticScenes(split="train", size=run.dataset.size, images=run.dataset.train_images)
    return train, SyntheticScenes(split="val", size=run.dataset.size, images=4)
