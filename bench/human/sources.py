"""Where the pictures of a system come from: a folder, a run of the store, or the real photographs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.data.dataset import Dataset
from bench.evaluation.image_folder import ImageFolderError, open_image_folder
from bench.store import Evaluation, RunFolder, Store

REAL = "real"
"""In place of a folder or run: the real photographs."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """The pictures of one system for every validation sample."""

    name: str
    described: str
    """Where they come from, with a hash of their content."""
    read: Callable[[int], NDArray[np.uint8]]
    """The picture of the sample at an index, (H, W, 3) uint8 RGB."""


def named(text: str, option: str) -> tuple[str, str]:
    """``NAME=PLACE`` as (name, place). Raises ValueError that says how to write it."""
    name, equals, place = text.partition("=")
    if not equals or not name.strip() or not place.strip():
        raise ValueError(f"{option} is {text!r}; write NAME=DIR, NAME=RUN or NAME=real, such as CRN=/data/crn")
    return name.strip(), place.strip()


def run_meant(place: str, store: Store) -> RunFolder | None:
    """The run that ``place`` names, or None where it is a folder or the real photographs. Raises as `find_run`."""
    return None if place == REAL or Path(place).is_dir() else store.find_run(place)


def open_source(name: str, place: str, dataset: Dataset, count: int, store: Store) -> Source:
    """The pictures that ``place`` names for the first ``count`` samples of ``dataset``.

    Raises ValueError where they are not there, and ImageFolderError listing every file that does not fit.
    """
    if place == REAL:
        return Source(name=name, described="the real photographs", read=lambda index: dataset.load(index).image)
    run = run_meant(place, store)
    if run is None:
        folder, told = Path(place), f"folder {Path(place).resolve().name}"
    else:
        judged = _evaluation(run, dataset, store)
        assert judged.step is not None
        folder = run.generated(judged.step, judged.spec)
        told = f"run {run.name}, step {judged.step}, {judged.spec.weights} weights, noise seed {judged.spec.noise_seed}"
    try:
        files = open_image_folder(folder, dataset, count)
    except ImageFolderError as error:
        raise ImageFolderError(f"the pictures of {name}: {error}") from None
    return Source(name=name, described=f"{told}, sha256 {files.sha256[:12]}", read=files.read)


def _evaluation(run: RunFolder, dataset: Dataset, store: Store) -> Evaluation:
    """The evaluation whose pictures stand for a run: of the latest step, moving averages before raw weights."""
    spec = run.spec()
    found = [
        item
        for item in store.evaluations()
        if item.spec.run_id == spec.run_id
        and item.step is not None
        and item.spec.dataset.val_manifest == dataset.manifest_hash
        and run.generated(item.step, item.spec).is_dir()
    ]
    if not found:
        raise ValueError(
            f"run {run.name} has no pictures of the {dataset.name} validation maps that are meant; generate and judge "
            f"them first: ./run_study.py evaluate --run {spec.run_id}"
        )
    return max(found, key=lambda item: (item.step or 0, item.spec.weights == "ema", -item.spec.noise_seed))
