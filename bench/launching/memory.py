"""What one training step holds in memory at most: the real step, executed on tensors without data.

torch runs the networks, losses, backward passes and optimisers on the ``meta`` device, which computes shapes and
nothing else, and every storage is counted from its creation to its end. So activations, gradients, optimiser states
and temporary tensors of any variant are in, whatever its code. Not in, since no tensor holds it: the CUDA context,
workspaces of cuDNN and NCCL, and what the allocator loses to fragmentation (``bench.launching.resources`` adds these).
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from baselines.batch import Batch
from baselines.building import build_networks
from baselines.perceptual import perceptual_without_weights
from baselines.steps import Networks, build_step
from bench.run_spec import RunSpec
from spade_core.label_spec import LabelSpec

DISTINCT_SHARE = 0.1
"""Distinct neighbourhoods among those of all pixels of a batch of label maps. Segmentations of photographs have less;
where networks compute something once for each of them, more would cost more memory."""


MOST_IDS = 256
"""Label ids in a batch; networks look for them by ``unique`` without asking where each is."""


@dataclass(frozen=True, kw_only=True)
class StepMemory:
    """Bytes of one rank."""

    peak: int
    """The most that lives at once in two consecutive steps (the second has the optimisers' states)."""
    lasting: int
    """Parameters, buffers and optimiser states."""
    gradients: int
    """Of all trainable parameters: what DistributedDataParallel holds once more in its buckets."""
    checkpoint: int
    """A full-state checkpoint file."""


class _Storages(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of every storage that an operation makes, as long as it lives."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes = self.peak = 0
        self._known: dict[int, int] = {}

    def track(self, tensor: torch.Tensor) -> None:
        """Count the storage of a tensor that is there already."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._known:
            return
        self._known[key] = storage.nbytes()
        self.bytes += storage.nbytes()
        self.peak = max(self.peak, self.bytes)
        weakref.finalize(storage, self._ended, key)

    def _ended(self, key: int) -> None:
        self.bytes -= self._known.pop(key, 0)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = _without_data(func, args)
        if result is None:
            result = func(*args, **(kwargs or {}))
        for item in tree_iter(result):
            if isinstance(item, torch.Tensor):
                self.track(item)
        return result


def _without_data(func: Any, args: Any) -> Any:
    """Results of operations that torch cannot execute without data; None for all others.

    Where the size of the result depends on the data: so many distinct values as label maps are taken to have
    (DISTINCT_SHARE), and full masks.
    """
    aten = torch.ops.aten
    if func is aten._unique2.default:
        values, _, with_inverse = (*args, False, False)[:3]
        inverse = torch.empty_like(values, dtype=torch.int64)
        distinct = max(1, round(values.numel() * DISTINCT_SHARE) if with_inverse else min(values.numel(), MOST_IDS))
        return values.new_empty(distinct), inverse, inverse.new_empty(distinct)
    if func is aten.index.Tensor and len(args[1]) == 1 and args[1][0].dtype is torch.bool:
        values, (mask,) = args
        return values.new_empty((mask.numel(), *values.shape[mask.dim() :]))
    if func is aten.batch_norm_update_stats.default:
        channels = args[0].shape[1]
        return args[0].new_empty(channels), args[0].new_empty(channels)
    return None


@contextlib.contextmanager
def _unfused_adam() -> Iterator[None]:
    """Adam as its plain loop: the fused one is not to be had without data, and holds the same states."""
    adam = torch.optim.Adam

    def plain(*arguments: Any, fused: bool | None = None, **options: Any) -> torch.optim.Adam:
        return adam(*arguments, **options)

    torch.optim.Adam = plain  # type: ignore[assignment, misc]
    try:
        yield
    finally:
        torch.optim.Adam = adam  # type: ignore[misc]


def step_memory(run: RunSpec, spec: LabelSpec, part_images: int) -> StepMemory:
    """The memory of a training step of ``run`` with ``part_images`` images on each rank in each accumulation part.

    float32 throughout: ``meta`` knows no autocast. Raises NotImplementedError or RuntimeError where an operation does
    not run without data.
    """
    height, width = run.dataset.size
    with torch.device("meta"), _unfused_adam():
        networks = build_networks(run.generator, run.recipe, spec, run.dataset.size, run.seed)
        for network in networks.named().values():
            network.train()
        perceptual: nn.Module | None = None
        if run.recipe.perceptual_weight:
            perceptual = perceptual_without_weights(run.recipe.perceptual_network).to("meta")
        step = build_step(run.recipe, networks, perceptual)
        batch = _batch(run, spec, (part_images, height, width))
        storages = _Storages()
        for module in (*networks.named().values(), *([perceptual] if perceptual is not None else [])):
            for tensor in (*module.parameters(), *module.buffers()):
                storages.track(tensor)
        with storages:
            for _ in range(2):
                step([batch] * run.training.accumulate)
    average = _bytes_of(networks.generator) if run.training.ema_halflife_images else 0
    states = sum(
        value.untyped_storage().nbytes()
        for optimizer in step.optimizers.values()
        for state in optimizer.state.values()
        for value in state.values()
        if isinstance(value, torch.Tensor)
    )
    held = sum(_bytes_of(network) for network in networks.named().values())
    return StepMemory(
        peak=storages.peak + average,
        lasting=held + states + average,
        gradients=_trainable_bytes(networks),
        checkpoint=held + states + average,
    )


def _batch(run: RunSpec, spec: LabelSpec, shape: tuple[int, int, int]) -> Batch:
    """A batch (images, height, width) without content."""
    images, height, width = shape
    z_dim = getattr(run.generator, "z_dim", None) if getattr(run.generator, "source", "") == "z" else None
    noise = torch.zeros(images, z_dim) if z_dim is not None else None
    labels = torch.zeros(shape, dtype=torch.int64)
    return Batch(
        spec=spec,
        labels=labels,
        instances=labels.clone() if spec.instance_edges else None,
        images=torch.zeros(images, 3, height, width),
        noise=(noise, noise) if noise is not None else None,
        checked=True,
    )


def _bytes_of(module: nn.Module) -> int:
    return sum(value.nbytes for value in module.state_dict().values())


def _trainable_bytes(networks: Networks) -> int:
    return sum(
        parameter.nbytes
        for network in networks.named().values()
        for parameter in network.parameters()
        if parameter.requires_grad
    )
