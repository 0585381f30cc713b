"""What is written before and after a job is handed over."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bench.job_records import JobRecords, Submission, new_token
from bench.scheduler import Scheduled
from bench.store import Store

ITEM = Submission(token="ab12", name="spade-x-ab12", scheduler="SLURM", time=12.5, folder="jobs/x/logs", after=("6",))


@pytest.fixture
def records(tmp_path: Path) -> JobRecords:
    return JobRecords(Store(tmp_path))


def test_a_submission_through_its_life(records: JobRecords) -> None:
    assert records.read("x") == []
    records.intend("x", ITEM)
    assert records.latest("x") == ITEM
    assert ITEM.lost
    assert ITEM.scheduled() == Scheduled(state="unknown", since=12.5, after=("6",))
    records.submitted("x", "ab12", ["7", "8"])
    known = records.latest("x")
    assert known == replace(ITEM, ids=("7", "8"))
    assert known.open
    assert not known.lost
    assert known.scheduled().numbers == ("7", "8")
    ended = Scheduled(state="ended", id="8", cause="time limit", exit_code=0, node="n1", ids=("7", "8"))
    records.ended("x", "ab12", ended)
    over = records.latest("x")
    assert over is not None
    assert over.scheduled() == ended
    assert not over.open
    assert list(records.keys()) == ["x"]


def test_the_newest_that_was_taken_counts(records: JobRecords) -> None:
    records.intend("x", ITEM)
    records.intend("x", replace(ITEM, token="cd34"))
    records.refused("x", "cd34", "no such partition")
    assert records.latest("x") == ITEM
    assert [item.refused for item in records.read("x")] == ["", "no such partition"]
    assert records.of(["x", "y"]) == {"x": ITEM}
    records.refused("x", "ab12", "")
    assert records.latest("x") is None
    assert records.read("x")[0].refused == "no word of why"


def test_a_torn_line_is_left_out_and_written_over(records: JobRecords) -> None:
    records.intend("x", ITEM)
    path = records.file("x")
    whole = path.read_text()
    path.write_text(whole + '{"event": "submitted", "tok')
    assert records.latest("x") == ITEM
    records.submitted("x", "ab12", ["7"])
    assert records.latest("x") == replace(ITEM, ids=("7",))
    assert [json.loads(line)["event"] for line in path.read_text().splitlines()] == ["token", "submitted"]
    path.write_text("torn from the start")
    records.intend("x", ITEM)
    assert records.read("x") == [ITEM]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("not json", r"submissions\.jsonl: line 2 is not JSON: 'not json'; take the line out"),
        ('{"event": "lost", "token": "ab12"}', "line 2: event is 'lost', allowed are token, submitted, refused, ended"),
        ('{"event": "submitted", "token": "zz", "ids": []}', "line 2: .*its token is 'zz', known are: ab12"),
        ('{"event": "token", "token": "zz", "speed": 3}', "line 2: unknown field speed"),
    ],
)
def test_a_line_that_nobody_wrote_names_the_file(records: JobRecords, line: str, message: str) -> None:
    records.intend("x", ITEM)
    path = records.file("x")
    path.write_text(f"{path.read_text()}{line}\n{path.read_text()}")
    with pytest.raises(ValueError, match=message):
        records.read("x")


def test_tokens_differ() -> None:
    assert len({new_token() for _ in range(1000)}) == 1000


def test_lines_are_few_bytes_and_say_when(records: JobRecords) -> None:
    records.intend("x", ITEM)
    (line,) = records.file("x").read_text().splitlines()
    assert len(line) < 600
    assert abs(json.loads(line)["written"] - time.time()) < 60
