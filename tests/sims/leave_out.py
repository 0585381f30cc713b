"""The whole trial of SIMS leave-one-out: networks that never saw the pictures that they are judged on."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from baselines.sims.canvas import IDENTITY, source_pixels
from bench.sims.arranging import arrange
from bench.sims.bank import open_bank
from bench.sims.composing import compose, shares
from bench.sims.learning import Learning
from bench.sims.ordering import train_order
from bench.sims.retrieval import query_segments, read_retrieved, retrieve
from bench.sims.stage import load_arrays
from bench.sims.transforming import read_transformation, train_transformation, transform
from bench.sims.workspace import Choice, Workspace


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What came of one seed, over all pictures, each judged by networks that learned nothing of it."""

    scores: Mapping[str, Mapping[str, float]]
    """Row to covered, label_agreement, label_miou and colour_l1 (``bench.sims.composing.shares``); for each random
    order one of its own, named "ROW, order SEED"."""
    before: NDArray[np.float64]
    """(Q,) IoU of each retrieved segment with its region where it was."""
    after: NDArray[np.float64]
    """(Q,) and where the transformation network puts it."""
    areas: NDArray[np.int64]
    """(Q,) px of the regions."""


def run_trial(
    workspace: Workspace,
    folds: Sequence[Sequence[int]],
    rows: Mapping[str, Choice],
    *,
    transformation: Learning,
    ordering: Learning,
    width: int,
    order_seeds: Sequence[int] = (0,),
) -> Trial:
    """Train on the pictures outside each fold, judge those inside it. The bank of ``workspace`` is there already.

    Rows of random order are judged once for each of ``order_seeds``."""
    sums: dict[str, list[NDArray[np.float64]]] = defaultdict(list)
    counts: dict[str, list[NDArray[np.int64]]] = defaultdict(list)
    overlaps = []
    for number, fold in enumerate(folds):
        here = replace(workspace, folder=workspace.folder / f"fold-{number}")
        here.folder.mkdir()
        here.write()
        shutil.copytree(workspace.place("bank"), here.place("bank"))
        held = [open_bank(here)[0].ids[index] for index in fold]
        options: dict[str, Any] = {"width": width, "leave_out": held, "device": "cpu"}
        train_transformation(here, transformation, **options)
        train_order(here, ordering, **options)
        for name, choice in rows.items():
            retrieve(here, choice, seed=transformation.seed)
            transform(here, choice, device="cpu")
            for seed in order_seeds if choice.random_order else (0,):
                arrange(here, choice, seed=seed, device="cpu")
                record, _ = compose(here, choice)
                arrays = load_arrays(record.folder / "agreement.npz")
                row = f"{name}, order {seed}" if choice.random_order else name
                sums[row].append(arrays["sums"][list(fold)])
                counts[row].append(arrays["classes"][list(fold)])
        overlaps.append(segment_overlaps(here, next(iter(rows.values())), fold))
    before, after, areas = np.concatenate(overlaps, 1)
    scores = {
        row: shares(np.concatenate(each).sum(0), np.concatenate(counts[row]).sum(0)) for row, each in sums.items()
    }
    return Trial(scores=scores, before=before, after=after, areas=areas.astype(np.int64))


def segment_overlaps(workspace: Workspace, choice: Choice, maps: Sequence[int]) -> NDArray[np.float64]:
    """(3, Q) IoU of the first retrieved where it was and of the one placed with the region, and the region's area."""
    bank, _ = open_bank(workspace)
    dataset = workspace.open(choice.split)
    retrieved, _ = read_retrieved(workspace, choice)
    theta, chosen, _ = read_transformation(workspace, choice)
    found = []
    for index in maps:
        regions = query_segments(workspace, dataset, index).masks
        for query, region in zip(retrieved.of_map(index), regions, strict=True):
            if retrieved.found[query, 0] >= 0:
                first, taken = (bank.mask(int(retrieved.found[query, place])) for place in (0, chosen[query]))
                found.append((overlap(first, IDENTITY, region), overlap(taken, theta[query], region), region.sum()))
    return np.array(found, np.float64).T


def overlap(mask: NDArray[np.bool_], theta: NDArray[np.float64], region: NDArray[np.bool_]) -> float:
    """IoU of a segment, moved in whole pixels as the canvas has it, and a region; both (H, W)."""
    source, inside = source_pixels(theta, (mask.shape[0], mask.shape[1]))
    moved = inside & mask.ravel()[source]
    return float((moved & region).sum() / (moved | region).sum())
