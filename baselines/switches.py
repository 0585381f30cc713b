"""The switches of Table 5, and two more of the paper: each takes one technique out of a variant, or puts one in.

What a technique falls back to is what the released code does with it off (facts: paper section 4, Table 5).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields, replace
from typing import Any

from baselines.recipe import Recipe
from baselines.variant import Variant
from spade_core.settings import DiscriminatorKind, EncoderSettings


def _recipes(variant: Variant, change: Callable[[Recipe], Recipe]) -> Variant:
    return replace(variant, recipes=tuple(change(recipe) for recipe in variant.recipes))


def _generator(variant: Variant, **changes: Any) -> Variant:
    known = {item.name for item in fields(variant.generator)}  # type: ignore[arg-type]
    missing = sorted(set(changes) - known)
    if missing:
        raise ValueError(
            f"variant {variant.name!r} has no setting {', '.join(missing)}, so this switch means nothing for it"
        )
    return variant.scaled(**changes)


def _without_sync_batch_norm(variant: Variant) -> Variant:
    if getattr(variant.generator, "norm", "sync_batch") != "sync_batch":
        raise ValueError(f"variant {variant.name!r} has no sync batch norm to take out")
    return _generator(variant, norm="batch")


def _without_spectral_norm(variant: Variant) -> Variant:
    discriminators = [recipe.discriminator for recipe in variant.recipes if recipe.discriminator is not None]
    if not getattr(variant.generator, "spectral_norm", True) and not any(item.spectral_norm for item in discriminators):
        raise ValueError(f"variant {variant.name!r} has no spectral norm to take out")

    def change(recipe: Recipe) -> Recipe:
        if recipe.discriminator is None:
            return recipe
        return replace(recipe, discriminator=replace(recipe.discriminator, spectral_norm=False))

    return _recipes(_generator(variant, spectral_norm=False), change)


def _without_hinge(variant: Variant) -> Variant:
    return _recipes(variant, lambda recipe: replace(recipe, adversarial="least_squares"))


def _without_ttur(variant: Variant) -> Variant:
    rates = {"learning_rate_generator": 2e-4, "learning_rate_discriminator": 2e-4, "beta1": 0.5, "beta2": 0.999}
    return _recipes(variant, lambda recipe: replace(recipe, **rates))  # type: ignore[arg-type]


def _without_perceptual(variant: Variant) -> Variant:
    return _recipes(variant, lambda recipe: replace(recipe, perceptual_weight=0.0))


def _without_feature_matching(variant: Variant) -> Variant:
    return _recipes(variant, lambda recipe: replace(recipe, feature_matching_weight=0.0))


def _deeper_discriminator(variant: Variant) -> Variant:
    def change(recipe: Recipe) -> Recipe:
        if recipe.discriminator is None:
            raise ValueError(f"recipe {recipe.name!r} of variant {variant.name!r} has no discriminator to deepen")
        return replace(recipe, discriminator=replace(recipe.discriminator, layers=recipe.discriminator.layers + 1))

    return _recipes(variant, change)


def _discriminator(kind: DiscriminatorKind) -> Callable[[Variant], Variant]:
    def change(recipe: Recipe) -> Recipe:
        if recipe.discriminator is None:
            raise ValueError(f"recipe {recipe.name!r} has no discriminator, so it cannot be one of kind {kind!r}")
        return replace(recipe, discriminator=replace(recipe.discriminator, kind=kind))

    return lambda variant: _recipes(variant, change)


def _with_encoder(variant: Variant) -> Variant:
    started = _generator(variant, source="z")
    encoder = EncoderSettings(z_dim=int(getattr(started.generator, "z_dim")))  # noqa: B009

    def change(recipe: Recipe) -> Recipe:
        if recipe.step != "shared":
            raise ValueError(
                f"recipe {recipe.name!r} of variant {variant.name!r} has step {recipe.step!r}, which takes no image "
                f"encoder"
            )
        return recipe if recipe.encoder is not None else replace(recipe, encoder=encoder)

    return _recipes(started, change)


SWITCHES: dict[str, tuple[str, Callable[[Variant], Variant]]] = {
    "no-sync-batch-norm": ("batch norm over the images of each rank alone", _without_sync_batch_norm),
    "no-spectral-norm": ("plain convolutions in generator and discriminator", _without_spectral_norm),
    "no-hinge": ("least-squares adversarial loss", _without_hinge),
    "no-ttur": ("2e-4 for both networks, Adam betas (0.5, 0.999)", _without_ttur),
    "no-perceptual": ("no VGG19 loss, and no weights file needed", _without_perceptual),
    "no-feature-matching": ("no feature matching loss", _without_feature_matching),
    "deeper-discriminator": ("one more layer in each discriminator", _deeper_discriminator),
    "resnet-discriminator": ("discriminators of residual blocks", _discriminator("resnet")),
    "spade-discriminator": ("SPADE in place of the discriminators' instance norms", _discriminator("spade")),
    "vae": ("start from z, which an image encoder makes of the real image; KL loss (paper, section 3)", _with_encoder),
}


def switched(variant: Variant, switches: Iterable[str]) -> Variant:
    """``variant`` with the named switches applied in order.

    Raises ValueError that lists the switches for an unknown name, or says why a switch means nothing here.
    """
    for name in switches:
        if name not in SWITCHES:
            raise ValueError(f"no switch is called {name!r}; there are: {', '.join(SWITCHES)}")
        changed = SWITCHES[name][1](variant)
        if changed == variant:
            raise ValueError(f"switch {name!r} changes nothing in variant {variant.name!r}; leave it out")
        variant = changed
    return variant
