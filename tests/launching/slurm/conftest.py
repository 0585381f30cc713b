"""A pretended cluster, a store and a profile for the tests of submission."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.launching.profile import ClusterProfile
from bench.launching.snapshot import Snapshot
from bench.store import Store
from tests.launching.slurm.fake import FakeSlurm, install


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    """A pretended cluster, its commands first in PATH."""
    return install(tmp_path / "slurm", monkeypatch)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def profile() -> ClusterProfile:
    return ClusterProfile(name="pretended", partition="gpu", gpus_per_node=2, device="cpu", time_limit="01:00:00")


@pytest.fixture
def snapshot(store: Store) -> Snapshot:
    """A name for the code that nothing runs from."""
    return Snapshot(folder=store.root.absolute() / "code" / "0123456789abcdef", commit=None, dirty=None)
