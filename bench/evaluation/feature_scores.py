"""Scores that compare the judged images with the real ones through features, collected chunk by chunk on each rank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from bench.data.dataset import Dataset
from bench.evaluation.features import Extractor, build_extractor
from bench.evaluation.frechet import STREAMED_IMAGES, FeatureMoments, distance_of_moments, frechet_distance
from bench.evaluation.kernel_distance import kernel_distance
from bench.evaluation.metric_table import EXTRACTORS, METRICS
from bench.evaluation.perceptual_similarity import Similarity, build_similarity
from bench.evaluation.precision_recall import precision_recall
from bench.evaluation.real_features import features_file, keep_features, kept_features
from bench.evaluation.stopwatch import Stopwatch
from bench.evaluation.weights import missing_reason, weights_sha256
from bench.store import Score

Images = NDArray[np.uint8]
"""(N, H, W, 3) RGB."""


@dataclass(frozen=True, kw_only=True)
class _Part:
    """What one rank saw through one network; picklable."""

    pairs: dict[int, tuple[NDArray[np.float32], NDArray[np.float32]]]
    """Features (D,) of the real and of the judged image by index; empty where moments are enough."""
    moments: tuple[FeatureMoments, FeatureMoments] | None
    """Of the real and of the judged images; None below ``STREAMED_IMAGES`` images."""


class FeatureScores:
    """Collects the features of one rank's images; :meth:`scores` joins the ranks' parts.

    A metric whose weights are missing gets a reason in place of a value and costs nothing.
    """

    def __init__(
        self, metrics: Sequence[str], count: int, device: torch.device, dataset: Dataset | None = None
    ) -> None:
        """``dataset`` is where the real images come from; without it their features are kept for nobody."""
        self.count = count
        self.reasons: dict[str, str] = {}
        self.metrics = [name for name in metrics if METRICS[name].kind != "segmentation"]
        usable = [name for name in self.metrics if self._usable(name)]
        names = dict.fromkeys(METRICS[name].features for name in usable)
        self._extractors: dict[str, Extractor] = {n: build_extractor(n, device) for n in names if n is not None}
        self._similarities: dict[str, Similarity] = {
            name: build_similarity(name, device) for name in usable if METRICS[name].kind == "similarity"
        }
        self._kept = {name for name in self._extractors if self._needs_features(name, usable)}
        self._pairs: dict[str, dict[int, tuple[NDArray[np.float32], NDArray[np.float32]]]] = {
            name: {} for name in self._extractors
        }
        self._moments = {
            name: (FeatureMoments(), FeatureMoments()) for name in self._extractors if count >= STREAMED_IMAGES
        }
        self._similar: dict[str, dict[int, float]] = {name: {} for name in self._similarities}
        self._files = {n: features_file(dataset, count, n, device) for n in self._extractors} if dataset else {}
        found = {n: kept_features(path, count, EXTRACTORS[n].dimensions) for n, path in self._files.items()}
        self._known = {name: features for name, features in found.items() if features is not None}

    @property
    def empty(self) -> bool:
        """Whether no image needs to be looked at."""
        return not self._extractors and not self._similarities

    def add(self, indices: Sequence[int], real: Images, judged: Images, watch: Stopwatch) -> None:
        """Look at the samples ``indices``: their real and their judged images, of one size."""
        for name, extract in self._extractors.items():
            with watch.stage(f"features {name}"):
                known = self._known.get(name)
                of_real = extract(real) if known is None else np.array(known[list(indices)])
                of_judged = extract(judged)
            if name in self._moments:
                with watch.stage("moments"):
                    self._moments[name][0].update(of_real)
                    self._moments[name][1].update(of_judged)
            if name in self._kept:
                rows = zip(indices, zip(of_real, of_judged, strict=True), strict=True)
                self._pairs[name].update(rows)
        for name, similarity in self._similarities.items():
            with watch.stage(name):
                self._similar[name].update(zip(indices, similarity(real, judged).tolist(), strict=True))

    def part(self) -> tuple[dict[str, _Part], dict[str, dict[int, float]]]:
        """What this rank has to hand in."""
        return {
            name: _Part(pairs=self._pairs[name], moments=self._moments.get(name)) for name in self._extractors
        }, self._similar

    def scores(
        self, parts: Sequence[tuple[dict[str, _Part], dict[str, dict[int, float]]]], watch: Stopwatch
    ) -> dict[str, Score]:
        """The score of each metric from the parts of all ranks, in the order of the ranks."""
        scores = {}
        for name in self.metrics:
            metric = METRICS[name]
            if name in self.reasons:
                scores[name] = Score(value=None, reason=self.reasons[name])
                continue
            with watch.stage("distances"):
                if metric.kind == "similarity":
                    values = {index: value for _, similar in parts for index, value in similar[name].items()}
                    scores[name] = Score(value=float(np.mean([values[index] for index in sorted(values)])))
                else:
                    assert metric.features is not None
                    scores[name] = self._compare(name, [features[metric.features] for features, _ in parts])
        return scores

    def _compare(self, name: str, parts: Sequence[_Part]) -> Score:
        kind = METRICS[name].kind
        least = 4 if kind in ("precision", "recall") else 2
        if self.count < least:
            return Score(value=None, reason=f"{name} needs at least {least} images; there are {self.count}")
        if kind == "frechet" and parts[0].moments is not None:
            real, judged = FeatureMoments(), FeatureMoments()
            for part in parts:
                assert part.moments is not None
                real.merge(part.moments[0])
                judged.merge(part.moments[1])
            return Score(value=distance_of_moments(real, judged))
        pairs = {index: pair for part in parts for index, pair in part.pairs.items()}
        assert sorted(pairs) == list(range(self.count)), "every image must be looked at exactly once"
        of_real = np.stack([pairs[index][0] for index in range(self.count)])
        of_judged = np.stack([pairs[index][1] for index in range(self.count)])
        self._keep(METRICS[name].features or "", of_real)
        if kind == "frechet":
            return Score(value=frechet_distance(of_real, of_judged))
        if kind == "kernel":
            return Score(value=kernel_distance(of_real, of_judged))
        precision, recall = precision_recall(of_real, of_judged)
        return Score(value=precision if kind == "precision" else recall)

    def _keep(self, extractor: str, of_real: NDArray[np.float32]) -> None:
        """Leave the real images' features for the next evaluation, where they are not there yet."""
        if extractor in self._files and extractor not in self._known:
            keep_features(self._files[extractor], of_real)
            self._known[extractor] = of_real

    def _usable(self, name: str) -> bool:
        missing = [missing_reason(file) for file in METRICS[name].weights if weights_sha256(file) == "missing"]
        if missing:
            self.reasons[name] = "; ".join(missing)
        return not missing

    def _needs_features(self, extractor: str, metrics: Sequence[str]) -> bool:
        kinds = {METRICS[name].kind for name in metrics if METRICS[name].features == extractor}
        return self.count < STREAMED_IMAGES or bool(kinds & {"kernel", "precision", "recall"})
