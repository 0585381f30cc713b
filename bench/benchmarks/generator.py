"""The forward pass of the SPADE generator against the released order of operations, with the same weights."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.benchmarks.maps import MapSet, distinct_by_size
from bench.benchmarks.reference import DenseGenerator
from bench.benchmarks.third_party import load_third_party
from bench.benchmarks.timing import Stopwatch, environment, in_turn, mean, profile_table
from spade_core.labels import LabelMap
from spade_core.plain import plain_formulation
from spade_core.settings import SpadeSettings

Progress = Callable[[str], None]
_SETTLING_FORWARDS = 2
"""In training mode before anything is measured: running statistics and singular vectors get values of their own."""


@dataclass(frozen=True, kw_only=True)
class GeneratorBenchmark:
    """What to measure."""

    settings: SpadeSettings
    batch_images: int = 1
    repeats: int = 3
    """Rounds over every batch of maps; the first batch has one more, which does not count."""
    training: bool = False
    """Whether the networks are in training mode (batch statistics, power iterations); no gradients either way."""
    third_party: Path | None = None
    plain: bool = False
    """Also time our own network in its plain formulation."""
    profile: bool = False

    def __post_init__(self) -> None:
        problems = [
            f"{name} is {getattr(self, name)}; it must be at least 1"
            for name in ("batch_images", "repeats")
            if getattr(self, name) < 1
        ]
        if problems:
            raise ValueError("benchmark generator: " + "; ".join(problems))


def benchmark_generator(
    what: GeneratorBenchmark, maps: MapSet, watch: Stopwatch, progress: Progress = lambda line: None
) -> dict[str, Any]:
    """Seconds for a batch with the reference and with the fast generator, their ratio and difference.

    Each is the mean over the batches of ``maps`` of the median over the repeats; ``ratio`` is that of the two means.
    """
    networks = _networks(what, maps, watch)
    starts = range(0, len(maps), what.batch_images)
    with torch.no_grad():
        _settle(networks, maps, what, watch)
        tasks = _tasks(networks, maps.batch(0, what.batch_images, watch.device), what)
        in_turn(tasks, 1, watch)
        per_batch = []
        for number, start in enumerate(starts, start=1):
            fresh = _tasks(networks, maps.batch(start, what.batch_images, watch.device), what)
            seconds, images = in_turn(fresh, what.repeats, watch)
            difference = (images["fast"] - images["reference"]).abs().max().item()
            per_batch.append({**seconds, "max_abs_diff": difference})
            progress(
                f"batch {number} of {len(starts)}: reference {seconds['reference']:.2f} s, fast {seconds['fast']:.2f} s"
            )
        profiles = {name: profile_table(tasks[name]) for name in ("reference", "fast")} if what.profile else None
    result: dict[str, Any] = {
        "benchmark": "generator",
        "maps": maps.title,
        "size": list(maps.size),
        "channels": maps.spec.channels,
        "batch_images": what.batch_images,
        "repeats": what.repeats,
        "training_mode": what.training,
        "reference_s": mean([row["reference"] for row in per_batch]),
        "fast_s": mean([row["fast"] for row in per_batch]),
    }
    result["ratio"] = result["reference_s"] / result["fast_s"]
    ratios = [row["reference"] / row["fast"] for row in per_batch]
    result |= {"ratio_least": min(ratios), "ratio_most": max(ratios)}
    result["max_abs_diff"] = max(row["max_abs_diff"] for row in per_batch)
    result["image_std"] = images["reference"].std().item()
    for name in ("plain", "third_party"):
        if name in per_batch[0]:
            result[f"{name}_s"] = mean([row[name] for row in per_batch])
    result["distinct"] = distinct_by_size(maps, what.settings, what.batch_images)
    result["batches"] = per_batch
    if profiles is not None:
        result["profile"] = profiles
    return {**result, "environment": environment(watch)}


def _networks(what: GeneratorBenchmark, maps: MapSet, watch: Stopwatch) -> dict[str, nn.Module]:
    torch.manual_seed(0)
    fast = what.settings.build(maps.spec, maps.size)
    reference = DenseGenerator(what.settings, maps.spec, maps.size)
    reference.load_state_dict(fast.state_dict(), strict=True)
    networks: dict[str, nn.Module] = {"reference": reference, "fast": fast}
    if what.plain:
        networks["plain"] = copy.deepcopy(fast)
    if what.third_party is not None:
        networks["third_party"] = load_third_party(what.third_party, maps.spec.channels, maps.size)
    return {name: network.to(watch.device).train() for name, network in networks.items()}


def _settle(networks: dict[str, nn.Module], maps: MapSet, what: GeneratorBenchmark, watch: Stopwatch) -> None:
    norms = [module for module in networks["fast"].modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # running statistics are then those of the forwards, and images as lively as theirs
    for _ in range(_SETTLING_FORWARDS):
        networks["fast"](maps.batch(0, what.batch_images, watch.device))
    for norm in norms:
        norm.momentum = 0.1
    state = networks["fast"].state_dict()
    for name, network in networks.items():
        if name != "third_party":
            network.load_state_dict(state, strict=True)
        network.train(what.training)


def _tasks(
    networks: dict[str, nn.Module], batch: LabelMap, what: GeneratorBenchmark
) -> dict[str, Callable[[], Tensor]]:
    """Each gets the map anew, so that none finds what another one found out about it."""

    def again() -> LabelMap:
        found = LabelMap(batch.labels, batch.labels, batch.spec, check=False)
        found.edges = batch.edges
        return found

    def plainly() -> Tensor:
        with plain_formulation():
            image: Tensor = networks["plain"](again())
            return image

    def by_third_party() -> Tensor:
        image: Tensor = networks["third_party"](again().one_hot(batch.size))
        return image

    tasks: dict[str, Callable[[], Tensor]] = {
        "reference": lambda: networks["reference"](again()),
        "fast": lambda: networks["fast"](again()),
    }
    if "plain" in networks:
        tasks["plain"] = plainly
    if "third_party" in networks:
        tasks["third_party"] = by_third_party
    return tasks
