"""Simulated per-image counts of many trainings of one model: correlated as real ones are.

Images come in kinds that share their classes; an image is hard or easy for every training alike and a little more so
for some; a training is better or worse at everything and at single classes; errors fall on classes that are in the
image. Classes differ in frequency by ``rareness``: at 1 the rarest of 14 is in one image of fifty to a hundred.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.reporting.image_counts import ImageCounts

PIXELS = 4096


@dataclass(frozen=True, kw_only=True)
class World:
    """A population of images, and what each of many trainings makes of them."""

    truth: NDArray[np.float64]
    """(M, K) pixels."""
    hits: NDArray[np.float64]
    """(S, M, K)."""
    predicted: NDArray[np.float64]
    """(S, M, K)."""

    def counts(self, training: int, images: NDArray[np.integer]) -> ImageCounts:
        """Of one training, judged on ``images`` (N,)."""
        truth, hits = self.truth[images], self.hits[training, images]
        return ImageCounts(
            hits=hits,
            union=truth + self.predicted[training, images] - hits,
            truth=truth,
            pixels=truth.sum(axis=1),
            sample_ids=tuple(str(image) for image in images),
        )

    def mean_iou(self, images: NDArray[np.integer] | slice = slice(None)) -> NDArray[np.float64]:
        """(S,) of every training on ``images``; of the whole population without any."""
        truth, hits = self.truth[images].sum(axis=0), self.hits[:, images].sum(axis=1)
        union = truth + self.predicted[:, images].sum(axis=1) - hits
        found = truth > 0
        scores: NDArray[np.float64] = 100 * np.where(found, hits / np.maximum(union, 1), 0).sum(1) / found.sum()
        return scores


def simulate(*, trainings: int, images: int, rareness: float, classes: int = 14, seed: int = 0) -> World:
    """A world of ``images`` images and ``trainings`` trainings."""
    random = np.random.default_rng(seed)
    frequency = np.exp(-0.35 * rareness * np.arange(classes))
    frequency /= frequency.sum()
    kinds = 2 * random.dirichlet(20 * frequency, size=8) + frequency
    kinds /= kinds.sum(axis=1, keepdims=True)
    shares = np.zeros((images, classes))
    for image, kind in enumerate(random.integers(0, 8, images)):
        found = np.unique(random.choice(classes, size=random.integers(2, 6), p=kinds[kind]))
        shares[image, found] = random.dirichlet(np.ones(len(found)))
    truth = np.round(shares * PIXELS)
    ease_of_class = random.normal(0.3, 0.9, classes) - 0.06 * np.arange(classes)
    ease_of_image = random.normal(0, 0.8, (images, 1))
    falls_on = shares + 0.15 * frequency
    falls_on /= falls_on.sum(axis=1, keepdims=True)
    hits, predicted = np.empty((2, trainings, images, classes))
    for training in range(trainings):
        ease = ease_of_class + random.normal(0, 0.15) + random.normal(0, 0.2, classes) + ease_of_image
        ease = ease + random.normal(0, 0.4, (images, 1)) + random.normal(0, 0.5, (images, classes))
        hits[training] = np.round(truth / (1 + np.exp(-ease)))
        missed = (truth - hits[training]).sum(axis=1, keepdims=True)
        spread = falls_on * random.uniform(0.5, 1.5, (images, classes))
        predicted[training] = hits[training] + np.round(missed * spread / spread.sum(axis=1, keepdims=True))
    return World(truth=truth, hits=hits, predicted=predicted)
