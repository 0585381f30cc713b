"""A whole training step of a variant against the same step in the released order of operations."""

from __future__ import annotations

import multiprocessing
import statistics
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from baselines.batch import Batch
from baselines.building import build_networks
from baselines.steps import TrainingStep, build_step
from baselines.variant import Variant
from bench.benchmarks.maps import MapSet
from bench.benchmarks.phases import Phases
from bench.benchmarks.reference_step import REFERENCE_STEPS, ReferenceGenerator
from bench.benchmarks.timing import Stopwatch, environment, in_turn, peak_memory_mib, profile_table
from spade_core.perceptual import VGG19PerceptualLoss, vgg19_features
from spade_core.settings import SpadeSettings

Which = Literal["reference", "fast"]
WHICH: tuple[Which, ...] = ("reference", "fast")
_MEMORY_STEPS = 2
"""Optimiser states come with the first step; the second has the peak."""


@dataclass(frozen=True, kw_only=True)
class StepBenchmark:
    """What to measure."""

    variant: Variant
    """Fitted to the data set's upsampling."""
    batch_images: int = 1
    repeats: int = 3
    precision: Literal["float32", "bf16"] = "float32"
    """Of the fast step; the reference is always float32."""
    compiled: bool = False
    """Whether torch.compile compiles the fast step's networks; they are then at every pixel, in one graph."""
    perceptual: bool = False
    """Whether the recipe's perceptual loss is part of the step, with random weights: they do not change the time."""
    memory: bool = True
    """Whether two further processes find out the peak memory of either step (on the CPU)."""
    profile: bool = False

    def __post_init__(self) -> None:
        problems = [
            f"{name} is {getattr(self, name)}; it must be at least 1"
            for name in ("batch_images", "repeats")
            if getattr(self, name) < 1
        ]
        if self.precision not in ("float32", "bf16"):
            problems.append(f"precision is {self.precision!r}; allowed are 'float32' and 'bf16'")
        if problems:
            raise ValueError("benchmark step: " + "; ".join(problems))


def benchmark_step(
    what: StepBenchmark, maps: MapSet, watch: Stopwatch, progress: Callable[[str], None] = lambda line: None
) -> dict[str, Any]:
    """Seconds of a step with the reference and with ours, where ours go, and the peak memory of both.

    Steps go through the batches of ``maps`` in turn; each figure is the median over the repeats, after one step of
    each that does not count.
    """
    steps = {which: build(what, which, maps, watch.device) for which in WHICH}
    phases = Phases(steps["fast"], watch)
    in_turn(_tasks(steps, what, maps, 0, phases), 1, watch)
    phases.forget()
    rounds: list[dict[str, float]] = []
    for position in range(what.repeats):
        seconds, _ = in_turn(_tasks(steps, what, maps, position, phases), 1, watch)
        phases.end_step(seconds["fast"])
        rounds.append(seconds)
        progress(f"step {position + 1} of {what.repeats}: " + ", ".join(f"{k} {v:.2f} s" for k, v in seconds.items()))
    medians = {which: statistics.median(row[which] for row in rounds) for which in WHICH}
    result: dict[str, Any] = {
        "benchmark": "step",
        "variant": what.variant.name,
        "maps": maps.title,
        "size": list(maps.size),
        "channels": maps.spec.channels,
        **{name: getattr(what, name) for name in ("batch_images", "repeats", "precision", "compiled", "perceptual")},
        "reference_s": medians["reference"],
        "fast_s": medians["fast"],
        "ratio": medians["reference"] / medians["fast"],
        "images_per_s": what.batch_images / medians["fast"],
        "seconds_of": phases.medians(),
    }
    del phases
    if what.profile:
        result["profile"] = {which: profile_table(task) for which, task in _tasks(steps, what, maps, 0).items()}
    steps.clear()  # their memory is not to stand beside that of the processes that follow
    result |= _memory(what, maps, watch, progress)
    return {**result, "environment": environment(watch)}


