"""What every registered variant must do, whoever adds it: build, count, train, be saved, say its sources."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import baselines.variants
from baselines import registry
from baselines.batch import Batch
from baselines.building import build_networks, count_parameters
from baselines.recipe import CODE, Recipe
from baselines.registry import ALIASES, get_variant, list_variants
from baselines.steps import Networks, TrainingStep, build_step
from baselines.variant import Variant
from bench.data.registry import dataset_spec
from spade_core.label_spec import LabelSpec
from spade_core.labels import LabelMap
from spade_core.settings import SpadeSettings
from tests.spade_core.golden import image, labels
from tests.tiny import Z_DIM, side_of, small, small_recipe

SPEC = LabelSpec(classes=5, dont_care=True, instance_edges=True)
VARIANTS = {variant.name: variant for variant in list_variants()}
TRAININGS = [(variant.name, recipe.name) for variant in VARIANTS.values() for recipe in variant.recipes]

ADE20K_COUNTS = {
    "spade-decoder": 96_492_483,
    "spade-decoder-compact": 60_642_771,
    "concat-decoder": 79_226_115,
    "pix2pixhd-pp-spade": 236_879_235,
    "pix2pixhd-pp-concat": 195_453_315,
    "pix2pixhd-pp": 182_928_771,
    "pix2pixhd-pp-compact": 102_996_003,
    "pix2pixhd": 182_907_395,
    "spade-decoder-141m": 140_682_163,
    # Table 4's other settings, from tests/facts/official_spade_counts.csv.
    "spade-decoder-kernel-1": 71_295_939,
    "spade-decoder-kernel-5": 146_885_571,
    "spade-decoder-random-input": 111_942_595,
    "spade-decoder-encoder": 111_942_595,
    # Figure 11's shortcut (102.06M) and figure 12's start together; see tests/baselines/test_family.py.
    "spade-literal": 104_881_091,
    "crn": 105_119_259,
    "crn-single": 105_106_947,
}

NAMES = {
    "adain-decoder",
    "concat-decoder",
    "conditional-batch-norm-decoder",
    "crn",
    "crn-single",
    "pix2pixhd",
    "pix2pixhd-local-enhancer",
    "pix2pixhd-pp",
    "pix2pixhd-pp-compact",
    "pix2pixhd-pp-concat",
    "pix2pixhd-pp-no-sync-batch-norm",
    "pix2pixhd-pp-no-sync-batch-norm-no-spectral-norm",
    "pix2pixhd-pp-spade",
    "spade-decoder",
    "spade-decoder-141m",
    "spade-decoder-batch-norm",
    "spade-decoder-compact",
    "spade-decoder-deeper-discriminator",
    "spade-decoder-encoder",
    "spade-decoder-instance-norm",
    "spade-decoder-kernel-1",
    "spade-decoder-kernel-5",
    "spade-decoder-no-feature-matching",
    "spade-decoder-no-perceptual",
    "spade-decoder-random-input",
    "spade-decoder-resnet-discriminator",
    "spade-decoder-spade-discriminator",
    "spade-literal",
}

TABLE_3 = (
    "decoder w/ SPADE (Ours)",
    "compact decoder w/ SPADE",
    "decoder w/ Concat",
    "pix2pixHD++ w/ SPADE",
    "pix2pixHD++ w/ Concat",
    "pix2pixHD++",
    "compact pix2pixHD++",
    "pix2pixHD",
)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def built(variant: Variant, recipe: Recipe | None = None, seed: int = 0) -> Networks:
    tiny, side = small(variant), side_of(variant)
    networks = build_networks(tiny.generator, small_recipe(recipe or tiny.recipe()), SPEC, (side, side), seed)
    for network in networks.named().values():
        network.train()
    return networks


def batch_for(variant: Variant, seed: int = 1) -> Batch:
    side = side_of(variant)
    ids, instances = labels(2, side, side, SPEC.ids, seed)
    torch.manual_seed(seed)
    noise = (torch.randn(2, Z_DIM), torch.randn(2, Z_DIM)) if needs_z(variant) else None
    return Batch(spec=SPEC, labels=ids, instances=instances, images=image(2, side, side, seed), noise=noise)


def needs_z(variant: Variant) -> bool:
    return getattr(variant.generator, "source", "segmap") == "z"


def z_of(batch: Batch) -> Tensor | None:
    return batch.noise[0] if batch.noise is not None else None


def one_step(variant: Variant, recipe: Recipe, steps: int = 1) -> tuple[TrainingStep, list[dict[str, float]]]:
    work = build_step(small_recipe(recipe), built(variant, recipe), None)
    losses = [work([batch_for(variant, seed)]) for seed in range(steps)]
    return work, [{name: value.item() for name, value in found.items()} for found in losses]


@pytest.mark.parametrize("name", VARIANTS)
def test_generates_images_and_reaches_every_parameter(name: str) -> None:
    """No exceptions: a parameter without a gradient stops DistributedDataParallel."""
    variant = VARIANTS[name]
    batch, side = batch_for(variant), side_of(variant)
    generator = built(variant).generator
    images = generator(batch.label_map(), z_of(batch))
    assert images.shape == (2, 3, side, side)
    assert images.dtype == torch.float32
    assert images.abs().max() <= 1.0
    assert not torch.equal(images[0], images[1])
    (images * batch.images).sum().backward()
    assert [key for key, value in generator.named_parameters() if value.grad is None] == []


@pytest.mark.parametrize(("name", "recipe"), TRAININGS)
def test_one_step_of_each_recipe_trains_every_network(name: str, recipe: str) -> None:
    variant = VARIANTS[name]
    before = {
        role: [value.detach().clone() for value in network.parameters()]
        for role, network in built(variant, variant.recipe(recipe)).named().items()
    }
    work, (losses,) = one_step(variant, variant.recipe(recipe))
    assert all(torch.isfinite(torch.tensor(value)) for value in losses.values()), losses
    for role, network in work.networks.named().items():
        changed = [not torch.equal(old, new) for old, new in zip(before[role], network.parameters(), strict=True)]
        assert sum(changed) > len(changed) / 2, role
        assert all(torch.isfinite(value).all() for value in network.parameters()), role


@pytest.mark.parametrize("name", VARIANTS)
def test_the_same_seed_gives_the_same_run(name: str) -> None:
    variant = VARIANTS[name]
    first, losses = one_step(variant, variant.recipe(), steps=2)
    torch.manual_seed(99)  # whatever was drawn before must not matter
    second, again = one_step(variant, variant.recipe(), steps=2)
    assert losses == again
    for role, network in first.networks.named().items():
        for key, value in network.state_dict().items():
            assert torch.equal(second.networks.named()[role].state_dict()[key], value), f"{role}.{key}"
    other = built(variant, seed=1).generator.state_dict()
    assert any(not torch.equal(value, other[key]) for key, value in built(variant).generator.state_dict().items())


@pytest.mark.parametrize("name", VARIANTS)
def test_saved_and_loaded_the_images_are_equal(name: str, tmp_path: Path) -> None:
    variant = VARIANTS[name]
    work, _ = one_step(variant, variant.recipe())
    generator, batch = work.networks.generator.eval(), batch_for(variant, 7)
    torch.save(generator.state_dict(), tmp_path / "G.pt")
    fresh = built(variant, seed=5).generator.eval()

    def draw(network: nn.Module) -> Tensor:
        with torch.no_grad():
            images: Tensor = network(LabelMap(batch.labels, batch.instances, SPEC), z_of(batch))
        return images

    assert not torch.equal(draw(fresh), draw(generator))
    fresh.load_state_dict(torch.load(tmp_path / "G.pt", weights_only=True))
    assert torch.equal(draw(fresh), draw(generator))


@pytest.mark.parametrize("name", VARIANTS)
def test_the_papers_count_is_that_of_the_generator_on_ade20k(name: str) -> None:
    variant, entry = VARIANTS[name], dataset_spec("ade20k")
    counted = count_parameters(variant.generator, entry.spec, entry.size_px)
    if name in ADE20K_COUNTS:
        assert counted == ADE20K_COUNTS[name]
    if variant.paper_params_m is not None:
        assert round(counted / 1e6) == variant.paper_params_m


def test_all_rows_of_table_3_have_a_variant_in_the_papers_order() -> None:
    rows = {row: variant for variant in VARIANTS.values() for row in variant.table_rows}
    found = [rows[f"Table 3: {label}"] for label in TABLE_3]
    assert [variant.name for variant in found] == list(ADE20K_COUNTS)[:8]
    assert all(variant.paper_params_m is not None for variant in found)


def test_every_row_of_tables_4_and_5_has_one_variant() -> None:
    rows = [row for variant in VARIANTS.values() for row in variant.table_rows]
    assert len(rows) == len(set(rows))
    table_4 = {row.partition(": ")[2] for row in rows if row.startswith("Table 4")}
    assert table_4 == {
        *("segmap input", "random input", "5x5", "3x3", "1x1", "141M", "96M", "61M"),
        *("Sync BatchNorm", "BatchNorm", "InstanceNorm"),
    }
    assert len([row for row in rows if row.startswith("Table 5")]) == 9


def test_the_set_of_variants_is_frozen() -> None:
    """Adding one is fine: add its name here. Losing or renaming one orphans runs in stores."""
    assert set(VARIANTS) >= NAMES


def test_names_are_kebab_case_and_summaries_one_line() -> None:
    for variant in VARIANTS.values():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", variant.name), variant.name
        assert variant.summary, variant.name
        assert "\n" not in variant.summary, variant.name


def test_reconstructions_say_what_was_chosen_and_concat_rows_are_such() -> None:
    for variant in VARIANTS.values():
        if variant.provenance == "reconstruction":
            assert len(variant.provenance_note) > 40, variant.name
    reconstructed = {"concat-decoder", "pix2pixhd-pp-spade", "pix2pixhd-pp-concat"}
    assert {VARIANTS[name].provenance for name in reconstructed} == {"reconstruction"}
    with pytest.raises(ValueError, match="is a reconstruction; say in provenance_note"):
        replace(VARIANTS["pix2pixhd"], provenance="reconstruction", provenance_note="")


@pytest.mark.parametrize(("name", "recipe"), TRAININGS)
def test_every_field_of_a_recipe_has_a_source(name: str, recipe: str) -> None:
    chosen = VARIANTS[name].recipe(recipe)
    wanted = {item.name for item in fields(Recipe)} - {"name", "sources"}
    assert {field for field in wanted if not chosen.sources.get(field)} == set()
    assert set(chosen.sources) <= wanted
    assert all(source for _, _, source in chosen.explained())


@pytest.fixture
def _registry() -> Iterator[None]:
    """The registry is read anew before and after."""
    registry._variants.cache_clear()
    yield
    registry._variants.cache_clear()
    for name in [name for name in sys.modules if name.startswith("baselines.variants.added")]:
        del sys.modules[name]


def add_file(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str, name: str = "added") -> None:
    (folder / f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.setattr(baselines.variants, "__path__", [*baselines.variants.__path__, str(folder)])
    importlib.invalidate_caches()


ONE_FILE = """
from baselines.recipe import CODE
from baselines.variant import Variant
from spade_core.settings import SpadeSettings

