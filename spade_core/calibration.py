"""Rates of an accelerator, measured there once: which way SPADE's tables or its convolutions are the faster one.

Cards and number types differ too much for one table of rates. The measurement is two dozen small operations, at the
first label map that a process sees on the device. It decides about speed alone, as results are equal but for rounding;
where bits are to be repeated from run to run (``torch.use_deterministic_algorithms``) and on the CPU, nothing is
measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from spade_core.costs import Rates, rates_of

_REPEATS = 5
_CHANNELS, _HIDDEN, _KERNEL = 256, 128, 3
_SIDE, _SMALL_SIDE = 128, 12
_ROWS = 4096


def rates_for(device: torch.device, dtype: torch.dtype) -> Rates:
    """The rates that choose on ``device`` for convolutions in ``dtype``: fixed on the CPU, measured on a GPU."""
    if device.type != "cuda" or torch.are_deterministic_algorithms_enabled():
        return rates_of(device.type)
    index = torch.cuda.current_device() if device.index is None else device.index
    return _measured_once(index, dtype)


@lru_cache(maxsize=16)
def _measured_once(index: int, dtype: torch.dtype) -> Rates:
    return measured_rates(torch.device("cuda", index), dtype)


@torch.no_grad()
def measured_rates(device: torch.device, dtype: torch.dtype) -> Rates:
    """What the operations of both ways do in a second on ``device``, as the model of ``spade_core.costs`` counts them.

    The global random generators are left alone. Rows are counted as if they were float32, as the model does.
    """
    with torch.autocast(device.type, enabled=False):
        weight = _filled((_CHANNELS, _HIDDEN, _KERNEL, _KERNEL), device, dtype).contiguous(
            memory_format=torch.channels_last
        )
        convolved = [_convolution_flop(weight, side, device, dtype) for side in (_SIDE, _SMALL_SIDE)]
        hidden, matrix = _filled((_ROWS, _HIDDEN), device, dtype), weight[:, :, 0, 0].t()
        product = 2.0 * _ROWS * _HIDDEN * _CHANNELS / _seconds(lambda: torch.mm(hidden, matrix), device)
        table = _filled((_KERNEL**2 * _ROWS, _CHANNELS), device, dtype)
        entries = torch.arange(_SIDE**2 * _KERNEL**2, device=device).mul_(7919).remainder_(len(table))
        bags = entries.view(-1, _KERNEL**2)
        summed = _seconds(lambda: F.embedding_bag(bags, table, mode="sum"), device)
    return Rates(
        convolution_flop=convolved[0],
        small_convolution_flop=convolved[1],
        product_flop=product,
        gathered_bytes=4.0 * entries.numel() * _CHANNELS / summed,
    )


def _convolution_flop(weight: Tensor, side: int, device: torch.device, dtype: torch.dtype) -> float:
    x = _filled((1, _HIDDEN, side, side), device, dtype).contiguous(memory_format=torch.channels_last)
    flop = 2.0 * side**2 * weight.numel()
    return flop / _seconds(lambda: F.conv2d(x, weight, padding=_KERNEL // 2), device)


def _filled(shape: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    return torch.full(shape, 0.01, device=device, dtype=dtype)


def _seconds(task: Callable[[], Tensor], device: torch.device) -> float:
    """The shortest of several calls, after one that does not count."""
    times = []
    for _ in range(_REPEATS + 1):
        _wait(device)
        start = time.perf_counter()
        task()
        _wait(device)
        times.append(time.perf_counter() - start)
    return max(min(times[1:]), 1e-9)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
