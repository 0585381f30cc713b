"""Bootstrap over images: what the scores would be on other images of the same kind.

The images are resampled with replacement, whole: the pixels of one image are anything but independent. All resamples of
one number of images are the same ones, so two rows judged on the same images are compared on the same resamples
(a paired bootstrap), and a report repeats to the digit. In numpy: scipy.stats.bootstrap would call the statistic on
resampled arrays (N images x K classes each time) where a product with the matrix of multiplicities does, and importing
scipy.stats takes longer than a whole report.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bench.evaluation.metrics import ClassMean
from bench.reporting.image_counts import Floats, ImageCounts

RESAMPLES = 1000
_SEED = 20190318  # any number does; the same one gives the same report
FEWEST_IMAGES = 20
"""Of fewer images a resample says little about other images, and no interval is given."""


@lru_cache(maxsize=2)
def multiplicities(images: int, resamples: int = RESAMPLES, seed: int = _SEED) -> Floats:
    """(resamples, images) how often each image is drawn; every line sums to ``images``. Read-only float32."""
    generator = np.random.default_rng(seed)
    drawn = generator.integers(0, images, (resamples, images))
    places = drawn + images * np.arange(resamples)[:, None]
    counts = np.bincount(places.ravel(), minlength=resamples * images).reshape(resamples, images).astype(np.float32)
    counts.flags.writeable = False
    return counts


def resampled(
    counts: ImageCounts, metric: str, class_mean: ClassMean, resamples: int = RESAMPLES
) -> NDArray[np.float64]:
    """(resamples,) scores of ``metric`` on resampled images."""
    return counts.scores(metric, multiplicities(counts.images, resamples), class_mean)


def standard_error(scores: NDArray[np.float64]) -> float:
    """Bootstrap standard error: the spread of the resampled scores, those without a score left out."""
    return float(np.nanstd(scores, ddof=1))


def image_interval(value: float, scores: NDArray[np.float64], level: float = 0.95) -> tuple[float, float]:
    """Interval of ``value`` by the bootstrap's standard error, centred on the value itself.

    Not the percentiles of the resamples: a resample misses rare classes, so its mIoU is off to one side (see
    tests/reporting/test_coverage.py for how often each holds the truth).
    """
    from scipy.special import ndtri

    half_width = float(ndtri(0.5 + level / 2)) * standard_error(scores)
    return value - half_width, value + half_width


def common_images(counts: Sequence[ImageCounts]) -> bool:
    """Whether all were judged on the same images in the same order, so that they may be compared image by image."""
    return len({item.sample_ids for item in counts}) == 1
