"""Checkpoints of training frameworks, read without running anything that is in them.

A file written by a trainer holds more than tensors (log histories, numpy scalars), which `torch.load` with
``weights_only`` refuses. Here everything but plain containers and tensors becomes an inert object: it is made of
nothing, does nothing, and is thrown away by whoever asks for tensors and text.
"""

from __future__ import annotations

import collections
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

import torch

_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("builtins", "dict"): dict,
    ("builtins", "list"): list,
    ("builtins", "tuple"): tuple,
    ("builtins", "set"): set,
    ("torch", "Size"): torch.Size,
    ("torch", "device"): torch.device,
    ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,
    ("torch._utils", "_rebuild_tensor"): torch._utils._rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): torch._utils._rebuild_parameter,
    **{("torch", name): getattr(torch, name) for name in dir(torch) if name.endswith("Storage")},
    **{
        ("torch", str(kind).removeprefix("torch.")): kind
        for kind in vars(torch).values()
        if isinstance(kind, torch.dtype)
    },
}


class _Inert:
    """Stands for anything that is not a tensor, a number, text or a plain container of these."""

    def __new__(cls, *_: object, **__: object) -> _Inert:
        return super().__new__(cls)

    def __init__(self, *_: object, **__: object) -> None: ...

    def __call__(self, *_: object, **__: object) -> _Inert:
        return self

    def __setstate__(self, state: object) -> None: ...

    def __setitem__(self, key: object, value: object) -> None: ...

    def append(self, value: object) -> None: ...

    def extend(self, values: object) -> None: ...


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        return _ALLOWED.get((module, name), _Inert)


def _load(stream: BinaryIO, **settings: Any) -> Any:
    return _Unpickler(stream, **settings).load()


_PICKLE = SimpleNamespace(Unpickler=_Unpickler, load=_load, __name__="restricted_pickle")


def read_without_code(path: Path) -> Any:
    """What a checkpoint file holds, on the CPU; what is neither tensor, number, text nor container is inert.

    No function of the file is called but torch's own that puts tensors together. Raises what `torch.load` raises.
    """
    return torch.load(path, map_location="cpu", weights_only=False, pickle_module=_PICKLE)
