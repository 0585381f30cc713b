"""The verbs with ``--backend slurm`` as they are typed, on a pretended cluster."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import bench.cli
from bench.launching.memory import StepMemory
from tests.launching.slurm.fake import FakeSlurm

Typed = Callable[..., tuple[int, str]]
PROFILE = """
summary = "pretended"
partition = "gpu"
gpus_per_node = 8
gpu_memory_gib = 24
device = "cpu"
time_limit = "01:00:00"
"""
GIB = 2**30


@pytest.fixture
def typed(
    slurm: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Typed:
    """(exit status, what was printed) of a command line; the profile is my.toml, the store ``store``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("SPADE_BENCH_CACHE", str(tmp_path / "cache"))
    worked_out = StepMemory(peak=5 * GIB, lasting=GIB, gradients=GIB, checkpoint=GIB // 1000)
    monkeypatch.setattr("bench.launching.memory.step_memory", lambda *_: worked_out)
    Path("my.toml").write_text(PROFILE, encoding="utf-8")

    def call(line: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["run_study.py", *line.split()])
        with pytest.raises(SystemExit) as stopped:
            bench.cli.main()
        printed = capsys.readouterr()
        return int(stopped.value.code or 0), printed.out + printed.err

    return call


ON_SLURM = "--backend slurm --profile my.toml --store store"


def test_submit_and_leave(slurm: FakeSlurm, typed: Typed) -> None:
    status, text = typed(f"run quickstart {ON_SLURM}")
    assert status == 0, text
    for part in (
        "(store store, cluster pretended): 13 submit",
        "train pix2pixHD++ w/ Concat on synthetic, seed 0",
        "each training: 1 node(s) x 8 GPUs = 8 ranks, at most 01:00:00 a life; 7 evaluations on 1 GPU(s)",
        "GiB on each GPU of 24",
        "8.1",  # (5 + 1) * 1.1 + 1.5
        "submitted 13 jobs with 3 calls of sbatch",
        "you may log out; `./run_study.py status quickstart` shows how far it is",
        "code: ",
    ):
        assert part in text, part
    assert len(slurm.jobs) == 13
    slurm.forget_calls()
    status, text = typed(f"run quickstart {ON_SLURM}")
    assert (status, slurm.calls("sbatch")) == (0, [])
    assert "13 wait" in text
    assert "nothing to submit" in text


def test_a_dry_run_shows_all_and_does_nothing(slurm: FakeSlurm, typed: Typed) -> None:
    status, text = typed(f"run quickstart --dry-run {ON_SLURM}")
    assert status == 0, text
    assert "GiB on each GPU of 24" in text
    assert "dry run: nothing was submitted" in text
    assert slurm.calls("sbatch") == []
    assert not Path("store").exists()


def test_plan_asks_slurm_only_when_told_to(slurm: FakeSlurm, typed: Typed) -> None:
    typed(f"run quickstart {ON_SLURM}")
    slurm.forget_calls()
    status, text = typed("plan quickstart --store store")
    assert (status, slurm.calls()) == (0, [])
    assert "handed over as SLURM job 100_0; not asked how it stands" in text
    status, text = typed(f"plan quickstart {ON_SLURM}")
    assert [call[0] for call in slurm.calls()] == ["scontrol", "squeue"]
    assert "pending as SLURM job 100_0 (Priority)" in text
    assert "13 wait" in text


def test_large_plans_are_counted(slurm: FakeSlurm, typed: Typed) -> None:
    seeds = ",".join(str(seed) for seed in range(12))
    status, text = typed(f"run quickstart --seeds {seeds} --dry-run {ON_SLURM}")
    assert status == 0, text
    assert "     72  submit train: not in the store" in text
    assert "     73  submit evaluate: not judged yet" in text


def test_runs_that_do_not_fit_are_refused_before_anything_is_submitted(slurm: FakeSlurm, typed: Typed) -> None:
    Path("my.toml").write_text(PROFILE.replace("24", "8"), encoding="utf-8")
    status, text = typed(f"run quickstart {ON_SLURM}")
    assert status == 1
    assert "error: the GPUs of profile my have 8 GiB (gpu_memory_gib), and these runs need more" in text
    status, text = typed(f"run quickstart --gpus-per-node 3 {ON_SLURM}")
    assert status == 1
    assert "error: these runs do not fit 3 ranks (--nodes times --gpus-per-node)" in text
    assert slurm.calls("sbatch") == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("run quickstart --backend slurm", "--backend slurm needs --profile FILE, which describes the cluster"),
        ("run quickstart --profile my.toml", "--profile: for --backend slurm only; add it, or leave --profile out"),
        ("run quickstart --nodes 2 --max-running 3", "--nodes, --max-running: for --backend slurm only"),
        ("run quickstart --backend slurm --profile no.toml", "no.toml: there is no such profile; there are my.toml"),
        (f"run quickstart --gpus-per-node 9 {ON_SLURM}", "--gpus-per-node is 9, but a node of profile my has 8"),
        (f"run quickstart --nodes 0 {ON_SLURM}", "--nodes is 0; it must be at least 1"),
        (f"run quickstart --max-running 0 {ON_SLURM}", "--max-running is 0; it must be at least 1"),
        (f"run nothing {ON_SLURM}", "no study is called 'nothing'"),
    ],
)
def test_a_users_error_is_one_message(slurm: FakeSlurm, typed: Typed, line: str, message: str) -> None:
    status, text = typed(line)
    assert status == 1
    assert f"error: {message}" in text
    assert slurm.calls("sbatch") == []


