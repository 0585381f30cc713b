"""What a generator makes of maps of a single label: the argument of the paper's figure 3, as numbers and pictures.

A convolution of a map of one label gives the same value at every pixel, and a normalization over the pixels of an image
takes that value away: nothing of the label is left. Whether something is depends on the padding (zeros show a border),
on whose statistics are taken (those of a batch of several labels do not take away what differs among them), and on
whether the map is shown again behind the normalization, as SPADE does.

That is mathematics. In floating point the rounding errors of the mean remain, some 1e-14 behind pix2pixHD's first
normalization, and every further one divides them by the square root of epsilon: behind the eighth they are as large as
the values (measured on the untrained network at width 16). So the images here are made with the normalizations'
constants taken off first, which changes nothing but the rounding; what comes without is told beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.variant import Variant
from spade_core.initialization import initialize
from spade_core.label_spec import LabelSpec
from spade_core.labels import LabelMap
from spade_core.normalization import SPADE

Statistics = Literal["alone", "together", "running"]
"""Of batch norms: of each map by itself, of all maps in one batch, or those that training left."""
_ROUNDING = 1e-9
"""Differences of a smaller share of the values are rounding errors."""
_CHANNELS, _HIDDEN = 16, 32


def uniform_maps(labels: Sequence[int], spec: LabelSpec, size: tuple[int, int]) -> LabelMap:
    """One map for each of the labels, (L, H, W), of that label alone and of one instance. ValueError for other ids."""
    ids = torch.tensor(list(labels))[:, None, None].expand(-1, *size).contiguous()
    return LabelMap(ids, torch.zeros_like(ids), spec)


@torch.no_grad()
def first_normalization(labels: int, size: tuple[int, int], seed: int = 0) -> dict[str, float]:
    """The largest difference between the activations of two labels behind the first normalization, by kind of layer.

    In float64, for so many labels and maps of ``size`` (h, w), with convolutions (3 x 3, 16 channels) as torch draws
    them. The kinds: pix2pixHD's first layer (reflection padding, instance norm); with zero padding; with batch norm
    over each map by itself, and over a batch of all labels; and SPADE on instance norm behind the same convolution.
    """
    spec = LabelSpec(classes=labels)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        weight = nn.Conv2d(labels, _CHANNELS, 3).double()
        spade = SPADE(_CHANNELS, labels, "instance", 3, _HIDDEN).double()
    maps = uniform_maps(range(labels), spec, size)
    one_hot = maps.one_hot(size, torch.float64)
    reflected = weight(F.pad(one_hot, (1, 1, 1, 1), mode="reflect"))
    zeros = weight(F.pad(one_hot, (1, 1, 1, 1)))
    return {
        "reflection padding, instance norm": _largest(F.instance_norm(reflected)),
        "zero padding, instance norm": _largest(F.instance_norm(zeros)),
        "reflection padding, batch norm, one label": _largest(torch.cat([_batch_norm(x[None]) for x in reflected])),
        "reflection padding, batch norm, all labels": _largest(_batch_norm(reflected)),
        "reflection padding, SPADE on instance norm": _largest(spade(reflected, maps)),
    }


def _batch_norm(x: Tensor) -> Tensor:
    return F.batch_norm(x, None, None, training=True)


def _largest(activations: Tensor) -> float:
    """The largest difference at any place between two of the maps (L, C, H, W)."""
    return float((activations.amax(0) - activations.amin(0)).max())


@dataclass(frozen=True, kw_only=True)
class UniformResponse:
    """What one generator makes of one map for each label."""

    name: str
    """As tables and figures call it."""
    statistics: Statistics
    distance: float
    """Mean absolute difference between the images of two labels, over all pairs, pixels and channels, in 0 to 255."""
    share: float
    """The same, divided by the mean absolute value of the images (in -1 to 1): a small network draws small values."""
    share_as_computed: float
    """The share where rounding errors are left to grow."""
    images: NDArray[np.float64]
    """(L, H, W, 3) in [-1, 1]."""

    @property
    def told_apart(self) -> bool:
        """Whether the images differ by more than rounding."""
        return self.share > _ROUNDING

    def to_json(self) -> dict[str, Any]:
        """All but the images."""
        names = ("name", "statistics", "distance", "share", "share_as_computed", "told_apart")
        return {name: getattr(self, name) for name in names}


def untrained_generator(variant: Variant, spec: LabelSpec, size: tuple[int, int], seed: int) -> nn.Module:
    """The generator as training starts with it, in float64 on the CPU."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator = variant.generator.build(spec, size)
        initialize(generator, variant.recipe().initialization)
    return generator.double()


@torch.no_grad()
def respond(
    name: str,
    generator: nn.Module,
    labels: Sequence[int],
    spec: LabelSpec,
    size: tuple[int, int],
    *,
    statistics: Statistics,
    z_dim: int | None = None,
    seed: int = 0,
) -> UniformResponse:
    """The images of ``generator`` for one uniform map of each label; all maps get the same z (of length ``z_dim``).

    Its weights stay; with ``statistics`` other than "running" the running statistics of its batch norms move. A
    ValueError for fewer than two labels, or ids that the spec has not.
    """
    if len(labels) < 2:
        raise ValueError(f"labels {list(labels)}: a distance needs at least two")
    generator.eval()  # no power iteration between one map and the next
    for module in generator.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.train(statistics != "running")
    parameter = next(generator.parameters())
    z = None
    if z_dim is not None:
        drawn = torch.randn(1, z_dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        z = drawn.to(parameter.device, parameter.dtype)
    batches = [[label] for label in labels] if statistics == "alone" else [list(labels)]

    def draw() -> Tensor:
        images = []
        for batch in batches:
            ids = uniform_maps(batch, spec, size).labels.to(parameter.device)
            maps = LabelMap(ids, torch.zeros_like(ids), spec)
            images.append(generator(maps, None if z is None else z.expand(len(batch), -1)))
        return torch.cat(images).double().cpu()

    as_computed = draw()
    with _constants_taken_off(generator):
        images = draw()
    return UniformResponse(
        name=name,
        statistics=statistics,
        distance=127.5 * _mean_distance(images),
        share=_share(images),
        share_as_computed=_share(as_computed),
        images=images.permute(0, 2, 3, 1).numpy(),
    )


@contextmanager
def _constants_taken_off(generator: nn.Module) -> Iterator[None]:
    """Normalizations that take a mean off are given their input less its first pixel: constants become exact zeros."""

    def less_first_pixel(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        if isinstance(module, nn.BatchNorm2d):
            return (inputs[0] - inputs[0][:1, :, :1, :1],) if module.training else None
        return (inputs[0] - inputs[0][:, :, :1, :1],)

    norms = [module for module in generator.modules() if isinstance(module, (nn.BatchNorm2d, nn.InstanceNorm2d))]
    handles = [module.register_forward_pre_hook(less_first_pixel) for module in norms]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _share(images: Tensor) -> float:
    return _mean_distance(images) / max(float(images.abs().mean()), torch.finfo(torch.float64).tiny)


def _mean_distance(images: Tensor) -> float:
    pairs = [(first, second) for second in range(len(images)) for first in range(second)]
    return float(torch.stack([(images[a] - images[b]).abs().mean() for a, b in pairs]).mean())
