"""The verdicts of ``cluster check``, from what a probe wrote."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.atomic import write_json
from bench.launching.profile import ClusterProfile
from bench.launching.slurm import check
from bench.launching.slurm.check import Probing, Verdict, check_cluster
from bench.launching.slurm.script import Shape
from bench.launching.snapshot import Snapshot
from bench.store import Store
from tests.launching.slurm.fake import FakeSlurm

SHAPE = Shape(nodes=2, gpus_per_node=2)
GPUS = ClusterProfile(name="p", gpus_per_node=2, cpus_per_gpu=4, gpu_memory_gib=32, data={"synthetic": "/d"})


def all_well(seen: Path, snapshot: Snapshot, **changes: Any) -> None:
    """What a probe on two nodes with two GPUs each writes where everything works."""
    for rank in range(4):
        found = {"host": f"node{rank // 2}", "local_rank": rank % 2, "world": 4, "visible": "0,1", "cores": 4}
        found |= {"gpus": ["V100", "V100"], "gpu_gib": [31.7, 31.7], "torch": "2", "python": "p", "missing": []}
        write_json(seen / f"rank-{rank}.json", {**found, "code": str(snapshot.folder.resolve()), **changes})
        write_json(seen / f"signal-{rank}.json", {"after_s": 0.2})
    write_json(seen / "reduce-gloo-0.json", {"seconds": 0.1, "ranks": 4, "used_gib": 0.0, "files_s": 0.1})
    write_json(seen / "reduce-nccl-0.json", {"seconds": 0.01, "ranks": 4, "used_gib": 1.2})
    write_json(seen / "first-life.json", {"ended": time.time() - 9})
    write_json(seen / "second-life.json", {"restart": 1, "host": "node1"})


class Checked:
    """Runs the check with a probe whose files the test writes."""

    def __init__(self, slurm: FakeSlurm, store: Store, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch) -> None:
        self.slurm, self.store, self.snapshot, self.monkeypatch = slurm, store, snapshot, monkeypatch

    def __call__(self, profile: ClusterProfile, write: Any, **values: Any) -> dict[str, Verdict]:
        def wait(probing: Probing, *_: object) -> None:
            probing.started_s, probing.ended = 3.0, "COMPLETED"
            for name, value in values.items():
                setattr(probing, name, value)
            self.slurm.change(probing.number, state="COMPLETED")
            write(probing.folder / "seen")

        self.monkeypatch.setattr(check, "_wait", wait)
        verdicts = check_cluster(profile, self.store, SHAPE, snapshot=self.snapshot)
        return {verdict.what: verdict for verdict in verdicts}


@pytest.fixture
def checked(slurm: FakeSlurm, store: Store, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch) -> Checked:
    return Checked(slurm, store, snapshot, monkeypatch)


def test_where_everything_works_every_verdict_is_good(checked: Checked, store: Store) -> None:
    found = checked(GPUS, lambda seen: all_well(seen, checked.snapshot))
    assert {verdict.level for verdict in found.values()} == {"ok"}
    assert list(found) == [
        "submission",
        "start",
        "nodes and ranks",
        "GPUs",
        "code",
        "data",
        "all-reduce, gloo",
        "shared file system",
        "all-reduce, nccl",
        "signals",
        "requeue",
        "accounting",
    ]
    assert found["GPUs"].found.startswith("each rank sees 2 (V100); torch 2, CUDA_VISIBLE_DEVICES=0,1")
    assert found["all-reduce, nccl"].found == "64 MiB over 4 ranks in 10 ms (6.2 GiB/s)"
    assert "it ran again after 9 s" in found["requeue"].found
    assert not list(store.root.glob("jobs/probe-*"))  # nothing is left of a good one


def spoilt(path: str, data: Any) -> Any:
    """Writes all that is well, but for one file (None: it is missing)."""

    def write(seen: Path, snapshot: Snapshot) -> None:
        all_well(seen, snapshot)
        if data is None:
            (seen / path).unlink()
        else:
            write_json(seen / path, data)

    return write


@pytest.mark.parametrize(
    ("write", "what", "level", "found", "remedy"),
    [
        (
            spoilt("rank-3.json", None),
            "nodes and ranks",
            "FAIL",
            "3 of 4 ranks wrote",
            "file system that all nodes share",
        ),
        (
            lambda seen, snapshot: all_well(seen, snapshot, gpus=["V100"], gpu_gib=[31.7]),
            "GPUs",
            "FAIL",
            "each rank sees 1 (V100)",
            "no --gpus-per-task",
        ),
        (
            lambda seen, snapshot: all_well(seen, snapshot, gpu_gib=[15.8, 15.8]),
            "GPU memory",
            "note",
            "15.8 GiB, the profile says 32",
            "set gpu_memory_gib = 15.8",
        ),
        (lambda seen, snapshot: all_well(seen, snapshot, cores=1), "cores", "note", "1 for each rank", "srun_args"),
        (
            lambda seen, snapshot: all_well(seen, snapshot, code="/elsewhere"),
            "code",
            "FAIL",
            "/elsewhere",
            "PYTHONPATH",
        ),
        (
            lambda seen, snapshot: all_well(seen, snapshot, missing=["/d"]),
            "data",
            "FAIL",
            "not on the nodes: /d",
            "mount",
        ),
        (
            spoilt("reduce-nccl-2.json", {"error": "rank 2: DistBackendError: unhandled system error"}),
            "all-reduce, nccl",
            "FAIL",
            "rank 2: DistBackendError",
            "NCCL_SOCKET_IFNAME",
        ),
        (spoilt("reduce-gloo-0.json", None), "all-reduce, gloo", "FAIL", "no rank came to it", "firewall"),
        (
            spoilt("reduce-gloo-0.json", {"seconds": 0.1, "ranks": 4, "files_s": None}),
            "shared file system",
            "FAIL",
            "did not see the files of the others",
            "--store",
        ),
        (spoilt("signal-2.json", {"after_s": None}), "signals", "FAIL", "USR2 reached 3 of 4 ranks", "container"),
        (
            spoilt("signal-error.json", {"error": "scancel: not permitted"}),
            "signals",
            "ok",
            "USR2 reached all 4 ranks",
            "",
        ),
        (
            spoilt("second-life.json", None),
            "requeue",
            "FAIL",
            "no second life was seen (COMPLETED)",
            "set requeue = false in the profile",
        ),
    ],
)
def test_what_does_not_work_is_told_with_what_to_do(
    checked: Checked, store: Store, write: Any, what: str, level: str, found: str, remedy: str
) -> None:
    verdict = checked(GPUS, lambda seen: write(seen, checked.snapshot))[what]
    assert verdict.level == level
    assert found in verdict.found
    assert remedy in verdict.remedy
    assert bool(list(store.root.glob("jobs/probe-*"))) == (level == "FAIL")  # logs of a bad one are kept


def test_a_probe_that_never_wrote_shows_the_end_of_its_log(checked: Checked) -> None:
    def write(seen: Path) -> None:
        (seen.parent / "logs" / "100_0_log.out").write_text("module: command not found\nImportError: no torch\n")

    found = checked(GPUS, write, ended="FAILED")
    assert found["start"].found == "it ended (FAILED) before any rank wrote a word here"
    assert "100_0_log.out: ImportError: no torch" in found["start"].remedy
    assert list(found) == ["submission", "start"]


def test_what_was_not_tried_is_said(checked: Checked, slurm: FakeSlurm) -> None:
    slurm.set(accounting=False)
    profile = replace(GPUS, device="cpu", requeue=False, chain_links=4)
    found = checked(profile, lambda seen: all_well(seen, checked.snapshot))
    notes = {what: verdict.found for what, verdict in found.items() if verdict.level == "note"}
    assert notes.keys() == {"GPUs", "requeue", "accounting"}
    assert notes["requeue"] == "not tried: requeue = false, a training is a chain of 4 jobs"
    assert notes["accounting"].startswith("none: ended jobs are looked up with squeue")
    assert "all-reduce, nccl" not in found


def test_a_probe_that_is_refused_a_second_life_says_so(checked: Checked) -> None:
    def write(seen: Path) -> None:
        all_well(seen, checked.snapshot)
        (seen / "second-life.json").unlink()
        write_json(
            seen / "requeue-error.json", {"error": "`scontrol requeue 1` failed: Requested operation disabled\nx"}
        )

    verdict = checked(GPUS, write)["requeue"]
    assert verdict.found == "`scontrol requeue 1` failed: Requested operation disabled"
