"""Which interval a cell has, and what it speaks for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from bench.evaluation.metrics import ClassMean
from bench.reporting.cells import IntervalOver
from bench.reporting.image_counts import SEGMENTATION, CountsReader
from bench.reporting.options import Interval
from bench.reporting.resampling import FEWEST_IMAGES, common_images, image_interval, resampled
from bench.reporting.statistics import seed_interval
from bench.store import Evaluation, Store

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Limits = tuple[float, float]


class Intervals:
    """Intervals of a store's scores; counts and resamples are read and made once."""

    def __init__(self, store: Store, wanted: Interval = "seeds") -> None:
        self.wanted = wanted
        self.counts = CountsReader(store)
        self._resampled: dict[tuple[str, str], NDArray[np.float64]] = {}

    def of(
        self, evaluations: Sequence[Evaluation], metric: str, class_mean: ClassMean, *, seeded: bool = True
    ) -> tuple[Limits | None, IntervalOver]:
        """The 95 % interval of the mean of ``metric`` over evaluations (one a seed), and what it is over.

        seeds: Student-t, from two seeds on, other trainings judged on these images. images: bootstrap over the images,
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
        """Bootstrap interval of the mean over ``evaluations``, judged on the same images; None where it has none."""
        scores = self.resampled(evaluations, metric, class_mean)
        if scores is None:
            return None
        values = [value for item in evaluations if (value := item.scores[metric].value) is not None]
        return image_interval(fmean(values), scores)

    def resampled(
        self, evaluations: Sequence[Evaluation], metric: str, class_mean: ClassMean
    ) -> NDArray[np.float64] | None:
        """(RESAMPLES,) means over ``evaluations`` on the same resampled images; None where their counts are not known.

        That is so for metrics on features, for fewer than FEWEST_IMAGES images, and where not all evaluations were made
        on the same images.
        """
        if metric not in SEGMENTATION or not evaluations:
            return None
        counts = [found for item in evaluations if (found := self.counts(item.eval_id)) is not None]
        if len(counts) < len(evaluations) or not common_images(counts) or counts[0].images < FEWEST_IMAGES:
            return None
        for item, found in zip(evaluations, counts, strict=True):
            if (item.eval_id, metric) not in self._resampled:
                self._resampled[item.eval_id, metric] = resampled(found, metric, class_mean)
        scores = [self._resampled[item.eval_id, metric] for item in evaluations]
        mean: NDArray[np.float64] = sum(scores[1:], scores[0]) / len(scores)
        return mean

    def same_images(self, evaluations: Sequence[Evaluation]) -> bool:
        """Whether the counts of all are known and were made on the same images in the same order."""
        counts = [self.counts(item.eval_id) for item in evaluations]
        known = [found for found in counts if found is not None]
        return len(known) == len(counts) and common_images(known)
