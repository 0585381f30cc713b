"""A hanging process says where every thread stands, and ends; one that works, or was only stopped, goes on."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from bench.launching.watchdog import EXIT_CODE, Hang, Watchdog, hang_of

ROOT = Path(__file__).resolve().parents[2]


def started(code: str) -> subprocess.Popen[str]:
    """A Python process with the watchdog at hand."""
    head = "import sys, time, threading\nfrom bench.launching.watchdog import Watchdog\n"
    return subprocess.Popen(
        [sys.executable, "-c", head + code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_a_hanging_process_ends_and_says_where_it_stood() -> None:
    process = started(
        """
def load_for_ever():
    time.sleep(60)

threading.Thread(target=time.sleep, args=(60,), name="helper", daemon=True).start()
with Watchdog(0.4, lambda hang: print("told:", hang.summary, flush=True)) as watchdog:
    watchdog.beat("step 7")
    load_for_ever()
"""
    )
    out, err = process.communicate(timeout=60)
    assert process.returncode == EXIT_CODE
    assert "told: no step for" in out
    assert "(last: step 7); it hangs in load_for_ever (" in out
    assert "thread MainThread:" in err
    assert "in load_for_ever" in err
    assert "thread helper:" in err


def test_a_process_that_never_lets_go_of_the_interpreter_is_ended_by_the_backstop() -> None:
    process = started(
        """
import ctypes
import bench.launching.watchdog as module

module._BACKSTOP_S = 0.5
with Watchdog(0.2, lambda hang: None) as watchdog:
    ctypes.PyDLL(None).sleep(60)  # called with the interpreter's lock held
"""
    )
    began = time.monotonic()
    _, err = process.communicate(timeout=50)
    assert time.monotonic() - began < 45
    assert process.returncode == 1
    assert "Timeout" in err
    assert "<string>" in err


def test_one_that_reports_goes_on() -> None:
    told: list[Hang] = []
    with Watchdog(0.4, told.append, end=lambda code: None, log=io.StringIO()) as watchdog:
        for step in range(8):
            time.sleep(0.1)
            watchdog.beat(f"step {step}")
    assert told == []


def test_a_process_that_was_stopped_and_continued_is_not_taken_to_hang() -> None:
    process = started(
        """
with Watchdog(1.0, lambda hang: None) as watchdog:
    print("ready", flush=True)
    for step in range(5):
        time.sleep(0.2)
        watchdog.beat("step")
"""
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    os.kill(process.pid, signal.SIGSTOP)
    time.sleep(2.5)
    os.kill(process.pid, signal.SIGCONT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")


@pytest.mark.parametrize(
    ("file", "function", "waits"),
    [
        ("/site-packages/torch/distributed/distributed_c10d.py", "all_reduce", True),
        ("/site-packages/torch/autograd/graph.py", "_engine_run_backward", True),
        ("/project/bench/data/paired.py", "load", False),
    ],
)
def test_who_waits_for_others_is_told_from_who_is_waited_for(file: str, function: str, waits: bool) -> None:
    names: dict[str, Any] = {}
    exec(compile(f"def {function}(lock):\n    lock.acquire()\n", file, "exec"), names)
    lock = threading.Lock()
    lock.acquire()
    thread = threading.Thread(target=names[function], args=(lock,), name="main one")
    thread.start()
    try:
        time.sleep(0.2)
        hang = hang_of(thread.ident, 12.0, "step 3")
    finally:
        lock.release()
        thread.join()
    assert hang.stacks.splitlines()[0] == "thread main one:"
    assert hang.waits is waits
    how = "waits for its peers in" if waits else "hangs in"
    assert hang.summary == f"no step for 12 s (last: step 3); it {how} {function} ({file}:2)"
