"""The lives of a job: counted, ended, and refused when they lead nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.lives import Start, TooManyLivesError, begin_life, end_life, lives, lives_file

FIRST = Start(submission="ab12", scheduled_id="4711")


def test_lives_are_numbered_and_remember_how_they_ended(tmp_path: Path) -> None:
    one = begin_life(tmp_path, FIRST, ranks=8)
    end_life(tmp_path, one, "stopped", "SIGUSR2")
    two = begin_life(tmp_path, Start(submission="ab12", scheduled_id="4711", restart=1), ranks=8, saved=40)
    found = lives(tmp_path)
    assert [life.number for life in found] == [1, 2]
    assert (found[0].end, found[0].why, found[0].restart, found[0].ranks) == ("stopped", "SIGUSR2", 0, 8)
    assert found[0].ended is not None
    assert (found[1].end, found[1].ended, found[1].saved, found[1].restart) == ("", None, 40, 1)
    end_life(tmp_path, two, "stopped", "SIGTERM")
    end_life(tmp_path, two, "failed", "ValueError: it could not be put back")
    assert lives(tmp_path)[1].why == "ValueError: it could not be put back"


def test_a_torn_line_is_passed_over_and_written_anew(tmp_path: Path) -> None:
    begin_life(tmp_path, FIRST)
    path = lives_file(tmp_path)
    path.write_text(path.read_text() + '{"number": 2, "beg')
    assert [life.number for life in lives(tmp_path)] == [1]
    begin_life(tmp_path, FIRST)
    assert [life.number for life in lives(tmp_path)] == [1, 2]
    path.write_text('{"numb\n' + path.read_text())
    with pytest.raises(ValueError, match=r"lives\.jsonl: line 1 is not JSON"):
        lives(tmp_path)


def test_lives_in_a_row_that_save_nothing_new_come_to_an_end(tmp_path: Path) -> None:
    for saved in (0, 10, 10, 10):
        begin_life(tmp_path, FIRST, saved=saved, max_idle=3)
    with pytest.raises(TooManyLivesError, match="its last 3 lives saved nothing new .*life 4 .*killed without a word"):
        begin_life(tmp_path, FIRST, saved=10, max_idle=3)
    assert begin_life(tmp_path, FIRST, saved=11, max_idle=3).number == 5
    assert begin_life(tmp_path, Start(submission="cd34"), saved=11, max_idle=1).number == 6


def test_a_submission_has_so_many_lives_and_a_start_by_hand_any_number(tmp_path: Path) -> None:
    for saved in range(3):
        end_life(tmp_path, begin_life(tmp_path, FIRST, saved=saved), "stopped", "SIGUSR2")
    with pytest.raises(TooManyLivesError, match=r"has been started 3 times, which is the limit \(max_lives\).*SIGUSR2"):
        begin_life(tmp_path, FIRST, saved=3, max_lives=3)
    for _ in range(3):
        begin_life(tmp_path, max_lives=1, max_idle=1)


def test_what_stands_in_for_a_cancelled_job_is_not_started(tmp_path: Path) -> None:
    end_life(tmp_path, begin_life(tmp_path, FIRST), "cancelled", "SIGTERM; it was cancelled")
    link = Start(submission="ab12", scheduled_id="4712")
    with pytest.raises(TooManyLivesError, match="it was cancelled, and what was to stand in for it is not started"):
        begin_life(tmp_path, link)
    assert begin_life(tmp_path, Start(submission="ab12", scheduled_id="4711", restart=1)).number == 2
