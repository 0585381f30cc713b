"""A run that was killed or asked to stop ends where it would have ended undisturbed, to the bit."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.run_spec import RunSpec
from bench.store import Store
from bench.training.checkpoint import checkpoint_path, checkpoint_steps, load_checkpoint
from bench.training.trainer import Hooks
from tests.tiny import tiny_run
from tests.training.worker import start, train_here, train_until_killed

RUNS = {
    "shared step": tiny_run("spade-decoder", steps=6),
    "pix2pixHD's step": tiny_run("pix2pixhd", steps=6),
    # killed in the second epoch, where the loss is divided by its means over the first
    "CRN's step, its balance": tiny_run(
        "crn",
        steps=6,
        images=8,
        recipe={
            "perceptual_weight": 1.0,
            "perceptual_network": "efficientnet-lite0",
            "balance_after_epochs": 1,
        },
    ),
    "encoder, plain batch norm, moving average": tiny_run(
        "spade-decoder-encoder", steps=6, generator={"norm": "batch"}, ema_halflife_images=10, batch_images=2
    ),
}


def final_state(root: Path, run: RunSpec) -> dict[str, Any]:
    return load_checkpoint(checkpoint_path(Store(root).run(run).checkpoints, run.training.steps))


def assert_identical(ours: Any, theirs: Any, where: str = "state") -> None:
    assert type(ours) is type(theirs), where
    if isinstance(ours, torch.Tensor):
        assert torch.equal(ours, theirs), where
    elif isinstance(ours, dict):
        assert list(ours) == list(theirs), where
        for key in ours:
            assert_identical(ours[key], theirs[key], f"{where}[{key!r}]")
    elif isinstance(ours, (list, tuple)):
        assert len(ours) == len(theirs), where
        for index, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            assert_identical(one, other, f"{where}[{index}]")
    else:
        assert ours == theirs, where


def losses_by_step(root: Path, run: RunSpec) -> list[tuple[int, dict[str, float]]]:
    rows = Store(root).run(run).metrics()
    return [(row["step"], {k: v for k, v in row.items() if "/" in k}) for row in rows]


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_killed_and_resumed_equals_undisturbed(run: RunSpec, tmp_path: Path) -> None:
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    assert train_here(run, undisturbed)

    process = start(train_until_killed, run, killed, 3)
    process.join(timeout=120)
    assert process.exitcode == -signal.SIGKILL
    folder = Store(killed).run(run)
    assert checkpoint_steps(folder.checkpoints) == [2]
    assert [row["step"] for row in folder.metrics()] == [1, 2, 3]
    assert folder.status().state == "failed"
    assert "died without a word" in folder.status().error

    assert train_here(run, killed)
    assert_identical(final_state(killed, run), final_state(undisturbed, run))
    assert losses_by_step(killed, run) == losses_by_step(undisturbed, run)
    assert [step for step, _ in losses_by_step(killed, run)] == [1, 2, 3, 4, 5, 6]
    assert folder.status().state == "done"
    assert folder.status().attempt == 2


def test_asked_to_stop_it_saves_at_the_step_boundary_and_goes_on(tmp_path: Path) -> None:
    run = tiny_run("pix2pixhd-pp", steps=5, save_every_steps=100)
    undisturbed, stopped = tmp_path / "undisturbed", tmp_path / "stopped"
    train_here(run, undisturbed)
    steps: list[int] = []

    def report(step: int, values: dict[str, float]) -> None:
        steps.append(step)

    hooks = Hooks(should_stop=lambda: len(steps) == 2, report=report)
    assert not train_here(run, stopped, hooks)
    assert steps == [1, 2, 3]
    assert checkpoint_steps(Store(stopped).run(run).checkpoints) == [3]
    assert train_here(run, stopped)
    assert_identical(final_state(stopped, run), final_state(undisturbed, run))


def train_job_slowly(run: RunSpec, root: Path) -> None:
    from bench.launching.training_job import train_job

    torch.set_num_threads(1)
    finished = train_job(run, Store(root), device="cpu", progress=lambda done, of, what: time.sleep(0.2))
    os._exit(0 if finished else 130)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_job_with_its_state_saved(number: int, tmp_path: Path) -> None:
    run = tiny_run("pix2pixhd", steps=200, save_every_steps=1000, sample_every_steps=1000)
    folder = Store(tmp_path).run(run)
    process = start(train_job_slowly, run, tmp_path)
    deadline = time.monotonic() + 60
    while not folder.metrics() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert process.pid is not None
    assert folder.status().state == "running"
    os.kill(process.pid, number)
    process.join(timeout=60)
    assert process.exitcode == 130
    status = folder.status()
    assert status.state == "pending"
    assert checkpoint_steps(folder.checkpoints) == [status.step]
    assert folder.metrics()[-1]["step"] == status.step

    asked = iter([False, True])
    assert not train_here(run, tmp_path, Hooks(should_stop=lambda: next(asked)))
    assert folder.metrics()[-1]["step"] == status.step + 2


def test_a_run_killed_after_its_last_checkpoint_only_has_to_say_so(tmp_path: Path) -> None:
    run = tiny_run("pix2pixhd", steps=2)
    train_here(run, tmp_path)
    folder = Store(tmp_path).run(run)
    folder.write_status(state="failed", step=2, steps=2)
    before = checkpoint_path(folder.checkpoints, 2).read_bytes()
    assert train_here(run, tmp_path)
    assert folder.status().state == "done"
    assert checkpoint_path(folder.checkpoints, 2).read_bytes() == before
