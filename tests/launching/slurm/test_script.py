"""What is asked of SLURM for a job, and the lines of its script."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from bench.launching.profile import ClusterProfile, EvaluationJobs
from bench.launching.slurm.backend import check_place
from bench.launching.slurm.script import Shape, interpreter, sbatch_parameters, setup_lines
from bench.launching.snapshot import Snapshot
from bench.store import Store


def test_the_memory_and_the_gpus_are_asked_for_as_the_profile_says() -> None:
    profile = ClusterProfile(
        name="p",
        partition="gpu",
        account="a",
        gpus_per_node=8,
        gpu_type="a100",
        gpu_request="gpus-per-node",
        memory_gib_per_node=400,
        cpus_per_gpu=6,
        time_limit="2-00:00:00",
        sbatch={"mail-type": "FAIL", "exclusive": True},
        srun_args=("--container-image=x",),
        evaluation=EvaluationJobs(gpus=2, time_limit="01:30:00", partition="small"),
    )
    train = sbatch_parameters("train", profile, Shape(nodes=2, gpus_per_node=8), name="n")
    assert (train["nodes"], train["ntasks_per_node"], train["gpus_per_node"]) == (2, 8, "a100:8")
    assert (train["mem"], train["time"], train["partition"]) == ("409600M", 2880, "gpu")
    assert train["additional_parameters"] == {"requeue": True, "mail-type": "FAIL", "exclusive": True}
    assert train["srun_args"] == ["--kill-on-bad-exit=1", "--cpus-per-task=6", "--container-image=x"]
    judge = sbatch_parameters("evaluate", profile, Shape(nodes=2, gpus_per_node=8), name="n", dependency="afterok:1")
    assert (judge["nodes"], judge["ntasks_per_node"], judge["gpus_per_node"]) == (1, 2, "a100:2")
    assert (judge["mem"], judge["time"], judge["partition"]) == ("102400M", 90, "small")
    assert judge["additional_parameters"]["kill-on-invalid-dep"] == "yes"


def test_the_environment_of_a_job_is_the_frozen_code_and_the_profiles(
    snapshot: Snapshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPADE_BENCH_DATASETS", "/my data/sets")
    profile = ClusterProfile(
        name="p",
        setup=("module load cuda",),
        environment={"A": "x y"},
        data={"coco_stuff": "/d"},
        weights="/w",
        python="python3",
        container=("apptainer", "exec", "--nv", "my image.sif"),
    )
    lines = setup_lines(profile, snapshot, tmp_path / "t.pkl")
    assert lines[0] == "module load cuda"
    for line in (
        "export A='x y'",
        f"export PYTHONPATH={snapshot.folder}",
        "export SPADE_BENCH_DATASETS='/my data/sets'",
        "export SPADE_BENCH_DATA_COCO_STUFF=/d",
        "export SPADE_BENCH_WEIGHTS=/w",
        f"cd {snapshot.folder} || exit 1",
    ):
        assert line in lines
    assert interpreter(profile).endswith("bash apptainer exec --nv 'my image.sif' python3")


def test_a_job_finds_its_task_though_nobody_noted_its_number(snapshot: Snapshot, tmp_path: Path) -> None:
    """The script's last line of set-up, run by bash as SLURM would, for a job and for an element of an array."""
    snapshot.folder.mkdir(parents=True)
    folder = tmp_path / "with space"
    folder.mkdir()
    (folder / "ab.pkl").write_text("task")
    line = setup_lines(ClusterProfile(name="p"), snapshot, folder / "ab.pkl")[-1]
    for variables, name in (
        ({"SLURM_JOB_ID": "71"}, "71_submitted.pkl"),
        ({"SLURM_JOB_ID": "75", "SLURM_ARRAY_JOB_ID": "72", "SLURM_ARRAY_TASK_ID": "3"}, "72_3_submitted.pkl"),
    ):
        subprocess.run(["bash", "-c", line], env={**os.environ, **variables}, check=True, timeout=20)
        assert (folder / name).read_text() == "task"


def test_the_store_must_lie_in_the_profiles_shared_folder(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    profile = ClusterProfile(name="p", scratch=str(scratch))
    with pytest.raises(ValueError, match="is no folder here; is this the right cluster"):
        check_place(Store(tmp_path / "s"), profile)
    scratch.mkdir()
    with pytest.raises(ValueError, match=r"does not lie in .*scratch.*choose --store .*scratch"):
        check_place(Store(tmp_path / "s"), profile)
    check_place(Store(scratch / "me" / "s"), profile)
