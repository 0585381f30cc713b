"""Tasks are timed in turn, by medians, on the clock that was asked for."""

from __future__ import annotations

import time

import pytest
import torch

from bench.benchmarks.timing import Stopwatch, environment, in_turn, peak_memory_mib, profile_table


class Steps(Stopwatch):
    """A clock that moves by the next of ``durations`` in every call that is measured."""

    def now(self) -> float:
        return float(CLOCK["now"])


CLOCK = {"now": 0.0}


def test_tasks_take_turns_and_the_median_counts() -> None:
    order: list[str] = []
    durations = {"slow": iter([5.0, 100.0, 7.0]), "quick": iter([1.0, 2.0, 90.0])}

    def task(name: str) -> str:
        order.append(name)
        CLOCK["now"] += next(durations[name])
        return f"{name} {len(order)}"

    seconds, results = in_turn({name: lambda name=name: task(name) for name in durations}, 3, Steps())
    assert order == ["slow", "quick"] * 3
    assert seconds == {"slow": 7.0, "quick": 2.0}
    assert results == {"slow": "slow 5", "quick": "quick 6"}


def test_the_processors_clock_does_not_run_while_nothing_is_computed() -> None:
    asleep, _ = Stopwatch(clock="processor").seconds(lambda: time.sleep(0.2))
    passed, _ = Stopwatch(clock="wall").seconds(lambda: time.sleep(0.2))
    assert asleep < 0.15
    assert passed >= 0.2


def test_clocks_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match=r"clock is 'sun'; allowed are 'wall' and 'processor'"):
        Stopwatch(clock="sun")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"computes apart from the processor; use 'wall'"):
        Stopwatch(clock="processor", device=torch.device("cuda"))


def test_a_result_says_what_it_was_measured_on() -> None:
    told = environment(Stopwatch())
    assert told["threads"] == torch.get_num_threads()
    assert told["packages"]["torch"] == torch.__version__.split("+")[0] or told["packages"]["torch"] in (
        torch.__version__
    )
    assert len(told["load_average"]) == 3
    assert told["gpus"] == []
    assert isinstance(told["tf32_convolutions"], bool)


def test_the_peak_of_memory_does_not_fall() -> None:
    before = peak_memory_mib()
    block = torch.ones(64 * 2**18)  # 64 MiB
    during = peak_memory_mib()
    del block
    rounding = 1.0  # the system adds up its counters of each thread's pages now and then
    assert during >= before - rounding
    assert peak_memory_mib() >= during - rounding > 64


def test_a_profile_names_the_operations_that_take_most_time() -> None:
    x = torch.rand(300, 300)
    table = profile_table(lambda: [x @ x for _ in range(20)], rows=3)
    assert table[0]["operation"] == "aten::mm"
    assert table[0]["calls"] == 20
    assert len(table) <= 3
    assert all(0 <= row["share"] <= 1 for row in table)
