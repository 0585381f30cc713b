"""How failures of several ranks are told: by the first cause, wherever it was, and never over another job's files."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import pytest

from bench.atomic import guarded
from bench.claim import FencedError, claim_file, holder_of
from bench.launching import failures
from bench.launching.claims import claimed_by_first
from bench.launching.failures import Failures
from bench.launching.watchdog import Hang
from bench.store import RunFolder, Store
from bench.training.distributed import Ranks, is_lost_peer
from tests.tiny import tiny_run

RUN = tiny_run("pix2pixhd")
LOST = RuntimeError("[/gloo/transport/tcp/pair.cc:547] Connection closed by peer [10.0.0.1]:31415. GLHF!")


def folder_in(root: Path) -> RunFolder:
    return Store(root).run(RUN)


def failures_of(rank: int, root: Path, world: int = 2) -> Failures:
    return Failures(RUN, folder_in(root), Ranks(rank=rank, world=world))


def raised(error: Exception) -> Exception:
    try:
        raise error
    except type(error) as caught:
        return caught


def test_a_rank_alone_is_not_numbered(tmp_path: Path) -> None:
    failures_of(0, tmp_path, world=1).error(raised(ValueError("no such file\nlook there")))
    status = folder_in(tmp_path).status()
    assert (status.state, status.error) == ("failed", "ValueError: no such file")
    assert "look there" in folder_in(tmp_path).error_file.read_text()


def test_the_rank_that_was_the_cause_is_named_although_another_one_notices_first(tmp_path: Path) -> None:
    noticing = threading.Thread(target=failures_of(0, tmp_path).error, args=(raised(LOST),))
    noticing.start()
    time.sleep(0.5)
    failures_of(1, tmp_path).error(raised(ValueError("a broken sample")))
    noticing.join()
    folder = folder_in(tmp_path)
    assert folder.status().error == "rank 1: ValueError: a broken sample"
    assert {path.name for path in folder.error_files()} == {"error.txt", "error-rank1.txt"}
    first = folder.first_error()
    assert first is not None
    assert first[0].name == "error-rank1.txt"


def test_a_status_that_went_on_meanwhile_is_put_right(tmp_path: Path) -> None:
    failures_of(1, tmp_path).error(raised(ValueError("a broken sample")))
    folder_in(tmp_path).write_status(state="running", step=3, steps=4)
    failures_of(0, tmp_path).error(raised(LOST))
    assert folder_in(tmp_path).status().error == "rank 1: ValueError: a broken sample"


def test_a_killed_first_rank_leaves_the_word_of_the_other(tmp_path: Path) -> None:
    failures_of(1, tmp_path).error(raised(ValueError("a broken sample")))
    folder = folder_in(tmp_path)
    folder.write_status(state="running", step=3, steps=4)
    status = json.loads((folder.path / "status.json").read_text())
    (folder.path / "status.json").write_text(json.dumps({**status, "pid": 2**22 + 1}))
    assert (folder.status().state, folder.status().error) == ("failed", "rank 1: ValueError: a broken sample")


def test_a_peer_without_a_word_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "PEER_S", 0.2)
    failures_of(0, tmp_path).error(raised(LOST))
    error = folder_in(tmp_path).status().error
    assert error.startswith("rank 0: another rank, or its machine, ended without a word (RuntimeError: [/gloo/")


def test_of_hanging_ranks_the_one_that_does_not_wait_is_named(tmp_path: Path) -> None:
    waiting = Hang(silent_s=9, last="step 3", place="all_reduce (c10d.py:1)", waits=True, stacks="thread MainThread:")
    hanging = Hang(silent_s=9, last="step 3", place="load (paired.py:8)", waits=False, stacks="thread MainThread:")
    first = threading.Thread(target=failures_of(0, tmp_path).hang, args=(waiting,))
    first.start()
    time.sleep(0.3)
    failures_of(1, tmp_path).hang(hanging)
    first.join()
    expected = "rank 1: HangError: no step for 9 s (last: step 3); it hangs in load (paired.py:8)"
    assert folder_in(tmp_path).status().error == expected


def test_a_fenced_rank_writes_no_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def fence() -> None:
        raise FencedError("taken over")

    failures_of(0, tmp_path).error(raised(FencedError("taken over")))
    with guarded(folder_in(tmp_path).path, fence):
        failures_of(1, tmp_path).error(raised(ValueError("late")))
    assert not folder_in(tmp_path).path.exists()
    told = capsys.readouterr().err
    assert "this failure could not be written down (taken over):\nrank 1: ValueError: late" in told


def test_stopped_is_not_failed(tmp_path: Path) -> None:
    failures_of(1, tmp_path).interrupted("not this rank's to say")
    assert not folder_in(tmp_path).path.exists()
    failures_of(0, tmp_path).interrupted("stopped by SIGUSR2")
    status = folder_in(tmp_path).status()
    assert (status.state, status.note, status.error) == ("pending", "stopped by SIGUSR2", "")


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (LOST, True),
        (RuntimeError("NCCL error: remote process exited or there was a network error"), True),
        (RuntimeError("Timed out waiting 1800000ms for recv operation to complete"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("Connection closed by peer"), False),
    ],
)
def test_a_lost_peer_is_told_from_an_error_of_ones_own(error: Exception, lost: bool) -> None:
    assert is_lost_peer(error) is lost


def test_who_claims_a_folder_clears_away_what_was_left_half_written(tmp_path: Path) -> None:
    left = tmp_path / "checkpoints" / ".step_00000004.pt.x.part"
    left.parent.mkdir()
    left.write_text("half")
    seen = []
    with claimed_by_first(tmp_path, Ranks(), prepare=lambda: seen.append(left.exists())):
        holder = holder_of(tmp_path)
        assert holder is not None
        assert holder.pid == os.getpid()
    assert seen == [False]
    assert not claim_file(tmp_path).exists()
