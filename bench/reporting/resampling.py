"""What the scores would be on other images of the same kind: an interval by the jackknife, odds by the bootstrap.

Whole images are left out or drawn again, for the pixels of one image are anything but independent. Which interval holds
the truth as often as it says was tried on simulated per-image counts with few images of the rare classes
(tests/reporting/test_coverage.py): a jackknife whose quantile knows how few images carry the spread does; every form of
the bootstrap is too narrow there, since a resample misses rare classes and with them part of the spread. Where all
classes are frequent they agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from bench.evaluation.metrics import ClassMean
from bench.reporting.image_counts import Floats, ImageCounts

RESAMPLES = 1000
_SEED = 20190318  # any number does; the same one gives the same report
FEWEST_IMAGES = 20
"""Fewer images say little about others, and no interval is given."""


def image_interval(value: float, without: Floats, level: float = 0.95) -> tuple[float, float]:
    """Interval of ``value`` over the images, from the (N,) values ``without`` one of them each.

    The jackknife's standard error, times Student's t for as many degrees of freedom as images carry the spread
    (Kish's effective number, less one): a score that hangs on three images of a rare class is known no better than a
    mean of three. Values without a score (NaN) are left out.
    """
    from scipy.special import stdtrit

    known = without[~np.isnan(without)]
    squares = (known - known.mean()) ** 2
    spread = float(squares.sum())
    if not spread:
        return value, value
    freedom = max(spread**2 / float((squares**2).sum()) - 1, 2.0)
    error = np.sqrt((len(known) - 1) / len(known) * spread)
    half_width = float(stdtrit(freedom, 0.5 + level / 2) * error)
    return value - half_width, value + half_width


@lru_cache(maxsize=2)
def multiplicities(images: int, resamples: int = RESAMPLES, seed: int = _SEED) -> Floats:
    """(resamples, images) how often each image is drawn; every line sums to ``images``. Read-only.

    The same for all rows with that number of images, so that two rows are compared on the same resamples, and a report
    repeats to the digit.
    """
    generator = np.random.default_rng(seed)
    drawn = generator.integers(0, images, (resamples, images))
    places = drawn + images * np.arange(resamples)[:, None]
    counts = np.bincount(places.ravel(), minlength=resamples * images).reshape(resamples, images).astype(np.float64)
    counts.flags.writeable = False
    return counts


def resampled(counts: ImageCounts, metric: str, class_mean: ClassMean, resamples: int = RESAMPLES) -> Floats:
    """(resamples,) scores of ``metric`` on images drawn anew, with replacement.

    By a matrix product in numpy: scipy.stats.bootstrap would gather N images x K classes for every resample, and
    importing scipy.stats takes longer than a whole report.
    """
    return counts.scores(metric, multiplicities(counts.images, resamples), class_mean)


def common_images(counts: Sequence[ImageCounts]) -> bool:
    """Whether all were judged on the same images in the same order, so that they may be compared image by image."""
    return len({item.sample_ids for item in counts}) == 1
