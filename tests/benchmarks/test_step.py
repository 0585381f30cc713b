"""Whole training steps: both kinds end in the same weights, and the parts of the time add up."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from baselines.registry import get_variant
from bench.benchmarks.maps import MapSet, synthetic_maps
from bench.benchmarks.step import StepBenchmark, batch_of, benchmark_step, build
from bench.benchmarks.timing import Stopwatch
from bench.cli.benchmark_page import page
from spade_core.label_spec import LabelSpec
from tests.tiny import small, small_recipe

SPEC = LabelSpec(classes=11, dont_care=True, instance_edges=True)
CPU = torch.device("cpu")


def tiny(name: str, **changes: object) -> StepBenchmark:
    variant = small(get_variant(name))
    variant = replace(variant, recipes=(small_recipe(variant.recipe(), **changes),))
    return StepBenchmark(variant=variant, repeats=2, memory=False)


@pytest.fixture(scope="module")
def maps() -> MapSet:
    return synthetic_maps(SPEC, (64, 64), 2)


@pytest.mark.parametrize("name", ["spade-decoder", "pix2pixhd-pp-spade", "pix2pixhd", "concat-decoder"])
def test_steps_of_both_kinds_end_in_the_same_weights(name: str, maps: MapSet) -> None:
    """In float64, after two steps: the reference is another order of operations, not another computation."""
    what = tiny(name)
    ended = []
    for which in ("reference", "fast"):
        torch.manual_seed(0)
        step = build(what, which, maps, CPU)  # type: ignore[arg-type]
        for network in step.networks.named().values():
            network.double()
        for position in range(2):
            batch = batch_of(what, maps, position, CPU)
            step([replace(batch, images=batch.images.double())])
        ended.append({role: network.state_dict() for role, network in step.networks.named().items()})
    for role, theirs in ended[0].items():
        assert set(theirs) == set(ended[1][role])
        for key, value in theirs.items():
            torch.testing.assert_close(ended[1][role][key], value, rtol=1e-5, atol=1e-7, msg=f"{role} {key}")


def test_the_fields_of_the_result(maps: MapSet) -> None:
    lines: list[str] = []
    what = replace(tiny("spade-decoder", perceptual_weight=10.0), profile=True)
    result = benchmark_step(what, maps, Stopwatch(), lines.append)
    assert result["ratio"] == result["reference_s"] / result["fast_s"]
    assert result["images_per_s"] == 1 / result["fast_s"]
    assert set(result["seconds_of"]) == {
        "batch",
        "generator forward",
        "discriminator forward",
        "backward and losses, generator's step",
        "backward and losses, discriminator's step",
        "optimiser",
        "other",
    }
    assert sum(result["seconds_of"].values()) == pytest.approx(result["fast_s"], rel=0.5)
    assert all(seconds >= 0 for seconds in result["seconds_of"].values())
    assert set(result["profile"]) == {"reference", "fast"}
    assert "peak_ratio" not in result
    assert len(lines) == 2
    json.dumps(result)
    printed = page(result)
    assert "training step of spade-decoder" in printed
    assert "backward and losses, generator's step" in printed


def test_bf16_and_compiled_steps_run_where_there_is_no_gpu(maps: MapSet) -> None:
    what = replace(tiny("spade-decoder"), precision="bf16", repeats=1)
    step = build(what, "fast", maps, CPU)
    losses = step([batch_of(what, maps, 0, CPU)])
    assert all(torch.isfinite(value) for value in losses.values())
    assert all(parameter.dtype == torch.float32 for parameter in step.networks.generator.parameters())


@pytest.mark.slow
def test_the_peak_of_either_step_is_that_of_a_process_of_its_own(maps: MapSet) -> None:
    result = benchmark_step(replace(tiny("spade-decoder"), memory=True, repeats=1), maps, Stopwatch())
    assert result["peak_ratio"] == pytest.approx(result["fast_peak_mib"] / result["reference_peak_mib"], abs=0.02)
    assert result["fast_peak_mib"] > 50
    assert "peak memory: reference" in page(result)


def test_settings_that_cannot_be_are_refused() -> None:
    variant = get_variant("spade-decoder")
    with pytest.raises(ValueError, match=r"repeats is 0; it must be at least 1; precision is 'half'"):
        StepBenchmark(variant=variant, repeats=0, precision="half")  # type: ignore[arg-type]
