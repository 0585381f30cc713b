"""One life of a job: done, stopped, failed or fenced, it is written down, and the next life goes on."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import bench.launching.evaluation_job as evaluation_job
import bench.launching.training_job as training_job
from bench.claim import HEARTBEAT_LOST_S, Claimant, FencedError, claimed, holder_of
from bench.launching.execute import EXIT_STOPPED, execute, main
from bench.launching.job_file import JobFile, JobSettings
from bench.lives import Start, TooManyLivesError, lives
from bench.plan import Job, evaluation_of
from bench.run_spec import RunSpec
from bench.store import Store
from bench.study import StudyDataset
from tests.tiny import tiny_run
from tests.training.worker import start

RUN = tiny_run("pix2pixhd", steps=4)


def training(run: RunSpec = RUN) -> Job:
    return Job(kind="train", label="row", dataset="synthetic", seed=run.seed, run=run)


def judging(run: RunSpec = RUN) -> Job:
    dataset = StudyDataset(ref=run.dataset, training=run.training, protocol="synthetic")
    return Job(
        kind="evaluate", label="row", dataset="synthetic", seed=3, run=run, evaluation=evaluation_of(run, dataset)
    )


def written(job: Job, root: Path, **settings: Any) -> JobFile:
    file = JobFile(job=job, store=root, settings=JobSettings(device="cpu", **settings))
    file.write()
    return file


def test_a_training_and_its_evaluation_are_done_once(tmp_path: Path) -> None:
    train, judge = written(training(), tmp_path), written(judging(), tmp_path)
    assert execute(train.path) == "done"
    assert main([str(judge.path)]) == 0
    assert Store(tmp_path).run(RUN).status().state == "done"
    assert judge.job.evaluation is not None
    assert Store(tmp_path).evaluation(judge.job.evaluation.eval_id) is not None
    for file in (train, judge):
        assert execute(file.path) == "done"
        assert [(life.number, life.end, life.saved) for life in lives(file.folder)] == [(1, "done", 0)]


def execute_slowly(path: Path) -> None:
    """In a process of its own: every step takes a while."""
    original = training_job._training_report

    def slow(*arguments: Any) -> Callable[..., None]:
        report = original(*arguments)

        def reported(step: int, values: dict[str, float]) -> None:
            time.sleep(0.2)
            report(step, values)

        return reported

    training_job._training_report = slow
    os._exit(main([str(path)]))


def test_a_stopped_life_says_so_with_its_exit_status_and_the_next_goes_on(tmp_path: Path) -> None:
    run = tiny_run("pix2pixhd", steps=40, save_every_steps=100)
    file = written(training(run), tmp_path)
    folder = Store(tmp_path).run(run)
    process = start(execute_slowly, file.path)
    deadline = time.monotonic() + 60
    while len(folder.metrics()) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGUSR2)
    process.join(timeout=60)
    assert process.exitcode == EXIT_STOPPED
    saved = folder.saved_step()
    assert saved == folder.metrics()[-1]["step"]
    (life,) = lives(file.folder)
    assert (life.end, life.why) == ("stopped", "SIGUSR2; its state is saved, started again it goes on")
    assert folder.status().note == "stopped by SIGUSR2, its state is saved"
    assert execute(file.path) == "done"
    assert [(life.end, life.saved) for life in lives(file.folder)] == [("stopped", 0), ("done", saved)]


def test_a_failed_life_says_why_and_the_run_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ValueError("no data there\nread the manual")

    monkeypatch.setattr(training_job, "open_split", broken)
    file = written(training(), tmp_path)
    with pytest.raises(ValueError, match="no data there"):
        execute(file.path)
    (life,) = lives(file.folder)
    assert (life.end, life.why) == ("failed", "ValueError: no data there")
    folder = Store(tmp_path).run(RUN)
    assert (folder.status().state, folder.status().error) == ("failed", "ValueError: no data there")
    first = folder.first_error()
    assert first is not None
    assert "read the manual" in first[0].read_text()


def test_a_fenced_life_writes_nothing_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fenced(*_: Any, **__: Any) -> None:
        with claimed(folder.path) as lease:
            lease.file.unlink()
            lease.check()

    folder = Store(tmp_path).run(RUN)
    monkeypatch.setattr(training_job, "train_job", fenced)
    file = written(training(), tmp_path)
    with pytest.raises(FencedError, match="ends without writing anything"):
        execute(file.path)
    (life,) = lives(file.folder)
    assert (life.end, life.ended) == ("", None)
    assert list(folder.path.iterdir()) == []


def test_claims_are_made_in_the_name_of_the_submission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def look(*_: Any, **__: Any) -> bool:
        with claimed(tmp_path / "folder"):
            seen.append(holder_of(tmp_path / "folder"))
        return True

    monkeypatch.setattr(training_job, "train_job", look)
    file = written(training(), tmp_path)
    for restart in range(2):
        execute(file.path, start=Start(submission="ab12", scheduled_id="4711", restart=restart))
    execute(file.path)
    assert [(item.job, item.life) for item in seen] == [("ab12", 1), ("ab12", 2), ("", 0)]
    assert Claimant().wait_s == 0 < HEARTBEAT_LOST_S


def test_a_submission_that_leads_nowhere_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_job, "train_job", lambda *_, **__: False)
    file = written(training(), tmp_path, max_idle_lives=2)
    for restart in range(2):
        assert execute(file.path, start=Start(submission="ab12", restart=restart)) == "stopped"
    with pytest.raises(TooManyLivesError, match=f"job {file.job.key}: its last 2 lives saved nothing new"):
        execute(file.path, start=Start(submission="ab12", restart=2))


def test_an_evaluation_stops_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def judge(*_: Any, **__: Any) -> None:
        os.kill(os.getpid(), signal.SIGUSR2)
        time.sleep(60)

    monkeypatch.setattr(evaluation_job, "evaluate_job", judge)
    file = written(judging(), tmp_path)
    settled = []
    began = time.monotonic()
    assert execute(file.path, settle=lambda note, name: settled.append(name)) == "stopped"
    assert time.monotonic() - began < 30
    assert settled == ["SIGUSR2"]


def test_one_of_several_judging_ranks_goes_on_when_slurm_ends_a_failed_peer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def judge(*_: Any, **__: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        raise RuntimeError("Connection closed by peer")

    monkeypatch.setattr(evaluation_job, "evaluate_job", judge)
    file = written(judging(), tmp_path, ranks_per_node=2)
    with pytest.raises(RuntimeError, match="Connection closed by peer"):
        execute(file.path)
    assert [life.end for life in lives(file.folder)] == ["failed"]


def test_a_wrong_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nothing\.json: there is no such job file"):
        main([str(tmp_path / "nothing.json")])
