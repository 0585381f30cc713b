"""Told to stop, a job saves, and goes on later where it was: nothing is done twice, and nobody's wish is overruled."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.slurm.conftest import NewDrill
from tests.slurm.drill import Drill

pytestmark = pytest.mark.slurm
Reference = Callable[[int], str]


def assert_it_stopped_and_went_on(drill: Drill, why: str) -> None:
    """Two lives; the first stopped as ``why`` says, with its state saved; the second did the rest, and only that."""
    first, second = drill.lives()
    assert (first.end, first.why) == ("stopped", why)
    assert (second.end, second.scheduled_id, second.restart) == ("done", first.scheduled_id, 1)
    assert second.saved > 0
    assert drill.done_again() == 0


@pytest.mark.drill_ci
def test_preempted_by_a_higher_partition(new_drill: NewDrill, reference: Reference) -> None:
    drill = new_drill(slow_s=0.4)
    drill.submit(partition="low", sbatch={"nodelist": "node1"})
    drill.until_step(4)
    higher = ["sbatch", "--parsable", "-p", "main", "-w", "node1", "--gres=gpu:8", "-o", "/dev/null", "--wrap"]
    high = drill.cluster.command(*higher, "sleep 2")
    drill.until(lambda: drill.scheduled(high) in ("RUNNING", "COMPLETED"), "the higher job")
    stopped = drill.run_folder.status()
    assert (stopped.state, stopped.step) == ("pending", drill.step())
    assert stopped.note == "stopped by SIGUSR2, its state is saved"
    assert "it has not failed" in drill.why()
    drill.until_over()
    drill.assert_equal_to(reference(2))
    assert_it_stopped_and_went_on(drill, "SIGUSR2; its state is saved, it is put back into the queue")


def test_at_its_time_limit(new_drill: NewDrill, reference: Reference) -> None:
    drill = new_drill(slow_s=8.0)
    drill.submit(time_limit="0:02:00", signal_before_end_s=20)
    drill.until(lambda: len(drill.lives()) == 2, "the second life")
    drill.until_over()
    drill.assert_equal_to(reference(2))
    assert_it_stopped_and_went_on(drill, "SIGUSR2; its state is saved, it is put back into the queue")


@pytest.mark.drill_ci
def test_cancelled_while_it_runs(new_drill: NewDrill, reference: Reference) -> None:
    drill = new_drill(slow_s=0.4)
    number = drill.submit()
    drill.until_step(4)
    drill.cluster.command("scancel", number)
    assert drill.until_over() == "CANCELLED"
    (life,) = drill.lives()
    assert (life.end, life.why) == ("cancelled", "SIGTERM; it was cancelled, its state is saved")
    assert drill.run_folder.status().state == "pending"
    assert drill.newest_saved() == drill.step()
    drill.slow_s = 0.0
    drill.submit()
    drill.until_over()
    drill.assert_equal_to(reference(2))
    assert drill.done_again() == 0


@pytest.mark.drill_ci
def test_cancelled_while_it_waits(new_drill: NewDrill, reference: Reference) -> None:
    drill = new_drill()
    number = drill.submit(sbatch={"begin": "now+1hour"})
    drill.cluster.command("scancel", number)
    assert drill.until_over() == "CANCELLED"
    assert drill.lives() == []
    assert drill.run_folder.status().state == "pending"
    drill.submit()
    drill.until_over()
    drill.assert_equal_to(reference(2))


def test_where_a_job_may_not_requeue_itself_a_chain_goes_on(new_drill: NewDrill, reference: Reference) -> None:
    drill = new_drill(slow_s=0.4)
    links = drill.submit_chain(chain_links=3)
    assert len(links) == 3
    drill.until_step(4)
    drill.slow_s = 0.0
    drill.notify(links[0])
    assert drill.until_over(links[0]) == "FAILED"
    first = drill.lives()[0]
    assert first.why == "SIGUSR2; its state is saved; it may not be put back into the queue here"
    assert drill.until_over(links[1]) == "COMPLETED"
    drill.until(lambda: drill.scheduled(links[2]) in ("CANCELLED", ""), "the end of the link that is not needed")
    drill.assert_equal_to(reference(2))
    assert drill.done_again() == 0


def test_a_cancelled_chain_stays_cancelled(new_drill: NewDrill) -> None:
    drill = new_drill(slow_s=0.4)
    links = drill.submit_chain(chain_links=2)
    drill.until_step(2)
    drill.cluster.command("scancel", links[0])
    drill.until_over(links[0])
    assert drill.until_over(links[1]) in ("FAILED", "CANCELLED")
    assert [life.end for life in drill.lives()] == ["cancelled"]
    assert drill.run_folder.status().state == "pending"


def test_the_controller_is_down_when_a_stopped_job_wants_back(new_drill: NewDrill, reference: Reference) -> None:
    drill = new_drill(slow_s=0.4)
    drill.submit()
    drill.until_step(3)
    drill.cluster.stop_controller()
    drill.until_step(6)  # the job goes on meanwhile
    drill.notify_without_slurm()
    drill.until(lambda: drill.lives()[0].end == "stopped", "the job's stop")
    drill.cluster.start_controller()
    drill.until(lambda: len(drill.lives()) == 2, "the second life")
    drill.until_over()
    drill.assert_equal_to(reference(2))
    assert_it_stopped_and_went_on(drill, "SIGUSR2; its state is saved, it is put back into the queue")
