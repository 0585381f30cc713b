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
    return hashlib.sha256(_text(value).encode()).hexdigest()


def plain_hash(value: Any) -> str:
    """:func:`content_hash` of what JSON can write as it is, sooner."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


_TEXTS_KEPT = 512
_texts: dict[int, tuple[Any, str]] = {}
"""What :func:`_text` made of frozen dataclasses, by their address. Thousands of runs share recipe and data set, and
writing those out takes longer than all the rest of a run's identity."""


def _text(value: Any) -> str:
    """:func:`semantic` of ``value`` as JSON with sorted keys and without spaces."""
    if value is None or type(value) in (str, int, bool):
        return json.dumps(value)
    if isinstance(value, Mapping):
        items = sorted(((str(key), item) for key, item in value.items()), key=lambda pair: pair[0])
        return "{" + ",".join(f"{json.dumps(key)}:{_text(item)}" for key, item in items) + "}"
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return json.dumps(semantic(value), sort_keys=True, separators=(",", ":"), allow_nan=False)
    known = _texts.get(id(value))
    if known is not None and known[0] is value:
        return known[1]
    text = json.dumps(semantic(value), sort_keys=True, separators=(",", ":"), allow_nan=False)
    if type(value).__dataclass_params__.frozen:  # type: ignore[attr-defined]
        if len(_texts) >= _TEXTS_KEPT:
            _texts.clear()
        _texts[id(value)] = value, text
    return text


def from_plain(cls: type[T], data: Any, where: str = "") -> T:
    """The dataclass ``cls`` from what :func:`to_plain` made of it.

    Raises ValueError naming the place and the fields for unknown or missing ones.
    """
    place = where or cls.__name__
    if not isinstance(data, Mapping):
        raise ValueError(f"{place}: expected the fields of {cls.__name__}, found {data!r}")
    known, required = _fields(cls)  # type: ignore[arg-type]  # classes are hashable
    if not data.keys() <= known.keys():
        unknown = sorted(set(data) - set(known))
        raise ValueError(f"{place}: unknown field {', '.join(unknown)}; known are: {', '.join(known)}")
    if not required <= data.keys():
        raise ValueError(f"{place}: missing field {', '.join(sorted(required - set(data)))}")
    hints = _hints(cls)  # type: ignore[arg-type]  # classes are hashable
    return cls(**{name: _decode(hints[name], item, f"{place}.{name}") for name, item in data.items()})


@lru_cache(maxsize=256)
def _fields(cls: Any) -> tuple[dict[str, None], frozenset[str]]:
    """The names of a dataclass's fields in their order, and those without a default."""
    fields = dataclasses.fields(cls)
    required = [
        item.name
        for item in fields
        if item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
    ]
    return dict.fromkeys(item.name for item in fields), frozenset(required)


@lru_cache(maxsize=1024)
def _parts(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """Origin and arguments of a type."""
    return typing.get_origin(hint), typing.get_args(hint)


@lru_cache(maxsize=1024)
def _scalar(hint: Any) -> type | None:
    """float for numbers that JSON may have written as whole ones, object for other values that stay as they are; None
    for what has to be made from its parts. Optional ones count as what they are when they are there."""
    origin, arguments = _parts(hint)
    if origin in (types.UnionType, typing.Union):
        options = [item for item in arguments if item is not type(None)]
        return _scalar(options[0]) if len(options) == 1 else None
    if hint is float:
        return float
    return object if hint in (Any, str, int, bool) else None


@lru_cache(maxsize=256)
def _hints(cls: Any) -> dict[str, Any]:
    """The types of a dataclass's fields; working them out takes longer than all the rest of reading a file."""
    return typing.get_type_hints(cls)


def _decode(hint: Any, data: Any, where: str) -> Any:
    scalar = _scalar(hint)
    if scalar is not None:
        return float(data) if scalar is float and type(data) is int else data
    origin, arguments = _parts(hint)
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
        scalar = _scalar(arguments[1])
        if scalar is float:
            return {key: float(item) if type(item) is int else item for key, item in data.items()}
        if scalar is not None:
            return dict(data)
        return {key: _decode(arguments[1], item, f"{where}[{key}]") for key, item in data.items()}
    if hint is Path:
        return Path(data)
    return data
