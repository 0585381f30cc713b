"""Confusion counts and the scores that come from them, against counting pixel by pixel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bench.evaluation.metrics import ClassMean, class_confusion, confusion_counts, segmentation_scores

IDS, CLASSES = 7, 5
CLASS_OF = (None, 0, 1, 2, None, 3, 1)
"""Of the label ids 0 to 6: ids 0 and 4 are unlabelled, ids 2 and 6 share class 1, and class 4 has no label id."""
RULES = get_args(ClassMean)


def slow_ious(truth: Sequence[int], predicted: Sequence[int], rule: str) -> list[float | None]:
    """IoU of each class in percent, as sets of pixels; None for those that ``rule`` does not average."""
    ious: list[float | None] = []
    labelled = {n for n, label in enumerate(truth) if CLASS_OF[label] is not None}
    for k in range(CLASSES):
        true = {n for n in labelled if CLASS_OF[truth[n]] == k}
        found = {n for n in labelled if predicted[n] == k}
        if (rule == "present" and not true) or (rule == "union" and not true | found):
            ious.append(None)
        else:
            ious.append(100.0 * len(true & found) / len(true | found) if true | found else 0.0)
    return ious


pixels = st.lists(st.tuples(st.integers(0, IDS - 1), st.integers(0, CLASSES - 1)), min_size=1, max_size=60)


@settings(max_examples=150, deadline=None)
@given(pixels, st.sampled_from(RULES))
def test_scores_equal_counting_pixel_by_pixel(pairs: list[tuple[int, int]], rule: ClassMean) -> None:
    truth, predicted = (list(values) for values in zip(*pairs, strict=True))
    counts = confusion_counts(np.array([truth], np.uint8), np.array([predicted]), IDS, CLASSES)
    assert counts.dtype == np.int64
    assert counts.sum() == len(pairs)
    found = segmentation_scores(counts, CLASS_OF, rule)
    classes = [(CLASS_OF[label], p) for label, p in pairs]
    labelled = [(k, p) for k, p in classes if k is not None]
    right = sum(k == p for k, p in labelled)
    ious = slow_ious(truth, predicted, rule)
    averaged = [value for value in ious if value is not None]
    assert found.class_iou == pytest.approx(ious)
    assert found.mean_iou == (pytest.approx(sum(averaged) / len(averaged)) if labelled else None)
    assert found.accuracy_all == pytest.approx(100.0 * right / len(pairs))
    assert found.accuracy_labelled == (pytest.approx(100.0 * right / len(labelled)) if labelled else None)
    assert found.class_pixels == [sum(k == other for k, _ in labelled) for other in range(CLASSES)]


def published_mean_iou(confusion: NDArray[np.int64], rule: str) -> float:
    """The three repositories' last lines, as their formulas read, on a (K, K) confusion matrix of labelled pixels."""
    hits, truth, found = np.diag(confusion), confusion.sum(1), confusion.sum(0)
    if rule == "all":  # CSAIL: summed intersections over summed unions and 1e-10, mean over every class
        return float(np.mean(hits / (truth + found - hits + 1e-10)))
    with np.errstate(invalid="ignore"):
        ious = hits / (truth + found - hits)
    return float(np.nanmean(ious[truth > 0] if rule == "present" else ious))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("seed", range(5))
def test_the_means_are_those_of_the_three_repositories(rule: ClassMean, seed: int) -> None:
    random = np.random.default_rng(seed)
    classes = 19
    truth = random.choice([2, 3, 5, 7, 11, 13], (40, 50))
    predicted = np.where(random.random(truth.shape) < 0.7, truth, random.integers(0, 15, truth.shape))
    counts = confusion_counts(truth, predicted, classes, classes)
    found = segmentation_scores(counts, range(classes), rule).mean_iou
    assert found == pytest.approx(100.0 * published_mean_iou(counts, rule), rel=1e-9)


def test_the_rules_differ_as_their_repositories_do() -> None:
    """Four labelled pixels: class 0 right, class 1 taken for class 2 once and right once; class 3 is nowhere."""
    counts = np.zeros((IDS, CLASSES), np.int64)
    counts[1, 0], counts[2, 1], counts[6, 2] = 2, 1, 1
    counts[0, 3] = 5  # predicted on unlabelled pixels only: in no union
    scores = {rule: segmentation_scores(counts, CLASS_OF, rule) for rule in RULES}
    assert scores["present"].class_iou == [100.0, 50.0, None, None, None]
    assert scores["union"].class_iou == [100.0, 50.0, 0.0, None, None]
    assert scores["all"].class_iou == [100.0, 50.0, 0.0, 0.0, 0.0]
    assert [scores[rule].mean_iou for rule in ("present", "union", "all")] == [75.0, 50.0, 30.0]
    for found in scores.values():
        assert found.accuracy_labelled == 75.0
        assert found.accuracy_all == pytest.approx(100.0 * 3 / 9)


