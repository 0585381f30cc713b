"""The one evaluator: images of a split, by a protocol, to scores, class by class and image by image."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from typing import Protocol as Interface

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from bench.data.dataset import Dataset
from bench.data.transforms import rows_first
from bench.evaluation.feature_scores import FeatureScores
from bench.evaluation.generate import CHUNK_IMAGES, chunks_of, exact_float32
from bench.evaluation.judges.registry import Judge, UnavailableError, build_judge
from bench.evaluation.label_mappings import LabelMapping, mapping_for
from bench.evaluation.metric_table import METRICS
from bench.evaluation.metrics import Segmentation, confusion_counts, segmentation_scores
from bench.evaluation.protocol import Protocol
from bench.evaluation.reading import read_ahead
from bench.evaluation.stopwatch import Stopwatch
from bench.store import Score

ImageSource = Callable[[int], NDArray[np.uint8]]
"""The judged image (H, W, 3) uint8 of the sample at an index."""

_PIL_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


class Peers(Interface):
    """What the evaluator needs of the ranks that share its work."""

    @property
    def rank(self) -> int: ...

    @property
    def world(self) -> int: ...

    def gather(self, value: Any) -> list[Any]: ...


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """Everything that one evaluation measured."""

    scores: dict[str, Score]
    class_iou: dict[str, float | None]
    class_pixels: dict[str, int]
    """Ground-truth pixels by judge class."""
    total: NDArray[np.int64] | None
    """(label ids, judge classes) confusion counts over all images; None without a judge."""
    per_image: NDArray[np.int64] | None
    """(rows, 4): image, label id, judge class, pixels, for every pair that occurs in an image."""
    class_of: tuple[int | None, ...]
    """The judge class of each label id; None for unlabelled ones. Empty without a judge."""
    sample_ids: list[str]
    seconds: float
    stage_seconds: dict[str, float]
    """Where rank 0's time went."""


def real_images(dataset: Dataset, protocol: Protocol) -> ImageSource:
    """The real images: at the judged size, or, where the protocol asks how good its judge is, as they were taken."""
    if protocol.subject == "real":
        return dataset.original
    return lambda index: dataset.load(index).image


def evaluate(
    images: ImageSource,
    dataset: Dataset,
    protocol: Protocol,
    *,
    count: int,
    device: torch.device,
    peers: Peers,
    batch_images: int = CHUNK_IMAGES,
    reading_threads: int = 0,
    report: Callable[[int], None] = lambda images: None,
) -> Judgement | None:
    """Judge the first ``count`` images. Every rank calls this; rank 0 returns the judgement, the others None.

    The work is cut into chunks before it is shared, without padding, and a judge sees one image at a time: the counts
    depend neither on the number of ranks nor on ``batch_images``, the images that feature extractors see at once.
    ``reading_threads`` threads read ahead; 0 where ``images`` are not files but drawn by a network on the spot.
    Scores whose weights are missing have a reason instead of a value.
    """
    with exact_float32():
        return _evaluate(images, dataset, protocol, count, device, peers, batch_images, reading_threads, report)


def _evaluate(
    images: ImageSource,
    dataset: Dataset,
    protocol: Protocol,
    count: int,
    device: torch.device,
    peers: Peers,
    batch_images: int,
    reading_threads: int,
    report: Callable[[int], None],
) -> Judgement | None:
    started, watch = time.perf_counter(), Stopwatch()
    with watch.stage("build networks"):
        judge, why_no_judge = _judge_or_reason(protocol, device)
        features = FeatureScores(protocol.metrics, count, device, dataset)
    mapping = mapping_for(protocol, dataset) if judge is not None else None
    if judge is not None and mapping is not None:
        mapping.check_judge(judge.name, judge.classes, judge.class_names)
    look = _Look(images=images, dataset=dataset, protocol=protocol, judge=judge, mapping=mapping, watch=watch)
    counts: dict[int, NDArray[np.int64]] = {}
    chunks = chunks_of(count, peers.rank, peers.world, batch_images)
    if judge is not None or not features.empty:
        counts = look.at_all(chunks, features, reading_threads, report)
    else:
        report(sum(map(len, chunks)))
    gathered = peers.gather((counts, features.part()))
    if peers.rank != 0:
        return None

    scores = features.scores([part for _, part in gathered], watch)
    total, per_image, found = None, None, None
    if mapping is not None:
        by_image = {index: rows for part, _ in gathered for index, rows in part.items()}
        assert sorted(by_image) == list(range(count)), "every image must be judged exactly once"
        per_image = np.concatenate([np.insert(by_image[index], 0, index, axis=1) for index in range(count)])
        total = np.zeros((dataset.spec.ids, len(mapping.classes)), np.int64)
        np.add.at(total, (per_image[:, 1], per_image[:, 2]), per_image[:, 3])
        found = segmentation_scores(total, mapping.class_of, protocol.class_mean)
    segmentation = {name: _segmentation_score(name, found, why_no_judge) for name in _segmentation_names(protocol)}
    return Judgement(
        scores={name: (scores | segmentation)[name] for name in protocol.metrics},
        class_iou=dict(zip(mapping.classes, found.class_iou, strict=True)) if mapping and found else {},
        class_pixels=_class_pixels(total, mapping) if mapping is not None and total is not None else {},
        total=total,
        per_image=per_image,
        class_of=mapping.class_of if mapping is not None else (),
        sample_ids=[dataset.sample_id(index) for index in range(count)],
        seconds=time.perf_counter() - started,
        stage_seconds=watch.seconds,
    )


