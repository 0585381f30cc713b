"""What all tests share."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator
from typing import Any

import pytest

# Tiny tensors gain nothing from threads, and several test processes with spinning threads slow each other down.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

# A shell has its background processes ignore Ctrl-C, and what is ignored stays so: tests that press it would wait for
# ever. Children of this process inherit what is set here.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

NEVER_SKIPPED_IN_CI = ("slurm", "browser")
"""Markers of tests that need something installed: the gate installs it, so there a skip is a failure."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With the variable CI set, a skipped test of these has failed."""
    report = yield
    needed = any(item.get_closest_marker(name) is not None for name in NEVER_SKIPPED_IN_CI)
    if report.skipped and needed and os.environ.get("CI"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
        report.outcome = "failed"
        report.longrepr = f"{reason}\nin CI this test must run: install what it needs"
    return report
