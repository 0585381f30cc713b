"""The paper's judges against the released networks' numbers, and their whole test pipelines against a second path."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn
from torchvision.datasets import Cityscapes

from bench.evaluation.judge_test import DEEPLAB_V2_TEST, DRN_MULTI_SCALE_TEST, DRN_TEST, UPERNET_CSAIL_TEST, JudgeTest
from bench.evaluation.judges.drn import bilinear_kernel
from bench.evaluation.judges.mmseg_parts import FCNHead, UPerHead
from bench.evaluation.judges.published import build_published
from bench.evaluation.judges.registry import Judge, build_judge
from bench.evaluation.label_mappings import get_mapping
from bench.evaluation.metrics import ClassMean, confusion_counts, segmentation_scores
from bench.evaluation.protocols import get_protocol
from bench.evaluation.weights import get_weights, require_weights
from tests.data.trees import photograph
from tests.evaluation import judge_slow_path as slow
from tests.evaluation.judge_files import DEEPLAB, DRN, UPERNET, Published, filled, published_up_weight, record, save

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("SPADE_BENCH_DATA", ROOT.parent / "shared" / "data"))
COCO, CITYSCAPES = DATA / "coco_stuff_sample", DATA / "cityscapes_sample"
needs_coco = pytest.mark.skipif(not COCO.is_dir(), reason=f"no COCO-Stuff pairs at {COCO} (set SPADE_BENCH_DATA)")
needs_cityscapes = pytest.mark.skipif(
    not CITYSCAPES.is_dir(), reason=f"no Cityscapes pairs at {CITYSCAPES} (set SPADE_BENCH_DATA)"
)
CPU = torch.device("cpu")
TOLERANCE = 1e-4
"""Of the standard deviation of the logits (tests/golden/README.md)."""
PROTOCOLS = {DEEPLAB.judge: "paper2019-coco", UPERNET.judge: "paper2019-ade20k", DRN.judge: "paper2019-cityscapes"}
TESTS = {DEEPLAB.judge: DEEPLAB_V2_TEST, UPERNET.judge: UPERNET_CSAIL_TEST, DRN.judge: DRN_TEST}

tensors = cache(filled)


@pytest.fixture(scope="module", autouse=True)
def weights_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with all published files; some hundred MB, so they do not stay."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("weights")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPADE_BENCH_WEIGHTS", str(folder))
        patch.setenv("SPADE_BENCH_CACHE", str(folder / "cache"))
        paths = [
            save(content, folder / get_weights(name).filename)
            for published in (DEEPLAB, UPERNET, DRN)
            for (name, _, _), content in zip(published.files, tensors(published), strict=True)
        ]
        yield folder
    for path in paths:
        path.unlink()
    for cached in (tensors, network_of, judge_of):
        cached.cache_clear()


@cache
def network_of(published: Published) -> nn.Module:
    files = [require_weights(name) for name, _, _ in published.files]
    return build_published(published.judge, TESTS[published.judge], files)


@lru_cache(maxsize=3)
def judge_of(published: Published, test: JudgeTest) -> Judge:
    return build_judge(replace(get_protocol(PROTOCOLS[published.judge]), test=test), CPU)


@torch.no_grad()
def golden_logits(published: Published, network: nn.Module) -> torch.Tensor:
    """The logits that the golden file records."""
    seed, side, factor = {
        "deeplabv2_msc": (5, 129, 50.0),
        "drn_d_105": (7, 128, 1.0),
        "upernet101_csail": (9, 128, 1.0),
    }[published.golden]
    noise = np.random.RandomState(seed).standard_normal((1, 3, side, side)).astype(np.float32)
    images = torch.from_numpy(noise) * factor
    if published is not DRN:
        return network(images, mode="tensor")
    head: Any = network.decode_head
    return FCNHead.forward(head, network.extract_feat(images))


def golden_difference(published: Published, logits: torch.Tensor) -> float:
    """The largest difference of mean, deviation and samples, in standard deviations."""
    expected = record(published)["open"]
    assert list(logits.shape) == expected["shape"]
    flat = logits.double().flatten()
    samples = flat[torch.from_numpy(np.linspace(0, flat.numel() - 1, 16).astype(int))]
    found = np.array([flat.mean().item(), flat.std().item(), *samples.tolist()])
    wanted = np.array([expected["mean"], expected["std"], *expected["samples"]])
    return float(np.abs(found - wanted).max() / expected["std"])


@pytest.mark.parametrize("published", [DEEPLAB, UPERNET, DRN], ids=lambda item: item.golden)
def test_the_logits_are_the_released_networks(published: Published) -> None:
    logits = golden_logits(published, network_of(published))
    assert golden_difference(published, logits) < TOLERANCE
    row = logits.argmax(dim=1)[0, logits.shape[2] // 2].tolist()
    assert row == record(published)["open"]["argmax_of_pixel_row"]


Change = Callable[[pytest.MonkeyPatch, Any], None]


def floor_pooling(patch: pytest.MonkeyPatch, network: Any) -> None:
    patch.setattr(network.backbone.maxpool, "ceil_mode", False)


def step_of_the_size_ratio(patch: pytest.MonkeyPatch, network: Any) -> None:
    patch.setattr(network, "by_size_ratio", True)


def resize_after_convolution(patch: pytest.MonkeyPatch, network: Any) -> None:
    head = network.decode_head
    patch.setattr(head, "psp_forward", lambda inputs: UPerHead.psp_forward(head, inputs))


@pytest.mark.parametrize(
    ("published", "change"),
    [(DEEPLAB, floor_pooling), (DEEPLAB, step_of_the_size_ratio), (UPERNET, resize_after_convolution)],
    ids=lambda item: getattr(item, "__name__", ""),
)
def test_the_traps_are_seen(published: Published, change: Change, monkeypatch: pytest.MonkeyPatch) -> None:
    """mmsegmentation's stock pooling and pyramid, and the other reading of a scale, fail the golden test."""
    network = network_of(published)
    change(monkeypatch, network)
    assert golden_difference(published, golden_logits(published, network)) > 20 * TOLERANCE


