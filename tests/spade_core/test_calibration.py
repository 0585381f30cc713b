"""Rates are measured where the faster way depends on the card, and nowhere else."""

from __future__ import annotations

import math
from dataclasses import asdict

import pytest
import torch

from spade_core import calibration
from spade_core.calibration import measured_rates, rates_for
from spade_core.costs import CPU, CUDA, Rates

GPU = torch.device("cuda", 0)


@pytest.fixture(autouse=True)
def _forget() -> None:
    calibration._measured_once.cache_clear()


def test_the_cpu_takes_fixed_rates_and_no_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "measured_rates", lambda *_: pytest.fail("the CPU's rates were measured"))
    assert rates_for(torch.device("cpu"), torch.float32) == CPU


def test_a_gpu_is_measured_once_for_each_type(monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[tuple[torch.device, torch.dtype]] = []

    def measure(device: torch.device, dtype: torch.dtype) -> Rates:
        measured.append((device, dtype))
        return CPU

    monkeypatch.setattr(calibration, "measured_rates", measure)
    for _ in range(2):
        assert rates_for(GPU, torch.bfloat16) == CPU
        assert rates_for(GPU, torch.float32) == CPU
    assert measured == [(GPU, torch.bfloat16), (GPU, torch.float32)]


def test_nothing_is_measured_where_bits_are_to_be_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "measured_rates", lambda *_: pytest.fail("rates were measured"))
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: True)
    assert rates_for(GPU, torch.float32) == CUDA


def test_the_measurement_counts_what_the_model_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock by which every operation takes a millisecond, rates are the operations and bytes of each."""
    shapes: list[tuple[int, ...]] = []

    def a_millisecond(task: object, device: torch.device) -> float:
        assert callable(task)
        shapes.append(tuple(task().shape))
        return 1e-3

    monkeypatch.setattr(calibration, "_seconds", a_millisecond)
    before = torch.random.get_rng_state()
    rates = measured_rates(torch.device("cpu"), torch.float32)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert shapes == [(1, 256, 128, 128), (1, 256, 12, 12), (4096, 256), (16384, 256)]
    per_pixel = 2 * 9 * 128 * 256
    assert rates.convolution_flop == pytest.approx(per_pixel * 128**2 * 1e3)
    assert rates.small_convolution_flop == pytest.approx(per_pixel * 12**2 * 1e3)
    assert rates.product_flop == pytest.approx(2 * 128 * 256 * 4096 * 1e3)
    assert rates.gathered_bytes == pytest.approx(4 * 9 * 256 * 128**2 * 1e3)


def test_measured_rates_are_rates() -> None:
    assert all(0 < rate < math.inf for rate in asdict(measured_rates(torch.device("cpu"), torch.float32)).values())
