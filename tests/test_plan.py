"""The planner is pure: from jobs and states to one action with its reason for every job."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.imports import Imported, write_import
from bench.plan import Action, JobState, Verb, job_state, plan, plan_study, study_jobs, summary
from bench.store import EvaluationSpec, RunStatus, Store
from bench.study import Study
from tests.reporting.conftest import make_study

ROWS = (("SPADE decoder", "spade-decoder", None), ("pix2pixHD", "pix2pixhd", None))
STUDY = make_study(rows=ROWS)
REAL, TRAIN_1, JUDGE_1, TRAIN_2, JUDGE_2 = JOBS = study_jobs(STUDY)


def decide(states: dict[str, JobState] | None = None, **options: Any) -> list[Action]:
    return plan(JOBS, states or {}, **options)


def state(name: str, *, has_checkpoint: bool = False, **values: Any) -> JobState:
    return JobState(status=RunStatus(state=name, **values), has_checkpoint=has_checkpoint)  # type: ignore[arg-type]


def told(actions: list[Action]) -> list[tuple[str, str]]:
    return [(action.verb.value, action.reason) for action in actions]


def test_jobs_come_row_by_row_after_the_real_images() -> None:
    assert [(job.kind, job.label) for job in JOBS] == [
        ("evaluate", "real images"),
        ("train", "SPADE decoder"),
        ("evaluate", "SPADE decoder"),
        ("train", "pix2pixHD"),
        ("evaluate", "pix2pixHD"),
    ]
    assert TRAIN_2.title == "train pix2pixHD on synthetic, seed 0"
    assert REAL.title == "evaluate real images on synthetic"


def test_with_an_empty_store_everything_is_submitted() -> None:
    assert told(decide()) == [
        ("submit", "not judged yet"),
        ("submit", "not in the store"),
        ("submit", "not judged yet"),
        ("submit", "not in the store"),
        ("submit", "not judged yet"),
    ]


def test_finished_work_is_skipped() -> None:
    actions = decide({job.key: state("done") for job in JOBS})
    assert told(actions) == [("skip", "finished")] * 5
    assert not any(action.runs for action in actions)


def test_a_run_with_a_checkpoint_is_resumed() -> None:
    action = decide({TRAIN_1.key: state("pending", has_checkpoint=True, step=40, steps=100)})[1]
    assert (action.verb, action.runs) == (Verb.RESUME, True)
    assert action.reason == "has a checkpoint"


def test_what_runs_elsewhere_is_waited_for_and_so_is_what_needs_it() -> None:
    actions = decide({TRAIN_1.key: state("running", step=61, steps=100, host="node7")})
    assert told(actions)[1:3] == [("wait", "running on node7, 61%"), ("wait", "its training is not finished")]
    assert told(actions)[4] == ("submit", "not judged yet")


def test_a_failed_run_is_resumed_from_its_checkpoint_or_tried_anew() -> None:
    error = "DivergedError: not finite\nsecond line"
    with_checkpoint = decide({TRAIN_1.key: state("failed", has_checkpoint=True, step=40, error=error)})
    assert told(with_checkpoint)[1] == ("resume", "failed at step 40 (DivergedError: not finite); has a checkpoint")
    without = decide({TRAIN_1.key: state("failed", error=error)})
    assert told(without)[1] == ("retry", "failed before (DivergedError: not finite)")
    assert without[2].runs


def test_on_request_failed_runs_are_left_and_nothing_depends_on_them() -> None:
    actions = decide({TRAIN_1.key: state("failed", has_checkpoint=True, error="boom")}, retry_failed=False)
    assert told(actions)[1:3] == [("cancel", "failed before (boom); not retried"), ("wait", "its training failed")]
    assert [action.runs for action in actions] == [True, False, False, True, True]


def test_a_failed_evaluation_is_tried_again() -> None:
    actions = decide({TRAIN_1.key: state("done"), JUDGE_1.key: state("failed")})
    assert told(actions)[1:3] == [("skip", "finished"), ("retry", "failed before (no word of why)")]
    actions = decide({TRAIN_1.key: state("done"), JUDGE_1.key: state("failed", error="E")}, retry_failed=False)
    assert told(actions)[2] == ("cancel", "failed before (E); not retried")


def test_rows_that_are_the_same_work_are_done_once() -> None:
    same = replace(STUDY.rows[0], label="the same")
    jobs = study_jobs(replace(STUDY, rows=(STUDY.rows[0], same)))
    actions = plan(jobs, {})
    assert told(actions)[3:] == [
        ("skip", "the same work as 'train SPADE decoder on synthetic, seed 0'"),
        ("skip", "the same work as 'evaluate SPADE decoder on synthetic, seed 0'"),
    ]
    assert len({action.job.key for action in actions if action.runs}) == 3


def test_a_wait_holds_for_every_row_of_the_same_run() -> None:
    same = replace(STUDY.rows[0], label="the same")
    jobs = study_jobs(replace(STUDY, rows=(STUDY.rows[0], same)))
    actions = plan(jobs, {jobs[1].key: state("running", step=1, steps=2)})
    assert not any(action.runs for action in actions[1:])


def test_planning_changes_nothing() -> None:
    states = {TRAIN_1.key: state("failed")}
    assert plan(JOBS, states) == plan(JOBS, states)
    assert states == {TRAIN_1.key: state("failed")}


def test_seeds_come_one_after_the_other() -> None:
    jobs = study_jobs(make_study(rows=ROWS, seeds=(0, 1)))
    assert [job.seed for job in jobs] == [None, 0, 0, 0, 0, 1, 1, 1, 1]
    assert len({job.key for job in jobs}) == 9


def test_the_summary_counts_verbs() -> None:
    assert summary(decide({TRAIN_1.key: state("done")})) == "4 submit, 1 skip"
    assert summary([]) == "nothing to do"


def test_the_store_tells_the_states(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert TRAIN_1.run is not None
    assert JUDGE_1.evaluation is not None
    folder = store.run(TRAIN_1.run)
    folder.create(TRAIN_1.run)
    folder.write_status(state="pending", step=20, steps=300)
    assert job_state(store, TRAIN_1) == JobState(status=folder.status(), has_checkpoint=False)
    folder.checkpoints.mkdir()
    (folder.checkpoints / "step_00000020.pt").touch()
    assert plan_study(STUDY, store)[1].verb is Verb.RESUME
    store.write_evaluation_error(JUDGE_1.evaluation.eval_id, "Traceback\nValueError: first\nsecond")
    assert job_state(store, JUDGE_1) == state("failed", error="ValueError: first")


def evaluation(study: Study, row: int = 0) -> EvaluationSpec:
    found = [job.evaluation for job in study_jobs(study) if job.kind == "evaluate" and job.run is not None][row]
    assert found is not None
    return found


def test_a_changed_judge_repeats_the_evaluation_and_never_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    before = study_jobs(STUDY)
    monkeypatch.setattr("bench.plan.weights_sha256", lambda name: f"new {name}")
    after = study_jobs(STUDY)
    for old, new in zip(before, after, strict=True):
        assert (old.key == new.key) == (old.kind == "train")


def test_an_evaluation_follows_the_runs_weights_and_selection() -> None:
    assert (evaluation(STUDY).weights, evaluation(STUDY).selection, evaluation(STUDY).step) == ("raw", "last", None)
    averaged = replace(STUDY.datasets[0].training, ema_halflife_images=10, eval_every_steps=5, selection="best")
    other = replace(STUDY, datasets=(replace(STUDY.datasets[0], training=averaged),))
    assert (evaluation(other).weights, evaluation(other).selection) == ("ema", "best")
    assert evaluation(other).eval_id != evaluation(STUDY).eval_id


def test_a_study_is_validated() -> None:
    with pytest.raises(ValueError, match="row label SPADE decoder occurs twice"):
        replace(STUDY, rows=(STUDY.rows[0], STUDY.rows[0]))
    with pytest.raises(ValueError, match="needs at least one row, one data set and one seed"):
        replace(STUDY, seeds=())
    with pytest.raises(ValueError, match=r"seeds \(1, 1\) repeat a value"):
        replace(STUDY, seeds=(1, 1))
    with pytest.raises(ValueError, match="protocol paper2019-coco@1 judges coco_stuff, not synthetic"):
        replace(STUDY, datasets=(replace(STUDY.datasets[0], protocol="paper2019-coco"),))


def test_a_row_that_imported_pictures_fill_is_not_trained(tmp_path: Path) -> None:
    store = Store(tmp_path)
    reference = STUDY.datasets[0].ref
    imported = Imported(
        name="pix2pixhd",
        dataset=reference,
        images=200,
        sha256="0" * 64,
        stored_sha256="0" * 64,
        source="elsewhere",
        imported_at="2026-01-01T00:00:00",
    )
    write_import(store, imported)
    filled = "the pictures imported as pix2pixhd stand here; to train it, delete their folder under imports/"
    assert told(plan_study(STUDY, store))[1:] == [
        ("submit", "not in the store"),
        ("submit", "not judged yet"),
        ("skip", filled),
        ("skip", filled),
    ]
    assert TRAIN_2.run is not None
    folder = store.run(TRAIN_2.run)
    folder.create(TRAIN_2.run)
    folder.write_status(state="done", step=300, steps=300)
    assert told(plan_study(STUDY, store))[3:] == [("skip", "finished"), ("submit", "not judged yet")]
