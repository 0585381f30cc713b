"""The local backend with real jobs: equal to the others to the bit, and resumed after a rank was killed."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from bench.launching.inline import run_inline
from bench.launching.job_file import JobFile, JobSettings
from bench.launching.local import LocalSettings, run_local
from bench.launching.local_process import free_port
from bench.launching.outcome import Outcome
from bench.plan import plan_study, study_jobs
from bench.signs import signs
from bench.store import Store
from bench.study import Study
from tests.launching.local.conftest import ROOT
from tests.launching.test_inline import tiny_study


def one_row(**training: Any) -> Study:
    """One training and its evaluation."""
    study = tiny_study()
    (dataset,) = study.datasets
    longer = replace(dataset, training=replace(dataset.training, **training))
    return replace(study, rows=study.rows[:1], datasets=(longer,), seeds=(0,), real_row=False)


def locally(study: Study, store: Store, ranks: int = 1) -> Outcome:
    settings = LocalSettings(device="cpu", ranks=ranks)
    return run_local(lambda: plan_study(study, store), store, Console(file=io.StringIO()), settings)


def weights(study: Study, store: Store, step: int) -> dict[str, Any]:
    """The full state at a step, without what only tells when it was made."""
    (run,) = [run for *_, run in study.cells()]
    state = torch.load(store.run(run).checkpoints / f"step_{step:08d}.pt", weights_only=True)
    return dict(state)


def assert_equal(one: Any, other: Any, place: str = "") -> None:
    """To the bit."""
    assert type(one) is type(other), place
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), place
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), place
        for key in one:
            assert_equal(one[key], other[key], f"{place}.{key}")
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other), place
        for index, pair in enumerate(zip(one, other, strict=True)):
            assert_equal(*pair, f"{place}[{index}]")
    else:
        assert one == other, place


def test_equal_to_the_inline_backend_to_the_bit(tmp_path: Path) -> None:
    study, here, there = one_row(), Store(tmp_path / "inline"), Store(tmp_path / "local")
    assert run_inline(plan_study(study, here), here, Console(file=io.StringIO()), device="cpu").finished == 2
    assert locally(study, there).finished == 2
    assert_equal(weights(study, here, 2), weights(study, there, 2))
    (one,), (other,) = here.evaluations(), there.evaluations()
    assert (one.eval_id, one.scores, one.class_iou) == (other.eval_id, other.scores, other.class_iou)
    provenance = there.run(next(study.cells())[3]).provenance()
    assert provenance["snapshot"] == next((there.root / "code").iterdir()).name


@pytest.mark.slow
def test_two_ranks_one_of_them_killed_resume_and_equal_torchrun(tmp_path: Path) -> None:
    study = replace(one_row(steps=12), ranks=2)
    (job, _) = study_jobs(study)
    store, reference = Store(tmp_path / "local"), Store(tmp_path / "torchrun")
    assert job.run is not None

    def kill_rank_1() -> None:
        deadline = time.monotonic() + 120
        while store.run(job.run).saved_step() < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(next(sign.pid for sign in signs(store.job_folder(job.key)) if sign.rank == 1), signal.SIGKILL)

    thread = threading.Thread(target=kill_rank_1)
    thread.start()
    outcome = locally(study, store, ranks=2)
    thread.join()
    assert [(failed.key, why) for failed, why in outcome.failed] == [(job.key, "rank 1 of 2 was killed by SIGKILL")]
    status = store.run(job.run).status()
    assert status.state == "failed"
    before = status.step
    assert 0 < before < 12
    assert locally(study, store, ranks=2).finished == 2
    steps = [row["step"] for row in store.run(job.run).metrics()]
    assert steps == list(range(1, 13))
    assert store.run(job.run).attempts == 2

    file = JobFile(job=job, store=reference.root, settings=JobSettings(device="cpu", ranks_per_node=2)).write()
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command = [*torchrun, "--master-port", str(free_port()), "-m", "bench.launching.execute", str(file)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=300, capture_output=True)
    assert_equal(weights(study, store, 12), weights(study, reference, 12))
    lives = [json.loads(line) for line in (reference.job_folder(job.key) / "lives.jsonl").read_text().splitlines()]
    assert lives[-1]["end"] == "done"
