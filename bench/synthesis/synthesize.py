"""Images of label maps as files, with a manifest. What is there from the same inputs is kept."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from bench.atomic import read_json, write_json, written_beside
from bench.data.entry import palette
from bench.evaluation.generate import CHUNK_IMAGES
from bench.launching.progress import Progress, no_progress
from bench.plain import content_hash
from bench.provenance import provenance
from bench.synthesis.diversity import MEANINGS, distances
from bench.synthesis.drawing import Drawing, Wish, drawings, file_stem
from bench.synthesis.inputs import LabelInput
from bench.synthesis.model import Synthesizer

MANIFEST, CONTACT = "manifest.json", "contact.png"
_KEY = "spade-bench-inputs"
"""Text chunk of every PNG that is written: the hash of model, label map and z."""
_CONTACT_ROWS, _CONTACT_COLUMNS = 12, 10


@dataclass(frozen=True, kw_only=True)
class Diversity:
    """Mean pairwise distances between the images of one label map, averaged over the maps."""

    over: str
    """``samples`` (of each map, in each style) or ``styles`` (one image in each)."""
    values: dict[str, float]
    missing: dict[str, str]
    """Reasons for the distances that could not be had."""


@dataclass(frozen=True, kw_only=True)
class Contact:
    """What a contact picture shows, for somebody to draw: a line for each label map, a column for each z."""

    file: Path
    """Where it belongs."""
    title: str
    captions: tuple[str, ...]
    """Of the columns."""
    styles: tuple[NDArray[np.uint8] | None, ...]
    """The style image (H, W, 3) of each column; None for columns without."""
    names: tuple[str, ...]
    """Of the label maps shown."""
    maps: tuple[NDArray[np.uint8], ...]
    """Each (H, W, 3), in the data set's colours."""
    images: tuple[tuple[Path, ...], ...]
    """PNG files, by label map and column."""
    about: dict[str, str]
    """Text that the file is to carry, by which a later call knows it for one of ours."""


@dataclass(frozen=True, kw_only=True)
class Synthesized:
    """What was done."""

    folder: Path
    made: int
    kept: int
    """Images that were there already, from the same inputs."""
    diversity: Diversity | None
    contact: Contact


@dataclass(frozen=True, kw_only=True)
class _Planned:
    """One image with the hash of its inputs."""

    drawing: Drawing
    key: str


@dataclass(frozen=True, kw_only=True)
class _Map:
    """One label map with its images."""

    given: LabelInput
    images: tuple[_Planned, ...]
    files: dict[str, Path] = field(default_factory=dict)


def synthesize(
    model: Synthesizer,
    maps: Sequence[LabelInput],
    wish: Wish,
    folder: Path,
    *,
    diversity: bool = True,
    progress: Progress = no_progress,
) -> Synthesized:
    """Make what ``wish`` asks of every map, in ``folder``, with a manifest, and say what a contact picture shows.

    A file that is there from the same model, map and z is kept; one of other inputs is made again. Raises ValueError
    before anything is drawn where two maps would have the same files, the model cannot do what is asked, or a file of
    somebody else has the name of an output.
    """
    planned = _planned(model, maps, wish, folder)
    outputs = [folder / CONTACT, *(path for each in planned for path in each.files.values())]
    there = {path: _key_of(path) for path in outputs if path.is_file()}
    _refuse_foreign(folder, there)
    folder.mkdir(parents=True, exist_ok=True)
    total, done, made = sum(len(each.images) for each in planned), 0, 0
    for each in planned:
        for start in range(0, len(each.images), CHUNK_IMAGES):
            chunk = each.images[start : start + CHUNK_IMAGES]
            # A chunk is made whole or not at all: how many images share a forward pass can move the last digit.
            if any(there.get(each.files[item.drawing.file]) != item.key for item in chunk):
                _make(model, each, chunk)
                made += len(chunk)
            done += len(chunk)
            progress(done, total, each.given.id)
    previous = _previous(folder)
    groups, over = _groups(planned, wish)
    told, rows = (None, []) if not (diversity and groups) else _measured(model, groups, over, previous, progress)
    write_json(folder / MANIFEST, _manifest(model, planned, wish, told, rows))
    contact = _contact(model, planned, wish, folder)
    return Synthesized(folder=folder, made=made, kept=total - made, diversity=told, contact=contact)


