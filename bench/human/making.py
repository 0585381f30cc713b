"""Write a study's folder: the page with its pictures, the lists for crowd-sourcing platforms, and the key.

OUT/study.json      the key: which picture is whose. Needed to score; not to be uploaded
OUT/places.csv      one line a place, with its link
OUT/crowd.csv       one line an answer that is wanted, for platforms that show one question at a time
OUT/page/           index.html and what it needs: open it from disk, or upload it to any web server
"""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.atomic import read_json, write_json, written_beside
from bench.data.contact_sheet import colour_labels
from bench.data.dataset import Dataset
from bench.human.design import SENTINEL, HumanStudy, Plan, draw_places, draw_questions
from bench.human.sources import Source

Pixels = NDArray[np.uint8]
Progress = Callable[[int, int, str], None]
ASK = "Which picture looks more like a real photograph of the scene in the label map?"
KEY_FILE = "study.json"
_PAGE = Path(__file__).parent / "page"
_PAGE_FILES = ("index.html", "study.css", "study.js")
_LEGEND_CLASSES = 10


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A study to be made, before anything is drawn."""

    dataset: Dataset
    title: str
    count: int
    """Validation images that pictures are there for: the first so many."""
    ours: Source
    against: tuple[Source, ...]
    plan: Plan = Plan()
    ask: str = ASK
    time_limit_s: float | None = None

    def __post_init__(self) -> None:
        names = [self.ours.name, *(source.name for source in self.against)]
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise ValueError(f"the name {', '.join(doubled)} is given twice; each system needs a name of its own")
        if not self.against:
            raise ValueError("nothing to compare with; give --against NAME=DIR at least once")
        if self.time_limit_s is not None and self.time_limit_s <= 0:
            raise ValueError(f"--time-limit is {self.time_limit_s}; it must be more than 0 seconds")


def designed(wanted: Wanted) -> HumanStudy:
    """The study as data; the same wish gives the same study. Raises ValueError with fewer images than questions."""
    samples = [wanted.dataset.sample_id(index) for index in range(wanted.count)]
    sheets, sentinels = draw_questions(wanted.plan, [source.name for source in wanted.against], samples)
    places = draw_places(wanted.plan, sheets, sentinels)
    questions = sorted((item for sheet in (*sheets, *sentinels) for item in sheet), key=lambda item: item.id)
    return HumanStudy(
        dataset=wanted.dataset.name,
        title=wanted.title,
        maps=wanted.dataset.manifest_hash,
        size_px=wanted.dataset.size,
        ours=wanted.ours.name,
        against=tuple(source.name for source in wanted.against),
        sources={source.name: source.described for source in (wanted.ours, *wanted.against)},
        ask=wanted.ask,
        time_limit_s=wanted.time_limit_s,
        plan=wanted.plan,
        questions=tuple(questions),
        places=tuple(places),
    )


def write_study(wanted: Wanted, out: Path, *, base_url: str = "", progress: Progress | None = None) -> HumanStudy:
    """Write everything under ``out``; what an interrupted call wrote is used. The key is written last.

    Raises ValueError where ``out`` holds another study.
    """
    study = designed(wanted)
    key = out / KEY_FILE
    if key.is_file() and (other := read_study(key).id) != study.id:
        raise ValueError(
            f"{out} holds another study ({other}, this one would be {study.id}), and its answers would lose their key; "
            f"give another --out, or delete that folder"
        )
    page = out / "page"
    pictures = _write_pictures(wanted, study, page / "images", progress)
    for name in _PAGE_FILES:
        with written_beside(page / name) as temporary:
            shutil.copyfile(_PAGE / name, temporary)
    text = json.dumps(page_data(study, wanted.dataset, pictures), separators=(",", ":"), allow_nan=False)
    with written_beside(page / "study-data.js") as temporary:
        temporary.write_text(f"window.HUMAN_STUDY={text};\n", encoding="utf-8")
    _write_lists(study, pictures, out, base_url.rstrip("/"))
    write_json(key, study.to_json())
    return study


def read_study(path: Path) -> HumanStudy:
    """The study of a folder or of its ``study.json``. Raises ValueError that says what is missing or wrong."""
    file = path / KEY_FILE if path.is_dir() else path
    if not file.is_file():
        raise ValueError(f"{file}: there is no such file; give the folder that `human make` wrote, with {KEY_FILE}")
    return HumanStudy.from_json(read_json(file), str(file))


@dataclass(frozen=True, kw_only=True)
class _Pictures:
    """File names of one question."""

    label_map: str
    ours: str
    other: str
    classes: tuple[int, ...]
    """Classes of the map, the largest first."""


def flat_fill(labels: NDArray[np.integer], image: Pixels) -> Pixels:
    """``image`` (H, W, 3) with every class in its average colour: what nobody takes for a photograph."""
    ids, place = np.unique(labels, return_inverse=True)
    place = place.reshape(-1)
    counts = np.bincount(place, minlength=len(ids))[:, None]
    sums = np.stack([np.bincount(place, weights=image[..., band].reshape(-1)) for band in range(3)], axis=1)
    filled: Pixels = np.rint(sums / counts).astype(np.uint8)[place].reshape(image.shape)
    return filled


def _write_pictures(wanted: Wanted, study: HumanStudy, folder: Path, progress: Progress | None) -> dict[str, _Pictures]:
    """The pictures of every question, by its id. Files are named by content, so none is written twice."""
    dataset = wanted.dataset
    index_of = {dataset.sample_id(index): index for index in range(wanted.count)}
    sources = {source.name: source for source in wanted.against}
    by_sample: dict[str, list[Any]] = {}
    for question in study.questions:
        by_sample.setdefault(question.sample, []).append(question)
    found: dict[str, _Pictures] = {}
    for done, (sample_id, questions) in enumerate(by_sample.items(), start=1):
        index = index_of[sample_id]
        sample = dataset.load(index)
        ids, areas = np.unique(sample.labels, return_counts=True)
        classes = tuple(int(label) for label in ids[np.argsort(-areas, kind="stable")])
        label_map = _write_picture(colour_labels(sample.labels, dataset.palette), study, folder)
        for question in questions:
            if question.comparison == SENTINEL:
                pair = sample.image, flat_fill(sample.labels, sample.image)
            else:
                pair = wanted.ours.read(index), sources[question.comparison].read(index)
            ours, other = (_write_picture(pixels, study, folder) for pixels in pair)
            found[question.id] = _Pictures(label_map=label_map, ours=ours, other=other, classes=classes)
        if progress is not None:
            progress(done, len(by_sample), f"{done} of {len(by_sample)} label maps and their pictures")
    return found


def _write_picture(pixels: Pixels, study: HumanStudy, folder: Path) -> str:
    """The name of the PNG file; without the metadata that a copied file might tell its maker by."""
    digest = hashlib.sha256(study.id.encode() + str(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes())
    name = f"{digest.hexdigest()[:16]}.png"
    if not (folder / name).is_file():
        with written_beside(folder / name, durable=False) as temporary:
            Image.fromarray(pixels).save(temporary, format="PNG")
    return name


def page_data(study: HumanStudy, dataset: Dataset, pictures: Mapping[str, _Pictures]) -> dict[str, Any]:
    """What the page needs; it does not tell which picture is whose, nor which pairs are sentinels."""
    questions = {}
    for question in study.questions:
        own = pictures[question.id]
        questions[question.id] = [own.label_map, *sorted((own.ours, own.other)), list(own.classes[:_LEGEND_CLASSES])]
    places = {}
    for place in study.places:
        shown = []
        for item in place.shown:
            own = pictures[item.question]
            first_left = (own.ours <= own.other) == item.ours_left
            shown.append([item.question, int(not first_left)])
        places[place.name] = shown
    used = sorted({label for own in pictures.values() for label in own.classes[:_LEGEND_CLASSES]})
    colours = {label: "#{:02x}{:02x}{:02x}".format(*(int(band) for band in dataset.palette[label])) for label in used}
    return {
        "study": study.id,
        "ask": study.ask,
        "timeLimit": study.time_limit_s,
        "size": list(study.size_px),
        "classes": {label: [dataset.class_names[label], colours[label]] for label in used},
        "questions": questions,
        "places": places,
    }


def _write_lists(study: HumanStudy, pictures: Mapping[str, _Pictures], out: Path, base_url: str) -> None:
    _write_csv(
        out / "places.csv",
        ("study", "place", "questions", "link"),
        (
            (study.id, place.name, len(place.shown), f"{base_url or 'page'}/index.html?place={quote(place.name)}")
            for place in study.places
        ),
    )

    def lines() -> Iterable[Sequence[object]]:
        for place in study.places:
            for item in place.shown:
                own = pictures[item.question]
                left, right = (own.ours, own.other) if item.ours_left else (own.other, own.ours)
                addresses = (f"{base_url or 'page'}/images/{name}" for name in (own.label_map, left, right))
                yield (study.id, place.name, item.question, study.ask, *addresses)

    _write_csv(out / "crowd.csv", ("study", "place", "question", "ask", "map_url", "left_url", "right_url"), lines())


def _write_csv(path: Path, header: Sequence[str], lines: Iterable[Sequence[object]]) -> None:
    with written_beside(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(lines)
