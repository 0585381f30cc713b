"""status, cancel, retry and why, as typed, of jobs that a pretended SLURM holds."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import bench.cli
from bench.job_records import JobRecords
from bench.launching.asking import Asking, ask_slurm
from bench.launching.profile import ClusterProfile
from bench.launching.snapshot import Snapshot
from bench.plan import Job, study_jobs
from bench.store import Store
from tests.launching.slurm.fake import FakeSlurm
from tests.launching.slurm.test_submit import STUDY, once

JOBS = {f"{job.kind} {job.label}": job for job in study_jobs(STUDY)}
TRAIN, OTHER, JUDGE = JOBS["train SPADE decoder"], JOBS["train pix2pixHD"], JOBS["evaluate SPADE decoder"]
Typed = Callable[..., tuple[int, str]]


@pytest.fixture
def typed(
    slurm: FakeSlurm,
    store: Store,
    snapshot: Snapshot,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Typed:
    """What ``./run_study.py ARGUMENTS --store STORE`` prints in a folder with the profile, with its exit status."""
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "pretended.toml").write_text(
        'partition = "gpu"\ngpus_per_node = 2\ndevice = "cpu"\ntime_limit = "01:00:00"\n'
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "220")
    store.write_study(STUDY)  # no file of studies/: the store knows what was asked for
    monkeypatch.setattr("bench.launching.slurm.backend.take_snapshot", lambda store: snapshot)
    monkeypatch.setattr("bench.launching.slurm.backend.estimate", lambda actions, ranks, report: {})

    def call(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["run_study.py", *arguments, "--store", str(store.root)])
        with pytest.raises(SystemExit) as stopped:
            bench.cli.main()
        printed = capsys.readouterr()
        return int(stopped.value.code or 0), printed.out + printed.err

    return call


@pytest.fixture
def submitted(slurm: FakeSlurm, store: Store, profile: ClusterProfile, snapshot: Snapshot) -> dict[str, str]:
    """SLURM's numbers by job key, of the study as it was submitted; nothing has begun."""
    store.write_study(STUDY)
    _, handed = once(store, profile, snapshot)
    slurm.forget_calls()
    return {key: numbers[0] for key, numbers in handed.submitted.items()}


def runs_on(store: Store, job: Job, host: str, *, ago: float = 3.0, **status: object) -> None:
    """The job's own folder says that it runs there."""
    assert job.run is not None
    folder = store.run(job.run)
    folder.create(job.run)
    folder.checkpoints.mkdir(exist_ok=True)
    (folder.checkpoints / "step_00000100.pt").touch()
    folder.write_status(**{"state": "running", "step": 120, "steps": 300, **status})
    path = folder.path / "status.json"
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, "host": host, "updated": time.time() - ago}))


def line_of(text: str, *words: str) -> str:
    (line,) = [line for line in text.splitlines() if all(word in line for word in words)]
    return line


def states(typed: Typed) -> dict[str, str]:
    _, text = typed("status", "tiny", "--json")
    return {f"{job['kind']} {job['row']}": job["state"] for job in json.loads(text)["jobs"]}


def test_status_asks_once_and_tells_each_jobs_reason(
    slurm: FakeSlurm, store: Store, typed: Typed, submitted: dict[str, str]
) -> None:
    slurm.change(submitted[TRAIN.key], state="RUNNING", node="node1", start=1)
    runs_on(store, TRAIN, "node1", images_per_s=52.5, eta_s=75.0)
    slurm.change(submitted[OTHER.key], reason="BadConstraints")
    status, text = typed("status", "tiny")
    assert status == 0
    assert [call[0] for call in slurm.calls()] == ["scontrol", "squeue"]
    assert re.search(r"train +SPADE decoder +0 +running +120/300 +40 +52\.5 +75 s", text)
    assert "Dependency" in line_of(text, "evaluate", "SPADE decoder")
    hopeless = line_of(text, "train", "pix2pixHD ")
    assert "hopeless" in hopeless
    assert "BadConstraints; no node has the profile's constraint" in hopeless
    assert "Priority" in line_of(text, "train", "pix2pixHD++")
    assert "`./run_study.py why RUN` says why" in text
    told = json.loads(typed("status", "tiny", "--json", "--state", "hopeless")[1])
    (job,) = told["jobs"]
    assert (job["row"], job["scheduled_ids"]) == ("pix2pixHD", [submitted[OTHER.key]])


