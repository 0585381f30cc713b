"""Two processes compute what one computes with the same global batch (gloo, CPU, float64)."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from dataclasses import replace as replaced
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from baselines.batch import Batch
from baselines.building import build_networks
from baselines.steps import TrainingStep, build_step
from bench.run_spec import RunSpec
from bench.store import Store
from bench.training.checkpoint import checkpoint_path, load_checkpoint, resume, save_checkpoint
from bench.training.distributed import VOTE_EVERY_STEPS, Ranks, StopVote
from bench.training.loader import StreamSettings, batches
from bench.training.trainer import Hooks, z_dim_of
from tests.tiny import splits, tiny_run
from tests.training.worker import on_ranks, start, train_here

STEPS = 2


@dataclass(frozen=True, kw_only=True)
class Case:
    """A run that two ranks and one process do alike."""

    run: RunSpec
    accumulate: int = 1
    """Parts of each of two ranks; one process takes the whole batch in so many parts."""


# 64 px: at 32 the decoder starts from a single pixel, which is sky in most scenes; normalized over the batch its
# gradient is zero but for rounding, and Adam makes a step of any gradient.
FOUR_PARTS = {"accumulate": 2, "batch_images": 8}
CASES = {
    "pix2pixHD++, sync batch norm": Case(run=tiny_run("pix2pixhd-pp", side_px=64)),
    "image encoder": Case(run=tiny_run("spade-decoder-encoder", side_px=64)),
    "accumulation, sync batch norm": Case(
        run=tiny_run("spade-decoder", side_px=64, accumulate=2, batch_images=8), accumulate=2
    ),
    "CRN's step, accumulation": Case(run=tiny_run("crn", **FOUR_PARTS), accumulate=2),
    "accumulation, pix2pixHD's step": Case(run=tiny_run("pix2pixhd", **FOUR_PARTS), accumulate=2),
}


def build(run: RunSpec) -> TrainingStep:
    train_split, _ = splits(run)
    networks = build_networks(run.generator, run.recipe, train_split.spec, run.dataset.size, run.seed)
    for network in networks.named().values():
        network.double().train()
    return build_step(run.recipe, networks, None)


def doubled(batch: Batch) -> Batch:
    noise = batch.noise and (batch.noise[0].double(), batch.noise[1].double())
    return replaced(batch, images=batch.images.double(), noise=noise)


def compute(case: Case, ranks: Ranks) -> dict[str, Any]:
    """Mean losses over the ranks of every step, and the last gradients, weights and buffers."""
    run = case.run
    work = build(run)
    work.distribute(ranks.wrap)
    settings = StreamSettings(
        seed=run.seed, batch_images=run.training.batch_images, accumulate=case.accumulate, z_dim=z_dim_of(run)
    )
    losses = []
    for parts in batches(splits(run)[0], settings, ranks, first_step=0, last_step=STEPS):
        found = work([doubled(part) for part in parts])
        losses.append({name: ranks.mean(value) for name, value in found.items()})
    tensors: dict[str, Tensor] = {}
    for role, network in work.networks.named().items():
        tensors |= {f"{role} weight {name}": value.detach() for name, value in network.named_parameters()}
        tensors |= {f"{role} buffer {name}": value for name, value in network.named_buffers()}
        gradients = {name: value.grad for name, value in network.named_parameters()}
        tensors |= {f"{role} gradient {name}": grad for name, grad in gradients.items() if grad is not None}
    return {"losses": losses, "tensors": tensors}


BATCH_NORM = tiny_run("spade-decoder-batch-norm", ranks=2)
WHOLE = {
    "sync batch norm": tiny_run("spade-decoder", steps=2, side_px=64, ema_halflife_images=8),
    "pix2pixHD's step": tiny_run("pix2pixhd", steps=3),
    # 16 images: from the fifth step on the loss is divided by its mean over both ranks in the first epoch
    "CRN's step": tiny_run("crn-single", steps=6, recipe={"balance_after_epochs": 1}),
}


def norm_buffers(work: TrainingStep) -> dict[str, Tensor]:
    buffers = work.networks.generator.named_buffers()
    return {name: value.clone() for name, value in buffers if "running" in name}


def own_buffers_survive(ranks: Ranks, folder: Path) -> dict[str, Any]:
    """Plain batch norm: each rank's running statistics before saving and after resuming into fresh networks."""
    work = build(BATCH_NORM)
    work.distribute(ranks.wrap)
    settings = StreamSettings(seed=1, batch_images=4, accumulate=1, z_dim=None)
    for parts in batches(splits(BATCH_NORM)[0], settings, ranks, first_step=0, last_step=1):
        work([doubled(part) for part in parts])
    torch.manual_seed(100 + ranks.rank)
    drawn = torch.get_rng_state()
    before = norm_buffers(work)
    identity = BATCH_NORM.run_id
    save_checkpoint(folder / "own", run_id=identity, step=1, work=work, average=None, ranks=ranks)
    torch.manual_seed(0)
    fresh = build(BATCH_NORM)
    assert resume(folder / "own", run_id=identity, work=fresh, average=None, ranks=ranks) == 1
    return {"before": before, "after": norm_buffers(fresh), "drawn": drawn, "restored": torch.get_rng_state()}