def _planned(model: Synthesizer, maps: Sequence[LabelInput], wish: Wish, folder: Path) -> list[_Map]:
    planned, owner = [], {CONTACT: "the contact picture"}
    for given in maps:
        wanted = drawings(given.id, wish, model.z_dim)
        for drawing in wanted:
            if drawing.file in owner:
                raise ValueError(
                    f"{given.source} and {owner[drawing.file]} would both be written as {drawing.file}; rename one"
                )
            owner[drawing.file] = given.source
        inputs = [model.identity, given.sha256]
        images = tuple(
            _Planned(
                drawing=drawing,
                key=content_hash([*inputs, drawing.z.tobytes().hex() if drawing.z is not None else ""]),
            )
            for drawing in wanted
        )
        planned.append(_Map(given=given, images=images, files={one.file: folder / one.file for one in wanted}))
    return planned


def _key_of(path: Path) -> str | None:
    """The hash of inputs that a PNG of ours carries, empty where the rest is damaged; None for other files."""
    found = None
    try:
        with Image.open(path) as picture:
            found = picture.info.get(_KEY)
            picture.load()
    except (OSError, SyntaxError, ValueError):
        return "" if found is not None or path.stat().st_size == 0 else None
    return str(found) if found is not None else None


def _refuse_foreign(folder: Path, there: Mapping[Path, str | None]) -> None:
    foreign = [path for path, key in there.items() if key is None]
    if (folder / MANIFEST).is_file() and "spade-bench" not in (folder / MANIFEST).read_text(encoding="utf-8")[:200]:
        foreign.append(folder / MANIFEST)
    if foreign:
        raise ValueError(
            f"{foreign[0]}: was not made by synthesize and would be overwritten ({len(foreign)} such files); "
            f"move it away, or choose another folder (--out)"
        )


def _make(model: Synthesizer, each: _Map, chunk: Sequence[_Planned]) -> None:
    z = [item.drawing.z for item in chunk if item.drawing.z is not None]
    images = model.render(each.given.labels, each.given.instances, np.stack(z) if z else None)
    for item, image in zip(chunk, images, strict=True):
        _write(each.files[item.drawing.file], Image.fromarray(image), item.key)


def _write(path: Path, picture: Image.Image, key: str) -> None:
    text = PngInfo()
    text.add_text(_KEY, key)
    with written_beside(path) as temporary:
        picture.save(temporary, format="PNG", pnginfo=text)


def _groups(planned: Sequence[_Map], wish: Wish) -> tuple[list[tuple[_Map, tuple[_Planned, ...]]], str]:
    """The sets of images whose diversity is measured, and what varies within them."""
    if wish.interpolate is not None:
        return [], ""
    if wish.samples > 1:
        names: list[str | None] = [*(each.name for each in wish.styles)] or [None]
        return [
            (each, tuple(item for item in each.images if item.drawing.style == name))
            for each in planned
            for name in names
        ], "samples"
    if len(wish.styles) > 1:
        return [(each, each.images) for each in planned], "styles"
    return [], ""


def _measured(
    model: Synthesizer,
    groups: Sequence[tuple[_Map, tuple[_Planned, ...]]],
    over: str,
    previous: dict[str, dict[str, float]],
    progress: Progress,
) -> tuple[Diversity, list[dict[str, Any]]]:
    found, missing = distances(model.device, model.size)
    rows: list[dict[str, Any]] = []
    for number, (each, items) in enumerate(groups, start=1):
        inputs = content_hash([item.key for item in items])
        values = previous.get(inputs, {})
        if set(values) != set(found):
            images = np.stack([_pixels(each.files[item.drawing.file]) for item in items])
            values = {name: round(distance(images), 6) for name, distance in found.items()}
        style = items[0].drawing.style if over == "samples" else None
        rows.append({"map": each.given.id, "style": style, "images": len(items), "inputs": inputs, "values": values})
        progress(number, len(groups), "distances")
    means = {name: float(np.mean([row["values"][name] for row in rows])) for name in found}
    return Diversity(over=over, values=means, missing=missing), rows


