"""Scores from a confusion matrix. Counts are int64 throughout: sums of millions of pixels lose nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
ClassMean = Literal["present", "all", "union"]
"""Classes that mIoU averages over, by the repository whose rule it is; see ``segmentation_scores``."""


def confusion_counts(
    truth: NDArray[np.integer], predicted: NDArray[np.integer], truth_ids: int, classes: int
) -> Counts:
    """(truth_ids, classes) counts of pixels by ground-truth label id (row) and predicted judge class (column).

    Label ids that no class stands for (don't care) have rows too, so that every accuracy convention comes from the
    same counts. Raises ValueError for arrays of different shape or values outside the ids.
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
    """The mean of ``class_iou`` without its None; None without any labelled pixel."""
    accuracy_all: float | None
    """Over all pixels: unlabelled ones count as errors. None without any pixel."""
    accuracy_labelled: float | None
    """Over labelled pixels only. None where there are none."""
    class_iou: list[float | None]
    """By judge class; None for the classes that the mean leaves out."""
    class_pixels: list[int]
    """Ground-truth pixels, by judge class."""


def class_confusion(counts: Counts, class_of: Sequence[int | None]) -> Counts:
    """(K, K) counts by true and predicted judge class, from ``counts`` (label ids, K).

    The rows of label ids that share a class are added; those of unlabelled ids (``class_of[id]`` is None) are left
    out, so what was predicted there is in no class's union. Raises ValueError where ``class_of`` has another length
    than ``counts`` has rows, or names a class that has no column.
    """
    if counts.ndim != 2 or not np.issubdtype(counts.dtype, np.integer):
        raise ValueError(
            f"counts have shape {counts.shape} and type {counts.dtype}; expected integers (label ids, judge classes)"
        )
    ids, classes = counts.shape
    if len(class_of) != ids:
        raise ValueError(f"counts have {ids} rows but class_of maps {len(class_of)} label ids; it must map every row")
    outside = {label: k for label, k in enumerate(class_of) if k is not None and not 0 <= k < classes}
    if outside:
        listed = ", ".join(f"label id {label} to class {k}" for label, k in outside.items())
        raise ValueError(f"class_of maps {listed}; the judge's classes are 0 to {classes - 1} (None: unlabelled)")
    labelled = np.array([label for label, k in enumerate(class_of) if k is not None], np.intp)
    merged = np.zeros((classes, classes), np.int64)
    np.add.at(merged, np.array([class_of[label] for label in labelled], np.intp), counts[labelled])
    return merged


def segmentation_scores(counts: Counts, class_of: Sequence[int | None], class_mean: ClassMean) -> Segmentation:
    """mIoU and accuracies from ``counts`` (label ids, judge classes), int64.

    ``class_of[label id]`` is the judge class that stands for a ground-truth label id, or None where it is unlabelled;
    several ids may share a class. Unlabelled pixels enter no IoU, whatever was predicted there (so do all three
    repositories below), and count in ``accuracy_all`` alone, as errors. A class's IoU is hits / (ground truth +
    predictions - hits). ``class_mean`` says over which of the judge's classes they are averaged:

    - ``"present"``: those with a ground-truth pixel; a class that is only predicted is left out. kazuto1011/
      deeplab-pytorch (libs/utils/metric.py at b88e760b; its author in issue 45, January 2019; before, as "union").
    - ``"all"``: all of them, 0 for those that occur nowhere. CSAILVision/semantic-segmentation-pytorch (eval.py,
      utils.py), which also adds 1e-10 pixel to each union; that lowers an IoU by a factor of at most 1 - 1e-10 and is
      not done here.
    - ``"union"``: those with a ground-truth or a predicted pixel; a class that is only predicted counts as 0. fyu/drn
      (segment.py: nanmean over its per-class IoU).

    Raises ValueError for another rule and as ``class_confusion`` does.
    """
    if class_mean not in get_args(ClassMean):
        raise ValueError(f"class_mean is {class_mean!r}; allowed are: {', '.join(get_args(ClassMean))}")
    confusion = class_confusion(counts, class_of)
    hits, truth = np.diag(confusion), confusion.sum(axis=1)
    union = truth + confusion.sum(axis=0) - hits
    averaged = {"present": truth > 0, "all": np.ones_like(truth, dtype=bool), "union": union > 0}[class_mean]
    ious = [
        100.0 * int(h) / max(1, int(u)) if within else None for h, u, within in zip(hits, union, averaged, strict=True)
    ]
    values = [value for value in ious if value is not None]
    pixels, labelled, right = int(counts.sum()), int(truth.sum()), int(hits.sum())
    return Segmentation(
        mean_iou=sum(values) / len(values) if labelled else None,
        accuracy_all=100.0 * right / pixels if pixels else None,
        accuracy_labelled=100.0 * right / labelled if labelled else None,
        class_iou=ious,
        class_pixels=truth.tolist(),
    )
