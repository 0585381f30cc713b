"""The shipped judge: what its card says is true, colours alone are not enough, and changed files are refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.data.registry import WORLD_VERSION
from bench.data.synthetic import SyntheticScenes
from bench.evaluation.judges.synthetic import (
    FEATURES,
    WEIGHTS,
    JudgeError,
    SyntheticJudge,
    card_of,
    load_synthetic_judge,
)
from bench.evaluation.judges.train_synthetic import Schedule, confusion, disturb, main, scores, to_tensors

CLASSES = 12


def validation(images: int, size: int = 64) -> SyntheticScenes:
    return SyntheticScenes(split="val", size=(size, size), images=images)


@pytest.fixture(scope="module")
def judge() -> SyntheticJudge:
    return load_synthetic_judge()


@pytest.fixture(scope="module")
def measured(judge: SyntheticJudge) -> dict[str, float]:
    return scores(confusion(judge, validation(card_of(WEIGHTS)["validation"]["64px"]["images"])))


def test_the_card_states_what_the_judge_scores(measured: dict[str, float]) -> None:
    stated = card_of(WEIGHTS)["validation"]["64px"]
    assert measured["miou"] == pytest.approx(stated["miou"], abs=1e-4)
    assert measured["accuracy"] == pytest.approx(stated["accuracy"], abs=1e-4)
    assert stated["miou"] > 0.85


def test_a_colour_classifier_stays_far_below(measured: dict[str, float]) -> None:
    """The most probable class of each of 16 x 16 x 16 colours, counted on 600 training scenes, on unseen scenes."""

    def bins(image: np.ndarray) -> np.ndarray:
        return (image >> 4).astype(np.int64) @ np.array([256, 16, 1])

    counts = np.zeros((4096, CLASSES), np.int64)
    training = SyntheticScenes(split="train", size=(64, 64), images=600)
    for index in range(len(training)):
        sample = training.load(index)
        pairs = bins(sample.image) * CLASSES + sample.labels
        counts += np.bincount(pairs.ravel(), minlength=counts.size).reshape(counts.shape)
    likeliest = counts.argmax(1)
    matrix = np.zeros((CLASSES, CLASSES), np.int64)
    for index in range(200):
        sample = validation(200).load(index)
        pairs = sample.labels.astype(np.int64) * CLASSES + likeliest[bins(sample.image)]
        matrix += np.bincount(pairs.ravel(), minlength=matrix.size).reshape(matrix.shape)
    colour = scores(matrix)
    assert 0.1 < colour["miou"] <= measured["miou"] - 0.3


def test_mild_disturbances_cost_little_and_lost_texture_much(judge: SyntheticJudge) -> None:
    images, labels = to_tensors(validation(40), range(40))

    def accuracy(seen: torch.Tensor) -> float:
        return float((judge(seen).argmax(1) == labels).float().mean())

    clean = accuracy(images)
    assert accuracy(disturb(images, torch.Generator().manual_seed(0))) > clean - 0.05
    flat = torch.nn.functional.interpolate(torch.nn.functional.avg_pool2d(images, 16), scale_factor=16)
    assert accuracy(flat) < clean - 0.25


@pytest.mark.parametrize("size", [(64, 64), (128, 128), (64, 128), (8, 16)])
def test_shapes(judge: SyntheticJudge, size: tuple[int, int]) -> None:
    images = torch.zeros(3, 3, *size)
    assert judge(images).shape == (3, CLASSES, *size)
    assert judge.features(images).shape == (3, FEATURES)


def test_it_serves_larger_images_too(judge: SyntheticJudge) -> None:
    assert scores(confusion(judge, validation(60, size=128)))["accuracy"] > 0.9


def test_features_and_labels_do_not_depend_on_the_batch(judge: SyntheticJudge) -> None:
    images, _ = to_tensors(validation(6), range(6))
    torch.testing.assert_close(judge.features(images)[4:5], judge.features(images[4:5]), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(judge(images)[4:5], judge(images[4:5]), rtol=1e-4, atol=1e-4)


def test_other_shapes_are_refused(judge: SyntheticJudge) -> None:
    with pytest.raises(ValueError, match=r"was given \(1, 3, 60, 64\); it takes \(N, 3, H, W\) in \[-1, 1\]"):
        judge(torch.zeros(1, 3, 60, 64))


def test_the_shipped_file_is_small_and_carries_its_world() -> None:
    assert WEIGHTS.stat().st_size < 2_000_000
    card = card_of(WEIGHTS)
    assert card["world_version"] == WORLD_VERSION
    assert "train_synthetic" in card["training"]["command"]


def test_missing_changed_and_outdated_files_are_refused(tmp_path: Path) -> None:
    copy = tmp_path / WEIGHTS.name
    with pytest.raises(JudgeError, match="no such file; run python -m bench.evaluation.judges.train_synthetic"):
        load_synthetic_judge(copy)
    shutil.copy(WEIGHTS, copy)
    with pytest.raises(JudgeError, match="no card beside the judge's weights"):
        load_synthetic_judge(copy)
    card = card_of(WEIGHTS)
    copy.with_suffix(".json").write_text(json.dumps({**card, "world_version": WORLD_VERSION - 1}))
    with pytest.raises(
        JudgeError, match=f"trained on version {WORLD_VERSION - 1} of the synthetic world, which is now"
    ):
        load_synthetic_judge(copy)
    copy.with_suffix(".json").write_text(json.dumps({**card, "sha256": "0" * 64}))
    with pytest.raises(JudgeError, match="its card says 0000.*restore both files together"):
        load_synthetic_judge(copy)
    copy.with_suffix(".json").write_text('{"sha256": ""}')
    with pytest.raises(JudgeError, match="lacks world_version"):
        load_synthetic_judge(copy)
    copy.with_suffix(".json").write_text("{")
    with pytest.raises(JudgeError, match="not JSON"):
        load_synthetic_judge(copy)


def test_schedules_are_checked() -> None:
    with pytest.raises(ValueError, match=r"steps=1, seed=0, peak_lr=0\.004.*at least 10 steps"):
        Schedule(steps=1, seed=0)


@pytest.mark.slow
def test_the_training_script_makes_a_judge_that_loads(tmp_path: Path) -> None:
    out = tmp_path / "judge.safetensors"
    main(["--steps", "40", "--seed", "5", "--out", str(out)])
    load_synthetic_judge(out)
    assert card_of(out)["validation"]["64px"]["miou"] > 0.15