def _previous(folder: Path) -> dict[str, dict[str, float]]:
    """Distances that an earlier call measured, by the hash of the images' inputs."""
    path = folder / MANIFEST
    told = read_json(path) if path.is_file() else {}
    measured = told.get("diversity") if isinstance(told, dict) else None
    return {row["inputs"]: row["values"] for row in measured["maps"]} if measured else {}


def _pixels(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"), dtype=np.uint8)


def _contact(model: Synthesizer, planned: Sequence[_Map], wish: Wish, folder: Path) -> Contact:
    shown, colours = planned[:_CONTACT_ROWS], np.array(palette(model.entry), np.uint8)
    wanted = [item.drawing for item in planned[0].images]
    places = _spread(len(wanted))
    pictures = {each.name: each.pixels for each in wish.styles}
    captions = [_caption(wanted[place]) for place in places]
    title = re.sub(r"-[0-9a-f]{12}$", "", model.stem)
    if len(planned) > len(shown):
        title += f": the first {len(shown)} of {len(planned)} maps"
    return Contact(
        file=folder / CONTACT,
        title=title,
        captions=tuple(caption for caption, _ in captions),
        styles=tuple(pictures.get(style) for _, style in captions),
        names=tuple(each.given.id for each in shown),
        maps=tuple(colours[each.given.labels] for each in shown),
        images=tuple(tuple(each.files[each.images[place].drawing.file] for place in places) for each in shown),
        about={_KEY: "contact"},
    )


def _spread(count: int) -> list[int]:
    """At most so many columns, the first and the last among them."""
    if count <= _CONTACT_COLUMNS:
        return list(range(count))
    return [round(number * (count - 1) / (_CONTACT_COLUMNS - 1)) for number in range(_CONTACT_COLUMNS)]


def _caption(drawing: Drawing) -> tuple[str, str]:
    """What stands over an image, and the style image that belongs over it."""
    if drawing.between is not None:
        first, second, share = drawing.between
        ends = {0.0: first, 1.0: second}
        return ends.get(share, f"{share:.2f}"), ends.get(share, "")
    if drawing.style is not None:
        return (drawing.style if drawing.sample == 0 else f"sample {drawing.sample}"), drawing.style
    return ("image" if drawing.sample is None else f"sample {drawing.sample}"), ""


def _manifest(
    model: Synthesizer, planned: Sequence[_Map], wish: Wish, told: Diversity | None, rows: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "made_by": "spade-bench synthesize",
        "model": {"name": model.name, "size": list(model.size), "z_dim": model.z_dim, **model.details},
        "seed": wish.seed,
        "samples": wish.samples,
        "interpolate": wish.interpolate,
        "styles": [{"name": one.name, "file": str(one.source), "sha256": one.sha256} for one in wish.styles],
        "maps": [
            {
                "id": each.given.id,
                "source": each.given.source,
                "sha256": each.given.sha256,
                "instances": "given" if each.given.instances is not None else "end where labels do",
                "images": [_image(item) for item in each.images],
            }
            for each in planned
        ],
        "diversity": None
        if told is None
        else {
            "over": told.over,
            "mean": told.values,
            "meaning": {name: MEANINGS[name] for name in told.values},
            "missing": told.missing,
            "maps": rows,
        },
        "provenance": provenance(),
    }


def _image(item: _Planned) -> dict[str, Any]:
    drawing = item.drawing
    row: dict[str, Any] = {"file": drawing.file, "inputs": item.key, "style": drawing.style, "sample": drawing.sample}
    if drawing.between is not None:
        first, second, share = drawing.between
        row |= {"from": first, "to": second, "share": round(share, 6)}
    return row


__all__ = ["CONTACT", "MANIFEST", "Diversity", "Synthesized", "file_stem", "synthesize"]
