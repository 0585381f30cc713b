"""Signals to stop set a flag; a job without state to save ends at once; loading processes do not heed them."""

from __future__ import annotations

import os
import signal
import threading
import time

import numpy as np
import pytest

from bench.data.dataset import Sample
from bench.data.synthetic import SyntheticScenes
from bench.data.transforms import Augmentation
from bench.launching.stopping import StopRequested, stop_requests
from bench.training.distributed import Ranks
from bench.training.loader import StreamSettings, batches


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2, signal.SIGINT])
def test_a_signal_sets_the_flag_and_the_first_one_counts(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with stop_requests() as stop:
        assert not stop.asked
        os.kill(os.getpid(), number)
        assert stop.asked
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.signal == number.name
    assert signal.getsignal(number) is before


def test_a_second_interrupt_is_at_once() -> None:
    with pytest.raises(KeyboardInterrupt), stop_requests():  # noqa: PT012
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)


def test_nested_blocks_share_what_was_asked() -> None:
    with stop_requests() as outer:
        os.kill(os.getpid(), signal.SIGUSR2)
        with stop_requests() as inner:
            assert inner is outer
            assert inner.asked
        os.kill(os.getpid(), signal.SIGTERM)  # the inner block's end has not taken the handlers away


def test_what_has_nothing_to_save_is_ended_at_once() -> None:
    with stop_requests() as stop:
        with pytest.raises(StopRequested, match="SIGUSR2"), stop.at_once():
            os.kill(os.getpid(), signal.SIGUSR2)
        with pytest.raises(StopRequested, match="SIGUSR2"), stop.at_once():
            raise AssertionError("a signal that came before was forgotten")


def test_only_the_signals_that_are_asked_for_end_it() -> None:
    with stop_requests() as stop:
        with stop.at_once([signal.SIGUSR2]):
            os.kill(os.getpid(), signal.SIGTERM)
            assert stop.signal == "SIGTERM"
        with stop.at_once([signal.SIGUSR2]):
            pass
        with pytest.raises(StopRequested, match="SIGUSR2"), stop.at_once([signal.SIGUSR2]):
            os.kill(os.getpid(), signal.SIGUSR2)
        assert stop.signal == "SIGUSR2"


class TellingScenes(SyntheticScenes):
    """Scenes whose first label is the process that loaded them."""

    def load(self, index: int, augmentation: Augmentation | None = None) -> Sample:
        time.sleep(0.02)
        return super().load(index, augmentation)


def children() -> list[int]:
    path = f"/proc/self/task/{threading.get_native_id()}/children"
    with open(path, encoding="ascii") as stream:
        return [int(word) for word in stream.read().split()]


def send_from_elsewhere(pid: int, number: signal.Signals) -> None:
    """As a scheduler does: from a process that is not the receiver's parent."""
    child = os.fork()
    if child == 0:
        os.kill(pid, number)
        os._exit(0)
    os.waitpid(child, 0)


def test_loading_processes_outlive_the_signals_of_a_scheduler() -> None:
    scenes = TellingScenes(split="train", size=(32, 32), images=16)
    settings = StreamSettings(seed=1, batch_images=2, accumulate=1, z_dim=None)
    before = set(children())
    with stop_requests() as stop:
        stream = batches(scenes, settings, Ranks(), first_step=0, last_step=12, workers=2)
        received = [next(stream)]
        workers = set(children()) - before
        assert len(workers) == 2
        for number in (signal.SIGTERM, signal.SIGUSR2, signal.SIGINT):
            for pid in (*workers, os.getpid()):
                if number is not signal.SIGINT or pid != os.getpid():
                    send_from_elsewhere(pid, number)
        received += list(stream)
        assert stop.asked
    assert len(received) == 12
    expected = batches(scenes, settings, Ranks(), first_step=0, last_step=12)
    for ours, theirs in zip(received, expected, strict=True):
        assert np.array_equal(ours[0].labels.numpy(), theirs[0].labels.numpy())
    assert set(children()) - before == set()


def test_a_loading_process_still_obeys_the_one_that_started_it() -> None:
    scenes = TellingScenes(split="train", size=(32, 32), images=16)
    settings = StreamSettings(seed=1, batch_images=2, accumulate=1, z_dim=None)
    before = set(children())
    stream = batches(scenes, settings, Ranks(), first_step=0, last_step=12, workers=1)
    next(stream)
    (worker,) = set(children()) - before
    os.kill(worker, signal.SIGTERM)
    with pytest.raises(RuntimeError, match="DataLoader worker .* exited unexpectedly"):
        list(stream)