def test_the_fixed_deconvolution_is_bilinear_and_lets_zeros_in() -> None:
    torch.testing.assert_close(bilinear_kernel(8), published_up_weight()[0, 0], rtol=0, atol=0)
    head: Any = network_of(DRN).decode_head
    enlarged = head.up(torch.ones(1, 19, 5, 6))
    assert enlarged.shape == (1, 19, 40, 48)
    torch.testing.assert_close(enlarged[..., 4:-4, 4:-4], torch.ones(1, 19, 32, 40))
    assert enlarged[0, 0, 0, 0] < 0.5


# -- whole pipelines ---------------------------------------------------------------------------------------------------


def coco_pairs(size: tuple[int, int]) -> list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Two photographs and their label maps (0 to 181, 255), brought to ``size`` as for training."""
    labels = sorted((COCO / "val_label").iterdir())[:2]
    return [resized_pair(COCO / "val_img" / f"{path.stem}.jpg", path, size) for path in labels]


def cityscapes_pairs(size: tuple[int, int]) -> list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    images = sorted((CITYSCAPES / "train_img").iterdir())[:2]
    names = [path.name.replace("leftImg8bit", "gtFine_labelIds") for path in images]
    return [
        resized_pair(path, CITYSCAPES / "train_label" / name, size) for path, name in zip(images, names, strict=True)
    ]


def resized_pair(image: Path, label: Path, size: tuple[int, int]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    height, width = size
    with Image.open(image) as photo, Image.open(label) as ids:
        shown = photo.convert("RGB").resize((width, photo.height), Image.Resampling.BICUBIC)
        shown = shown.resize((width, height), Image.Resampling.BICUBIC)
        truth = ids.resize((width, height), Image.Resampling.NEAREST)
        return np.asarray(shown), np.asarray(truth)


def assert_same_counts(
    mapping_name: str,
    rule: ClassMean,
    id_of: Callable[[int], int],
    published_scores: Callable[[Counter[tuple[int, int]]], tuple[float, float]],
    results: list[tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]],
) -> None:
    """Ground truth, the judge's labels and the slow path's: equal labels, counts, mIoU and accuracy over the set."""
    mapping = get_mapping(mapping_name)
    ids, classes = len(mapping.class_of), len(mapping.classes)
    total, slowly = np.zeros((ids, classes), np.int64), Counter[tuple[int, int]]()
    to_id = np.array([id_of(value) for value in range(256)])
    for truth, labels, expected in results:
        assert labels.dtype == np.int64
        assert np.array_equal(labels, expected)
        assert len(np.unique(labels)) > 5
        total += confusion_counts(to_id[truth], labels, ids, classes)
        slowly += slow.counted(truth, expected)
    counts: Counter[tuple[int, int]] = Counter()
    for (true, seen), pixels in slowly.items():
        counts[id_of(true), seen] += pixels
    assert {(true, seen): int(total[true, seen]) for true, seen in zip(*np.nonzero(total), strict=True)} == dict(counts)
    scores = segmentation_scores(total, mapping.class_of, rule)
    mean_iou, accuracy = published_scores(slowly)
    assert scores.mean_iou == pytest.approx(100 * mean_iou, rel=1e-9)
    assert scores.accuracy_labelled == pytest.approx(100 * accuracy, rel=1e-9)


def ious(counts: Counter[tuple[int, int]], classes: int) -> list[tuple[int, int, int]]:
    """(intersection, union, ground truth) of each class; keys outside the classes are unlabelled."""
    kept = {key: pixels for key, pixels in counts.items() if 0 <= key[0] < classes}
    found = []
    for k in range(classes):
        truth = sum(pixels for (true, _), pixels in kept.items() if true == k)
        seen = sum(pixels for (_, label), pixels in kept.items() if label == k)
        found.append((kept.get((k, k), 0), truth + seen - kept.get((k, k), 0), truth))
    return found


def accuracy(found: list[tuple[int, int, int]]) -> float:
    return sum(hit for hit, _, _ in found) / sum(truth for _, _, truth in found)


def deeplab_scores(counts: Counter[tuple[int, int]]) -> tuple[float, float]:
    """Over classes with ground truth."""
    found = ious(counts, 182)
    present = [hit / union for hit, union, truth in found if truth]
    return sum(present) / len(present), accuracy(found)


def csail_scores(counts: Counter[tuple[int, int]]) -> tuple[float, float]:
    """Labels less one; over all 150."""
    shifted = Counter({(true - 1, seen): pixels for (true, seen), pixels in counts.items()})
    found = ious(shifted, 150)
    return sum(hit / (union + 1e-10) for hit, union, _ in found) / 150, accuracy(found)


def drn_scores(counts: Counter[tuple[int, int]]) -> tuple[float, float]:
    """By torchvision's table of train ids; over classes with a union."""
    train_ids = {item.id: item.train_id for item in Cityscapes.classes}
    mapped: Counter[tuple[int, int]] = Counter()
    for (true, seen), pixels in counts.items():
        mapped[train_ids[true], seen] += pixels
    found = ious(mapped, 19)
    occurring = [hit / union for hit, union, _ in found if union]
    return sum(occurring) / len(occurring), accuracy(found)


