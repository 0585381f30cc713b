"""Frozen dataclasses to plain JSON values and back, strictly: an unknown or missing field is an error."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import types
import typing
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


def to_plain(value: Any) -> Any:
    """``value`` as dicts, lists, strings, numbers and None; dataclass fields by name, in order."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: to_plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise TypeError(f"cannot write a {type(value).__name__} as JSON: {value!r}")


def semantic(value: Any) -> Any:
    """Like :func:`to_plain` without the fields whose metadata says ``semantic: False`` (they change no result).

    ``semantic: "unless default"`` leaves a field out where it has its default: one that came later, whose default is
    what was done before it, so that the identities from before remain.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        kept = [item for item in dataclasses.fields(value) if _counts(item, getattr(value, item.name))]
        return {item.name: semantic(getattr(value, item.name)) for item in kept}
    if isinstance(value, Mapping):
        return {str(key): semantic(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [semantic(item) for item in value]
    return to_plain(value)


def _counts(item: dataclasses.Field[Any], value: Any) -> bool:
    rule = item.metadata.get("semantic", True)
    return bool(value != item.default) if rule == "unless default" else bool(rule)


def content_hash(value: Any) -> str:
    """64 hexadecimal digits that change exactly when a semantic field of ``value`` does."""
    text = json.dumps(semantic(value), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def from_plain(cls: type[T], data: Any, where: str = "") -> T:
    """The dataclass ``cls`` from what :func:`to_plain` made of it.

    Raises ValueError naming the place and the fields for unknown or missing ones.
    """
    place = where or cls.__name__
    if not isinstance(data, Mapping):
        raise ValueError(f"{place}: expected the fields of {cls.__name__}, found {data!r}")
    known = {item.name: item for item in dataclasses.fields(cls)}  # type: ignore[arg-type]
    unknown = sorted(set(data) - set(known))
    if unknown:
        raise ValueError(f"{place}: unknown field {', '.join(unknown)}; known are: {', '.join(known)}")
    required = [
        name
        for name, item in known.items()
        if item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
    ]
    missing = sorted(set(required) - set(data))
    if missing:
        raise ValueError(f"{place}: missing field {', '.join(missing)}")
    hints = _hints(cls)  # type: ignore[arg-type]  # classes are hashable
    return cls(**{name: _decode(hints[name], item, f"{place}.{name}") for name, item in data.items()})


@lru_cache(maxsize=256)
def _hints(cls: Any) -> dict[str, Any]:
    """The types of a dataclass's fields; working them out takes longer than all the rest of reading a file."""
    return typing.get_type_hints(cls)


def _decode(hint: Any, data: Any, where: str) -> Any:
    origin = typing.get_origin(hint)
    arguments = typing.get_args(hint)
    if hint is Any:
        return data
    if origin in (types.UnionType, typing.Union):
        if data is None and type(None) in arguments:
            return None
        options = [item for item in arguments if item is not type(None)]
        return _decode(options[0], data, where) if len(options) == 1 else data
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return from_plain(hint, data, where)
    if origin is tuple:
        items = list(data)
        each = [arguments[0]] * len(items) if len(arguments) == 2 and arguments[1] is Ellipsis else list(arguments)
        return tuple(
            _decode(kind, item, f"{where}[{index}]") for index, (kind, item) in enumerate(zip(each, items, strict=True))
        )
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        return {key: _decode(arguments[1], item, f"{where}[{key}]") for key, item in data.items()}
    if hint is Path:
        return Path(data)
    if hint is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    return data
