"""Frozen dataclasses to plain JSON values and back, strictly: an unknown or missing field is an error."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import types
import typing
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from json.encoder import encode_basestring_ascii
from operator import itemgetter
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
    kind = type(value)
    if kind is str:
        return encode_basestring_ascii(value)
    if kind is int:
        return repr(value)
    if value is None or kind is bool:
        return json.dumps(value)
    if isinstance(value, Mapping):
        items = sorted(((str(key), item) for key, item in value.items()), key=itemgetter(0))
        return "{" + ",".join([f"{encode_basestring_ascii(key)}:{_text(item)}" for key, item in items]) + "}"
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
    if type(data) is not dict and not isinstance(data, Mapping):
        raise ValueError(f"{place}: expected the fields of {cls.__name__}, found {data!r}")
    reader = _reader(cls)  # type: ignore[arg-type]  # classes are hashable
    if not data.keys() <= reader.known.keys():
        unknown = sorted(set(data) - set(reader.known))
        raise ValueError(f"{place}: unknown field {', '.join(unknown)}; known are: {', '.join(reader.known)}")
    if not reader.required <= data.keys():
        raise ValueError(f"{place}: missing field {', '.join(sorted(reader.required - set(data)))}")
    values = dict(data)
    for name in reader.floats:
        if type(values.get(name)) is int:
            values[name] = float(values[name])
    for name, decode in reader.made.items():
        if name in values:
            values[name] = decode(values[name], f"{place}.{name}")
    return cls(**values)


_Decode = Callable[[Any, str], Any]
"""From a JSON value and its place to the value that a field has."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Reader:
    """How a dataclass is read, worked out once: that takes longer than all the rest of reading a file."""

    known: dict[str, None]
    """The names of the fields in their order."""
    required: frozenset[str]
    """Those without a default."""
    floats: tuple[str, ...]
    """Numbers that JSON may have written as whole ones."""
    made: dict[str, _Decode]
    """Fields that are made from their parts; the others stay as they are."""


@lru_cache(maxsize=256)
def _reader(cls: Any) -> _Reader:
    fields = dataclasses.fields(cls)
    hints = typing.get_type_hints(cls)
    missing = dataclasses.MISSING
    decoders = {item.name: _decoder(hints[item.name]) for item in fields}
    return _Reader(
        known=dict.fromkeys(item.name for item in fields),
        required=frozenset(item.name for item in fields if item.default is missing and item.default_factory is missing),
        floats=tuple(name for name, decode in decoders.items() if decode is _float),
        made={name: decode for name, decode in decoders.items() if decode is not None and decode is not _float},
    )


@lru_cache(maxsize=1024)
def _decoder(hint: Any) -> _Decode | None:
    """What makes a value of a type; None where it stays as it is."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        options = [item for item in arguments if item is not type(None)]
        decode = _decoder(options[0]) if len(options) == 1 else None
        return decode if decode is None or decode is _float else _optional(decode)
    if hint is float:
        return _float
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return partial(from_plain, hint)
    if origin is tuple:
        return _tuple(arguments)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _mapping(_decoder(arguments[1]))
    return (lambda data, where: Path(data)) if hint is Path else None


def _float(data: Any, where: str) -> Any:
    return float(data) if type(data) is int else data


def _optional(decode: _Decode) -> _Decode:
    return lambda data, where: None if data is None else decode(data, where)


def _mapping(decode: _Decode | None) -> _Decode:
    if decode is None:
        return lambda data, where: dict(data)
    if decode is _float:
        return lambda data, where: {key: float(item) if type(item) is int else item for key, item in data.items()}

    def make(data: Any, where: str) -> Any:
        try:
            return {key: decode(item, where) for key, item in data.items()}
        except ValueError:  # once more, to name the key
            return {key: decode(item, f"{where}[{key}]") for key, item in data.items()}

    return make


def _tuple(arguments: tuple[Any, ...]) -> _Decode:
    alike = len(arguments) == 2 and arguments[1] is Ellipsis
    decoders = [_decoder(item) for item in arguments if item is not Ellipsis]

    def make(data: Any, where: str) -> Any:
        each = decoders * len(data) if alike else decoders
        pairs = enumerate(zip(each, data, strict=True))
        return tuple(item if decode is None else decode(item, f"{where}[{index}]") for index, (decode, item) in pairs)

    return make
