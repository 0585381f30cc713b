"""Retrieval: for each segment of a label map the bank's segments of the same class that overlap it best."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from baselines.sims.overlap import best, cell_counts, intersections, iou, packed
from baselines.sims.segments import Segments, find_segments
from bench.data.dataset import Dataset
from bench.sims.bank import Bank, open_bank
from bench.sims.stage import (
    Arrays,
    Progress,
    Record,
    Stage,
    check_made_from,
    in_parts,
    load_arrays,
    read_record,
    run_stage,
    save_arrays,
)
from bench.sims.workspace import Choice, Workspace

FILE = "retrieved.npz"
TOP = 10
"""Segments found for each (published)."""
_MAPS_PER_PART = 256
_STREAM = 0x5E6


@dataclass(frozen=True, kw_only=True)
class Retrieved:
    """What was found for the segments of a split's label maps, (Q,) segments in the order of the maps."""

    map_of: NDArray[np.int64]
    """(Q,) index of the label map in its split."""
    class_of: NDArray[np.int64]
    """(Q,) class of the segment."""
    found: NDArray[np.int64]
    """(Q, top) numbers of the bank's segments, best first; -1 where the bank has no more of the class."""
    iou: NDArray[np.float64]
    """(Q, top) their overlap; 0 where there is none."""

    def of_map(self, index: int) -> NDArray[np.int64]:
        """Which of the Q segments belong to a label map: those of ``query_segments``, in the same order."""
        return np.flatnonzero(self.map_of == index)


def class_map(workspace: Workspace, dataset: Dataset, index: int) -> NDArray[Any]:
    """(H, W) classes of a label map."""
    return np.asarray(workspace.classes.of_label[dataset.load(index).labels])


def query_segments(workspace: Workspace, dataset: Dataset, index: int) -> Segments:
    """The segments that a label map asks for."""
    return find_segments(class_map(workspace, dataset, index), workspace.rule)


def retrieve(
    workspace: Workspace, choice: Choice, *, seed: int = 0, again: bool = False, progress: Progress = lambda *_: None
) -> tuple[Record, bool]:
    """Find ``TOP`` segments for each segment of the split's maps. A training map never finds its own picture's.

    Returns (record, whether it had to be made).
    """
    bank, bank_record = open_bank(workspace)
    dataset = workspace.open(choice.split)
    folder = workspace.place("retrieval", choice.retrieval)
    settings: dict[str, Any] = {"split": choice.split, "top": TOP, "random": choice.random_retrieval}
    if choice.random_retrieval:
        settings["seed"] = seed
    inputs = {"bank": bank_record.content, choice.split: workspace.manifest(dataset)}
    stage = Stage(name="retrieve", folder=folder, settings=settings, inputs=inputs)

    def work() -> Mapping[str, Any]:
        queries = _queries(workspace, dataset, folder, progress)
        search = _Search(bank=bank, queries=queries, own=choice.split == "train")
        found = search.random(dataset, seed) if choice.random_retrieval else search.all(progress)
        save_arrays(
            folder / FILE,
            {"map_of": queries["map_of"], "class_of": queries["class_of"], "found": found[0], "iou": found[1]},
        )
        (folder / "queries.npz").unlink()
        first = found[1][:, 0]
        return {
            "maps": workspace.count(dataset),
            "segments": len(first),
            "bank_segments": len(bank),
            "without_any": int((found[0][:, 0] < 0).sum()),
            "mean_iou_of_first": round(float(first.mean()), 4) if len(first) else None,
            "candidates": int(search.candidates),
            "looked_at_in_full": int(search.looked),
        }

    return run_stage(stage, work, again=again)


def _queries(workspace: Workspace, dataset: Dataset, folder: Path, progress: Progress) -> Arrays:
    """Class, map, bits and counts of all segments asked for."""

    def part(maps: range) -> Arrays:
        each = [query_segments(workspace, dataset, index) for index in maps]
        return {
            "map_of": np.concatenate([np.full(len(s), index, np.int64) for index, s in zip(maps, each, strict=True)]),
            "class_of": np.concatenate([s.classes for s in each]),
            "bits": np.concatenate([packed(s.masks) for s in each]),
            "counts": np.concatenate([cell_counts(s.masks) for s in each]),
        }

    count = workspace.count(dataset)
    return in_parts(folder / "queries.npz", count, part, per=_MAPS_PER_PART, what="label maps read", progress=progress)


class _Search:
    """One retrieval: its queries, the bank, and how much was looked at."""

    def __init__(self, *, bank: Bank, queries: Arrays, own: bool) -> None:
        self.bank, self.queries, self.own = bank, queries, own
        self.candidates = self.looked = 0
        total = len(queries["map_of"])
        self.found = np.full((total, TOP), -1, np.int64)
        self.iou = np.zeros((total, TOP))

    def all(self, progress: Progress) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The best of the bank for every query, class by class."""
        done = 0
        for label in np.unique(self.queries["class_of"]):
            numbers = self.bank.of_class(int(label))
            counts, areas = self.bank.counts(numbers), self.bank.areas[numbers]
            for query in np.flatnonzero(self.queries["class_of"] == label):
                places, values, looked = best(
                    self.queries["bits"][query],
                    self.queries["counts"][query].astype(np.float32),
                    lambda chosen, numbers=numbers: self.bank.bits(numbers[chosen]),  # type: ignore[misc]
                    counts,
                    areas,
                    top=TOP,
                    excluded=self._excluded(query, numbers),
                )
                self.found[query, : len(places)], self.iou[query, : len(places)] = numbers[places], values
                self.candidates += len(numbers)
                self.looked += looked
                done += 1
                progress(done, len(self.found), f"{done:,} of {len(self.found):,} segments found")
        return self.found, self.iou

    def random(self, dataset: Dataset, seed: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Random segments of the class for every query, in no order."""
        for query in range(len(self.found)):
            index = int(self.queries["map_of"][query])
            name = zlib.crc32(dataset.sample_id(index).encode())
            nth = query - int(np.searchsorted(self.queries["map_of"], index))
            rng = np.random.default_rng((_STREAM, seed, name, nth))
            numbers = self.bank.of_class(int(self.queries["class_of"][query]))
            excluded = self._excluded(query, numbers)
            allowed = numbers if excluded is None else numbers[~excluded]
            chosen = rng.permutation(allowed)[:TOP]
            area = int(self.queries["counts"][query].sum())
            shared = intersections(self.queries["bits"][query], self.bank.bits(chosen))
            self.found[query, : len(chosen)] = chosen
            self.iou[query, : len(chosen)] = iou(shared, area, self.bank.areas[chosen])
        return self.found, self.iou

    def _excluded(self, query: np.integer | int, numbers: NDArray[np.int64]) -> NDArray[np.bool_] | None:
        """Which of ``numbers`` come from the query's own picture, where that is in the bank."""
        return self.bank.image_of[numbers] == self.queries["map_of"][query] if self.own else None


def read_retrieved(workspace: Workspace, choice: Choice) -> tuple[Retrieved, Record]:
    """The finished retrieval. Raises StageError where it is not there, or the bank changed since."""
    options = f"--split {choice.split}" + (" --random-retrieval" if choice.random_retrieval else "")
    record = read_record(workspace.place("retrieval", choice.retrieval), f"retrieve {options}")
    arrays = load_arrays(record.folder / FILE)
    found = Retrieved(map_of=arrays["map_of"], class_of=arrays["class_of"], found=arrays["found"], iou=arrays["iou"])
    _, bank_record = open_bank(workspace)
    check_made_from(record, "bank", bank_record, f"retrieve {options}")
    return found, record
