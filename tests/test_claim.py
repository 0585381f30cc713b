"""Claims: one living process in a folder; a dead one's claim is taken over, and it is fenced should it come back."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench import claim
from bench.atomic import check_write, write_json, written_beside
from bench.claim import (
    HEARTBEAT_LOST_S,
    HEARTBEAT_S,
    Claimant,
    ClaimedError,
    FencedError,
    Lease,
    claim_file,
    claimed,
    claiming_as,
    holder_of,
    process_lives,
    this_machine,
)


def write_claim(folder: Path, host: str, pid: int, *, silent_s: float = 0.0, epoch: int = 1, **fields: object) -> Path:
    path = claim_file(folder, epoch)
    path.write_text(json.dumps({"host": host, "pid": pid, "since": time.time(), **fields}))
    os.utime(path, (time.time() - silent_s, time.time() - silent_s))
    return path


@contextmanager
def taken_over(folder: Path) -> Iterator[None]:
    """Inside the block another process has taken the folder over: what a network cut does to the first one."""
    with claimed(folder) as lease:
        lease.file.unlink()
        other = write_claim(folder, "elsewhere", 7, epoch=lease.epoch + 1, token="other")
        yield
        assert other.is_file()
        assert json.loads(other.read_text())["token"] == "other"


def test_a_living_process_keeps_others_out_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with claimed(tmp_path):
        holder = holder_of(tmp_path)
        assert holder is not None
        assert holder.pid == os.getpid()
        with pytest.raises(ClaimedError, match=f"process {os.getpid()} on .* has worked here"), claimed(tmp_path):
            pass
    assert holder_of(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_a_dead_process_of_this_machine_is_replaced(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    write_claim(tmp_path, "here", int(done.stdout), machine=this_machine())
    assert holder_of(tmp_path) is None
    with claimed(tmp_path) as lease:
        assert lease.epoch == 2
        assert not claim_file(tmp_path, 1).exists()


def test_a_process_that_ended_but_was_not_waited_for_is_dead(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    deadline = time.monotonic() + 30
    while process_lives(process.pid, time.time()) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not process_lives(process.pid, time.time())
    process.wait()


@pytest.mark.parametrize("machine", ["", "another boot of this host"])
def test_another_machine_counts_as_alive_while_its_claim_is_renewed(machine: str, tmp_path: Path) -> None:
    path = write_claim(tmp_path, "elsewhere", os.getpid(), machine=machine)
    message = f"process {os.getpid()} on elsewhere .*if it is dead, that shows 120 s after its last sign of life"
    with pytest.raises(ClaimedError, match=message), claimed(tmp_path):
        pass
    old = time.time() - HEARTBEAT_LOST_S - 5
    os.utime(path, (old, old))
    with claimed(tmp_path):
        holder = holder_of(tmp_path)
        assert holder is not None
        assert holder.machine == this_machine()


def test_a_torn_claim_is_respected_while_it_is_young(tmp_path: Path) -> None:
    path = claim_file(tmp_path)
    path.write_text("{")
    assert holder_of(tmp_path) is not None
    old = time.time() - HEARTBEAT_S - 1
    os.utime(path, (old, old))
    assert holder_of(tmp_path) is None


def test_a_later_life_of_the_same_job_takes_over_at_once(tmp_path: Path) -> None:
    write_claim(tmp_path, "node1", 1, job="slurm 4711", life=2)
    for claimant in (Claimant(job="slurm 4711", life=2), Claimant(job="slurm 4712", life=3), Claimant(life=3)):
        with claiming_as(claimant), pytest.raises(ClaimedError, match="on node1 has worked"), claimed(tmp_path):
            pass
    with claiming_as(Claimant(job="slurm 4711", life=3)), claimed(tmp_path):
        holder = holder_of(tmp_path)
        assert holder is not None
        assert (holder.job, holder.life) == ("slurm 4711", 3)


def test_a_patient_claimant_waits_until_the_dead_shows(tmp_path: Path) -> None:
    write_claim(tmp_path, "node1", 1, silent_s=HEARTBEAT_LOST_S - 1.5)
    began = time.monotonic()
    with claiming_as(Claimant(wait_s=20)), claimed(tmp_path) as lease:
        assert lease.epoch == 2
    assert 0.5 < time.monotonic() - began < 10


def write(path: Path) -> None:
    write_json(path, {"life": 1})


def write_slowly(path: Path) -> None:
    with written_beside(path) as temporary:
        temporary.write_text("half")


@pytest.mark.parametrize("act", [write, write_slowly, check_write])
def test_a_fenced_process_touches_nothing(act: Callable[[Path], None], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with taken_over(folder):
        before = sorted(folder.iterdir())
        with pytest.raises(FencedError, match="process 7 on elsewhere has taken this folder over .* ends without"):
            act(folder / "checkpoints" / "step.pt")
        assert sorted(folder.iterdir()) == before
        write(tmp_path / "elsewhere.json")
    write(folder / "status.json")


def test_a_process_is_fenced_between_writing_and_renaming_too(tmp_path: Path) -> None:
    target = tmp_path / "status.json"

    def write_late(lease: Lease) -> None:
        with written_beside(target) as temporary:
            temporary.write_text("late")
            lease.file.unlink()

    with claimed(tmp_path) as lease:
        write(target)
        with pytest.raises(FencedError, match="another process has taken"):
            write_late(lease)
    assert json.loads(target.read_text()) == {"life": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["status.json"]


def test_a_process_stays_fenced_when_the_other_one_has_finished(tmp_path: Path) -> None:
    with claimed(tmp_path) as lease:
        lease.file.unlink()
        with claimed(tmp_path) as other:
            assert other.epoch == lease.epoch
        with pytest.raises(FencedError, match="another process has taken"):
            lease.check()


def test_a_file_system_that_does_not_answer_is_not_a_takeover(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> str:
        raise OSError(errno.EIO, "Input/output error")

    with claimed(tmp_path) as lease:
        with monkeypatch.context() as patch:
            patch.setattr(Path, "read_text", broken)
            with pytest.raises(OSError, match="Input/output error"):
                lease.check()
        lease.check()


def contend(folder: Path, start: threading.Barrier) -> Lease | str:
    start.wait()
    try:
        return claim._take(folder, Claimant())
    except ClaimedError as error:
        return str(error)


def test_of_many_at_once_exactly_one_takes_a_dead_claim_over(tmp_path: Path) -> None:
    start = threading.Barrier(8)
    with ThreadPoolExecutor(8) as pool:
        for turn in range(20):
            folder = tmp_path / str(turn)
            folder.mkdir()
            write_claim(folder, "node1", 1, silent_s=2 * HEARTBEAT_LOST_S)
            results = list(pool.map(contend, [folder] * 8, [start] * 8))
            (lease,) = [found for found in results if isinstance(found, Lease)]
            lease.check()
            assert [path.name for path in folder.iterdir()] == [lease.file.name], f"turn {turn}"


def test_without_hard_links_a_claim_is_exclusive_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    with claimed(tmp_path) as lease:
        lease.check()
        with pytest.raises(ClaimedError, match="has worked here"), claimed(tmp_path):
            pass
    assert list(tmp_path.iterdir()) == []


def test_the_claim_is_renewed_while_it_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim, "HEARTBEAT_S", 0.05)
    with claimed(tmp_path) as lease:
        os.utime(lease.file, (1, 1))
        deadline = time.monotonic() + 20
        while lease.file.stat().st_mtime == 1 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert time.time() - lease.file.stat().st_mtime < 20
