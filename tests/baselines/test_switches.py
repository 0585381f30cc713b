"""What each technique falls back to when it is taken out (facts: paper section 4 and Table 5, released options)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from baselines.recipe import Recipe
from baselines.registry import get_variant
from baselines.switches import SWITCHES, switched
from baselines.variant import Variant
from spade_core.settings import EncoderSettings


def changed_fields(name: str, switch: str) -> tuple[dict[str, object], dict[str, object]]:
    """Fields of the generator and of the default recipe that differ, with their new values."""
    before, after = get_variant(name), switched(get_variant(name), [switch])
    changed = differences(before.recipe(), after.recipe())
    for old, new in zip(before.recipes, after.recipes, strict=True):
        assert new == replace(old, **changed)  # type: ignore[arg-type]
    return differences(before.generator, after.generator), changed


def differences(before: object, after: object) -> dict[str, object]:
    return {key: value for key, value in vars(after).items() if vars(before)[key] != value}


def discriminator(name: str = "spade-decoder", **changes: object) -> object:
    found = get_variant(name).recipe().discriminator
    assert found is not None
    return replace(found, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "switch", "generator", "recipe"),
    [
        ("spade-decoder", "no-sync-batch-norm", {"norm": "batch"}, {}),
        ("pix2pixhd-pp", "no-sync-batch-norm", {"norm": "batch"}, {}),
        (
            "pix2pixhd-pp",
            "no-spectral-norm",
            {"spectral_norm": False},
            {"discriminator": discriminator(spectral_norm=False)},
        ),
        ("spade-decoder", "no-hinge", {}, {"adversarial": "least_squares"}),
        (
            "spade-decoder",
            "no-ttur",
            {},
            {
                "learning_rate_generator": 2e-4,
                "learning_rate_discriminator": 2e-4,
                "beta1": 0.5,
                "beta2": 0.999,
            },
        ),
        ("spade-decoder", "no-perceptual", {}, {"perceptual_weight": 0.0}),
        ("spade-decoder", "no-feature-matching", {}, {"feature_matching_weight": 0.0}),
        ("spade-decoder", "deeper-discriminator", {}, {"discriminator": discriminator(layers=5)}),
        ("spade-decoder", "resnet-discriminator", {}, {"discriminator": discriminator(kind="resnet")}),
        ("spade-decoder", "spade-discriminator", {}, {"discriminator": discriminator(kind="spade")}),
        ("spade-decoder", "vae", {"source": "z"}, {"encoder": EncoderSettings()}),
    ],
)
def test_a_switch_changes_these_fields_and_no_others(
    name: str, switch: str, generator: dict[str, object], recipe: dict[str, object]
) -> None:
    assert changed_fields(name, switch) == (generator, recipe)


def test_every_switch_is_tested_above() -> None:
    (mark,) = [m for m in test_a_switch_changes_these_fields_and_no_others.pytestmark if m.name == "parametrize"]  # type: ignore[attr-defined]
    assert {case[1] for case in mark.args[1]} == set(SWITCHES)


def test_switches_add_up_to_the_last_row_of_table_5_but_one() -> None:
    """pix2pixHD++ w/o Sync BatchNorm and w/o Spectral Norm is a registered variant."""
    ours = switched(get_variant("pix2pixhd-pp"), ["no-sync-batch-norm", "no-spectral-norm"])
    registered = get_variant("pix2pixhd-pp-no-sync-batch-norm-no-spectral-norm")
    assert (ours.generator, ours.recipes) == (registered.generator, registered.recipes)


@pytest.mark.parametrize(
    ("switch", "registered"),
    [
        ("no-perceptual", "spade-decoder-no-perceptual"),
        ("no-feature-matching", "spade-decoder-no-feature-matching"),
        ("deeper-discriminator", "spade-decoder-deeper-discriminator"),
        ("no-sync-batch-norm", "spade-decoder-batch-norm"),
        ("resnet-discriminator", "spade-decoder-resnet-discriminator"),
        ("spade-discriminator", "spade-decoder-spade-discriminator"),
        ("vae", "spade-decoder-encoder"),
    ],
)
def test_registered_rows_are_the_switched_decoder(switch: str, registered: str) -> None:
    ours, row = switched(get_variant("spade-decoder"), [switch]), get_variant(registered)
    assert (ours.generator, ours.recipes) == (row.generator, row.recipes)


def test_an_unknown_switch_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="no switch is called 'no-tricks'; there are: no-sync-batch-norm, .*deeper"):
        switched(get_variant("spade-decoder"), ["no-tricks"])


def test_a_switch_that_means_nothing_says_so() -> None:
    with pytest.raises(ValueError, match="has no setting norm, so this switch means nothing for it"):
        switched(get_variant("pix2pixhd-local-enhancer"), ["no-sync-batch-norm"])
    with pytest.raises(ValueError, match="'concat-decoder' has no setting source, so this switch means nothing"):
        switched(get_variant("concat-decoder"), ["vae"])
    without = without_discriminator(get_variant("spade-decoder"))
    with pytest.raises(ValueError, match="recipe 'code' of variant 'spade-decoder' has no discriminator to deepen"):
        switched(without, ["deeper-discriminator"])
    assert switched(without, ["no-spectral-norm"]).recipe().discriminator is None


def test_the_encoder_is_as_long_as_the_decoders_z() -> None:
    narrow = switched(get_variant("spade-decoder").scaled(z_dim=8), ["vae"])
    encoder = narrow.recipe().encoder
    assert encoder is not None
    assert encoder.z_dim == 8


@pytest.mark.parametrize("switch", ["no-sync-batch-norm", "no-spectral-norm"])
def test_taking_out_what_is_not_there_is_an_error(switch: str) -> None:
    with pytest.raises(ValueError, match="variant 'pix2pixhd' has no (sync batch norm|spectral norm) to take out"):
        switched(get_variant("pix2pixhd"), [switch])


def without_discriminator(variant: Variant) -> Variant:
    def change(recipe: Recipe) -> Recipe:
        return replace(recipe, discriminator=None, feature_matching_weight=0.0)

    return replace(variant, recipes=tuple(change(recipe) for recipe in variant.recipes))
