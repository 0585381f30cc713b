"""The polygons of an instances json as arrays on disk, so that a file of half a gigabyte is read once."""

from __future__ import annotations

import json
import re
import shutil
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.atomic import read_json, write_json
from bench.data.dataset import DatasetError

_VERSION = 1
_ARRAYS = ("names", "first", "numbers", "starts", "points")
_SPACE = re.compile(r"[ \t\r\n]*")


@dataclass(frozen=True, kw_only=True)
class Polygons:
    """All polygons of a json, by image (memory-mapped)."""

    names: NDArray[np.str_]
    """File names of the images without extension, sorted."""
    first: NDArray[np.int64]
    """Position of an image's first polygon; one entry more than images."""
    numbers: NDArray[np.int32]
    """Number of the thing that a polygon belongs to, from 0 in each image, in the order of the json."""
    starts: NDArray[np.int64]
    """Position of a polygon's first corner; one entry more than polygons."""
    points: NDArray[np.float64]
    """(corners, 2): x, y."""

    def knows(self, name: str) -> bool:
        """Whether the json lists an image of that name (without extension)."""
        place = int(np.searchsorted(self.names, name))
        return place < len(self.names) and str(self.names[place]) == name

    def of(self, name: str) -> Iterator[tuple[int, NDArray[np.float64]]]:
        """(number of the thing, corners (P, 2)) of the image's polygons; none for an image without things."""
        if not self.knows(name):
            raise KeyError(name)
        place = int(np.searchsorted(self.names, name))
        for polygon in range(int(self.first[place]), int(self.first[place + 1])):
            yield int(self.numbers[polygon]), self.points[self.starts[polygon] : self.starts[polygon + 1]]


def write_polygons(annotations: Path, folder: Path) -> None:
    """Write the polygons of the json file into ``folder``, unless they are there from this very file already.

    Raises DatasetError where the file is not an instances json.
    """
    stat = annotations.stat()
    source = {"version": _VERSION, "bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns}
    done = folder / "source.json"
    if done.is_file() and read_json(done) == source:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, values in _read(annotations).items():
        np.save(folder / f"{name}.npy", values)
    write_json(done, source)


def open_polygons(folder: Path) -> Polygons:
    """The polygons that ``write_polygons`` wrote."""
    return Polygons(**{name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _ARRAYS})


def _read(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of ``Polygons``; one annotation is in memory at a time, besides the text."""
    names: dict[int, str] = {}
    owners, numbers, lengths, points = array("q"), array("i"), array("q"), array("d")
    things: dict[int, int] = {}
    known = False
    try:
        for key, value in _members(path.read_text(encoding="utf-8")):
            if key == "images":
                names[value["id"]] = Path(value["file_name"]).stem
            elif key == "annotations":
                known = True
                if not isinstance(value["segmentation"], list):
                    continue  # a crowd, run lengths instead of polygons
                owner = value["image_id"]
                number = things.get(owner, 0)
                things[owner] = number + 1
                for polygon in value["segmentation"]:
                    owners.append(owner)
                    numbers.append(number)
                    lengths.append(len(polygon) // 2)
                    points.extend(polygon[: len(polygon) // 2 * 2])
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise DatasetError(
            f"{path}: not readable as COCO's instances json ({type(error).__name__}: {error}); download it again"
        ) from None
    if not names or not known:
        raise DatasetError(f"{path}: has no images or no annotations; take instances_{{train,val}}2017.json")
    return _sorted(names, np.frombuffer(owners, np.int64), numbers, lengths, points)


def _sorted(
    names: dict[int, str], owners: NDArray[np.int64], numbers: array[int], lengths: array[int], points: array[float]
) -> dict[str, NDArray[Any]]:
    """The polygons in the order of their images' names; within an image in the order of the json."""
    identifiers = sorted(names, key=lambda identifier: names[identifier])
    place = {identifier: position for position, identifier in enumerate(identifiers)}
    positions = np.array([place.get(int(owner), -1) for owner in owners], np.int64)
    order = np.argsort(positions, kind="stable")
    order = order[positions[order] >= 0]  # annotations of images that are not listed draw nothing
    sizes = np.array(lengths, np.int64)
    before = np.concatenate([[0], np.cumsum(sizes)[:-1]])[order] if len(sizes) else np.zeros(0, np.int64)
    after = np.concatenate([[0], np.cumsum(sizes[order])]).astype(np.int64)
    moved = np.repeat(before - after[:-1], sizes[order]) + np.arange(after[-1])
    return {
        "names": np.array([names[identifier] for identifier in identifiers]),
        "first": np.searchsorted(positions[order], np.arange(len(identifiers) + 1)).astype(np.int64),
        "numbers": np.array(numbers, np.int32)[order],
        "starts": after,
        "points": np.array(points, np.float64).reshape(-1, 2)[moved],
    }


def _members(text: str) -> Iterator[tuple[str, Any]]:
    """(key, element) of the top-level lists ``images`` and ``annotations``, one element at a time."""
    decoder = json.JSONDecoder()
    place = _after(text, 0, "{")
    while True:
        key, place = decoder.raw_decode(text, place)
        place = _after(text, place, ":")
        if key in ("images", "annotations"):
            place = _after(text, place, "[")
            while text[place] != "]":
                element, place = decoder.raw_decode(text, place)
                yield key, element
                place = _skip(text, place)
                if text[place] == ",":
                    place = _skip(text, place + 1)
            place = _skip(text, place + 1)
        else:
            _, place = decoder.raw_decode(text, place)
            place = _skip(text, place)
        if text[place : place + 1] != ",":
            _after(text, place, "}")
            return
        place = _skip(text, place + 1)


def _after(text: str, place: int, sign: str) -> int:
    """The place of what follows ``sign``, which must be next."""
    place = _skip(text, place)
    if text[place : place + 1] != sign:
        raise ValueError(f"{sign!r} expected at character {place}")
    return _skip(text, place + 1)


def _skip(text: str, place: int) -> int:
    match = _SPACE.match(text, place)
    return match.end() if match else place