VARIANTS = (Variant(name="{name}", summary="a new one", generator=SpadeSettings(width=32), recipes=(CODE,)),)
"""


@pytest.mark.usefixtures("_registry")
def test_a_variant_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_file(tmp_path, monkeypatch, ONE_FILE.format(name="my-decoder"))
    assert {variant.name for variant in list_variants()} >= NAMES | {"my-decoder"}
    assert get_variant("my-decoder").generator == SpadeSettings(width=32)


@pytest.mark.usefixtures("_registry")
def test_a_name_is_given_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_file(tmp_path, monkeypatch, ONE_FILE.format(name="pix2pixhd"), "zadded")
    with pytest.raises(ValueError, match="the variant name 'pix2pixhd' is taken already"):
        list_variants()


@pytest.mark.usefixtures("_registry")
def test_a_file_without_variants_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_file(tmp_path, monkeypatch, "VARIANTS = []\n", "added_wrong")
    with pytest.raises(TypeError, match=r"added_wrong.py must define VARIANTS, a tuple of Variant; it defines \[\]"):
        list_variants()


def test_names_are_matched_by_pattern_and_unknown_ones_explained() -> None:
    assert [variant.name for variant in list_variants("pix2pixhd-pp-s*")] == ["pix2pixhd-pp-spade"]
    with pytest.raises(ValueError, match="(?s)did you mean 'spade-decoder'.*registered variants: .*pix2pixhd"):
        get_variant("spade-decodr")
    with pytest.raises(ValueError, match="has no recipe 'text'; it has: code, paper"):
        get_variant("spade-decoder").recipe("text")
    with pytest.raises(ValueError, match="variant 'pix2pixhd' has no setting ngf; it has: blocks, conditioning"):
        get_variant("pix2pixhd").scaled(ngf=3)


def test_a_variant_is_validated() -> None:
    decoder = get_variant("spade-decoder")
    with pytest.raises(ValueError, match="has no recipe; give at least one"):
        replace(decoder, recipes=())
    with pytest.raises(ValueError, match="has two recipes of one name"):
        replace(decoder, recipes=(CODE, CODE))


def test_the_names_of_the_field_lead_to_variants() -> None:
    assert get_variant("SPADE") is get_variant("spade") is get_variant("spade-decoder")
    names = {variant.name for variant in list_variants()}
    assert set(ALIASES.values()) <= names
    assert not set(ALIASES) & names
