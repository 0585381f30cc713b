"""Two and three processes must compute what one computes with the whole batch."""

from __future__ import annotations

import copy
import datetime
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing as mp
from torch import Tensor, nn
from torch import distributed as dist

from spade_core.sync_batch_norm import SyncBatchNorm2d

CHANNELS = 3
SHARES = {2: [3, 2], 3: [4, 0, 3]}
"""Ranks that share statistics -> images of each; unequal, and one rank without any."""


def make_inputs(images: int) -> tuple[Tensor, Tensor]:
    """Values far from zero, where a difference of squares would lose digits, and weights of the loss."""
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(images, CHANNELS, 4, 5, dtype=torch.float64, generator=generator) * 3 + 100
    weight = torch.randn(x.shape, dtype=torch.float64, generator=generator)
    return x, weight


def make_module(affine: bool, momentum: float | None, group: dist.ProcessGroup | None = None) -> SyncBatchNorm2d:
    module = SyncBatchNorm2d(CHANNELS, affine=affine, momentum=momentum).double()
    module.group = group
    if affine:
        with torch.no_grad():
            module.weight.copy_(torch.tensor([0.5, -1.0, 2.0]))
            module.bias.copy_(torch.tensor([0.1, 0.2, 0.3]))
    return module


def two_steps(module: nn.Module, x: Tensor, weight: Tensor) -> dict[str, Tensor]:
    """Forward and backward twice, with two forwards before the second backward."""
    inputs = x.clone().requires_grad_()
    (module(inputs) * weight).sum().backward()
    output = module(inputs.square())
    loss = (output * weight).sum() + (module(inputs).square() * weight).sum()
    loss.backward()
    assert inputs.grad is not None
    results = {"output": output.detach(), "input_grad": inputs.grad}
    results |= {f"grad_{name}": p.grad for name, p in module.named_parameters() if p.grad is not None}
    return results | dict(module.named_buffers())


CASES: dict[str, dict[str, Any]] = {
    "plain": {"affine": False, "momentum": 0.1},
    "affine": {"affine": True, "momentum": 0.1},
    "cumulative": {"affine": True, "momentum": None},
}


def rank_main(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    timeout = datetime.timedelta(seconds=60)
    dist.init_process_group("gloo", init_method=f"file://{folder}/init", rank=rank, world_size=3, timeout=timeout)
    groups = {2: dist.new_group([0, 1]), 3: None}
    for ranks, group in groups.items():
        if rank < ranks:
            torch.save(results_of_rank(rank, SHARES[ranks], group), f"{folder}/{ranks}-{rank}.pt")
    dist.destroy_process_group()


def results_of_rank(rank: int, shares: list[int], group: dist.ProcessGroup | None) -> dict[str, Any]:
    start, end = sum(shares[:rank]), sum(shares[: rank + 1])
    x, weight = make_inputs(sum(shares))
    results: dict[str, Any] = {
        name: two_steps(make_module(**case, group=group), x[start:end], weight[start:end])
        for name, case in CASES.items()
    }
    half = make_module(True, 0.1, group).float()
    results["bfloat16"] = half(x[start:end].bfloat16()).detach()
    evaluated = make_module(True, 0.1, group).eval()
    if rank == 0:  # eval mode is local: the other ranks do not take part
        results["eval"] = evaluated(x)
    return results


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What three processes computed, all of them together and the first two alone."""
    path = tmp_path_factory.mktemp("ranks")
    mp.spawn(rank_main, args=(str(path),), nprocs=3)
    return path


@pytest.fixture(params=sorted(SHARES))
def by_rank(request: pytest.FixtureRequest, folder: Path) -> list[dict[str, Any]]:
    ranks: int = request.param
    return [torch.load(folder / f"{ranks}-{rank}.pt") for rank in range(ranks)]


@pytest.mark.parametrize("name", CASES)
def test_ranks_together_equal_one_process(by_rank: list[dict[str, Any]], name: str) -> None:
    x, weight = make_inputs(sum(SHARES[len(by_rank)]))
    expected = two_steps(make_module(**CASES[name]), x, weight)
    ranks = [results[name] for results in by_rank]
    for key, value in expected.items():
        parts = [results[key] for results in ranks]
        if key in ("output", "input_grad"):
            torch.testing.assert_close(torch.cat(parts), value, rtol=1e-10, atol=1e-11)
        elif key.startswith("grad_"):
            torch.testing.assert_close(torch.stack(parts).sum(0), value, rtol=1e-10, atol=1e-10)
        else:
            for part in parts:
                torch.testing.assert_close(part, value, rtol=1e-12, atol=1e-12)


def test_bfloat16_inputs_have_float32_moments(by_rank: list[dict[str, Any]]) -> None:
    x, _ = make_inputs(sum(SHARES[len(by_rank)]))
    rounded = x.bfloat16().double()
    expected = make_module(True, 0.1)(rounded)
    actual = torch.cat([results["bfloat16"] for results in by_rank])
    assert actual.dtype == torch.bfloat16
    torch.testing.assert_close(actual.double(), expected, rtol=2**-7, atol=2**-7)


def test_eval_mode_is_local(by_rank: list[dict[str, Any]]) -> None:
    x, _ = make_inputs(sum(SHARES[len(by_rank)]))
    torch.testing.assert_close(by_rank[0]["eval"], make_module(True, 0.1).eval()(x), rtol=0, atol=0)


def test_one_process_is_torchs_batch_norm() -> None:
    x, weight = make_inputs(4)
    own = make_module(True, 0.1)
    reference = nn.BatchNorm2d(CHANNELS).double()
    reference.load_state_dict(own.state_dict())
    for key, value in two_steps(reference, x, weight).items():
        assert torch.equal(two_steps(copy.deepcopy(make_module(True, 0.1)), x, weight)[key], value), key


def gpu_rank_main(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/init", rank=rank, world_size=2)
    x, weight = make_inputs(4)
    x, weight = (t[2 * rank : 2 * rank + 2].float().cuda(0) for t in (x, weight))
    own = make_module(True, 0.1).float().cuda(0)
    reference = nn.SyncBatchNorm(CHANNELS).cuda(0)
    reference.load_state_dict(own.state_dict())
    expected = two_steps(reference, x, weight)
    for key, value in two_steps(own, x, weight).items():
        torch.testing.assert_close(value, expected[key], rtol=1e-3, atol=1e-3)
    dist.destroy_process_group()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_equals_torchs_sync_batch_norm_on_a_gpu(tmp_path: Path) -> None:
    mp.spawn(gpu_rank_main, args=(str(tmp_path),), nprocs=2)
