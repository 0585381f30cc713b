"""Checkpoint files of judges: read as tensors only, put into a network key by key, every difference told at once."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

_LISTED = 8
_TORCH_FILES = (b"PK", b"\x80")
"""How files of `torch.save` begin: since torch 1.6, and before."""
_FOREIGN = re.compile(r"GLOBAL ([\w.]+)")
"""What torch says it will not load."""


class CheckpointError(ValueError):
    """A checkpoint file that cannot be read, or is not of the network that it is for."""


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The state dict of a checkpoint file, on the CPU.

    The file holds the state dict itself or has it under ``state_dict``; a ``module.`` in front of every key (as
    DataParallel writes) is taken off. Raises CheckpointError for anything else, and for a file that holds code.
    """
    return state_dict_of(read_tensors_only(path), path)


def read_tensors_only(path: Path) -> Any:
    """What `torch.load` reads from a file without running code. Raises CheckpointError."""
    with path.open("rb") as stream:
        start = stream.read(64)
    if not start.startswith(_TORCH_FILES):
        text = start.lstrip()
        kind = (
            "a web page" if text.startswith(b"<") else "a Git LFS pointer" if b"git-lfs" in text else "something else"
        )
        kind = kind if start else "empty"
        raise CheckpointError(f"{path}: this file is {kind}, not a checkpoint; fetch the checkpoint itself")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # torch's own words tell how to run what is in the file
        held = _FOREIGN.search(str(error))
        what = f"it holds {held[1]}" if held else "it is another kind of file"
        raise CheckpointError(
            f"{path}: not a checkpoint of tensors alone ({what}), so it is not opened; save its state dict alone"
        ) from error
    except (RuntimeError, EOFError, OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise CheckpointError(f"{path}: cannot be read as a checkpoint ({reason[:200]}); fetch it again") from error


def state_dict_of(content: Any, path: Path) -> dict[str, Tensor]:
    """The tensors by key within what was read from ``path``. Raises CheckpointError."""
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not content:
        raise CheckpointError(f"{path}: holds {type(content).__name__}, expected a state dict (tensors by name)")
    others = [str(key) for key, value in content.items() if not isinstance(value, Tensor)]
    if others:
        raise CheckpointError(f"{path}: {_listed(others)} not tensors; expected a state dict (tensors by name)")
    keys = [str(key) for key in content]
    cut = len("module.") if all(key.startswith("module.") for key in keys) else 0
    return {key[cut:]: value for key, value in zip(keys, content.values(), strict=True)}


def load_strictly(
    network: nn.Module,
    tensors: Mapping[str, Tensor],
    *,
    source: str,
    file_key: Callable[[str], str] = lambda key: key,
    dropped: Callable[[str], bool] = lambda key: False,
) -> None:
    """Fill ``network`` in place from a checkpoint's tensors.

    ``file_key`` turns the network's own key into the file's; file keys that ``dropped`` names may be there and are not
    used, and no others. Counters of batch norms are not used and may be missing (files before torch 0.4.1 have none).
    Raises CheckpointError that lists missing, unexpected and mis-shaped keys and begins with ``source``, the file(s).
    """
    own = {file_key(key): value for key, value in network.state_dict().items() if not _is_counter(key)}
    given = {key: value for key, value in tensors.items() if not _is_counter(key) and not dropped(key)}
    problems = [
        (f"{len(keys)} {what}: ", keys)
        for what, keys in (
            ("missing", [key for key in own if key not in given]),
            ("unexpected", [key for key in given if key not in own]),
            ("of another shape", [_shapes(key, given[key], own[key]) for key in own if _differ(key, own, given)]),
            ("not floating point", [key for key in own if key in given and not given[key].is_floating_point()]),
        )
        if keys
    ]
    if problems:
        told = "\n  ".join(what + _listed(keys) for what, keys in problems)
        raise CheckpointError(f"{source}: not a checkpoint of this network; its keys are\n  {told}")
    with torch.no_grad():
        for key, value in own.items():
            value.copy_(given[key])


def as_published(
    network: nn.Module, file_key: Callable[[str], str] = lambda key: key, counters: bool = True
) -> dict[str, Tensor]:
    """The network's state dict with the file's keys: the inverse of `load_strictly`."""
    state = network.state_dict().items()
    return {file_key(key): value.clone() for key, value in state if counters or not _is_counter(key)}


def renamed(key: str, rules: Iterable[tuple[str, str]]) -> str:
    """``key`` with the first fitting beginning exchanged. Raises KeyError where none fits: an error of ours."""
    for start, replacement in rules:
        if key.startswith(start):
            return replacement + key.removeprefix(start)
    raise KeyError(key)


def _is_counter(key: str) -> bool:
    return key.endswith("num_batches_tracked")


def _differ(key: str, own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> bool:
    return key in given and own[key].shape != given[key].shape


def _shapes(key: str, given: Tensor, own: Tensor) -> str:
    return f"{key} {tuple(given.shape)} (expected {tuple(own.shape)})"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
