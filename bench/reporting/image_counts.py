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
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ImageCounts:
    """What the scores of N images with K judge classes are computed from, in pixels."""

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

    def scores(self, metric: str, weights: Floats, class_mean: ClassMean) -> Floats:
        """(B,) scores in percent of B weightings (B, N) of the images.

        With every weight 1 it is the evaluation's own score (:func:`bench.evaluation.metrics.segmentation_scores`). A
        resample without any labelled pixel has no score: NaN. Raises ValueError for a metric that is not one of
        SEGMENTATION.
        """
        _check(metric)
        if metric == "mIoU":
            return _mean_iou(weights @ self.hits, weights @ self.union, weights @ self.truth, class_mean)
        return _share(weights @ self.hits.sum(axis=1), weights @ self._of(metric))

    def leave_one_out(self, metric: str, class_mean: ClassMean) -> Floats:
        """(N,) scores in percent of all images but one, for each of them; as :meth:`scores`, without the weights."""
        _check(metric)
        if metric == "mIoU":
            hits, union, truth = (item.sum(axis=0) - item for item in (self.hits, self.union, self.truth))
            return _mean_iou(hits, union, truth, class_mean)
        right, of = self.hits.sum(axis=1), self._of(metric)
        return _share(right.sum() - right, of.sum() - of)

    def _of(self, metric: str) -> Floats:
        """(N,) pixels that an accuracy is a share of."""
        return self.pixels if metric == "accu@all" else self.truth.sum(axis=1)


def _check(metric: str) -> None:
    if metric not in SEGMENTATION:
        raise ValueError(f"{metric} does not follow from confusion counts; those that do: {', '.join(SEGMENTATION)}")


def _mean_iou(hits: Floats, union: Floats, truth: Floats, class_mean: ClassMean) -> Floats:
    """(B,) from (B, K); see :func:`bench.evaluation.metrics.segmentation_scores` for the rules."""
    averaged = {"present": truth > 0, "all": np.ones_like(truth, dtype=bool), "union": union > 0}[class_mean]
    ious = np.where(averaged, hits / np.maximum(union, 1.0), 0.0).sum(axis=1)
    classes = np.maximum(averaged.sum(axis=1), 1)
    means: Floats = np.where(truth.sum(axis=1) > 0, 100.0 * ious / classes, np.nan)
    return means


def _share(part: Floats, whole: Floats) -> Floats:
    shares: Floats = np.where(whole > 0, 100.0 * part / np.maximum(whole, 1.0), np.nan)
    return shares


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
        counts = np.bincount(places, weights=pixels[which].astype(np.float64), minlength=images * classes)
        return counts.astype(np.float64).reshape(images, classes)

    truth = summed(true_class, labelled)
    hits = summed(true_class, labelled & (true_class == predicted))
    union = truth + summed(predicted, labelled) - hits
    return ImageCounts(
        hits=hits,
        union=union,
        truth=truth,
        pixels=np.bincount(image, weights=pixels.astype(np.float64), minlength=images).astype(np.float64),
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
