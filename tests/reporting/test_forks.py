"""Figures from forks are those of one process; what cannot be forked safely is not."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from bench.reporting.forks import in_forks
from bench.reporting.garbage import garbage_kept

ROOT = Path(__file__).parents[2]
FORKED = """
import os
from bench.reporting.forks import in_forks
def fails():
    raise ValueError("no figure of this")
here = os.getpid()
print([pid != here for pid in in_forks([os.getpid, os.getpid, os.getpid])], in_forks([lambda: 1, lambda: [2]]))
try:
    in_forks([fails, os.getpid])
except ValueError as error:
    print("told:", error)
def dies():
    if os.getpid() != here:
        os.kill(os.getpid(), 9)
    return "here"
print(in_forks([dies, dies]))
print(len(in_forks([os.getpid])), in_forks([]))
"""


@pytest.mark.skipif(
    sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2, reason="forks are for Linux, with two cores or more"
)
def test_tasks_run_in_forks_and_their_errors_arrive() -> None:
    told = subprocess.run([sys.executable, "-c", FORKED], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert told.stdout.splitlines() == [
        "[True, True, True] [1, [2]]",
        "told: no figure of this",
        "['here', 'here']",
        "1 []",
    ], told.stderr


def test_beside_other_threads_nothing_is_forked() -> None:
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    try:
        assert in_forks([os.getpid, os.getpid]) == [os.getpid()] * 2
    finally:
        over.set()
        thread.join()


def test_garbage_is_looked_for_again_afterwards() -> None:
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError, match="division by zero"), garbage_kept():
        print(gc.isenabled() / gc.isenabled())
    assert gc.isenabled()
    gc.disable()
    try:
        with garbage_kept():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