def everything(ranks: Ranks, folder: Path) -> None:
    """All that two ranks have to show, in one start."""
    found: dict[str, Any] = {name: compute(case, ranks) for name, case in CASES.items()}
    found["own buffers"] = own_buffers_survive(ranks, folder)
    for run in WHOLE.values():
        assert train_here(run, folder / "two", ranks=ranks)
    # Only one rank is asked to stop: both stop at the next step at which they vote.
    stopped, steps = tiny_run("spade-decoder", steps=30, seed=8, save_every_steps=100), []
    hooks = Hooks(should_stop=lambda: ranks.rank == 1 and len(steps) >= 3, alive=steps.append)
    assert not train_here(stopped, folder / "stopped", hooks, ranks)
    torch.save(found, folder / f"{ranks.rank}.pt")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("two-ranks")
    on_ranks(2, path, everything)
    return path


@pytest.fixture(scope="module")
def by_rank(folder: Path) -> list[dict[str, Any]]:
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("name", CASES)
def test_two_ranks_equal_one_process(name: str, by_rank: list[dict[str, Any]]) -> None:
    torch.set_num_threads(1)
    expected = compute(CASES[name], Ranks())
    for found in (results[name] for results in by_rank):
        for ours, theirs in zip(found["losses"], expected["losses"], strict=True):
            assert list(ours) == list(theirs)
            for loss, value in theirs.items():
                assert ours[loss].item() == pytest.approx(value.item(), rel=1e-9), loss
        assert list(found["tensors"]) == list(expected["tensors"])
        for key, value in expected["tensors"].items():
            difference = (found["tensors"][key] - value).abs().max().item()
            assert difference <= tolerance_of(key, value, expected["tensors"]), f"{key}: {difference}"


def tolerance_of(key: str, value: Tensor, tensors: dict[str, Tensor]) -> float:
    """1e-9 of the network's largest gradient and of the buffer's values, 1e-4 of one update of a weight (1e-4).

    Biases before a norm have a gradient of rounding errors alone, which Adam divides by its own size plus 1e-8.
    """
    role, kind, _ = key.split()
    if kind == "gradient":
        return 1e-9 * max(v.abs().max().item() for k, v in tensors.items() if k.startswith(f"{role} gradient"))
    return 1e-4 * 1e-4 if kind == "weight" else 1e-9 * max(1.0, value.abs().max().item())