def coco_id(value: int) -> int:
    return 182 if value == 255 else min(value, 182)


SLOW = pytest.mark.slow
"""The paper's sizes are left out by default; smaller ones take the same paths."""


@needs_coco
@pytest.mark.parametrize("size", [(128, 128), pytest.param((256, 256), marks=SLOW)])
def test_deeplab_on_two_real_pairs(size: tuple[int, int]) -> None:
    judge, (content,) = judge_of(DEEPLAB, DEEPLAB_V2_TEST), tensors(DEEPLAB)
    results = [
        (truth, judge.label(image, truth.shape), slow.deeplab_labels(content, image, truth.shape))
        for image, truth in coco_pairs(size)
    ]
    assert_same_counts("coco-182", "present", coco_id, deeplab_scores, results)


@needs_cityscapes
@pytest.mark.parametrize("size", [(128, 256), pytest.param((256, 512), marks=SLOW)])
def test_drn_on_two_real_pairs(size: tuple[int, int]) -> None:
    judge, (content,) = judge_of(DRN, DRN_TEST), tensors(DRN)
    results = [
        (truth, judge.label(image, truth.shape), slow.drn_labels(content, image, truth.shape))
        for image, truth in cityscapes_pairs(size)
    ]
    assert_same_counts("cityscapes-19", "union", lambda value: min(value, 34), drn_scores, results)