def test_what_slurm_refuses_is_told_with_the_exit_status(slurm: FakeSlurm, typed: Typed) -> None:
    slurm.set(refuse=["Batch job submission failed: Invalid account or account/partition combination specified"])
    status, text = typed(f"run quickstart {ON_SLURM}")
    assert status == 1
    assert "submitted 1 job with 1 call of sbatch" in text
    assert "not submitted (6): sbatch refused spade-quickstart-train-" in text
    assert "not submitted (6): its training was not submitted" in text
    status, text = typed(f"run quickstart {ON_SLURM}")
    assert status == 0
    assert "submitted 12 jobs" in text


def test_every_key_is_listed(typed: Typed) -> None:
    status, text = typed("cluster keys")
    assert status == 0
    for part in ("gpus_per_node", "evaluation.time_limit", "signal_before_end_s", "profiles/*.toml"):
        assert part in text


def test_a_profile_that_can_never_start_is_told_at_once(slurm: FakeSlurm, typed: Typed) -> None:
    from bench.launching.slurm import check

    status, text = 0, ""

    def hopeless(seconds: float) -> None:
        for number in slurm.jobs:
            slurm.change(number, reason="BadConstraints")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(check.time, "sleep", hopeless)
        status, text = typed("cluster check --profile my.toml --store store")
    assert status == 1
    assert "ok    submission: sbatch took the probe as job 100" in text
    assert "FAIL  start: it can never start (BadConstraints): no node has the profile's constraint" in text
    assert "1 of 2 do not work yet" in text
    assert slurm.calls("scancel") == [["scancel", "100"]]


def test_a_probe_that_waits_too_long_is_cancelled(slurm: FakeSlurm, typed: Typed) -> None:
    status, text = typed("cluster check --profile my.toml --store store --timeout 1")
    assert status == 1
    assert "FAIL  start: still pending (Priority) after 1 s" in text
    assert slurm.jobs["100"]["state"] == "CANCELLED"


def test_what_is_not_measured_costs_nothing_yet(typed: Typed) -> None:
    status, text = typed("cluster cost quickstart --store store")
    assert status == 0
    assert text.count("not measured") == 6
    assert "2,000" in text  # 250 steps of 8 images
    assert "0 GPU-hours of training for 0 of 6 rows; judging is not in it" in text
    assert "a few hundred steps of each are enough to know" in text
