"""Which interval a cell has, and what it speaks for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean
from typing import Literal

from bench.evaluation.metrics import ClassMean
from bench.reporting.cells import IntervalOver
from bench.reporting.image_counts import SEGMENTATION, CountsReader, Floats
from bench.reporting.options import Interval
from bench.reporting.resampling import FEWEST_IMAGES, common_images, image_interval, resampled
from bench.reporting.statistics import seed_interval
from bench.store import Evaluation, Store

Limits = tuple[float, float]
Resampling = Literal["left out", "drawn anew"]


class Intervals:
    """Intervals of a store's scores; what is read and computed for them is so once."""

    def __init__(self, store: Store, wanted: Interval = "seeds") -> None:
        self.wanted = wanted
        self.counts = CountsReader(store)
        self._known: dict[tuple[str, str, Resampling], Floats] = {}

    def of(
        self, evaluations: Sequence[Evaluation], metric: str, class_mean: ClassMean, *, seeded: bool = True
    ) -> tuple[Limits | None, IntervalOver]:
        """The 95 % interval of the mean of ``metric`` over evaluations (one a seed), and what it is over.

        seeds: Student-t, from two seeds on, other trainings judged on these images. images: jackknife over the images,
        these trainings judged on others. both: the two half-widths as legs of a right triangle, for they add as
        variances. With ``seeds`` wanted, one seed alone has its interval over images. ``seeded=False``: no training
        is behind the images, so other trainings are no question (external ones).
        """
        values = [value for item in evaluations if (value := item.scores[metric].value) is not None]
        over_seeds = seed_interval(values) if seeded else None
        if self.wanted == "seeds" and over_seeds is not None:
            return over_seeds, "seeds"
        if self.wanted == "seeds" and len(values) > 1:
            return None, ""
        over_images = self.over_images(evaluations, metric, class_mean)
        if self.wanted == "both" and over_seeds is not None:
            if over_images is None:
                return over_seeds, "seeds"
            centre = fmean(values)
            half_width = math.hypot(over_seeds[1] - centre, over_images[1] - centre)
            return (centre - half_width, centre + half_width), "seeds and images"
        return (over_images, "images") if over_images is not None else (None, "")

    def over_images(self, evaluations: Sequence[Evaluation], metric: str, class_mean: ClassMean) -> Limits | None:
        """Interval of the mean over ``evaluations``, judged on the same images; None where it has none."""
        without = self.mean_over(evaluations, metric, class_mean, "left out")
        if without is None:
            return None
        values = [value for item in evaluations if (value := item.scores[metric].value) is not None]
        return image_interval(fmean(values), without)

    def mean_over(
        self, evaluations: Sequence[Evaluation], metric: str, class_mean: ClassMean, images: Resampling
    ) -> Floats | None:
        """Means over ``evaluations`` on the same images, one left out (N,), or drawn anew (RESAMPLES,).

        None for metrics on features, for fewer than FEWEST_IMAGES images, and where not all evaluations have counts of
        the same images.
        """
        if metric not in SEGMENTATION or not self.same_images(evaluations):
            return None
        scores = []
        for item in evaluations:
            counts = self.counts(item.eval_id)
            if counts is None or counts.images < FEWEST_IMAGES:
                return None
            key = (item.eval_id, metric, images)
            if key not in self._known:
                one = images == "left out"
                self._known[key] = (
                    counts.leave_one_out(metric, class_mean) if one else resampled(counts, metric, class_mean)
                )
            scores.append(self._known[key])
        mean: Floats = sum(scores[1:], scores[0]) / len(scores)
        return mean

    def same_images(self, evaluations: Sequence[Evaluation]) -> bool:
        """Whether the counts of all are known and were made on the same images in the same order."""
        counts = [self.counts(item.eval_id) for item in evaluations]
        known = [found for found in counts if found is not None]
        return len(known) == len(counts) > 0 and common_images(known)
