"""Claims: one living process in a folder; a dead one's claim is taken over."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.claim import HEARTBEAT_LOST_S, ClaimedError, claim_file, claimed, holder_of


def write_claim(folder: Path, host: str, pid: int) -> None:
    claim_file(folder).write_text(json.dumps({"host": host, "pid": pid, "since": time.time()}))


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
    write_claim(tmp_path, socket.gethostname(), int(done.stdout))
    assert holder_of(tmp_path) is None
    with claimed(tmp_path):
        pass


def test_another_machine_counts_as_alive_while_its_claim_is_renewed(tmp_path: Path) -> None:
    write_claim(tmp_path, "elsewhere", 1)
    with pytest.raises(ClaimedError, match="process 1 on elsewhere"), claimed(tmp_path):
        pass
    old = time.time() - HEARTBEAT_LOST_S - 5
    os.utime(claim_file(tmp_path), (old, old))
    with claimed(tmp_path):
        holder = holder_of(tmp_path)
        assert holder is not None
        assert holder.host == socket.gethostname()


def test_a_torn_claim_is_respected_while_it_is_young(tmp_path: Path) -> None:
    claim_file(tmp_path).write_text("{")
    assert holder_of(tmp_path) is not None
    old = time.time() - HEARTBEAT_LOST_S
    os.utime(claim_file(tmp_path), (old, old))
    assert holder_of(tmp_path) is None
