"""Official colours and id tables, read from the tables that mmsegmentation and torchvision install.

Importing those packages takes seconds; their tables are literals in the source, so the source is read instead.
"""

from __future__ import annotations

import ast
import colorsys
import functools
import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.data import names
from bench.data.dataset import DatasetError

Colour = tuple[int, int, int]
"""RGB, 0 to 255."""

IGNORED_COLOUR: Colour = (40, 40, 40)
"""What unknown and unlabelled pixels are shown in, where the official table has no colour for them."""


@dataclass(frozen=True, kw_only=True)
class CityscapesClass:
    """A row of Cityscapes' label table, as torchvision has it."""

    name: str
    id: int
    train_id: int
    """0 to 18 for the 19 evaluation classes; 255 or -1 for the others."""
    colour: Colour


def far_apart(count: int) -> tuple[Colour, ...]:
    """``count`` colours far apart: hues by the golden ratio, three lightnesses, two saturations."""
    colours = []
    for i in range(count):
        hue = (0.08 + i * 0.6180339887498949) % 1.0
        value, saturation = (0.92, 0.74, 0.55)[i % 3], (0.62, 0.85)[(i // 3) % 2]
        r, g, b = colorsys.hsv_to_rgb(hue, saturation, value)
        colours.append((round(255 * r), round(255 * g), round(255 * b)))
    return tuple(colours)


@functools.cache
def mmseg_table(module: str) -> tuple[tuple[str, ...], tuple[Colour, ...]]:
    """(class names, colours) of ``mmseg.datasets.<module>``, such as ``ade``; mmseg is not imported.

    Raises DatasetError where the package or its table is not there.
    """
    tree = _source("mmseg", f"datasets/{module}.py")
    for call in _calls(tree, "dict"):
        table = {keyword.arg: keyword.value for keyword in call.keywords}
        if {"classes", "palette"} <= table.keys():
            classes, palette = ast.literal_eval(table["classes"]), ast.literal_eval(table["palette"])
            return tuple(name.strip() for name in classes), tuple((r, g, b) for r, g, b in palette)
    raise DatasetError(f"mmseg's datasets/{module}.py has no table of classes and colours; {_REMEDY}")


@functools.cache
def cityscapes_classes() -> tuple[CityscapesClass, ...]:
    """Cityscapes' label table in the order of the ids 0 to 33, then license plate (-1); torchvision is not imported.

    Raises DatasetError where the package or its table is not there.
    """
    rows = []
    for call in _calls(_source("torchvision", "datasets/cityscapes.py"), "CityscapesClass"):
        name, label, train_id, *_, colour = (ast.literal_eval(argument) for argument in call.args)
        rows.append(CityscapesClass(name=name, id=label, train_id=train_id, colour=colour))
    if len(rows) != 35:
        raise DatasetError(f"torchvision's datasets/cityscapes.py has {len(rows)} label rows, not 35; {_REMEDY}")
    return tuple(rows)


def coco_stuff_colours() -> tuple[Colour, ...]:
    """183 colours: mmsegmentation's by class name (see ``_distinct``), others for 11 unused ids, don't care last."""
    official = dict(zip(*mmseg_table("coco_stuff"), strict=True))
    return (*_distinct([official.get(name) for name in names.coco_stuff()[:-1]]), IGNORED_COLOUR)


def ade20k_colours() -> tuple[Colour, ...]:
    """151 colours: unknown, then mmsegmentation's in the order of the challenge's classes (see ``_distinct``)."""
    return (IGNORED_COLOUR, *_distinct(mmseg_table("ade")[1]))


def cityscapes_colours() -> tuple[Colour, ...]:
    """35 colours: torchvision's, in the order of the ids 0 to 33, then license plate."""
    return tuple(row.colour for row in cityscapes_classes())


def _distinct(colours: Sequence[Colour | None]) -> Iterator[Colour]:
    """The colours, with another one where there is none and where an earlier class has the same.

    The official tables give one colour to two classes here and there (nine times in COCO-Stuff's, once in ADE20K's).
    """
    spare = (colour for colour in far_apart(2 * len(colours)) if colour not in colours)
    seen: set[Colour] = set()
    for colour in colours:
        shown = colour if colour is not None and colour not in seen else next(spare)
        seen.add(shown)
        yield shown


_REMEDY = "install the versions that pyproject.toml names (run `make`)"


def _source(package: str, place: str) -> ast.Module:
    """The source of a file of an installed package, parsed; the package is found, not imported."""
    spec = importlib.util.find_spec(package)
    path = Path(spec.origin).parent / place if spec is not None and spec.origin else None
    if path is None or not path.is_file():
        raise DatasetError(f"package {package} with its {place} is not installed; {_REMEDY}")
    return ast.parse(path.read_text(encoding="utf-8"))


def _calls(tree: ast.AST, function: str) -> Iterator[Any]:
    """The calls of a function by its bare name, in the order of the source."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == function:
            yield node
