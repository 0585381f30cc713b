"""Logs as they grow: over torn lines, resumed runs, new lives and new submissions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.job_records import JobRecords, Submission
from bench.lives import Start, begin_life, end_life
from bench.reporting.job_logs import Following, LogTail, MetricsTail, follow, rank_files, rank_logs, tail_lines
from bench.store import Store
from bench.targets import Target

KEY = "train-0123456789ab"


def row(step: int, moment: float) -> str:
    return json.dumps({"step": step, "time": moment, "loss": 0.5}) + "\n"


def test_new_metrics_over_a_resumed_run(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    tail = MetricsTail(lambda: path)
    assert tail.new() == []
    path.write_text(row(1, 10.0) + row(2, 11.0) + '{"step": 3, "ti')
    assert [item["step"] for item in tail.new()] == [1, 2]
    with path.open("a") as stream:
        stream.write('me": 12.0}\n' + row(4, 13.0))
    assert [item["step"] for item in tail.new()] == [3, 4]
    resumed = tmp_path / "beside"  # the next life keeps steps 1 and 2, and makes 3 and 4 again
    resumed.write_text(row(1, 10.0) + row(2, 11.0))
    resumed.rename(path)
    assert tail.new() == []
    with path.open("a") as stream:
        stream.write(row(3, 20.0))
    assert [(item["step"], item["time"]) for item in tail.new()] == [(3, 20.0)]


def test_the_last_lines_of_a_long_file(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("".join(f"line {number}\n" for number in range(100_000)))
    assert tail_lines(path, 2) == ["line 99998", "line 99999"]
    assert tail_lines(path, 0) == []
    assert tail_lines(path, 1, end=14) == ["line 1"]


def submit(store: Store, token: str, number: str, **logs: str) -> Path:
    """A submission whose ranks have written ``logs`` (rank0, rank1 ...)."""
    folder = store.job_folder(KEY) / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in logs.items():
        (folder / f"{number}_{name.removeprefix('rank')}_log.out").write_text(text)
    submission = Submission(
        token=token,
        name=f"n-{token}",
        scheduler="SLURM",
        time=1.0,
        folder=folder.relative_to(store.root).as_posix(),
        ids=(number,),
    )
    JobRecords(store).intend(KEY, submission)
    return folder


def test_raw_logs_are_those_of_the_newest_submission_that_has_any(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(ValueError, match="job train-0123456789ab has no raw logs: it was started in a terminal"):
        rank_files(store, KEY, 0)
    folder = submit(store, "aa", "7", rank0="old", rank1="old")
    submit(store, "bb", "4711_3", rank0="new", rank1="new", rank11="new")
    submit(store, "cc", "9")
    found, logs = rank_logs(store, KEY)
    assert found is not None
    assert (found.token, sorted(logs)) == ("bb", [0, 1, 11])
    assert rank_files(store, KEY, 11) == [folder / "4711_3_11_log.out"]
    with pytest.raises(ValueError, match="no log of rank 2; there are ranks 0, 1, 11"):
        rank_files(store, KEY, 2)


def test_following_a_rank_over_a_requeue_and_a_new_submission(tmp_path: Path) -> None:
    store = Store(tmp_path)
    target = Target(key=KEY, kind="train", title="train x", run=None)
    folder = submit(store, "aa", "7", rank1="one\ntwo\n")
    jobs = store.job_folder(KEY)
    life = begin_life(jobs, Start(submission="aa", scheduled_id="7"))
    log = LogTail(lambda: rank_logs(store, KEY)[1].get(1, []))
    assert log.last(1) == [(folder / "7_1_log.out", "two\n")]

    written: list[str] = []
    turns = iter(range(10))

    def requeued() -> None:
        end_life(jobs, life, "stopped", "SIGUSR2; put back")
        begin_life(jobs, Start(submission="aa", scheduled_id="7", restart=1), saved=40)
        with (folder / "7_1_log.out").open("a") as stream:
            stream.write("three\n")

    def sleep(seconds: float) -> None:
        turn = next(turns)
        if turn == 0:
            requeued()
        if turn == 1:
            submit(store, "bb", "8", rank1="four\n")

    def pieces() -> list[str]:
        return [f"{'NEW ' if fresh else ''}{text}" for _, text, fresh in log.new()]

    over = iter(["", "", "", "done"])
    why = follow(target, store, Following(pieces=pieces, over=lambda: next(over)), written.append, sleep=sleep)
    assert why == "done"
    told = [line.partition(" at ")[0] if line.startswith("== life") else line for line in written]
    assert told[0] == "== life 1 stopped"
    assert told[1].startswith("== life 2 began on ")
    assert "(job 7, restart 1), 40 saved before" in written[1]
    assert told[2:] == ["three\n", "NEW four\n", "== done\n"]