def test_without_slurm_its_own_folder_tells_and_it_is_said(
    store: Store, typed: Typed, submitted: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs_on(store, TRAIN, "node1")
    runs_on(store, OTHER, "node2", ago=7200.0)
    monkeypatch.setenv("PATH", "/nowhere")
    status, text = typed("status", "tiny")
    assert status == 0
    assert "running" in line_of(text, "train", "SPADE decoder")
    silent = line_of(text, "train", "pix2pixHD ")
    assert "its scheduler was not asked; last sign of life 2 h 00 min ago on node2" in silent
    assert "squeue is not here: how 7 submitted jobs stand, their own folders alone tell" in text


def test_a_scheduler_that_is_away_holds_nobody_up(slurm: FakeSlurm, typed: Typed, submitted: dict[str, str]) -> None:
    slurm.set(away=True)
    status, text = typed("status", "tiny")
    assert status == 0
    assert "SLURM did not answer, 7 submitted jobs are told by their own folders alone: `scontrol show config`" in text
    assert "unknown" in line_of(text, "evaluate", "real images")


def test_an_answer_that_takes_long_is_not_waited_for(slurm: FakeSlurm, store: Store, submitted: dict[str, str]) -> None:
    slurm.set(delay_s=0.5)
    asking = Asking(store, every_s=60.0)
    first = asking.hear(list(submitted), wait_s=0.05)
    assert first.states == {}
    assert "SLURM has not answered for 0 s" in first.notes[0]
    heard = asking.hear(list(submitted), wait_s=20.0)
    assert set(heard.states) == set(submitted)
    assert heard.notes == ()
    assert asking.hear(list(submitted)).states == heard.states
    assert len(slurm.calls()) == 2, "asked again too soon"


def test_without_accounting_what_is_forgotten_is_said_to_be(
    slurm: FakeSlurm, store: Store, submitted: dict[str, str]
) -> None:
    slurm.change(submitted[TRAIN.key], forgotten=True)
    heard = ask_slurm(store, list(submitted), "none")
    assert heard.states[TRAIN.key].state == "ended"
    assert heard.notes == (
        "cluster pretended has no accounting: why 1 job ended that SLURM has forgotten, their own folders alone tell",
    )
    assert ask_slurm(store, []).notes == ()


def test_cancel_asks_first(slurm: FakeSlurm, typed: Typed, submitted: dict[str, str]) -> None:
    status, text = typed("cancel", "tiny")
    assert status == 1
    assert "nobody is there to answer: `cancel tiny --yes`" in text
    assert slurm.calls("scancel") == []


def test_a_cancelled_study_stays_so_and_retry_submits_just_that(
    slurm: FakeSlurm, store: Store, typed: Typed, submitted: dict[str, str]
) -> None:
    slurm.change(submitted[TRAIN.key], state="RUNNING", node="node1", start=1)
    runs_on(store, TRAIN, "node1", ago=300.0)
    slurm.end([submitted[JOBS["evaluate real images"].key]])
    status, text = typed("cancel", "tiny", "--yes")
    assert status == 0
    (call,) = slurm.calls("scancel")
    assert set(call[1:]) == set(submitted.values()) - {submitted[JOBS["evaluate real images"].key]}
    pending_evaluations = [submitted[job.key] for title, job in JOBS.items() if "evaluate" in title][1:]
    assert set(call[1:4]) == set(pending_evaluations), "evaluations first, what runs last"
    assert call[-1] == submitted[TRAIN.key]
    assert "SLURM was told to cancel 6 jobs (1 running, 5 pending)" in text
    found = states(typed)
    assert found.pop("evaluate real images") == "stopped", "it ended without a result"
    assert set(found.values()) == {"cancelled"}
    (submission,) = JobRecords(store).read(TRAIN.key)
    assert submission.ended is not None
    assert re.fullmatch(r"by \S+ with `cancel`", submission.ended.reason)

    assert typed("retry", "tiny", "--failed") == (0, "nothing of tiny has failed\n")
    slurm.forget_calls()
    status, text = typed("retry", "tiny")
    assert status == 0, text
    assert "7 jobs with backend slurm" in text
    assert "submitted 7 jobs" in text
    assert set(states(typed).values()) == {"pending"}
    assert "retry" in text
    assert typed("retry", "tiny")[1].startswith("nothing of tiny has failed, was cancelled or interrupted")


def test_cancel_of_a_run_takes_its_evaluation_with_it_and_nothing_else(
    slurm: FakeSlurm, store: Store, typed: Typed, submitted: dict[str, str]
) -> None:
    runs_on(store, TRAIN, "node1", ago=300.0)
    assert TRAIN.run is not None
    status, text = typed("cancel", TRAIN.run.run_id, "--yes")
    assert status == 0
    assert slurm.calls("scancel") == [["scancel", submitted[JUDGE.key], submitted[TRAIN.key]]]
    found = states(typed)
    assert [title for title, state in found.items() if state == "cancelled"] == [
        "train SPADE decoder",
        "evaluate SPADE decoder",
    ]
    assert typed("cancel", TRAIN.run.run_id, "--yes") == (0, f"nothing of {TRAIN.run.run_id} runs or waits\n")


def test_what_runs_elsewhere_is_said_not_to_be_cancelled(
    store: Store, typed: Typed, submitted: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    status, text = typed("cancel", "tiny", "--yes")
    assert status == 1
    assert text.count("NOT cancelled: ") == 7
    assert JobRecords(store).read(TRAIN.key)[0].open


def test_retry_failed_submits_what_failed_with_its_evaluation_and_leaves_the_rest(
    slurm: FakeSlurm, store: Store, typed: Typed, submitted: dict[str, str]
) -> None:
    runs_on(store, TRAIN, "node1", ago=60.0, state="failed", error="ValueError: no")
    slurm.change(submitted[TRAIN.key], state="FAILED", exit="1:0", node="node1", start=1, end=2)
    slurm.start(0)
    slurm.change(submitted[JUDGE.key], state="CANCELLED", reason="DependencyNeverSatisfied", end=2)
    before = {number for number, job in slurm.jobs.items() if job["state"] == "PENDING"}
    status, text = typed("retry", "tiny", "--failed", "--dry-run")
    assert status == 0
    assert "resume" in text
    assert slurm.calls("sbatch") == []
    status, text = typed("retry", "tiny", "--failed")
    assert status == 0, text
    assert "2 jobs with backend slurm" in text
    new = {number: job for number, job in slurm.jobs.items() if number not in submitted.values()}
    assert len(new) == 2
    assert before < set(slurm.jobs)
    assert all(slurm.jobs[number]["state"] == "PENDING" for number in before)
    (judging,) = [job for job in new.values() if job["dependency"]]
    (training,) = [number for number in new if number != judging["id"]]
    assert judging["dependency"] == f"afterok:{training}"
    assert states(typed)["train SPADE decoder"] == "pending"


def test_retry_needs_the_profile_that_jobs_were_submitted_with(
    slurm: FakeSlurm, typed: Typed, submitted: dict[str, str]
) -> None:
    os.unlink("profiles/pretended.toml")
    slurm.end(list(submitted.values()), "FAILED", "1:0")
    status, text = typed("retry", "tiny")
    assert status == 1
    assert "submitted with profile 'pretended', and there is no profiles/pretended.toml; name it: --profile DIR" in text


def test_why_tells_what_slurm_says_and_who_cancelled(
    slurm: FakeSlurm, store: Store, typed: Typed, submitted: dict[str, str]
) -> None:
    runs_on(store, TRAIN, "node1", ago=300.0)
    assert TRAIN.run is not None
    uid = os.getuid()
    slurm.change(submitted[TRAIN.key], state=f"CANCELLED by {uid}", node="node1", start=1, end=2)
    status, text = typed("why", TRAIN.run.run_id)
    assert status == 0
    assert f"SLURM says: cancelled (SLURM job {submitted[TRAIN.key]} on node1); by " in text
    assert "`retry STUDY` submits it again" in text
    assert "it goes on from step 100" in text
    slurm.change(submitted[TRAIN.key], state="FAILED", exit="0:9", steps=[["0", "OUT_OF_MEMORY", "0:125"]])
    text = typed("why", TRAIN.run.run_id)[1]
    assert "SLURM says: out of memory (SLURM job " in text
    assert "signal 9" in text
    assert "raise memory_gib_per_node" in text
    assert typed("why", JUDGE.key)[1].splitlines()[0] == f"{JUDGE.title}: pending"


def test_the_seeds_of_the_last_run_are_meant(store: Store, typed: Typed) -> None:
    store.write_study(replace(STUDY, seeds=(0, 1)))
    assert len(json.loads(typed("status", "tiny", "--json")[1])["jobs"]) == 13
    assert len(json.loads(typed("status", "tiny", "--json", "--seeds", "5")[1])["jobs"]) == 7
