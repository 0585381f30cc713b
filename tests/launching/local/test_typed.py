"""The local backend as typed: run, status, logs, why, cancel, retry; jobs are stubs."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

import pytest

import bench.cli
from bench.claim import holder_of
from bench.launching.snapshot import take_snapshot
from bench.plan import study_jobs
from bench.reporting.status import status_lines
from tests.launching.local.conftest import ROOT, Workstation
from tests.launching.local.test_local import BACKEND, JUDGE, TRAIN

Typed = Callable[..., tuple[int, str]]


@pytest.fixture
def typed(here: Workstation, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    """What ``./run_study.py ARGUMENTS --store STORE`` prints, with its exit status; the report is left out."""
    monkeypatch.chdir(here.folder)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("bench.study.get_study", lambda name: here.study)
    monkeypatch.setattr("bench.launching.local.take_snapshot", partial(take_snapshot, root=here.folder / "project"))
    monkeypatch.setattr("bench.cli.here.write_report", lambda *arguments: None)

    def call(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["run_study.py", *arguments, "--store", str(here.store.root)])
        with pytest.raises(SystemExit) as stopped:
            bench.cli.main()
        printed = capsys.readouterr()
        return int(stopped.value.code or 0), printed.out + printed.err

    return call


def test_a_failure_is_told_explained_and_tried_again_locally(
    here: Workstation, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.launching.local_process.PEERS_S", 0.3)
    here.orders(train_SPADE=[{"do": "linger"}, {"do": "fail"}], evaluate_real={"s": 0.1})
    here.study = type(here.study)(**{**vars(here.study), "ranks": 2, "rows": here.study.rows[:2]})
    status, text = typed("run", "tiny", "--backend", "local", "--processes", "2", "--device", "cpu")
    assert status == 1
    assert "Tiny Table 3: 5 submit" in text
    assert "2 jobs at a time on the CPU" in text
    assert f"failed: {TRAIN}: ValueError: as ordered on rank 1" in text
    train = study_jobs(here.study)[1]
    assert train.run is not None
    status, text = typed("why", train.run.run_id)
    assert status == 0
    assert "first: rank 1 of 2 on " in text
    assert "error: ValueError: as ordered on rank 1" in text
    assert "_1_log.out" in text
    assert "the local backend says: failed (local job " in text

    here.orders()
    began = len(here.began())
    status, text = typed("retry", "tiny", "--device", "cpu")
    assert status == 0, text
    assert "2 jobs with backend local" in text
    assert here.began()[began:] == [TRAIN, JUDGE]
    assert {line.state for line in status_lines(here.study, here.store)} == {"done"}
    ranks = [event["rank"] for event in here.events if event["title"] == TRAIN and event["event"] == "ended"]
    assert ranks.count(1) >= 1, "on as many ranks as before"
    assert typed("retry", "tiny")[1] == "nothing of tiny has failed, was cancelled or interrupted\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--processes", "2"], "--processes: for --backend local only; add it, or leave --processes out"),
        (["--ranks", "2", "--jobs-per-gpu", "1"], "--ranks, --jobs-per-gpu: for --backend local only"),
        (["--backend", "local", "--nodes", "2"], "--nodes: for --backend slurm only"),
        (["--backend", "local", "--ranks", "0"], "--ranks is 0; it must be at least 1"),
    ],
)
def test_options_of_another_backend_are_refused(typed: Typed, options: list[str], message: str) -> None:
    status, text = typed("run", "tiny", *options)
    assert status == 1
    assert message in text


def backend(here: Workstation) -> subprocess.Popen[bytes]:
    """The local backend at work in a process of its own; the training of the first row has begun."""
    here.store.write_study(here.study)
    process = subprocess.Popen(
        [sys.executable, "-c", BACKEND, str(here.folder)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    deadline = time.monotonic() + 60
    while TRAIN not in here.began() and time.monotonic() < deadline:
        time.sleep(0.05)
    return process


def test_logs_are_followed_to_the_end_and_cancel_takes_the_rest(here: Workstation, typed: Typed) -> None:
    here.orders(train_SPADE={"s": 1.0}, train_pix2pixHD={"do": "stop"})
    process = backend(here)
    train, other = study_jobs(here.study)[1], study_jobs(here.study)[3]
    status, text = typed("logs", train.key, "-f", "--rank", "0")
    assert status == 0
    assert f"{TRAIN}: life 1 on stub" in text
    assert text.splitlines()[-1] == "== done"
    deadline = time.monotonic() + 60
    while other.title not in here.began() and time.monotonic() < deadline:
        time.sleep(0.05)
    status, text = typed("cancel", "tiny", "--yes")
    assert status == 0, text
    assert f"asked to stop: {other.title}: running, local job " in text
    assert f"stopped: {other.title}, saved at step 1" in text
    assert process.wait(60) == 0
    found = {line.job.title: line.state for line in status_lines(here.study, here.store)}
    assert found[TRAIN] == "done"
    assert found[other.title] == "cancelled"
    status, text = typed("logs", other.key, "-f")
    assert status == 1
    assert "== cancelled: by " in text


HOLDER = """
import sys, time, signal
from pathlib import Path
from bench.claim import claimed
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
with claimed(Path(sys.argv[1])):
    time.sleep(60)
"""


def test_what_was_started_by_hand_is_stopped_by_its_process(here: Workstation, typed: Typed) -> None:
    job = study_jobs(here.study)[1]
    assert job.run is not None
    folder = here.store.run(job.run)
    folder.create(job.run)
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(folder.path)], cwd=ROOT)
    deadline = time.monotonic() + 60
    while holder_of(folder.path) is None and time.monotonic() < deadline:
        time.sleep(0.05)
    folder.write_status(state="running", step=1, steps=2)
    status, text = typed("cancel", job.run.run_id, "-y")
    assert status == 0
    assert (
        f"asked to stop, with the `run` or `train` that it belongs to: train {folder.name}: running, process " in text
    )
    assert f"stopped: train {folder.name}" in text
    assert process.wait(60) == 0
