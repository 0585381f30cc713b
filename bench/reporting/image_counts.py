"""Per-image confusion counts, and the scores of any weighting of the images. Free of torch and pandas.

A score over a split is a function of counts summed over its images, so the score of a resample of the images is that of
a weighted sum: a matrix product instead of a new evaluation.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.evaluation.metrics import ClassMean
from bench.store import Store

SEGMENTATION = ("mIoU", "accu@all", "accu@labelled")
"""The metrics that per-image counts determine."""
Floats = NDArray[np.floating]


@dataclass(frozen=True, kw_only=True)
class ImageCounts:
    """What the scores of N images with K judge classes are computed from, pixels as float32."""

    hits: Floats
    """(N, K): pixels of a class that were labelled so."""
    union: Floats
    """(N, K): ground truth + predictions - hits."""
    truth: Floats
    """(N, K): ground-truth pixels."""
    pixels: Floats
    """(N,): all pixels, unlabelled ones too."""
    sample_ids: tuple[str, ...]
    """Of the images, in order."""

    @property
    def images(self) -> int:
        return len(self.pixels)

    def scores(self, metric: str, weights: Floats, class_mean: ClassMean) -> NDArray[np.float64]:
        """(B,) scores in percent of B weightings (B, N) of the images.

        With every weight 1 it is the evaluation's own score (:func:`bench.evaluation.metrics.segmentation_scores`). A
        resample without any labelled pixel has no score: NaN. Raises ValueError for a metric that is not one of
        SEGMENTATION.
        """
        if metric not in SEGMENTATION:
            raise ValueError(
                f"{metric} does not follow from confusion counts; those that do: {', '.join(SEGMENTATION)}"
            )
        if metric == "mIoU":
            hits = weights @ self.hits
            truth, union = weights @ self.truth, weights @ self.union
            averaged = {"present": truth > 0, "all": np.ones_like(truth, dtype=bool), "union": union > 0}[class_mean]
            ious = np.where(averaged, hits / np.maximum(union, 1.0), 0.0).sum(axis=1, dtype=np.float64)
            classes = averaged.sum(axis=1)
            some = truth.sum(axis=1) > 0
            return np.where(some, 100.0 * ious / np.maximum(classes, 1), np.nan)
        of = self.pixels if metric == "accu@all" else self.truth.sum(axis=1)
        total = (weights @ of).astype(np.float64)
        right = (weights @ self.hits.sum(axis=1)).astype(np.float64)
        return np.where(total > 0, 100.0 * right / np.maximum(total, 1.0), np.nan)


def read_counts(path: Path) -> ImageCounts | None:
    """The counts of an evaluation's ``confusion.npz``; None where it has none (a protocol without a judge).

    Raises ValueError that names a file which is no such file.
    """
    if not path.is_file():
        return None
    try:
        with np.load(path) as arrays:
            rows, class_of, ids = arrays["per_image"], arrays["class_of"], arrays["sample_ids"]
            classes = int(arrays["total"].shape[1])
    except (OSError, KeyError, ValueError, EOFError) as error:
        raise ValueError(f"{path}: not a file of confusion counts ({error}); judge again to write it anew") from error
    images = len(ids)
    image, label, predicted, pixels = rows.T
    true_class = class_of[label]
    labelled = true_class >= 0

    def summed(columns: NDArray[np.int64], which: NDArray[np.bool_]) -> Floats:
        places = image[which] * classes + columns[which]
        return np.bincount(places, weights=pixels[which], minlength=images * classes).reshape(images, classes)

    truth = summed(true_class, labelled)
    hits = summed(true_class, labelled & (true_class == predicted))
    union = truth + summed(predicted, labelled) - hits
    return ImageCounts(
        hits=hits.astype(np.float32),
        union=union.astype(np.float32),
        truth=truth.astype(np.float32),
        pixels=np.bincount(image, weights=pixels, minlength=images).astype(np.float32),
        sample_ids=tuple(str(name) for name in ids),
    )


class CountsReader:
    """Counts of a store's evaluations, each read once."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._read: dict[str, ImageCounts | None] = {}
        self.unreadable: list[str] = []
        """Files that were passed over, with the reason."""

    def __call__(self, eval_id: str) -> ImageCounts | None:
        """The counts of an evaluation, or None where it has none that can be read."""
        if eval_id not in self._read:
            try:
                self._read[eval_id] = read_counts(self.store.confusion_file(eval_id))
            except ValueError as error:
                self.unreadable.append(str(error))
                self._read[eval_id] = None
        return self._read[eval_id]
