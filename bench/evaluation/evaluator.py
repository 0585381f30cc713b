"""The one evaluator: images of a split, by a protocol, to scores, class by class and image by image."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from typing import Protocol as Interface

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from bench.data.dataset import Dataset
from bench.evaluation.features import Extractor, inception_extractor
from bench.evaluation.frechet import frechet_distance
from bench.evaluation.generate import chunks_of, exact_float32
from bench.evaluation.judges.registry import Judge, UnavailableError, build_judge, judge_features
from bench.evaluation.metrics import Segmentation, confusion_counts, segmentation_scores
from bench.evaluation.protocols import Protocol
from bench.evaluation.weights import missing_reason, weights_sha256
from bench.store import Score

ImageSource = Callable[[int], NDArray[np.uint8]]
"""The judged image (H, W, 3) uint8 of the sample at an index."""


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
    total: NDArray[np.int64] | None
    """(ground-truth ids, classes) confusion counts over all images; None without a judge."""
    per_image: NDArray[np.int64] | None
    """(rows, 4): image, ground-truth id, class, pixels, for every pair that occurs in an image."""
    sample_ids: list[str]
    seconds: float


def image_problems(folder: Path, dataset: Dataset, count: int) -> list[str]:
    """What is wrong with a folder of images for the first ``count`` samples: missing, extra, mis-sized, unreadable."""
    known = {f"{dataset.sample_id(index)}.png" for index in range(len(dataset))}
    wanted = {f"{dataset.sample_id(index)}.png" for index in range(count)}
    present = (
        {path.name for path in folder.iterdir() if path.suffix.lower() in (".png", ".jpg", ".jpeg")}
        if folder.is_dir()
        else set()
    )
    problems = [f"{name}: missing" for name in sorted(wanted - present)]
    problems += [f"{name}: no sample of that name" for name in sorted(present - known)]
    height, width = dataset.size
    for name in sorted(wanted & present):
        try:
            with Image.open(folder / name) as picture:
                picture.verify()
            with Image.open(folder / name) as picture:
                size = picture.size
        except (OSError, SyntaxError) as error:
            problems.append(f"{name}: cannot be read ({error})")
            continue
        if size != (width, height):
            problems.append(f"{name}: {size[0]}x{size[1]} px, expected {width}x{height}")
    return problems


def folder_images(folder: Path, dataset: Dataset, count: int) -> ImageSource:
    """The images of ``folder``, named by sample id. Raises ValueError listing every problem of the folder at once."""
    if not folder.is_dir():
        raise ValueError(f"{folder}: there is no such folder; it should hold {count} PNG files named <sample id>.png")
    problems = image_problems(folder, dataset, count)
    if problems:
        listed = "\n  ".join(problems[:40]) + (f"\n  ... and {len(problems) - 40} more" if len(problems) > 40 else "")
        raise ValueError(
            f"{folder}: {len(problems)} problem(s) with the {count} images of {dataset.name}/{dataset.split}\n"
            f"  {listed}\n"
            f"expected one PNG for each sample, named <sample id>.png, {dataset.size[1]}x{dataset.size[0]} px"
        )

    def read(index: int) -> NDArray[np.uint8]:
        with Image.open(folder / f"{dataset.sample_id(index)}.png") as picture:
            return np.asarray(picture.convert("RGB"), dtype=np.uint8)

    return read


def real_images(dataset: Dataset) -> ImageSource:
    """The validation images themselves, at the judged size: the upper bound."""
    return lambda index: dataset.load(index).image


def evaluate(
    images: ImageSource,
    dataset: Dataset,
    protocol: Protocol,
    *,
    count: int,
    device: torch.device,
    peers: Peers,
    report: Callable[[int], None] = lambda images: None,
) -> Judgement | None:
    """Judge the first ``count`` images. Every rank calls this; rank 0 returns the judgement, the others None.

    The work is cut into chunks before it is shared, without padding, so the numbers do not depend on the ranks.
    Scores whose weights are missing have a reason instead of a value.
    """
    with exact_float32():
        return _evaluate(images, dataset, protocol, count=count, device=device, peers=peers, report=report)


def _evaluate(
    images: ImageSource,
    dataset: Dataset,
    protocol: Protocol,
    *,
    count: int,
    device: torch.device,
    peers: Peers,
    report: Callable[[int], None],
) -> Judgement | None:
    started = time.perf_counter()
    reasons: dict[str, str] = {}
    judge = _judge_or_reason(protocol, device, reasons)
    extractors = _extractors(protocol, device, reasons)
    own: dict[int, _Seen] = {}
    for chunk in chunks_of(count, peers.rank, peers.world):
        own.update(_look_at(chunk, images, dataset, judge, extractors))
        report(len(chunk))
    gathered = peers.gather(own)
    if peers.rank != 0:
        return None
    seen = {index: one for part in gathered for index, one in part.items()}
    assert sorted(seen) == list(range(count)), "every image must be judged exactly once"

    total, per_image, found = None, None, None
    if judge is not None:
        rows = [np.insert(np.asarray(seen[index].counts), 0, index, axis=1) for index in range(count)]
        per_image = np.concatenate(rows)
        total = np.zeros((dataset.spec.ids, len(dataset.scored_classes)), np.int64)
        np.add.at(total, (per_image[:, 1], per_image[:, 2]), per_image[:, 3])
        found = segmentation_scores(total, dataset.scored_classes, protocol.class_mean)
    scores = {}
    for metric in protocol.metrics:
        if metric in extractors:
            pairs = [seen[index].features[metric] for index in range(count)]
            scores[metric] = _distance(np.stack([real for real, _ in pairs]), np.stack([fake for _, fake in pairs]))
        else:
            scores[metric] = _segmentation_score(metric, found, reasons)
    names = [dataset.class_names[label] for label in dataset.scored_classes]
    pixels = total.sum(axis=1)[list(dataset.scored_classes)].tolist() if total is not None else []
    return Judgement(
        scores=scores,
        class_iou=dict(zip(names, found.class_iou, strict=True)) if found is not None else {},
        class_pixels=dict(zip(names, pixels, strict=True)) if found is not None else {},
        total=total,
        per_image=per_image,
        sample_ids=[dataset.sample_id(index) for index in range(count)],
        seconds=time.perf_counter() - started,
    )


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """What was measured on one image."""

    counts: NDArray[np.int64] | None
    """(rows, 3): ground-truth id, class, pixels, for every pair that occurs."""
    features: dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]
    """Features (D,) of the real and of the judged image, by the metric they are for."""


def _look_at(
    chunk: range, images: ImageSource, dataset: Dataset, judge: Judge | None, extractors: dict[str, Extractor]
) -> dict[int, _Seen]:
    samples = [dataset.load(index) for index in chunk]
    judged = np.stack([images(index) for index in chunk])
    real = np.stack([sample.image for sample in samples])
    features = {metric: (extract(real), extract(judged)) for metric, extract in extractors.items()}
    predicted = judge.label(judged) if judge is not None else None
    seen = {}
    for place, (index, sample) in enumerate(zip(chunk, samples, strict=True)):
        counts = None
        if predicted is not None:
            dense = confusion_counts(sample.labels, predicted[place], dataset.spec.ids, len(dataset.scored_classes))
            counts = np.stack([*np.nonzero(dense), dense[np.nonzero(dense)]], axis=1).astype(np.int64)
        own = {metric: (of_real[place], of_judged[place]) for metric, (of_real, of_judged) in features.items()}
        seen[index] = _Seen(counts=counts, features=own)
    return seen


def _judge_or_reason(protocol: Protocol, device: torch.device, reasons: dict[str, str]) -> Judge | None:
    try:
        return build_judge(protocol, device)
    except UnavailableError as error:
        for metric in ("mIoU", "accu@all", "accu@labelled"):
            reasons[metric] = str(error)
        return None


def _extractors(protocol: Protocol, device: torch.device, reasons: dict[str, str]) -> dict[str, Extractor]:
    found: dict[str, Extractor] = {}
    for metric in protocol.metrics:
        if metric == "FD@synthetic-judge":
            found[metric] = judge_features(device)
        elif metric == "FID@tf":
            if weights_sha256("inception-fid") == "missing":
                reasons[metric] = missing_reason("inception-fid")
            else:
                found[metric] = inception_extractor(device)
    return found


def _distance(real: NDArray[np.float32], fake: NDArray[np.float32]) -> Score:
    if len(real) < 2:
        return Score(value=None, reason=f"a Frechet distance needs at least 2 images; there are {len(real)}")
    return Score(value=frechet_distance(real, fake))


def _segmentation_score(metric: str, found: Segmentation | None, reasons: dict[str, str]) -> Score:
    if metric in reasons or found is None:
        return Score(value=None, reason=reasons.get(metric, "no judge"))
    values = {"mIoU": found.mean_iou, "accu@all": found.accuracy_all, "accu@labelled": found.accuracy_labelled}
    if metric not in values:
        raise ValueError(f"protocol asks for metric {metric!r}; the evaluator computes: {', '.join(values)}, FD, FID")
    value = values[metric]
    return Score(value=value, reason="" if value is not None else "no labelled pixel in these images")
