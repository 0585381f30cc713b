"""Long jobs: what was done survives a kill, and no process outlives the one that started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.data.dataset import DatasetError
from bench.data.journal import opened
from bench.data.pool import check_workers, chunks_of, in_processes, in_threads

ROOT = Path(__file__).resolve().parents[2]
HEADER = {"journal": "of a test", "version": 1}


def square(number: int) -> int:
    if number < 0:
        raise ValueError(f"{number} is negative")
    return number * number


def kill_own_process(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def written(path: Path, header: dict[str, object] | None = None) -> tuple[object, ...]:
    with opened(path, header or HEADER) as journal:
        return journal.done


def test_a_journal_keeps_what_was_added(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "journal"
    with opened(path, HEADER) as journal:
        assert journal.done == ()
        journal.add([1, "two"])
        journal.add([[3]])
    assert written(path) == (1, "two", [3])


@pytest.mark.parametrize("torn", [b'{"half": ', b"12", b"\xff\xfe\n", b"not json\n5\n"])
def test_a_torn_end_is_left_out_and_written_over(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "journal"
    with opened(path, HEADER) as journal:
        journal.add(["whole"])
    with path.open("ab") as stream:
        stream.write(torn)
    with opened(path, HEADER) as journal:
        assert journal.done == ("whole",)
        journal.add(["next"])
    assert written(path) == ("whole", "next")


def test_a_journal_of_something_else_starts_afresh(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with opened(path, HEADER) as journal:
        journal.add([1])
        journal.restart([7])
    assert written(path) == (7,)
    assert written(path, {**HEADER, "version": 2}) == ()
    assert written(path, HEADER) == ()


def test_a_journal_has_one_writer_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    code = (
        "import sys, time; from pathlib import Path; from bench.data.journal import opened\n"
        "with opened(Path(sys.argv[1]), {'journal': 'of a test', 'version': 1}) as journal:\n"
        "    print('held', flush=True); time.sleep(0.5); journal.add(['by the first'])\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, path], cwd=ROOT, stdout=subprocess.PIPE) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"held\n"
        waited: list[str] = []
        with opened(path, HEADER, waiting=lambda: waited.append("for the first")) as journal:
            assert journal.done == ("by the first",)
    assert waited == ["for the first"]


def test_tasks_are_all_done_whoever_does_them() -> None:
    squares = {number * number for number in range(50)}
    assert set(in_processes(square, range(50), workers=1)) == squares
    assert set(in_processes(square, range(50), workers=2)) == squares
    assert set(in_threads(square, range(50), workers=3)) == squares
    assert list(chunks_of(range(5), 2)) == [[0, 1], [2, 3], [4]]


def test_the_error_of_a_task_is_the_callers() -> None:
    for results in (in_processes(square, [1, -3], workers=2), in_threads(square, [1, -3], workers=2)):
        with pytest.raises(ValueError, match="-3 is negative"):
            list(results)


def test_a_killed_process_is_named_with_what_to_do() -> None:
    with pytest.raises(DatasetError, match=r"one of the 2 processes was killed.*run the same command again"):
        list(in_processes(kill_own_process, range(3), workers=2))


def test_numbers_of_workers_are_checked() -> None:
    assert check_workers(3) == 3
    with pytest.raises(ValueError, match="workers is 0; it must be from 1"):
        check_workers(0)


def test_processes_end_with_a_caller_that_was_killed() -> None:
    code = (
        "import os, time\n"
        "from bench.data.pool import in_processes\n"
        "from tests.data.test_journal_and_pool import tell_pid\n"
        "if __name__ == '__main__':\n"
        "    for pid in in_processes(tell_pid, range(1000), workers=2): print(pid, flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as caller:
        assert caller.stdout is not None
        pids = {int(caller.stdout.readline()) for _ in range(8)}
        caller.kill()
    deadline = time.monotonic() + 10
    while any(_lives(pid) for pid in pids):
        assert time.monotonic() < deadline, f"processes {pids} outlive their caller"
        time.sleep(0.02)


def tell_pid(number: int) -> int:
    time.sleep(0.01)
    return os.getpid()


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"  # dead, and not yet buried by whoever adopted it
