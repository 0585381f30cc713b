"""Times that can be compared: tasks in turn, medians, and what they were measured on."""

from __future__ import annotations

import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from bench.provenance import code_state, hardware, packages

Clock = Literal["wall", "processor"]
"""What is measured: the time that passes, or the time that all threads of this process compute, which other work on
the machine changes less."""


@dataclass(frozen=True, kw_only=True)
class Stopwatch:
    """Measures calls on a device."""

    clock: Clock = "wall"
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def __post_init__(self) -> None:
        if self.clock not in ("wall", "processor"):
            raise ValueError(f"clock is {self.clock!r}; allowed are 'wall' and 'processor'")
        if self.clock == "processor" and self.device.type != "cpu":
            raise ValueError("clock is 'processor' but the device computes apart from the processor; use 'wall'")

    def now(self) -> float:
        """Seconds; waits for the device first."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter() if self.clock == "wall" else time.process_time()

    def seconds(self, task: Callable[[], Any]) -> tuple[float, Any]:
        """How long one call took, and its result."""
        start = self.now()
        result = task()
        return self.now() - start, result


def in_turn(
    tasks: Mapping[str, Callable[[], Any]], repeats: int, watch: Stopwatch
) -> tuple[dict[str, float], dict[str, Any]]:
    """The median seconds of each task over ``repeats`` rounds, and each task's last result.

    A round calls every task once, so that a slow spell of the machine meets all alike.
    """
    times: dict[str, list[float]] = {name: [] for name in tasks}
    results: dict[str, Any] = {}
    for _ in range(repeats):
        for name, task in tasks.items():
            results[name] = None  # frees what the last round left
            seconds, results[name] = watch.seconds(task)
            times[name].append(seconds)
    return {name: statistics.median(values) for name, values in times.items()}, results


def environment(watch: Stopwatch) -> dict[str, Any]:
    """What the figures were measured on and with; the load averages are those of the last 1, 5 and 15 minutes."""
    machine = hardware()
    return {
        "processor": machine["processor"],
        "cores": machine["cores"],
        "threads": torch.get_num_threads(),
        "gpus": machine["gpus"] if watch.device.type == "cuda" else [],
        "device": watch.device.type,
        "clock": watch.clock,
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "tf32_convolutions": torch.backends.cudnn.allow_tf32,
        "tf32_products": torch.backends.cuda.matmul.allow_tf32,
        "packages": {name: packages()[name] for name in ("python", "torch", "numpy")},
        "commit": code_state()["commit"],
        "uncommitted_changes": code_state()["dirty"],
    }


def peak_memory_mib() -> float:
    """The most memory that this process has held so far, in MiB: resident pages, as the system counts them."""
    status = Path("/proc/self/status")
    if status.is_file():  # unlike getrusage, it forgets what the process was before it ran this program
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def profile_table(task: Callable[[], Any], rows: int = 12) -> list[dict[str, Any]]:
    """The operations that one call of ``task`` spends most time in: name, seconds, share and number of calls."""
    from torch.profiler import ProfilerActivity, profile

    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if torch.cuda.is_available() else [])]
    with profile(activities=activities) as profiler:
        task()
    events = [(item.key, _own_us(item) / 1e6, item.count) for item in profiler.key_averages()]
    total = sum(seconds for _, seconds, _ in events)
    longest = sorted(events, key=lambda event: -event[1])[:rows]
    return [
        {"operation": name, "seconds": round(seconds, 4), "share": round(seconds / total, 3), "calls": calls}
        for name, seconds, calls in longest
    ]


def _own_us(item: Any) -> float:
    on_device = float(getattr(item, "self_device_time_total", 0.0))
    return on_device if on_device > 0 else float(item.self_cpu_time_total)


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean."""
    return sum(values) / len(values)