@settings(max_examples=50, deadline=None)
@given(pixels, pixels)
def test_counts_of_images_add_up(first: list[tuple[int, int]], second: list[tuple[int, int]]) -> None:
    def counts(pairs: list[tuple[int, int]]) -> NDArray[np.int64]:
        truth, predicted = np.array(pairs).T
        return confusion_counts(truth, predicted, IDS, CLASSES)

    assert np.array_equal(counts(first) + counts(second), counts(first + second))


def test_label_ids_that_share_a_class_are_merged() -> None:
    counts = np.arange(IDS * CLASSES, dtype=np.int64).reshape(IDS, CLASSES)
    merged = class_confusion(counts, CLASS_OF)
    assert merged.dtype == np.int64
    assert np.array_equal(merged, np.stack([counts[1], counts[2] + counts[6], counts[3], counts[5], counts[0] * 0]))


def test_a_perfect_prediction_scores_100_and_unlabelled_pixels_count_against_one_accuracy_only() -> None:
    truth = np.array([[1, 2, 3], [5, 0, 4]])
    predicted = np.array([[0, 1, 2], [3, 0, 0]])
    found = segmentation_scores(confusion_counts(truth, predicted, IDS, CLASSES), CLASS_OF, "present")
    assert found.mean_iou == 100.0
    assert found.accuracy_labelled == 100.0
    assert found.accuracy_all == pytest.approx(100.0 * 4 / 6)


@pytest.mark.parametrize("rule", RULES)
def test_without_labelled_pixels_there_is_no_score(rule: ClassMean) -> None:
    found = segmentation_scores(confusion_counts(np.array([[0]]), np.array([[0]]), IDS, CLASSES), CLASS_OF, rule)
    assert (found.mean_iou, found.accuracy_labelled, found.accuracy_all) == (None, None, 0.0)
    nobody = segmentation_scores(np.ones((2, 2), np.int64), (None, None), rule)
    assert (nobody.mean_iou, nobody.accuracy_labelled, nobody.accuracy_all) == (None, None, 0.0)
    assert segmentation_scores(np.zeros((2, 2), np.int64), (0, 1), rule).accuracy_all is None


def test_counts_do_not_overflow() -> None:
    counts = np.full((IDS, CLASSES), 2**40, np.int64)
    assert segmentation_scores(counts, CLASS_OF, "all").accuracy_all == pytest.approx(100.0 * 5 / 35)
    big = np.zeros((300, 300), np.uint8)
    assert confusion_counts(big + 199, big + 198, 200, 199)[199, 198] == 90_000


def test_errors_are_explained() -> None:
    zeros = np.zeros((2, 2), np.int64)
    with pytest.raises(ValueError, match=r"label map has shape \(2, 2\) but the prediction \(4,\)"):
        confusion_counts(zeros, zeros.ravel(), 6, CLASSES)
    with pytest.raises(ValueError, match="label map has values 6 to 6; allowed are 0 to 5"):
        confusion_counts(zeros + 6, zeros, 6, CLASSES)
    with pytest.raises(ValueError, match="prediction has values -1 to -1; allowed are 0 to 4"):
        confusion_counts(zeros, zeros - 1, 6, CLASSES)
    with pytest.raises(ValueError, match="counts have 6 rows but class_of maps 7 label ids; it must map every row"):
        segmentation_scores(np.zeros((6, CLASSES), np.int64), CLASS_OF, "present")
    with pytest.raises(ValueError, match="class_of maps label id 1 to class 2; the judge's classes are 0 to 1"):
        segmentation_scores(zeros, (0, 2), "present")
    with pytest.raises(ValueError, match="class_mean is 'nanmean'; allowed are: present, all, union"):
        segmentation_scores(zeros, (0, 1), "nanmean")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"shape \(2, 2\) and type float64; expected integers \(label ids, judge"):
        segmentation_scores(zeros.astype(float), (0, 1), "present")  # type: ignore[arg-type]