@needs_coco
@pytest.mark.parametrize(
    ("size", "short_sides"),
    [((96, 96), (64, 90)), pytest.param((256, 256), (300, 375, 450, 525, 600), marks=SLOW)],
)
def test_upernet_on_two_real_photographs(size: tuple[int, int], short_sides: tuple[int, ...]) -> None:
    judge = judge_of(UPERNET, replace(UPERNET_CSAIL_TEST, short_sides=short_sides))
    encoder, decoder = tensors(UPERNET)
    results = []
    for seed, (image, _) in enumerate(coco_pairs(size)):
        truth = np.random.default_rng(seed).integers(0, 151, size).astype(np.uint8)
        expected = slow.upernet_labels(encoder, decoder, image, size, short_sides)
        results.append((truth, judge.label(image, size), expected))
    assert_same_counts("ade20k-150", "all", lambda value: min(value, 150), csail_scores, results)


@pytest.mark.parametrize(("shown", "size"), [((54, 62), (54, 62)), ((48, 64), (75, 91))])
def test_other_sizes_and_label_maps_of_another_size(shown: tuple[int, int], size: tuple[int, int]) -> None:
    """Sides that no stride divides, and label maps larger than the image, on a generated photograph."""
    image = photograph(np.random.default_rng(3), shown)
    found = judge_of(DEEPLAB, DEEPLAB_V2_TEST).label(image, size)
    assert np.array_equal(found, slow.deeplab_labels(tensors(DEEPLAB)[0], image, size))
    found = judge_of(DRN, DRN_TEST).label(image, size)
    assert np.array_equal(found, slow.drn_labels(tensors(DRN)[0], image, size))
    test = replace(UPERNET_CSAIL_TEST, short_sides=(40, 60), long_side_at_most=66)
    found = judge_of(UPERNET, test).label(image, size)
    encoder, decoder = tensors(UPERNET)
    assert np.array_equal(found, slow.upernet_labels(encoder, decoder, image, size, (40, 60), long_side=66))


def test_drn_at_many_scales() -> None:
    image = photograph(np.random.default_rng(4), (32, 48))
    judge, (content,) = judge_of(DRN, DRN_MULTI_SCALE_TEST), tensors(DRN)
    for size in ((32, 48), (50, 70)):
        expected = slow.drn_labels(content, image, size, (0.5, 0.75, 1.25, 1.5, 1.75))
        assert np.array_equal(judge.label(image, size), expected)


@pytest.mark.slow
@needs_coco
def test_deeplab_on_a_photograph_at_its_own_size() -> None:
    """As its published score is made; 0.75 of most sides is no whole number."""
    with Image.open(min((COCO / "val_img").iterdir())) as photo:
        image = np.asarray(photo.convert("RGB"))
    found = judge_of(DEEPLAB, DEEPLAB_V2_TEST).label(image, image.shape[:2])
    assert np.array_equal(found, slow.deeplab_labels(tensors(DEEPLAB)[0], image, image.shape[:2]))


@pytest.mark.slow
@needs_cityscapes
def test_drn_at_many_scales_on_a_real_photograph_and_larger_labels() -> None:
    image, _ = cityscapes_pairs((128, 256))[0]
    found = judge_of(DRN, DRN_MULTI_SCALE_TEST).label(image, (512, 1024))
    expected = slow.drn_labels(tensors(DRN)[0], image, (512, 1024), (0.5, 0.75, 1.25, 1.5, 1.75))
    assert np.array_equal(found, expected)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_gives_the_same_labels_but_for_near_ties() -> None:
    image = photograph(np.random.default_rng(5), (96, 128))
    judge = build_judge(get_protocol("paper2019-cityscapes"), torch.device("cuda"))
    found = judge.label(image, (96, 128))
    assert np.array_equal(found, judge.label(image, (96, 128)))
    assert (found == judge_of(DRN, DRN_TEST).label(image, (96, 128))).mean() > 0.999
