"""In CI a test on the cluster cannot be skipped in silence."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
import pytest

@pytest.fixture(scope="session")
def cluster():
    pytest.skip("not installed: slurmctld")

@pytest.mark.slurm
def test_on_the_cluster(cluster):
    pass

@pytest.mark.slow
def test_elsewhere():
    pytest.skip("not today")
"""


@pytest.mark.parametrize(("ci", "told"), [("", "2 skipped"), ("1", "1 skipped, 1 error")])
def test_a_skipped_drill_is_a_failure_in_ci_alone(ci: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(TESTS)
    (tmp_path / "conftest.py").write_text(Path(__file__).with_name("conftest.py").read_text())
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "ignore", str(tmp_path)]
    environment = {**os.environ, "CI": ci}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert told in done.stdout, done.stdout
    assert (done.returncode != 0) is bool(ci)
    assert ("in CI this test must run: install what it needs" in done.stdout) is bool(ci)
    assert ("not installed: slurmctld" in done.stdout) is bool(ci)
