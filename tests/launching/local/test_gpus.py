"""Which GPUs there are and which are free, from a pretended nvidia-smi; places on them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench.launching.gpus import Gpu, GpuError, GpuPlaces, free_gpus, gpus_here
from bench.launching.local import LocalSettings, machine_for

SMI = """#!/bin/sh
case "$1" in
  --query-gpu=*) printf '0, GPU-aa, 12\\n1, GPU-bb, 40000\\n2, GPU-cc, 5\\n3, GPU-dd, [N/A]\\n' ;;
  --query-compute-apps=*) printf 'GPU-cc, 4711\\n' ;;
esac
"""


@pytest.fixture
def smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of four GPUs: 0 and 3 free, 1 full, 2 with a process."""
    path = tmp_path / "nvidia-smi"
    path.write_text(SMI)
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return path


def test_busy_gpus_are_seen_and_left_alone(smi: Path) -> None:
    found = gpus_here()
    assert [(gpu.id, gpu.name) for gpu in found] == [("GPU-aa", "0"), ("GPU-bb", "1"), ("GPU-cc", "2"), ("GPU-dd", "3")]
    assert [gpu.used_by for gpu in found] == [
        "",
        "40000 MiB of its memory are taken",
        "a process computes on it",
        "",
    ]
    assert [gpu.name for gpu in free_gpus(found, 2)] == ["0", "3"]
    with pytest.raises(
        GpuError,
        match=r"wants 3 GPUs, one for each of its ranks, and 2 of this machine's 4 are free \(GPU 1: 40000 MiB.*"
        r"GPU 2: a process computes on it\); choose fewer --ranks, name GPUs in CUDA_VISIBLE_DEVICES",
    ):
        free_gpus(found, 3)


def test_gpus_that_the_user_names_are_taken_as_they_are(smi: Path) -> None:
    assert gpus_here({"CUDA_VISIBLE_DEVICES": "1,GPU-cc"}) == [Gpu(id="1", name="1"), Gpu(id="GPU-cc", name="GPU-cc")]
    assert gpus_here({"CUDA_VISIBLE_DEVICES": "3,-1,0"}) == [Gpu(id="3", name="3")]
    assert gpus_here({"CUDA_VISIBLE_DEVICES": ""}) == []


def test_as_many_jobs_at_a_time_as_the_free_gpus_hold(smi: Path) -> None:
    environment = {"OMP_NUM_THREADS": "1"}
    for settings, at_a_time, told in (
        (LocalSettings(), 2, "2 jobs at a time on GPU 0, 3"),
        (LocalSettings(jobs_per_gpu=3), 6, "6 jobs at a time on GPU 0, 3"),
        (LocalSettings(processes=1), 1, "1 job at a time on GPU 0, 3"),
        (LocalSettings(processes=9), 2, "2 jobs at a time on GPU 0, 3"),
        (LocalSettings(device="cpu"), 1, "1 job at a time on the CPU"),
        (LocalSettings(device="cpu", processes=4), 4, "4 jobs at a time on the CPU"),
    ):
        machine = machine_for(settings, environment)
        assert (machine.at_a_time, machine.told()) == (at_a_time, told)


def test_a_gpu_that_is_not_there_is_named(smi: Path) -> None:
    smi.write_text("#!/bin/sh\nexit 9\n")
    assert machine_for(LocalSettings(), {}).gpus == ()
    with pytest.raises(GpuError, match="--device is cuda, but nvidia-smi shows no GPU"):
        machine_for(LocalSettings(device="cuda"), {})


def test_places_are_different_gpus_the_least_used_first() -> None:
    first, second = Gpu(id="a", name="0"), Gpu(id="b", name="1")
    places = GpuPlaces([first, second], jobs_per_gpu=2)
    assert places.total == 4
    assert places.take(1) == (first,)
    assert places.take(1) == (second,)
    both = places.take(2)
    assert both is not None
    assert set(both) == {first, second}
    assert places.take(1) is None
    places.give_back((second,))
    assert places.take(2) is None
    assert places.take(1) == (second,)