def test_plain_batch_norm_keeps_the_statistics_of_each_rank(by_rank: list[dict[str, Any]]) -> None:
    one, two = (results["own buffers"] for results in by_rank)
    for own in (one, two):
        assert own["before"]
        for name, value in own["before"].items():
            assert torch.equal(own["after"][name], value), name
        assert torch.equal(own["restored"], own["drawn"])
    assert any(not torch.equal(one["before"][name], two["before"][name]) for name in one["before"])


@pytest.mark.parametrize("name", WHOLE)
def test_the_whole_trainer_on_two_ranks_equals_one_process(name: str, folder: Path, tmp_path: Path) -> None:
    run = WHOLE[name]
    train_here(run, tmp_path)
    two, one = (Store(root).run(run) for root in (folder / "two", tmp_path))
    assert two.status().state == "done"
    states = [load_checkpoint(checkpoint_path(item.checkpoints, run.training.steps)) for item in (two, one)]
    assert len(states[0]["ranks"]) == 2
    rows = [[row for row in item.metrics() if "images_per_s" in row] for item in (two, one)]
    assert [row["step"] for row in rows[0]] == list(range(1, run.training.steps + 1))
    for ours, theirs in zip(*rows, strict=True):
        tolerance = 1e-5 if theirs["step"] == 1 else 2e-3  # float32: Adam's first updates magnify rounding
        for loss in (key for key in theirs if "/" in key):
            assert ours[loss] == pytest.approx(theirs[loss], rel=tolerance, abs=tolerance), loss


def job_on_rank(rank: int, port: int, run: RunSpec, root: Path) -> None:
    """What a process started by torchrun does."""
    from bench.launching.training_job import train_job

    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    assert train_job(run, Store(root), device="cpu")
    assert not torch.distributed.is_initialized()


def test_a_job_finds_its_ranks_in_the_environment(tmp_path: Path) -> None:
    run = tiny_run("spade-decoder-batch-norm", ranks=2, steps=2)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [start(job_on_rank, rank, port, run, tmp_path) for rank in range(2)]
    for process in processes:
        process.join(timeout=120)
    assert [process.exitcode for process in processes] == [0, 0]
    folder = Store(tmp_path).run(run)
    assert folder.status().state == "done"
    assert [row["step"] for row in folder.metrics()] == [1, 2]
    assert len(load_checkpoint(checkpoint_path(folder.checkpoints, 2))["ranks"]) == 2


def test_ranks_stop_together_when_one_is_asked(folder: Path) -> None:
    (path,) = (folder / "stopped" / "runs").glob("*/checkpoints/*")
    step = int(path.stem.removeprefix("step_"))
    assert 3 <= step <= 2 + VOTE_EVERY_STEPS + 1


@pytest.mark.parametrize(("pace_s", "every"), [(0.01, 10), (0.25, 8), (0.5, 4), (1.9, 1), (30.0, 1)])
def test_ranks_vote_as_often_as_a_short_notice_asks_for(
    pace_s: float, every: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    votes: list[int] = []
    ranks = Ranks(world=2)
    last = [0]

    def largest(self: Ranks, values: list[float]) -> list[float]:
        seconds = pace_s * (step - last[0])
        votes.append(step)
        last[0] = step
        return [values[0], seconds]

    monkeypatch.setattr(Ranks, "largest", largest)
    vote = StopVote(ranks, first_step=0)
    for step in range(1, 40):
        assert vote.agreed(step, asked=False) is False
    assert votes == [1, *range(1 + every, 40, every)]
    while not vote.agreed(step, asked=True):
        step += 1
    assert step - votes[-2] == every


def test_a_checkpoint_of_two_ranks_goes_on_with_one_and_says_so(folder: Path) -> None:
    fresh = build(BATCH_NORM)
    with pytest.warns(UserWarning, match="written by 2 ranks and is resumed by 1: .*not equal to the bit"):
        assert resume(folder / "own", run_id=BATCH_NORM.run_id, work=fresh, average=None, ranks=Ranks()) == 1
