"""Signs of life: written, ended, taken over, and never in the way."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bench.claim import HEARTBEAT_LOST_S
from bench.lives import Start
from bench.signs import LifeSign, Sign, sign_of_life, signs, signs_folder


def as_rank(monkeypatch: pytest.MonkeyPatch, rank: int, ranks: int) -> None:
    monkeypatch.setenv("RANK", str(rank))
    monkeypatch.setenv("WORLD_SIZE", str(ranks))


def test_a_rank_tells_who_it_is_how_far_and_how_it_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    as_rank(monkeypatch, 3, 4)
    assert signs(tmp_path) == []
    with sign_of_life(tmp_path, Start(submission="ab", restart=2)) as sign:
        (begun,) = signs(tmp_path)
        assert (begun.rank, begun.ranks, begun.pid, begun.submission, begun.restart) == (3, 4, os.getpid(), "ab", 2)
        assert begun.end == ""
        assert begun.lives(time.time())
        sign.progress(7, 9, "judge")
        sign.outcome = "stopped"
    (ended,) = signs(tmp_path)
    assert (ended.end, ended.done, ended.of, ended.doing) == ("stopped", 7, 9, "judge")
    assert ended.last >= begun.last
    assert [path.name for path in signs_folder(tmp_path).iterdir()] == ["rank-00003.json"]


def test_an_error_is_its_last_word(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such label"), sign_of_life(tmp_path):
        raise ValueError("no such label\nmore")
    (sign,) = signs(tmp_path)
    assert (sign.end, sign.why) == ("failed", "ValueError: no such label")


def test_signs_come_again_and_again(tmp_path: Path) -> None:
    sign = LifeSign(tmp_path, every_s=0.02)
    sign.begin()
    first = signs(tmp_path)[0].last
    deadline = time.monotonic() + 10
    while signs(tmp_path)[0].last == first and time.monotonic() < deadline:
        time.sleep(0.02)
    assert signs(tmp_path)[0].last > first
    sign.ending("done")
    last = signs(tmp_path)[0]
    time.sleep(0.1)
    assert signs(tmp_path)[0] == last, "nothing after the end"


def test_a_former_life_does_not_speak_for_the_present_one(tmp_path: Path) -> None:
    former = LifeSign(tmp_path, Start(submission="ab"), every_s=0.02)
    former.begin()
    present = LifeSign(tmp_path, Start(submission="ab", restart=1), every_s=60.0)
    present.begin()
    time.sleep(0.1)
    former.progress(1, 2, "old")
    former.ending("failed", "FencedError: taken over")
    (sign,) = signs(tmp_path)
    assert (sign.restart, sign.end, sign.doing) == (1, "", "")
    present.ending("done")


def test_only_the_ranks_of_the_newest_life_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for restart, ranks in ((0, 4), (1, 2)):
        for rank in range(ranks):
            as_rank(monkeypatch, rank, ranks)
            with sign_of_life(tmp_path, Start(submission="ab", restart=restart)):
                pass
    assert [(sign.rank, sign.ranks) for sign in signs(tmp_path)] == [(0, 2), (1, 2)]
    assert signs(tmp_path, "cd") == []
    assert len(signs(tmp_path, "ab")) == 2


def test_a_sign_that_cannot_be_written_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "ranks").write_text("a file where the folder should be")
    with sign_of_life(tmp_path) as sign:
        sign.progress(1, 2, "train")
    assert signs(tmp_path) == []


def test_elsewhere_silence_tells(tmp_path: Path) -> None:
    with sign_of_life(tmp_path):
        (here,) = signs(tmp_path)
    away = replace(here, machine="node7 boot pids", pid=1)
    assert away.lives(away.last + 5)
    assert not away.lives(away.last + HEARTBEAT_LOST_S + 1)
    assert not replace(away, end="done").lives(away.last + 5)
    assert not replace(here, pid=2**22 - 3).lives(time.time())


def test_a_torn_file_is_passed_over(tmp_path: Path) -> None:
    with sign_of_life(tmp_path):
        pass
    (signs_folder(tmp_path) / "rank-00001.json").write_text('{"rank": 1')
    assert [sign.rank for sign in signs(tmp_path)] == [0]
    assert isinstance(signs(tmp_path)[0], Sign)
