"""The inline backend: a study from nothing to its table, continued, interrupted, and with a run that fails."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

import bench.launching.training_job as jobs
from baselines.registry import get_variant
from bench.claim import claimed
from bench.launching.inline import Outcome, run_inline
from bench.plan import Verb, plan_study
from bench.run_spec import RunSpec
from bench.store import Store
from bench.study import Row, Study, StudyDataset
from tests.tiny import tiny_run

NAMES = {"SPADE": "spade-decoder", "pix2pixHD": "pix2pixhd"}


def tiny_study(**training: int) -> Study:
    """Two rows, two seeds, a few steps."""
    rows = []
    for label, name in NAMES.items():
        run = tiny_run(name, side_px=64, steps=2, save_every_steps=1, **training)
        variant = replace(get_variant(name), generator=run.generator)
        rows.append(Row(label=label, variant=variant, recipe=run.recipe))
    dataset = StudyDataset(ref=run.dataset, training=run.training, protocol="synthetic")
    return Study(name="tiny", title="Tiny", question="?", rows=tuple(rows), datasets=(dataset,), seeds=(0, 1))


def execute(study: Study, store: Store) -> tuple[Outcome, str]:
    """Plan and run; the outcome and what was printed."""
    printed = io.StringIO()
    outcome = run_inline(plan_study(study, store), store, Console(file=printed, width=200), device="cpu")
    return outcome, printed.getvalue()


def test_a_study_runs_to_its_end_and_is_never_repeated(tmp_path: Path) -> None:
    study, store = tiny_study(), Store(tmp_path)
    outcome, printed = execute(study, store)
    assert (outcome.finished, outcome.failed, outcome.interrupted) == (9, (), False)
    assert "[9/9] evaluate pix2pixHD on synthetic, seed 1: done" in printed

    evaluations = {found.spec.subject: found for found in store.evaluations()}
    assert len(evaluations) == 5
    assert "real" in evaluations
    for found in evaluations.values():
        assert found.images == 4
        value = found.scores["mIoU"].value
        assert value is not None
        assert 0 <= value <= 100
        counts = np.load(store.confusion_file(found.eval_id))
        image, truth, predicted, pixels = counts["per_image"].T
        assert np.array_equal(np.bincount(image, pixels), [64 * 64] * 4)
        summed = np.zeros_like(counts["total"])
        np.add.at(summed, (truth, predicted), pixels)
        assert np.array_equal(summed, counts["total"])
    for _, _, _, run in study.cells():
        folder = store.run(run)
        assert folder.spec() == run
        assert folder.provenance()["generator_parameters"] > 0
        assert len(list(folder.generated(2, evaluations[run.name].spec).glob("*.png"))) == 4
        assert list(folder.samples.glob("*.png"))

    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    again = plan_study(study, store)
    assert {action.verb for action in again} == {Verb.SKIP}
    execute(study, store)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == before


def test_one_failed_run_stops_only_what_depends_on_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study, store = tiny_study(), Store(tmp_path)
    real_train = jobs.train

    def broken(run: RunSpec, *arguments: object) -> bool:
        if run.variant == "spade-decoder" and run.seed == 0:
            raise RuntimeError("out of memory")
        return real_train(run, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(jobs, "train", broken)
    outcome, printed = execute(study, store)
    assert [(job.title, why) for job, why in outcome.failed] == [("train SPADE on synthetic, seed 0", "out of memory")]
    assert outcome.finished == 7
    assert "evaluate SPADE on synthetic, seed 0: left out, its training failed" in printed
    failed = store.run(next(iter(study.cells()))[3])
    assert failed.status().state == "failed"
    assert failed.status().error == "RuntimeError: out of memory"
    assert "Traceback" in failed.error_file.read_text()

    monkeypatch.setattr(jobs, "train", real_train)
    again = [action for action in plan_study(study, store) if action.runs]
    assert [(action.verb, action.job.title) for action in again] == [
        (Verb.RETRY, "train SPADE on synthetic, seed 0"),
        (Verb.SUBMIT, "evaluate SPADE on synthetic, seed 0"),
    ]
    outcome, _ = execute(study, store)
    assert (outcome.finished, outcome.failed) == (2, ())


def test_an_interrupted_run_resumes_at_its_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study, store = tiny_study(), Store(tmp_path)
    real_hooks = jobs.Hooks
    monkeypatch.setattr(jobs, "Hooks", lambda **given: real_hooks(**{**given, "should_stop": lambda: True}))
    outcome, _ = execute(study, store)
    assert outcome.interrupted
    run = next(iter(study.cells()))[3]
    status = store.run(run).status()
    assert (status.state, status.step) == ("pending", 1)

    monkeypatch.setattr(jobs, "Hooks", real_hooks)
    resumed = next(action for action in plan_study(study, store) if action.job.run == run)
    assert (resumed.verb, resumed.reason) == (Verb.RESUME, "has a checkpoint")
    outcome, _ = execute(study, store)
    assert not outcome.interrupted
    steps = [row["step"] for row in store.run(run).metrics()]
    assert steps == [1, 2]


def test_two_processes_never_work_in_one_folder(tmp_path: Path) -> None:
    study, store = tiny_study(), Store(tmp_path)
    run = next(iter(study.cells()))[3]
    folder = store.run(run)
    actions = plan_study(study, store)[1:3]  # the training of a run, and its evaluation
    printed = io.StringIO()
    with claimed(folder.path):
        outcome = run_inline(actions, store, Console(file=printed, width=200), device="cpu")
    assert (outcome.finished, outcome.failed) == (0, ())
    assert "left to the process that has taken it up" in printed.getvalue()
    assert "left out, its training is not finished" in printed.getvalue()
    assert not folder.exists()
    assert run_inline(actions, store, Console(file=printed, width=200), device="cpu").finished == 2


def test_the_store_keeps_the_study_for_a_copy(tmp_path: Path) -> None:
    study, store = tiny_study(), Store(tmp_path)
    store.write_study(study)
    kept = store.study_json("tiny")
    assert kept is not None
    again = Study.from_json(kept, "tiny.json")
    assert again == study
    assert [run.run_id for *_, run in again.cells()] == [run.run_id for *_, run in study.cells()]


def test_a_damaged_generated_image_is_named_before_any_judging(tmp_path: Path) -> None:
    study, store = tiny_study(), Store(tmp_path)
    execute(study, store)
    run = next(iter(study.cells()))[3]
    spec = next(found.spec for found in store.evaluations() if found.spec.subject == run.name)
    images = sorted(store.run(run).generated(2, spec).glob("*.png"))
    images[0].write_bytes(b"not a picture")
    Image.new("RGB", (8, 8)).save(images[1])
    (images[0].parent / "stranger.png").write_bytes(images[2].read_bytes())
    evaluate = next(a.job for a in plan_study(study, store) if a.job.kind == "evaluate" and a.job.run == run)
    assert evaluate.evaluation is not None
    (store.evaluation_folder(evaluate.evaluation.eval_id) / "evaluation.json").unlink()
    outcome, _ = execute(study, store)
    assert len(outcome.failed) == 1
    text = (store.evaluation_folder(evaluate.evaluation.eval_id) / "error.txt").read_text()
    for expected in (
        "3 problems with the",
        f"{images[0].name}: cannot be read",
        f"{images[1].name}: 8x8 px, expected 64x64",
        "stranger.png: extra (no sample has this name)",
    ):
        assert expected in text


def test_the_run_file_gives_back_the_run_and_notices_an_edit(tmp_path: Path) -> None:
    run = tiny_run("pix2pixhd-local-enhancer", side_px=64)
    folder = Store(tmp_path).run(run)
    folder.create(run)
    assert folder.spec() == run
    data = json.loads(folder.spec_file.read_text())
    data["recipe"]["beta2"] = 0.5
    folder.spec_file.write_text(json.dumps(data))
    with pytest.raises(ValueError, match=f"stored run_id is {run.run_id} but its fields give"):
        folder.spec()
