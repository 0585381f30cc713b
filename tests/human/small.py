"""A small study on the embedded world: the systems' pictures are its real scenes, more and less blurred."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from bench.data.synthetic import SyntheticScenes
from bench.human.answers import Answer
from bench.human.design import HumanStudy, Plan
from bench.human.making import Wanted, write_study
from bench.human.sources import open_source
from bench.store import Store

BLURS = {"SPADE": 1.0, "CRN": 2.0, "pix2pixHD": 3.0}


def scenes(count: int, side_px: int = 32) -> SyntheticScenes:
    return SyntheticScenes(split="val", size=(side_px, side_px), images=count)


def write_systems(folder: Path, dataset: SyntheticScenes) -> dict[str, Path]:
    """A folder of pictures for each system of :data:`BLURS`."""
    for name, radius in BLURS.items():
        (folder / name).mkdir(parents=True)
        for index in range(len(dataset)):
            picture = Image.fromarray(dataset.load(index).image).filter(ImageFilter.GaussianBlur(radius))
            picture.save(folder / name / f"{dataset.sample_id(index)}.png")
    return {name: folder / name for name in BLURS}


def wanted(folder: Path, *, images: int = 8, side_px: int = 32, against: tuple[str, ...], **plan: Any) -> Wanted:
    dataset = scenes(images, side_px)
    folders = write_systems(folder, dataset)
    sources = {name: open_source(name, str(folders[name]), dataset, images, Store(folder)) for name in folders}
    fields = {"questions": images, "raters": 3, "per_rater": 12, "sentinels": 2, **plan}
    return Wanted(
        dataset=dataset,
        title="Cityscapes",  # whose published cells the tests look for
        count=images,
        ours=sources["SPADE"],
        against=tuple(sources[name] for name in against),
        plan=Plan(**fields),
    )


def small_study(folder: Path, *, against: tuple[str, ...] = ("CRN", "pix2pixHD"), **plan: Any) -> HumanStudy:
    """Written to ``folder / "study"``; see :func:`wanted`."""
    return write_study(wanted(folder / "systems", against=against, **plan), folder / "study")


def answer(study: HumanStudy, place: str, question: str, *, ours: bool, rater: str = "", **fields: Any) -> Answer:
    """An answer that prefers ours (of a sentinel: the real photograph), or not."""
    values = {"seconds": 1.0, "answered_at": "", "file": "made.csv", **fields}
    left = ours == study.ours_left[(place, question)]
    return Answer(study=study.id, place=place, rater=rater or f"rater {place}", question=question, left=left, **values)


def all_answers(study: HumanStudy, prefers: Callable[[str, str, str], bool]) -> list[Answer]:
    """Every wanted answer; ``prefers`` (rater, question, comparison) says whether it is ours."""
    return [
        answer(
            study,
            place.name,
            shown.question,
            ours=prefers(f"rater {place.name}", shown.question, study.by_id[shown.question].comparison),
        )
        for place in study.places
        for shown in place.shown
    ]


def pixels(path: Path) -> Any:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))
