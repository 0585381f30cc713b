"""The local backend: some jobs at a time, GPUs shared out, failures and interruptions; jobs are stubs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.job_records import JobRecords
from bench.launching.cancelling import Subject, cancel_jobs, held_jobs
from bench.launching.resources import DoesNotFitError
from bench.plan import Verb, job_state, study_jobs
from bench.reporting.status import status_lines
from bench.signs import signs
from tests.launching.local.conftest import ROOT, Workstation

TRAIN, JUDGE = "train SPADE decoder on synthetic, seed 0", "evaluate SPADE decoder on synthetic, seed 0"


def most_at_a_time(here: Workstation) -> int:
    most = now = 0
    for event in here.events:
        if event["rank"] == 0:
            now += 1 if event["event"] == "began" else -1
            most = max(most, now)
    return most


def when(here: Workstation, condition: Callable[[], bool], act: Callable[[], None]) -> threading.Thread:
    """A thread that acts once ``condition`` holds."""

    def wait() -> None:
        deadline = time.monotonic() + 30
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.02)
        act()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def states(here: Workstation) -> dict[str, str]:
    return {line.job.title: line.state for line in status_lines(here.study, here.store)}


def test_every_job_is_done_once_so_many_at_a_time_and_evaluations_after_their_trainings(here: Workstation) -> None:
    here.orders(train_SPADE={"until": "train pix2pixHD"})
    outcome = here.run(processes=2)
    assert (outcome.finished, outcome.failed, outcome.interrupted) == (7, (), False)
    assert most_at_a_time(here) == 2
    order = [(event["event"], event["title"]) for event in here.events]
    assert order.index(("ended", TRAIN)) < order.index(("began", JUDGE))
    assert sorted(here.began()) == sorted({job.title for job in study_jobs(here.study)})
    assert set(states(here).values()) == {"done"}
    code = {Path(event["folder"]).parent for event in here.events}
    assert code == {here.store.root / "code"}
    records = JobRecords(here.store)
    for job in study_jobs(here.study):
        (submission,) = records.read(job.key)
        assert submission.ended is not None
        assert (submission.ended.cause, submission.scheduler) == ("completed", "local")
        (log,) = submission.log_files(here.store.root)[0]
        assert log.read_text().startswith(f"== local job {submission.token}: rank 0 of 1 on ")
        assert f"{job.title}: life 1" in log.read_text()
    assert not list((here.store.root / "jobs").glob("local-*"))
    assert here.run().finished == 0
    assert len(here.began()) == 7


def test_one_failure_stops_only_what_depends_on_it(here: Workstation) -> None:
    here.orders(train_SPADE={"do": "fail"}, evaluate_pix2pixHD={"do": "fail"})
    outcome = here.run()
    assert sorted((job.title, why) for job, why in outcome.failed) == [
        ("evaluate pix2pixHD on synthetic, seed 0", "ValueError: as ordered on rank 0"),
        (TRAIN, "ValueError: as ordered on rank 0"),
    ]
    assert outcome.finished == 4
    assert JUDGE not in here.began()
    assert f"{JUDGE}: left out, its training failed" in here.printed.getvalue()
    found = states(here)
    assert found.pop(TRAIN) == found.pop("evaluate pix2pixHD on synthetic, seed 0") == "failed"
    assert found.pop(JUDGE) == "not begun"
    assert set(found.values()) == {"done"}
    again = {action.job.title: action.verb for action in here.plan() if action.runs}
    assert again == {
        TRAIN: Verb.RESUME,
        JUDGE: Verb.SUBMIT,
        "evaluate pix2pixHD on synthetic, seed 0": Verb.RETRY,
    }
    here.orders()
    assert here.run().finished == 3


@pytest.mark.parametrize(("ranks", "jobs_per_gpu", "most"), [(1, 1, 3), (2, 1, 1), (2, 2, 3)])
def test_no_gpu_has_more_jobs_than_it_may(
    here: Workstation, monkeypatch: pytest.MonkeyPatch, ranks: int, jobs_per_gpu: int, most: int
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,2,GPU-1a2b")
    here.orders(train_SPADE={"until": "train decoder w/ Concat"} if most >= 3 else {}, evaluate={"s": 0.1})
    assert here.run(device="auto", processes=None, ranks=ranks, jobs_per_gpu=jobs_per_gpu).finished == 7
    used: dict[str, int] = {}
    together = 0
    for event in here.events:
        if event["rank"] != 0:
            continue
        gpus = event["CUDA_VISIBLE_DEVICES"].split(",")
        assert len(set(gpus)) == len(gpus) == (ranks if "train" in event["title"] else 1)
        assert set(gpus) <= {"0", "2", "GPU-1a2b"}
        for gpu in gpus:
            used[gpu] = used.get(gpu, 0) + (1 if event["event"] == "began" else -1)
            assert used[gpu] <= jobs_per_gpu
        if "train" in event["title"]:
            together += 1 if event["event"] == "began" else -1
            assert together <= most
    assert "on GPU 0, 2, GPU-1a2b" in here.printed.getvalue()


def test_ranks_know_each_other_and_cores_are_shared_out(here: Workstation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(12)))
    monkeypatch.chdir(here.folder)
    (here.folder / "ade").mkdir()
    monkeypatch.setenv("SPADE_BENCH_DATA_ADE20K", "ade")
    assert here.run(processes=2, ranks=2, decide=lambda: here.plan()[1:3]).finished == 2
    trained = [event for event in here.events if event["title"] == TRAIN and event["event"] == "began"]
    assert sorted(event["rank"] for event in trained) == [0, 1]
    assert {event["WORLD_SIZE"] for event in trained} == {"2"}
    assert len({event["MASTER_PORT"] for event in trained}) == 1
    assert {event["OMP_NUM_THREADS"] for event in trained} == {"3"}
    assert {event["SPADE_BENCH_DATA_ADE20K"] for event in trained} == {str(here.folder / "ade")}
    (judged,) = [event for event in here.events if event["title"] == JUDGE and event["event"] == "began"]
    assert judged["WORLD_SIZE"] is None
    (submission,) = JobRecords(here.store).read(study_jobs(here.study)[1].key)
    assert sorted(submission.log_files(here.store.root)) == [0, 1]


def test_runs_that_do_not_fit_the_ranks_are_refused_before_anything_begins(here: Workstation) -> None:
    with pytest.raises(DoesNotFitError, match=r"do not fit 3 ranks \(--ranks\):\n.*batch 8 in 1 part\(s\) cannot be"):
        here.run(ranks=3)
    assert here.events == []
    assert [action.verb for action in here.plan()] == [Verb.SUBMIT] * 7
    with pytest.raises(ValueError, match="--processes is 0; it must be at least 1; --jobs-per-gpu is -1"):
        here.run(processes=0, jobs_per_gpu=-1)


def test_ctrl_c_stops_after_the_step_and_leaves_nothing_taken_up(here: Workstation) -> None:
    here.orders(train={"do": "stop"})
    thread = when(here, lambda: len(here.began()) == 3, lambda: os.kill(os.getpid(), signal.SIGINT))
    outcome = here.run(processes=2)
    thread.join()
    assert (outcome.finished, outcome.failed, outcome.interrupted) == (1, (), True)
    found = states(here)
    assert found.pop("evaluate real images on synthetic") == "done"
    assert sorted(found.values()) == ["not begun"] * 4 + ["stopped"] * 2
    assert "stopping 2 jobs after the current step" in here.printed.getvalue()
    assert f"{TRAIN}: stopped, saved at step 1" in here.printed.getvalue()
    assert "not begun: 4 jobs" in here.printed.getvalue()
    actions = {action.job.title: action for action in here.plan()}
    assert actions[TRAIN].verb is Verb.RESUME
    assert "ended before its work was done (local job " in actions[TRAIN].reason
    assert [action.verb for action in actions.values()].count(Verb.SUBMIT) == 4
    here.orders()
    assert here.run().finished == 6


def test_a_second_ctrl_c_stops_what_does_not_listen(here: Workstation) -> None:
    here.orders(train={"do": "linger"})

    def twice() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGINT)

    thread = when(here, lambda: TRAIN in here.began(), twice)
    outcome = here.run(decide=lambda: here.plan()[1:3])
    thread.join()
    assert (outcome.finished, outcome.failed, outcome.interrupted) == (0, (), True)
    (line,) = [line for line in status_lines(here.study, here.store) if line.job.title == TRAIN]
    assert line.state == "stopped"
    assert line.status.note == "interrupted at once; what was done since the last checkpoint is done again"
    assert line.status.step == 1
    assert next(action for action in here.plan() if action.job.title == TRAIN).verb is Verb.RESUME


def test_a_killed_rank_takes_its_job_with_it_and_is_named(here: Workstation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.launching.local_process.PEERS_S", 0.3)
    here.orders(train_SPADE=[{"do": "linger"}, {"do": "kill", "s": 0.2}])
    outcome = here.run(ranks=2, decide=lambda: here.plan()[1:5])
    assert [(job.title, why) for job, why in outcome.failed] == [(TRAIN, "rank 1 of 2 was killed by SIGKILL")]
    assert outcome.finished == 2
    (submission,) = JobRecords(here.store).read(study_jobs(here.study)[1].key)
    assert submission.ended is not None
    assert (submission.ended.cause, submission.ended.signal) == ("failed", 9)
    assert submission.ended.reason == "rank 1 of 2 was killed by SIGKILL"


def test_memory_that_ran_out_is_told(here: Workstation, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = iter([3, 4])
    monkeypatch.setattr("bench.launching.local_process.kernel_kills", lambda: next(counts))
    here.orders(train_SPADE={"do": "kill"})
    outcome = here.run(decide=lambda: here.plan()[1:2], processes=1)
    ((_, why),) = outcome.failed
    assert why == "its process was killed by SIGKILL; the machine's memory ran out"
    (submission,) = JobRecords(here.store).read(study_jobs(here.study)[1].key)
    assert submission.ended is not None
    assert submission.ended.cause == "out of memory"


def test_jobs_of_a_living_backend_are_left_alone_and_shown(here: Workstation) -> None:
    here.orders(train_SPADE={"do": "stop"})
    seen: dict[str, object] = {}

    def look() -> None:
        seen["plan"] = {action.job.title: (action.verb, action.reason) for action in here.plan()}
        seen["lines"] = {line.job.title: line for line in status_lines(here.study, here.store)}
        os.kill(os.getpid(), signal.SIGTERM)

    thread = when(here, lambda: TRAIN in here.began(), look)
    here.run(processes=1, decide=lambda: here.plan()[1:])
    thread.join()
    plan, lines = seen["plan"], seen["lines"]
    assert isinstance(plan, dict)
    assert isinstance(lines, dict)
    assert {verb for title, (verb, _) in plan.items() if "real" not in title} == {Verb.WAIT}
    assert "waits for its turn with process" in plan[JUDGE][1]
    assert (lines[TRAIN].state, lines[TRAIN].done, lines[TRAIN].of) == ("running", 1, 2)
    assert lines[JUDGE].state == "pending"
    assert lines[JUDGE].remark.startswith("waits for its turn with process ")
    assert "evaluate real images on synthetic" not in here.began()


def subjects(here: Workstation, *titles: str) -> list[Subject]:
    return [
        Subject(
            key=job.key,
            title=job.title,
            run=here.store.run(job.run) if job.kind == "train" and job.run is not None else None,
        )
        for job in study_jobs(here.study)
        if not titles or job.title in titles
    ]


def test_cancelled_jobs_stop_or_never_begin_and_the_others_go_on(here: Workstation) -> None:
    here.orders(train_SPADE={"do": "stop"}, train_pix2pixHD={"s": 0.5})
    told: list[str] = []

    def cancel() -> None:
        wanted = subjects(here, TRAIN, JUDGE, "evaluate pix2pixHD on synthetic, seed 0")
        held = held_jobs(here.store, wanted, {})
        assert [item.running for item in held] == [True, False, False]
        told.extend(cancel_jobs(here.store, held))

    thread = when(here, lambda: len(here.began()) >= 3, cancel)
    outcome = here.run(processes=2)
    thread.join()
    assert (outcome.finished, outcome.failed, outcome.interrupted) == (4, (), False)
    assert any(line.startswith(f"asked to stop: {TRAIN}: running, local job ") for line in told)
    assert "taken out of the local queue: 2 jobs" in told
    found = {line.job.title: line for line in status_lines(here.study, here.store)}
    for title in (TRAIN, JUDGE, "evaluate pix2pixHD on synthetic, seed 0"):
        assert found[title].state == "cancelled", title
        assert "with `cancel`" in found[title].remark
    assert found[TRAIN].status.step == 1
    assert held_jobs(here.store, subjects(here), {}) == []
    here.orders()
    assert here.run().finished == 3


def test_a_signal_to_a_rank_by_somebody_else_counts_as_cancelled(here: Workstation) -> None:
    here.orders(train_SPADE={"do": "stop"})
    key = study_jobs(here.study)[1].key

    def stop() -> None:
        (sign,) = signs(here.store.job_folder(key))
        os.kill(sign.pid, signal.SIGTERM)

    thread = when(here, lambda: TRAIN in here.began(), stop)
    outcome = here.run(decide=lambda: here.plan()[1:3])
    thread.join()
    assert (outcome.finished, outcome.failed, outcome.interrupted) == (0, (), False)
    state = job_state(here.store, study_jobs(here.study)[1])
    assert state.scheduled is not None
    assert state.scheduled.cause == "cancelled"
    assert "left out, its training was cancelled" in here.printed.getvalue()


BACKEND = """
import sys
from pathlib import Path
from tests.launching.local.conftest import workstation
here = workstation(Path(sys.argv[1]))
here.run(processes=1, decide=lambda: here.plan()[1:])
"""


def test_jobs_outlive_a_backend_that_is_killed(here: Workstation) -> None:
    here.orders(train_SPADE={"do": "stop"})
    backend = subprocess.Popen([sys.executable, "-c", BACKEND, str(here.folder)], cwd=ROOT)
    deadline = time.monotonic() + 60
    while TRAIN not in here.began() and time.monotonic() < deadline:
        time.sleep(0.05)
    job = study_jobs(here.study)[1]
    (sign,) = signs(here.store.job_folder(job.key))
    backend.kill()
    backend.wait()
    try:
        actions = {action.job.title: action for action in here.plan()}
        assert (actions[TRAIN].verb, actions[TRAIN].reason[:8]) == (Verb.WAIT, "running ")
        assert actions[JUDGE].reason == "its training is not finished"
        rest = {action.verb for title, action in actions.items() if title not in (TRAIN, JUDGE)}
        assert rest == {Verb.SUBMIT}, "what waited is nobody's any more"
    finally:
        os.kill(sign.pid, signal.SIGKILL)
    while states(here)[TRAIN] == "running" and time.monotonic() < deadline:
        time.sleep(0.05)
    (line,) = [line for line in status_lines(here.study, here.store) if line.job.title == TRAIN]
    assert line.state == "failed"
    assert "killed, together with the process that had started it" in line.remark
    assert next(action.verb for action in here.plan() if action.job.title == TRAIN) is Verb.RESUME
