"""The evaluator: the same numbers on any number of ranks and any batch size, by the protocol's every word."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import PIL
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from bench.data.dataset import Dataset
from bench.data.registry import dataset_spec
from bench.data.synthetic import SyntheticScenes
from bench.evaluation import evaluator, feature_scores, real_features
from bench.evaluation.evaluator import ImageSource, Judgement, evaluate, real_images
from bench.evaluation.feature_scores import FeatureScores
from bench.evaluation.frechet import frechet_distance
from bench.evaluation.generate import CHUNK_IMAGES
from bench.evaluation.judges.registry import Judge, UnavailableError
from bench.evaluation.kernel_distance import kernel_distance
from bench.evaluation.metric_table import EXTRACTORS
from bench.evaluation.metrics import segmentation_scores
from bench.evaluation.precision_recall import precision_recall
from bench.evaluation.protocol import Protocol
from bench.evaluation.protocols import PAPER_COCO, SYNTHETIC, get_protocol
from bench.evaluation.stopwatch import Stopwatch
from tests.data.trees import write_released

SCENES = SyntheticScenes(split="val", size=(32, 32), images=21)
CPU = torch.device("cpu")
CLASSES = len(SCENES.scored_classes)
PROTOCOL = replace(
    SYNTHETIC,
    metrics=(
        "mIoU",
        "accu@all",
        "accu@labelled",
        "FD@synthetic-judge",
        "KD@synthetic-judge",
        "precision@synthetic-judge",
        "recall@synthetic-judge",
        "LPIPS@alex",
        "FID@tf",
    ),
)


@dataclass
class Peers:
    """One of several ranks that are played one after the other, rank 0 last."""

    rank: int
    world: int
    handed_in: list[object] = field(default_factory=list)

    def gather(self, value: object) -> list[object]:
        self.handed_in.append(value)
        return self.handed_in


def by_red(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.int64]:
    """Classes by the red value, at any size by nearest: no weights, so that counting can be checked by hand."""
    red = Image.fromarray(image[..., 0]).resize((size[1], size[0]), Image.Resampling.NEAREST)
    return np.asarray(red).astype(np.int64) * CLASSES // 256


def red_judge(*_: object) -> Judge:
    return Judge(name="red", sha256="0" * 64, classes=CLASSES, label=by_red)


def mean_features(*_: object) -> feature_scores.Extractor:
    """Mean and spread of each colour, then zeros: the same to the bit in any batch."""

    def extract(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        pixels = images.reshape(len(images), -1, 3).astype(np.float64)
        features = np.zeros((len(images), EXTRACTORS["synthetic-judge"].dimensions), np.float32)
        features[:, :3], features[:, 3:6] = pixels.mean(axis=1), pixels.std(axis=1)
        return features

    return extract


def mean_difference(*_: object) -> feature_scores.Similarity:
    return lambda real, judged: np.abs(real.astype(float) - judged.astype(float)).mean(axis=(1, 2, 3))


@pytest.fixture(autouse=True)
def _simple_networks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr(evaluator, "build_judge", red_judge)
    monkeypatch.setattr(feature_scores, "build_extractor", mean_features)
    monkeypatch.setattr(feature_scores, "build_similarity", mean_difference)
    there = {"synthetic-judge": "1" * 64, "alexnet": "2" * 64}
    monkeypatch.setattr(feature_scores, "weights_sha256", lambda name: there.get(name, "missing"))
    monkeypatch.setenv("SPADE_BENCH_CACHE", str(tmp_path / "cache"))


def noisy(index: int) -> NDArray[np.uint8]:
    """The real image with noise that depends on the image alone."""
    image = SCENES.load(index).image.astype(np.int64)
    drawn = np.random.default_rng(index).integers(-60, 60, image.shape)
    return np.clip(image + drawn, 0, 255).astype(np.uint8)


def judge_on(
    world: int,
    images: ImageSource = noisy,
    count: int = 21,
    *,
    batch: int = CHUNK_IMAGES,
    protocol: Protocol = PROTOCOL,
    dataset: Dataset = SCENES,
) -> Judgement:
    handed_in: list[object] = []
    for rank in reversed(range(world)):
        peers = Peers(rank, world, handed_in)
        found = evaluate(images, dataset, protocol, count=count, device=CPU, peers=peers, batch_images=batch)
        assert (found is None) == (rank > 0)
    assert found is not None
    return found


def bare(found: Judgement) -> Judgement:
    return replace(found, total=None, per_image=None, seconds=0.0, stage_seconds={})


@pytest.mark.parametrize(("world", "batch"), [(2, 8), (3, 8), (5, 8), (1, 1), (1, 4), (3, 1), (3, 4)])
def test_any_number_of_ranks_and_any_batch_size_give_the_same_numbers(world: int, batch: int) -> None:
    one, several = judge_on(1), judge_on(world, batch=batch)
    assert bare(several) == bare(one)
    assert one.total is not None
    assert one.per_image is not None
    assert np.array_equal(one.total, several.total)
    assert np.array_equal(one.per_image, several.per_image)


def test_a_judge_whose_classes_are_not_the_mappings_judges_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    other = replace(red_judge(), classes=CLASSES + 1)
    monkeypatch.setattr(evaluator, "build_judge", lambda *_: other)
    with pytest.raises(ValueError, match="judge red has 13 classes, label mapping scored-classes names 12"):
        judge_on(1)
    names = tuple(SCENES.class_names[label] for label in SCENES.scored_classes)
    turned = replace(red_judge(), class_names=names[::-1])
    monkeypatch.setattr(evaluator, "build_judge", lambda *_: turned)
    with pytest.raises(
        ValueError, match="judge red has its classes in another order than label mapping scored-classes"
    ):
        judge_on(1)


def test_the_scores_are_those_of_the_summed_counts() -> None:
    found = judge_on(1)
    assert found.total is not None
    assert found.per_image is not None
    dense = np.zeros((21, SCENES.spec.ids, CLASSES), np.int64)
    dense[tuple(found.per_image[:, :3].T)] = found.per_image[:, 3]
    assert np.array_equal(dense.sum(axis=0), found.total)
    assert np.array_equal(dense.sum(axis=(1, 2)), [SCENES.size[0] * SCENES.size[1]] * 21)
    truth = np.stack([SCENES.load(index).labels for index in range(21)])
    predicted = np.stack([by_red(noisy(index), SCENES.size) for index in range(21)])
    scores = segmentation_scores(found.total, found.class_of, SYNTHETIC.class_mean)
    assert found.scores["accu@all"].value == pytest.approx(100.0 * (truth == predicted).mean())
    assert found.scores["mIoU"].value == scores.mean_iou
    assert found.class_pixels == {name: int((truth == label).sum()) for label, name in enumerate(SCENES.class_names)}
    assert list(found.class_iou) == list(SCENES.class_names)
    assert found.sample_ids == [SCENES.sample_id(index) for index in range(21)]


def test_features_compare_the_judged_images_with_the_real_ones() -> None:
    found = judge_on(2)
    real, fake = (mean_features()(np.stack([image(i) for i in range(21)])) for image in (clean, noisy))
    precision, recall = precision_recall(real, fake)
    assert {name: score.value for name, score in found.scores.items() if "synthetic-judge" in name} == {
        "FD@synthetic-judge": frechet_distance(real, fake),
        "KD@synthetic-judge": kernel_distance(real, fake),
        "precision@synthetic-judge": precision,
        "recall@synthetic-judge": recall,
    }
    pairs = [mean_difference()(clean(index)[None], noisy(index)[None])[0] for index in range(21)]
    assert found.scores["LPIPS@alex"].value == pytest.approx(np.mean(pairs), rel=1e-12)


def test_one_image_again_and_again_is_precise_and_recalls_little() -> None:
    scores = judge_on(1, lambda index: clean(0)).scores
    assert scores["precision@synthetic-judge"].value == 100.0
    assert scores["recall@synthetic-judge"].value == pytest.approx(100 / 21)


def clean(index: int) -> NDArray[np.uint8]:
    return SCENES.load(index).image


def test_many_images_are_compared_by_moments_and_no_feature_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = judge_on(1).scores["FD@synthetic-judge"].value
    monkeypatch.setattr(feature_scores, "STREAMED_IMAGES", 20)
    for world in (1, 3):
        assert judge_on(world).scores["FD@synthetic-judge"].value == pytest.approx(exact, rel=1e-9)
    scores = FeatureScores(("FD@synthetic-judge",), 21, CPU)
    scores.add(range(2), np.stack([clean(0), clean(1)]), np.stack([noisy(0), noisy(1)]), Stopwatch())
    assert scores.part()[0]["synthetic-judge"].pairs == {}


def test_real_images_are_looked_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[int] = []

    def counting(*_: object) -> feature_scores.Extractor:
        extract = mean_features()
        return lambda images: (seen.append(len(images)), extract(images))[1]

    monkeypatch.setattr(feature_scores, "build_extractor", counting)
    first, second, shared = judge_on(1), judge_on(1), judge_on(3)
    assert seen[:6] == [8, 8, 8, 8, 5, 5], "real and judged images, chunk by chunk"
    assert sum(seen) == 21 * (2 + 1 + 1)
    assert first.scores == second.scores == shared.scores
    (kept,) = (tmp_path / "cache" / "features").iterdir()
    kept.write_bytes(kept.read_bytes()[:300])
    assert judge_on(1).scores == first.scores
    np.save(kept, np.zeros((20, EXTRACTORS["synthetic-judge"].dimensions), np.float32))
    assert judge_on(1).scores == first.scores
    seen.clear()
    other = SyntheticScenes(split="val", size=(32, 32), images=21, seed=1)
    judge_on(1, dataset=other)
    assert sum(seen) == 42, "another data set has its own"


def test_features_are_kept_by_all_that_they_depend_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def place(extractor: str = "synthetic-judge", count: int = 21, device: str = "cpu", **changes: object) -> Path:
        split = {"name": "streets", "split": "val", "manifest_hash": "1", "size": (32, 32)}
        images = cast(Dataset, SimpleNamespace(**{**split, **changes}))
        return real_features.features_file(images, count, extractor, torch.device(device))

    first = place()
    assert place() == first
    others = [place(name="fields"), place(split="train"), place(manifest_hash="2"), place(size=(32, 64))]
    others += [place(count=20), place(device="cuda"), place("efficientnet-lite0")]
    for module, name in ((torch, "__version__"), (PIL, "__version__"), (real_features, "FEATURES_VERSION")):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, "another")
            others.append(place())
    monkeypatch.setattr(real_features, "weights_sha256", lambda name: "another file")
    others.append(place())
    assert len({first, *others}) == 1 + len(others)


def test_features_that_cannot_be_kept_cost_no_score(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SPADE_BENCH_CACHE", str(tmp_path / "file"))
    assert judge_on(1).scores["FD@synthetic-judge"].value is not None


def test_real_images_are_at_distance_0() -> None:
    found = judge_on(1, real_images(SCENES, PROTOCOL))
    assert found.scores["FD@synthetic-judge"].value == pytest.approx(0.0, abs=1e-9)
    assert found.scores["LPIPS@alex"].value == 0.0


@pytest.mark.parametrize(("count", "metric", "least"), [(1, "FD", 2), (1, "KD", 2), (3, "precision", 4)])
def test_too_few_images_have_no_distance_and_say_so(count: int, metric: str, least: int) -> None:
    name = f"{metric}@synthetic-judge"
    score = judge_on(1, count=count).scores[name]
    assert (score.value, score.reason) == (None, f"{name} needs at least {least} images; there are {count}")


def test_a_metric_without_its_weights_names_the_file() -> None:
    score = judge_on(1).scores["FID@tf"]
    assert (score.value, score.reason) == (None, "weights file pt_inception-2015-12-05-6726825d.pth is missing")


def test_without_its_judge_every_other_score_is_still_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def unavailable(*_: object) -> Judge:
        raise UnavailableError("weights file judge.pth is missing")

    monkeypatch.setattr(evaluator, "build_judge", unavailable)
    found = judge_on(2)
    assert {found.scores[name].reason for name in ("mIoU", "accu@all", "accu@labelled")} == {
        "weights file judge.pth is missing"
    }
    assert found.scores["FD@synthetic-judge"].value is not None
    assert (found.total, found.per_image, found.class_iou, found.class_pixels, found.class_of) == (
        None,
        None,
        {},
        {},
        (),
    )


def test_a_protocol_without_a_judge_asks_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluator, "build_judge", lambda *_: pytest.fail("no judge was asked for"))
    found = judge_on(1, protocol=replace(get_protocol("distances"), metrics=("FD@synthetic-judge",)))
    assert list(found.scores) == ["FD@synthetic-judge"]
    assert found.total is None


def test_nothing_is_looked_at_where_nothing_can_be_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    protocol = replace(get_protocol("distances"), metrics=("FID@tf",))
    found = judge_on(1, lambda index: pytest.fail("no image was needed"), protocol=protocol)
    assert found.scores["FID@tf"].value is None


def test_the_time_is_told_by_stage() -> None:
    found = judge_on(1)
    assert {"read", "judge", "count", "features synthetic-judge", "LPIPS@alex", "distances"} <= set(found.stage_seconds)
    assert 0 < sum(found.stage_seconds.values()) <= found.seconds


# A data set of files: label maps of 60 x 90 pixels, read at 32 x 32, 182 classes and don't care.


@pytest.fixture
def paired(tmp_path: Path) -> Dataset:
    write_released(tmp_path, size=(60, 90))
    return dataset_spec("coco_stuff").open(split="val", root=tmp_path, size=(32, 32), manifest_dir=tmp_path / "cache")


def seen_sizes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[tuple[int, ...], tuple[int, int]]]:
    """(shape of the image, size asked for) of every call of the judge."""
    calls: list[tuple[tuple[int, ...], tuple[int, int]]] = []

    def label(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.int64]:
        calls.append((image.shape[:2], size))
        return by_red(image, size)

    judge = Judge(name="red", sha256="0" * 64, classes=182, label=label)
    monkeypatch.setattr(evaluator, "build_judge", lambda *_: judge)
    return calls


SIZES = {
    "paper2019-coco": ((32, 32), (32, 32)),
    "fullsize-coco": ((60, 90), (60, 90)),
    "judge-check-coco": ((60, 90), (60, 90)),
}


@pytest.mark.parametrize("name", SIZES)
def test_image_and_labels_have_the_sizes_that_the_protocol_says(
    name: str, paired: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = seen_sizes(monkeypatch)
    protocol = replace(get_protocol(name), metrics=("mIoU", "accu@all", "accu@labelled"))
    found = judge_on(1, real_images(paired, protocol), len(paired), protocol=protocol, dataset=paired)
    assert calls == [SIZES[name]] * len(paired)
    assert found.total is not None
    labels = [paired.truth(i) if SIZES[name][1] == (60, 90) else paired.load(i).labels for i in range(len(paired))]
    assert np.array_equal(
        found.total.sum(axis=1), np.bincount(np.concatenate([a.ravel() for a in labels]), minlength=183)
    )
    assert found.class_of == (*range(182), None)
    assert found.total[182].sum() > 0, "the trees hold don't care"
    hits, labelled, pixels = np.trace(found.total[:182]), found.total[:182].sum(), found.total.sum()
    assert found.scores["accu@labelled"].value == pytest.approx(100 * hits / labelled)
    assert found.scores["accu@all"].value == pytest.approx(100 * hits / pixels)


def test_the_judges_own_check_is_shown_the_photographs_themselves(paired: Dataset) -> None:
    shown = real_images(paired, get_protocol("judge-check-coco"))(0)
    assert np.array_equal(shown, paired.original(0))
    assert np.array_equal(real_images(paired, PAPER_COCO)(0), paired.load(0).image)


def test_images_are_enlarged_by_the_filter_of_the_protocol() -> None:
    image = noisy(0)
    picture = Image.fromarray(image)
    for how, resampling in (("bilinear", Image.Resampling.BILINEAR), ("bicubic", Image.Resampling.BICUBIC)):
        expected = np.asarray(picture.resize((70, image.shape[0]), resampling).resize((70, 50), resampling))
        assert np.array_equal(evaluator.resized(image, (50, 70), how), expected)
    assert evaluator.resized(image, (50, 70), "none") is image


def test_threads_that_read_ahead_change_no_number() -> None:
    handed_in: list[object] = []
    threads: set[str] = set()

    def images(index: int) -> NDArray[np.uint8]:
        threads.add(threading.current_thread().name)
        return noisy(index)

    peers = Peers(0, 1, handed_in)
    ahead = evaluate(images, SCENES, PROTOCOL, count=21, device=CPU, peers=peers, batch_images=4, reading_threads=3)
    assert ahead is not None
    assert bare(ahead) == bare(judge_on(1, batch=4))
    assert threads
    assert all(name.startswith("reading") for name in threads)
