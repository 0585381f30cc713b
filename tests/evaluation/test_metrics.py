"""Confusion counts and the scores that come from them, against counting pixel by pixel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bench.evaluation.metrics import confusion_counts, segmentation_scores

CLASSES = 4
SCORED = (1, 2, 3, 5)
"""Of the ground-truth ids 0 to 5; ids 0 and 4 are don't care. Class k stands for id SCORED[k]."""


def brute_force(truth: Sequence[int], predicted: Sequence[int]) -> tuple[list[float | None], int, int, int]:
    """IoU of each class in percent, right, labelled and all pixels."""
    ious: list[float | None] = []
    pairs = [(t, SCORED[p]) for t, p in zip(truth, predicted, strict=True)]
    labelled = [(t, p) for t, p in pairs if t in SCORED]
    for label in SCORED:
        both = sum(t == label and p == label for t, p in labelled)
        either = sum(label in (t, p) for t, p in labelled)
        ious.append(100.0 * both / either if any(t == label for t, _ in labelled) else None)
    return ious, sum(t == p for t, p in labelled), len(labelled), len(pairs)


pixels = st.lists(st.tuples(st.integers(0, 5), st.integers(0, CLASSES - 1)), min_size=1, max_size=60)


@settings(max_examples=200, deadline=None)
@given(pixels)
def test_scores_equal_counting_by_hand(pairs: list[tuple[int, int]]) -> None:
    truth, predicted = (list(values) for values in zip(*pairs, strict=True))
    counts = confusion_counts(np.array([truth], np.uint8), np.array([predicted]), 6, CLASSES)
    assert counts.dtype == np.int64
    assert counts.sum() == len(pairs)
    found = segmentation_scores(counts, SCORED)
    ious, right, labelled, everything = brute_force(truth, predicted)
    assert found.class_iou == pytest.approx(ious)
    present = [value for value in ious if value is not None]
    assert found.mean_iou == (pytest.approx(sum(present) / len(present)) if present else None)
    assert found.accuracy_all == pytest.approx(100.0 * right / everything)
    assert found.accuracy_labelled == (pytest.approx(100.0 * right / labelled) if labelled else None)
    in_all = segmentation_scores(counts, SCORED, "all").mean_iou
    assert in_all == (pytest.approx(sum(present) / CLASSES) if present else None)


@settings(max_examples=50, deadline=None)
@given(pixels, pixels)
def test_counts_of_images_add_up(first: list[tuple[int, int]], second: list[tuple[int, int]]) -> None:
    def counts(pairs: list[tuple[int, int]]) -> NDArray[np.int64]:
        truth, predicted = np.array(pairs).T
        return confusion_counts(truth, predicted, 6, CLASSES)

    assert np.array_equal(counts(first) + counts(second), counts(first + second))


def test_a_perfect_prediction_scores_100_and_unlabelled_pixels_count_against_one_accuracy_only() -> None:
    truth = np.array([[1, 2, 3], [5, 0, 4]])
    predicted = np.array([[0, 1, 2], [3, 0, 0]])
    found = segmentation_scores(confusion_counts(truth, predicted, 6, CLASSES), SCORED)
    assert found.mean_iou == 100.0
    assert found.accuracy_labelled == 100.0
    assert found.accuracy_all == pytest.approx(100.0 * 4 / 6)


def test_predictions_on_unlabelled_pixels_enter_no_union() -> None:
    truth = np.array([[1, 0, 0, 0]])
    found = segmentation_scores(confusion_counts(truth, np.zeros_like(truth), 6, CLASSES), SCORED)
    assert found.class_iou == [100.0, None, None, None]


def test_a_class_that_is_predicted_only_is_absent_but_counts_as_a_miss() -> None:
    truth, predicted = np.array([[1, 1]]), np.array([[0, 1]])
    found = segmentation_scores(confusion_counts(truth, predicted, 6, CLASSES), SCORED)
    assert found.class_iou == [50.0, None, None, None]
    assert found.mean_iou == 50.0


def test_without_labelled_pixels_there_is_no_score() -> None:
    found = segmentation_scores(confusion_counts(np.array([[0]]), np.array([[0]]), 6, CLASSES), SCORED)
    assert (found.mean_iou, found.accuracy_labelled, found.accuracy_all) == (None, None, 0.0)


def test_counts_do_not_overflow() -> None:
    counts = np.full((6, CLASSES), 2**40, np.int64)
    assert segmentation_scores(counts, SCORED).accuracy_all == pytest.approx(100.0 * 4 / 24)
    big = np.zeros((300, 300), np.uint8)
    assert confusion_counts(big + 199, big + 198, 200, 199)[199, 198] == 90_000


def test_errors_are_explained() -> None:
    zeros = np.zeros((2, 2), np.int64)
    with pytest.raises(ValueError, match=r"label map has shape \(2, 2\) but the prediction \(4,\)"):
        confusion_counts(zeros, zeros.ravel(), 6, CLASSES)
    with pytest.raises(ValueError, match="label map has values 6 to 6; allowed are 0 to 5"):
        confusion_counts(zeros + 6, zeros, 6, CLASSES)
    with pytest.raises(ValueError, match="prediction has values -1 to -1; allowed are 0 to 3"):
        confusion_counts(zeros, zeros - 1, 6, CLASSES)
    with pytest.raises(ValueError, match="counts have 3 predicted classes but 4 ids are scored"):
        segmentation_scores(np.zeros((6, 3), np.int64), SCORED)
