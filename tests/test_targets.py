"""What a user means by a run or a job."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.launching.job_file import JobFile
from bench.plan import study_jobs
from bench.store import Store
from bench.targets import evaluations_of, find_target
from tests.reporting.conftest import FakeStore, make_study


@pytest.fixture
def fake(tmp_path: Path) -> FakeStore:
    return FakeStore(make_study(), Store(tmp_path))


def test_a_run_is_found_by_its_name_or_enough_of_it(fake: FakeStore) -> None:
    run = fake.train("SPADE decoder")
    fake.train("pix2pixHD")
    for text in (run.name, run.run_id, run.run_id[:8], f"train-{run.run_id}"):
        target = find_target(fake.store, text)
        assert (target.key, target.kind, target.identity) == (f"train-{run.run_id}", "train", run.run_id)
        assert target.run is not None
        assert target.run.name == run.name
    both = rf"several runs match 'synthetic' in {re.escape(str(fake.store.root))}:\n  pix2pixhd-.*\n  spade-decoder-"
    with pytest.raises(ValueError, match=both):
        find_target(fake.store, "synthetic")
    with pytest.raises(ValueError, match=r"no run matches 'x1' in .*:\n  pix2pixhd-"):
        find_target(fake.store, "x1")


def test_a_name_that_begins_another_is_itself(fake: FakeStore) -> None:
    run = fake.train("SPADE decoder")
    (fake.store.root / "runs" / f"{run.name}-copy").mkdir()
    (fake.store.root / "runs" / f"{run.name}-copy" / "run.json").write_text("{}")
    found = find_target(fake.store, run.name).run
    assert found is not None
    assert found.name == run.name


def test_a_job_that_waits_is_found_before_it_has_a_run(fake: FakeStore) -> None:
    train, judge = study_jobs(fake.study)[1:3]
    for job in (train, judge):
        JobFile(job=job, store=fake.store.root.absolute()).write()
    (fake.store.root / "jobs" / "local-1a2b").mkdir()
    (fake.store.root / "jobs" / "array-1a2b").mkdir()
    target = find_target(fake.store, train.key)
    assert (target.title, target.run) == (train.title, None)
    judging = find_target(fake.store, "evaluate-")
    assert (judging.key, judging.kind, judging.title) == (judge.key, "evaluate", judge.title)
    with pytest.raises(ValueError, match="no run matches '1a2b'"):
        find_target(fake.store, "1a2b")


def test_the_evaluations_of_a_run_are_found_whether_handed_over_or_planned(fake: FakeStore) -> None:
    train, judge = study_jobs(fake.study)[1:3]
    run = fake.train("SPADE decoder")
    assert evaluations_of(fake.store, run.run_id) == []
    fake.store.write_study(fake.study)
    assert [target.key for target in evaluations_of(fake.store, run.run_id)] == [judge.key]
    JobFile(job=judge, store=fake.store.root.absolute()).write()
    (target,) = evaluations_of(fake.store, run.run_id)
    assert target.title == judge.title
    assert target.run is not None
    assert evaluations_of(fake.store, "0123456789ab") == []
