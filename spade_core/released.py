"""Reading and writing the files of the released code.

A network tells by ``released_formats()`` under which names the released code stores its tensors; the first format is
the one that is written. Loading is strict: every tensor of the network must be in the file and the other way round.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from spade_core.spectral_norm import SpectralNormConvolution

_WRAPPER = "module."
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


class ReleasedStateDictError(ValueError):
    """A state dict does not fit a network; the message lists everything that is wrong."""


@dataclass(frozen=True, kw_only=True)
class ReleasedFormat:
    """The names of one network's tensors in one released code."""

    name: str
    """Class and code that wrote the file, for messages."""
    keys: Mapping[str, str]
    """Own key of every tensor of the network -> key in the file."""
    unused: frozenset[str] = frozenset()
    """Keys in old files that carry nothing: statistics of instance norms, kept by torch below 0.4."""


@runtime_checkable
class HasReleasedFormats(Protocol):
    """A network that knows its names in the released code."""

    def released_formats(self) -> Sequence[ReleasedFormat]:
        """The formats it can be read from, the preferred one first."""
        ...


def released_format(name: str, module: nn.Module, prefixes: Mapping[str, str]) -> ReleasedFormat:
    """The format in which own key prefixes (with their dots) are replaced as in ``prefixes``, the longest one first."""
    ordered = sorted(prefixes, key=len, reverse=True)

    def translate(key: str) -> str:
        prefix = next((p for p in ordered if key.startswith(p)), None)
        assert prefix is not None, f"{name}: no released name for {key}"
        return prefixes[prefix] + key[len(prefix) :]

    unused = frozenset(
        translate(f"{path}.{statistic}")
        for path, part in module.named_modules()
        if isinstance(part, nn.InstanceNorm2d) and not part.track_running_stats
        for statistic in _STATISTICS
    )
    return ReleasedFormat(name=name, keys={key: translate(key) for key in module.state_dict()}, unused=unused)


def load_released_state_dict(module: nn.Module, state_dict: Mapping[str, Tensor]) -> None:
    """Load a state dict of the released code into one of our networks, strictly.

    Of the formats that the network knows the one with most keys in common is used. A leading ``module.`` is dropped.
    Files of torch below 1.0 lack ``weight_v``; it is computed so that the outputs in eval mode are those of the file.
    Raises a ReleasedStateDictError that lists all missing, unexpected and mis-shaped keys; the network is then
    unchanged. A TypeError if the network has no released format.
    """
    given = dict(state_dict)
    if given and all(key.startswith(_WRAPPER) for key in given):
        given = {key[len(_WRAPPER) :]: value for key, value in given.items()}
    chosen = max(_formats(module), key=lambda known: len(set(known.keys.values()) & given.keys()))
    given = _complete_spectral_norm(module, chosen, given)
    _check(module, chosen, given)
    module.load_state_dict({own: given[released] for own, released in chosen.keys.items()}, strict=True)


def to_released_state_dict(module: nn.Module, format_name: str | None = None) -> dict[str, Tensor]:
    """The network's tensors (detached, not copied) under their released names; the preferred format by default.

    A ValueError if ``format_name`` is none of the network's formats; a TypeError if it has none at all.
    """
    formats = {known.name: known for known in _formats(module)}
    chosen = next(iter(formats.values())) if format_name is None else formats.get(format_name)
    if chosen is None:
        raise ValueError(f"{type(module).__name__} has no format {format_name!r}; it has {', '.join(formats)}")
    return {chosen.keys[own]: value.detach() for own, value in module.state_dict().items()}


def _formats(module: nn.Module) -> Sequence[ReleasedFormat]:
    if not isinstance(module, HasReleasedFormats):
        raise TypeError(f"{type(module).__name__} has no released format (no method released_formats)")
    return module.released_formats()


def _complete_spectral_norm(module: nn.Module, known: ReleasedFormat, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``given`` with a ``weight_v`` for every spectrally normalized layer, and without the old ``weight`` buffers."""
    complete = dict(given)
    for path, layer in module.named_modules():
        if not isinstance(layer, SpectralNormConvolution):
            continue
        orig, u, v = (known.keys[f"{path}.{part}"] for part in ("weight_orig", "weight_u", "weight_v"))
        weight = complete.pop(orig.removesuffix("_orig"), None)
        usable = orig in given and u in given and given[orig].shape == layer.weight_orig.shape
        if v not in given and usable and given[u].shape == layer.weight_u.shape:
            complete[v] = _missing_v(layer, given[orig], given[u], weight)
    return complete


def _missing_v(layer: SpectralNormConvolution, orig: Tensor, u: Tensor, weight: Tensor | None) -> Tensor:
    """A v that gives the sigma = u^T W v of a file that holds W, u and perhaps W / sigma."""
    matrix = orig.double().transpose(0, layer.stored_axes[0]).flatten(1)
    v = torch.mv(matrix.t(), u.double())
    length = v.norm()
    if weight is None:
        return torch.div(v, length).to(orig.dtype)
    # the least-squares solution of weight_orig = sigma * weight
    sigma = (orig.double() * weight.double()).sum() / weight.double().square().sum()
    return torch.mul(v, sigma / length.square()).to(orig.dtype)


def _check(module: nn.Module, known: ReleasedFormat, given: Mapping[str, Tensor]) -> None:
    shapes = {known.keys[own]: tuple(value.shape) for own, value in module.state_dict().items()}
    kinds = (
        [f"missing: {key} {shape}" for key, shape in shapes.items() if key not in given],
        [f"unexpected: {key}" for key in given if key not in shapes and key not in known.unused],
        [
            f"shape: {key} is {tuple(given[key].shape)}, expected {shape}"
            for key, shape in shapes.items()
            if key in given and tuple(given[key].shape) != shape
        ],
    )
    problems = [line for kind in kinds for line in _shortened(kind)]
    if problems:
        raise ReleasedStateDictError(
            f"this state dict does not fit {type(module).__name__} (read as {known.name}); "
            f"{sum(map(len, kinds))} problems, check that the settings (width, classes, upsampling, norm) are those "
            "of the file:\n  " + "\n  ".join(problems)
        )


def _shortened(lines: Sequence[str], most: int = 12) -> list[str]:
    """The first lines of one kind, and how many more there are."""
    more = len(lines) - most
    return [*lines[:most], *([f"... and {more} more {lines[0].partition(':')[0]}"] if more > 0 else [])]
