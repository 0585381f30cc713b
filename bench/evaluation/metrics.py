"""Scores from a confusion matrix. Counts are int64 throughout: sums of millions of pixels lose nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]


def confusion_counts(
    truth: NDArray[np.integer], predicted: NDArray[np.integer], truth_ids: int, classes: int
) -> Counts:
    """(truth_ids, classes) counts of pixels by ground-truth id (row) and predicted class (column).

    Ids that are not scored (don't care) have rows too, so that every accuracy convention comes from the same counts.
    Raises ValueError for arrays of different shape or values outside the ids.
    """
    if truth.shape != predicted.shape:
        raise ValueError(f"label map has shape {truth.shape} but the prediction {predicted.shape}; they must be equal")
    for name, values, limit in (("label map", truth, truth_ids), ("prediction", predicted, classes)):
        if values.size and not 0 <= int(values.min()) <= int(values.max()) < limit:
            raise ValueError(f"{name} has values {values.min()} to {values.max()}; allowed are 0 to {limit - 1}")
    pairs = truth.astype(np.int64).ravel() * classes + predicted.astype(np.int64).ravel()
    return np.bincount(pairs, minlength=truth_ids * classes).reshape(truth_ids, classes)


@dataclass(frozen=True, kw_only=True)
class Segmentation:
    """The scores of one confusion matrix, in percent."""

    mean_iou: float | None
    """None where no class has any pixel."""
    accuracy_all: float | None
    """Unlabelled pixels count as errors."""
    accuracy_labelled: float | None
    """Over labelled pixels only."""
    class_iou: list[float | None]
    """By scored class; None for classes without a ground-truth pixel."""


def segmentation_scores(counts: Counts, scored: tuple[int, ...], class_mean: str = "present") -> Segmentation:
    """mIoU and accuracies from ``counts`` (ground-truth ids, predicted classes).

    ``scored`` are the ground-truth ids that have a class; the column of id ``scored[k]`` is k. Pixels of other rows
    are unlabelled: they enter no IoU and count in ``accuracy_all`` alone. ``class_mean="present"`` averages over the
    classes with a ground-truth pixel (as DeepLabV2's published scorer), ``"all"`` counts the others as 0.
    """
    labelled = counts[list(scored)]
    if labelled.shape[1] != len(scored):
        raise ValueError(
            f"counts have {counts.shape[1]} predicted classes but {len(scored)} ids are scored; they must agree"
        )
    right = np.diag(labelled)
    truth = labelled.sum(axis=1)
    union = truth + labelled.sum(axis=0) - right
    ious = [100.0 * int(r) / int(u) if t else None for r, t, u in zip(right, truth, union, strict=True)]
    present = [value for value in ious if value is not None]
    averaged = present if class_mean == "present" else [value or 0.0 for value in ious]
    total, total_labelled, hits = int(counts.sum()), int(truth.sum()), int(right.sum())
    return Segmentation(
        mean_iou=sum(averaged) / len(averaged) if present else None,
        accuracy_all=100.0 * hits / total if total else None,
        accuracy_labelled=100.0 * hits / total_labelled if total_labelled else None,
        class_iou=ious,
    )