def build(what: StepBenchmark, which: Which, maps: MapSet, device: torch.device) -> TrainingStep:
    """The step and its networks, on the device; both kinds have the same weights."""
    recipe = what.variant.recipe()
    if recipe.step not in REFERENCE_STEPS:
        raise ValueError(
            f"variant {what.variant.name!r} is trained by the step {recipe.step!r}, which has no other order of "
            f"operations to be measured against; there is one for: {', '.join(REFERENCE_STEPS)}"
        )
    if not what.perceptual:
        recipe = replace(recipe, perceptual_weight=0.0)
    networks = build_networks(what.variant.generator, recipe, maps.spec, maps.size, seed=0)
    settings = what.variant.generator
    if which == "reference" and isinstance(settings, SpadeSettings) and settings.source == "segmap":
        reference = ReferenceGenerator(settings, maps.spec, maps.size)
        reference.load_state_dict(networks.generator.state_dict(), strict=True)
        networks = replace(networks, generator=reference)
    for network in networks.named().values():
        network.to(device).train()
    perceptual = _random_vgg().to(device) if recipe.perceptual_weight else None
    if which == "reference":
        return REFERENCE_STEPS[recipe.step](recipe, networks, perceptual)
    step = build_step(recipe, networks, perceptual)
    if what.precision == "bf16":
        step.autocast = lambda: torch.autocast(device.type, dtype=torch.bfloat16)
    if what.compiled:
        for network in networks.named().values():
            network.compile()
    return step


def _tasks(
    steps: Mapping[Which, TrainingStep], what: StepBenchmark, maps: MapSet, position: int, phases: Phases | None = None
) -> dict[str, Callable[[], Any]]:
    def one_step(which: Which) -> dict[str, Tensor]:
        step = steps[which]
        device = next(step.networks.generator.parameters()).device
        with phases.of("batch") if phases is not None and which == "fast" else nullcontext():
            batch = batch_of(what, maps, position, device)
        return step([batch])

    return {which: partial(one_step, which) for which in steps}


def batch_of(what: StepBenchmark, maps: MapSet, position: int, device: torch.device) -> Batch:
    """The batch of a step: maps from ``position`` batches on, images of seeded noise."""
    label_map = maps.batch(position * what.batch_images, what.batch_images, device)
    generator = torch.Generator().manual_seed(position)
    images = torch.rand(what.batch_images, 3, *maps.size, generator=generator) * 2 - 1
    noise = None
    if _needs_noise(what.variant):
        shape = (what.batch_images, getattr(what.variant.generator, "z_dim", 256))
        drawn = torch.randn(2, *shape, generator=generator).to(device)
        noise = drawn[0], drawn[1]
    first = position * what.batch_images
    chosen = [(first + i) % len(maps) for i in range(what.batch_images)]
    instances = maps.instances[chosen].to(device) if maps.spec.instance_edges else None
    return Batch(
        spec=maps.spec,
        labels=label_map.labels,
        instances=instances,
        images=images.to(device),
        noise=noise,
        checked=True,
    )


def _needs_noise(variant: Variant) -> bool:
    return getattr(variant.generator, "source", "segmap") == "z" or variant.recipe().encoder is not None


def _random_vgg() -> nn.Module:
    features = vgg19_features()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in features.parameters():
            values = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(values * (2 / max(1, parameter[0].numel())) ** 0.5 if parameter.ndim > 1 else 0 * values)
    return VGG19PerceptualLoss(features=features)


def _memory(
    what: StepBenchmark, maps: MapSet, watch: Stopwatch, progress: Callable[[str], None]
) -> dict[str, float | str]:
    """The peak of each kind of step: of a process of its own on the CPU, of torch's allocator on a GPU."""
    if not what.memory:
        return {}
    peaks: dict[str, float] = {}
    for which in WHICH:
        if watch.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(watch.device)
            _steps_of(what, which, maps, watch.device)
            peaks[which] = torch.cuda.max_memory_allocated(watch.device) / 2**20
        else:
            context = multiprocessing.get_context("spawn")
            with context.Pool(1) as pool:
                peaks[which] = pool.apply(_peak_of, (what, which, maps, torch.get_num_threads()))
        progress(f"peak memory of the {which} step: {peaks[which]:.0f} MiB")
    return {
        "reference_peak_mib": round(peaks["reference"]),
        "fast_peak_mib": round(peaks["fast"]),
        "peak_ratio": peaks["fast"] / peaks["reference"],
        "peak_is": "memory of tensors" if watch.device.type == "cuda" else "resident memory of a process of its own",
    }


def _steps_of(what: StepBenchmark, which: Which, maps: MapSet, device: torch.device) -> None:
    step = build(what, which, maps, device)
    for position in range(_MEMORY_STEPS):
        step([batch_of(what, maps, position, device)])


def _peak_of(what: StepBenchmark, which: Which, maps: MapSet, threads: int) -> float:
    torch.set_num_threads(threads)
    _steps_of(what, which, maps, torch.device("cpu"))
    return peak_memory_mib()