@dataclass(frozen=True, kw_only=True)
class _Look:
    """One rank's view of the images."""

    images: ImageSource
    dataset: Dataset
    protocol: Protocol
    judge: Judge | None
    mapping: LabelMapping | None
    watch: Stopwatch

    def at_all(
        self, chunks: Sequence[range], features: FeatureScores, threads: int, report: Callable[[int], None]
    ) -> dict[int, NDArray[np.int64]]:
        """Judge the samples of all ``chunks`` and hand them to ``features``.

        Returns by index (rows, 3): label id, judge class, pixels, for every pair that occurs.
        """
        counts: dict[int, NDArray[np.int64]] = {}
        read = read_ahead(chunks, self._read, threads)
        with contextlib.closing(read):
            for _ in chunks:
                with self.watch.stage("read"):
                    chunk, pictures = next(read)
                if not features.empty:
                    real, judged = (np.stack([part[i] for part in pictures]) for i in (0, 1))
                    features.add(chunk, real, judged, self.watch)
                if self.judge is not None and self.mapping is not None:
                    for index, (_, image, truth) in zip(chunk, pictures, strict=True):
                        counts[index] = self._counts(self.judge, self.mapping, image, truth)
                report(len(chunk))
        return counts

    def _read(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.integer]]:
        """The real image, the judged one, and the label map that the judge is compared with."""
        sample = self.dataset.load(index)
        native = self.mapping is not None and self.protocol.label_size == "native"
        return sample.image, self.images(index), self.dataset.truth(index) if native else sample.labels

    def _counts(
        self, judge: Judge, mapping: LabelMapping, image: NDArray[np.uint8], truth: NDArray[np.integer]
    ) -> NDArray[np.int64]:
        with self.watch.stage("resize"):
            shown = resized(image, truth.shape, self.protocol.image_resize)
        with self.watch.stage("judge"):
            predicted = judge.label(shown, truth.shape)
        with self.watch.stage("count"):
            dense = confusion_counts(truth, predicted, self.dataset.spec.ids, len(mapping.classes))
            places = np.nonzero(dense)
            return np.stack([*places, dense[places]], axis=1).astype(np.int64)


def resized(image: NDArray[np.uint8], size: tuple[int, ...], how: str) -> NDArray[np.uint8]:
    """An image (H, W, 3) uint8 at ``size`` (height, width) by PIL's filter ``how``; ``none`` leaves it as it is."""
    if how == "none" or image.shape[:2] == size:
        return image
    picture = rows_first(Image.fromarray(image), (size[0], size[1]), _PIL_FILTERS[how])
    return np.asarray(picture, dtype=np.uint8)


def _judge_or_reason(protocol: Protocol, device: torch.device) -> tuple[Judge | None, str]:
    if not protocol.judge:
        return None, "the protocol has no judge"
    try:
        return build_judge(protocol, device), ""
    except UnavailableError as error:
        return None, str(error)


def _segmentation_names(protocol: Protocol) -> list[str]:
    return [name for name in protocol.metrics if METRICS[name].kind == "segmentation"]


def _segmentation_score(metric: str, found: Segmentation | None, why_not: str) -> Score:
    if found is None:
        return Score(value=None, reason=why_not)
    values = {"mIoU": found.mean_iou, "accu@all": found.accuracy_all, "accu@labelled": found.accuracy_labelled}
    value = values[metric]
    return Score(value=value, reason="" if value is not None else "no labelled pixel in these images")


def _class_pixels(total: NDArray[np.int64], mapping: LabelMapping) -> dict[str, int]:
    pixels = dict.fromkeys(mapping.classes, 0)
    for label, place in enumerate(mapping.class_of):
        if place is not None:
            pixels[mapping.classes[place]] += int(total[label].sum())
    return pixels
