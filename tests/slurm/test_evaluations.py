"""An evaluation waits for its training, survives being stopped, and generates no image twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.data.synthetic import SyntheticScenes
from bench.launching.evaluation_job import evaluate_job
from bench.lives import lives
from bench.plan import Job, evaluation_of
from bench.run_spec import RunSpec
from bench.store import Store
from bench.study import StudyDataset
from tests.slurm.conftest import NewDrill
from tests.slurm.drill import drill_run, final_sha256, training_of
from tests.training.worker import train_here

pytestmark = pytest.mark.slurm
IMAGES = 32


def run_with_images() -> RunSpec:
    """A drill's run whose validation split is large enough to be stopped within."""
    run = drill_run(1, steps=6, save_every_steps=3)
    manifest = SyntheticScenes(split="val", size=run.dataset.size, images=IMAGES).manifest_hash
    return replace(run, dataset=replace(run.dataset, val_images=IMAGES, val_manifest=manifest))


def judging_of(run: RunSpec) -> Job:
    """The planned evaluation of a run."""
    dataset = StudyDataset(ref=run.dataset, training=run.training, protocol="synthetic")
    evaluation = evaluation_of(run, dataset)
    return Job(kind="evaluate", label="drill", dataset=run.dataset.name, seed=run.seed, run=run, evaluation=evaluation)


@pytest.mark.drill_ci
def test_an_evaluation_waits_for_its_training_and_survives(new_drill: NewDrill, tmp_path: Path) -> None:
    run = run_with_images()
    drill = new_drill(run=run, slow_s=0.5, slow_images_s=1.0)
    train, judge = training_of(run), judging_of(run)
    assert judge.evaluation is not None
    numbers = drill.hand_over([train, judge], ranks_per_node=1)
    (training,), (evaluation,) = numbers[train.key], numbers[judge.key]

    # The training is stopped once: the evaluation still waits, and starts after its second life.
    drill.until_step(2)
    assert drill.scheduled(evaluation, "%T %r") == "PENDING Dependency"
    drill.notify(training)
    drill.until(lambda: len(drill.lives()) == 2, "the training's second life")
    assert drill.scheduled(evaluation) == "PENDING"
    assert drill.until_over(training) == "COMPLETED"

    # The evaluation is stopped once, after its first images: these are kept.
    generated = drill.run_folder.generated(run.training.steps, judge.evaluation)
    drill.until(lambda: len(list(generated.glob("*.png"))) >= 8, "the first images")
    drill.notify(evaluation)
    folder = drill.store.job_folder(judge.key)
    drill.until(lambda: [life.end for life in lives(folder)] == ["stopped"], "the stop of the evaluation")
    before = {path: path.stat().st_mtime_ns for path in generated.glob("*.png")}
    assert 8 <= len(before) < IMAGES
    assert drill.store.evaluation(judge.evaluation.eval_id) is None
    assert drill.until_over(evaluation) == "COMPLETED"
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert [(life.end, life.saved) for life in lives(folder)] == [("stopped", 0), ("done", len(before))]

    found = drill.store.evaluation(judge.evaluation.eval_id)
    assert found is not None
    here = drill.folder / "here"
    undisturbed = evaluated_here(run, judge, here)
    assert final_sha256(drill.run_folder, run) == undisturbed[0]
    assert found.scores == undisturbed[1]


def evaluated_here(run: RunSpec, judge: Job, folder: Path) -> tuple[str, object]:
    """(final state's checksum, scores) of the same in this process."""
    store = Store(folder)
    assert judge.evaluation is not None
    assert train_here(run, folder)
    found = evaluate_job(judge.evaluation, run, store, device="cpu")
    assert found is not None
    return final_sha256(store.run(run), run), found.scores


def test_an_evaluation_whose_training_fails_is_not_started(new_drill: NewDrill) -> None:
    run = run_with_images()
    drill = new_drill(run=run, fault="raise:2:0")
    train, judge = training_of(run), judging_of(run)
    numbers = drill.hand_over([train, judge], ranks_per_node=1)
    assert drill.until_over(numbers[train.key][0]) == "FAILED"
    assert drill.until_over(numbers[judge.key][0]) == "CANCELLED"
    assert lives(drill.store.job_folder(judge.key)) == []
