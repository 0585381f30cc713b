"""One cluster for the whole run, and one undisturbed run for each number of ranks to compare with."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.slurm.cluster import Cluster, absent, running_cluster
from tests.slurm.drill import Drill, drill_run, final_sha256


@pytest.fixture(scope="session")
def slurm() -> None:
    """SLURM is installed; skipped with the reason where it is not and cannot be."""
    problem = absent()
    if problem.startswith("not installed") and shutil.which("apt-get") is not None:
        script = Path(__file__).with_name("install.sh")
        done = subprocess.run(["bash", str(script)], capture_output=True, text=True)
        problem = absent() and f"{absent()}; {script.name}: {(done.stderr or done.stdout).strip()[-300:]}"
    if problem:
        pytest.skip(problem)


@contextlib.contextmanager
def found_by_commands(cluster: Cluster) -> Iterator[None]:
    """The variables by which SLURM's commands find the cluster."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in cluster.environment.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="session")
def whole_cluster(slurm: None) -> Iterator[Cluster]:
    """The cluster of this run."""
    with running_cluster() as cluster, found_by_commands(cluster):
        yield cluster


@pytest.fixture
def cluster(whole_cluster: Cluster) -> Iterator[Cluster]:
    """The cluster, with nothing left of the test before."""
    yield whole_cluster
    whole_cluster.rest()


@pytest.fixture
def separate_networks(cluster: Cluster) -> None:
    """The nodes have networks that can be cut; skipped where none can be made."""
    if not cluster.settings.separate_networks:
        pytest.skip("no network namespaces can be made here (CAP_NET_ADMIN, iproute2)")


NewDrill = Callable[..., Drill]


@pytest.fixture
def new_drill(cluster: Cluster, tmp_path: Path) -> NewDrill:
    """Makes a drill on the cluster; its fields as keywords, ``ranks`` for its run's."""

    def make(*, ranks: int = 2, **fields: Any) -> Drill:
        run = fields.pop("run", None) or drill_run(ranks)
        return Drill(cluster=cluster, folder=tmp_path, run=run, **fields)

    return make


@pytest.fixture(scope="session")
def reference(whole_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], str]:
    """Checksum of the final state of an undisturbed run on so many ranks of one node; each is trained once."""
    known: dict[int, str] = {}

    def checksum(ranks: int) -> str:
        if ranks not in known:
            folder = tmp_path_factory.mktemp(f"reference-{ranks}")
            drill = Drill(cluster=whole_cluster, folder=folder, run=drill_run(ranks))
            drill.submit(ranks_per_node=ranks)
            drill.until(lambda: drill.run_folder.status().state == "done", "the undisturbed run", 300)
            drill.until_over()
            known[ranks] = final_sha256(drill.run_folder, drill.run)
            drill.assert_equal_to(known[ranks])
        return known[ranks]

    return checksum
