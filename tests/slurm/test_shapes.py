"""Where the ranks are changes nothing: one node or two, many jobs at a time, with accounting or without."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.job_records import JobRecords
from bench.launching.slurm.query import ask_scheduler
from bench.plan import Job
from bench.run_spec import RunSpec
from bench.store import Store
from tests.slurm.cluster import running_cluster
from tests.slurm.conftest import NewDrill, found_by_commands
from tests.slurm.drill import ROOT, Drill, final_sha256, training_of
from tests.tiny import tiny_run
from tests.training.worker import train_here

pytestmark = pytest.mark.slurm
Reference = Callable[[int], str]


def test_two_nodes_of_four_ranks_equal_one_of_eight(new_drill: NewDrill, reference: Reference) -> None:
    drill = new_drill(ranks=8)
    drill.submit(nodes=2, ranks_per_node=4)
    drill.until_over(timeout_s=600)
    drill.assert_equal_to(reference(8))
    assert {life.ranks for life in drill.lives()} == {8}


@pytest.mark.drill_ci
def test_two_nodes_of_one_rank_equal_one_of_two(new_drill: NewDrill, reference: Reference) -> None:
    drill = new_drill()
    drill.submit(nodes=2, ranks_per_node=1)
    drill.until_over()
    drill.assert_equal_to(reference(2))
    assert "on node1" in drill.logs()
    assert "hostname=node2" in drill.logs()


def small_trainings(count: int) -> list[Job]:
    """Trainings of one rank that differ in their seed."""
    runs = [tiny_run("spade-decoder", seed=seed, steps=4, save_every_steps=2) for seed in range(count)]
    return [training_of(run) for run in runs]


def trained_here(run: RunSpec, folder: Path) -> str:
    """Checksum of the final state of the run, trained in this process."""
    assert train_here(run, folder)
    return final_sha256(Store(folder).run(run), run)


def test_an_array_of_twenty_with_a_limit(new_drill: NewDrill, tmp_path: Path) -> None:
    drill, limit, disturbed = new_drill(slow_s=1.0), 4, 3
    jobs = small_trainings(20)
    numbers = drill.hand_over(jobs, ranks_per_node=1, max_running=limit)
    (array,) = {ids[0].partition("_")[0] for ids in numbers.values()}
    one = numbers[jobs[disturbed].key][0]
    assert one == f"{array}_{disturbed}"
    folders = {job.key: drill.store.run(job.run) for job in jobs if job.run is not None}
    most = 0

    def over() -> bool:
        nonlocal most
        rows = drill.cluster.command("squeue", "-h", "-r", "-j", array, "-t", "all", "-o", "%i %T", check=False)
        states = dict(line.split() for line in rows.splitlines())
        most = max(most, list(states.values()).count("RUNNING"))
        return all(folder.status().state == "done" for folder in folders.values())

    drill.until(lambda: len(folders[jobs[disturbed].key].metrics()) > 0, "the element's first step")
    drill.notify_without_slurm(one)
    drill.until(over, "the array", 900)
    assert most == limit
    for job in jobs:
        assert job.run is not None
        assert final_sha256(folders[job.key], job.run) == trained_here(job.run, tmp_path / "here")
        lives = drill.lives_of(job)
        assert [life.restart for life in lives] == ([0, 1] if job is jobs[disturbed] else [0])
        assert lives[-1].end == "done"
    first, second = drill.lives_of(jobs[disturbed])
    assert first.why == "SIGUSR2; its state is saved, it is put back into the queue"
    assert first.scheduled_id == second.scheduled_id == one


def test_without_accounting(slurm: None, tmp_path: Path) -> None:
    with running_cluster(nodes=1, accounting="none", separate_networks=False) as other, found_by_commands(other):
        run = tiny_run("spade-decoder", steps=8, save_every_steps=4)
        drill = Drill(cluster=other, folder=tmp_path, run=run, slow_s=0.4)
        number = drill.submit(ranks_per_node=1, accounting="none")
        drill.until_step(2)
        drill.notify()
        drill.until_over()
        drill.assert_equal_to(trained_here(run, tmp_path / "here"))
        assert [life.end for life in drill.lives()] == ["stopped", "done"]
        key = training_of(run).key
        known = ask_scheduler(JobRecords(drill.store), [key]).states[key]
        assert (known.state, known.id, known.cause) == ("ended", number, "completed")


@pytest.mark.drill_ci
def test_a_job_submits_a_job(new_drill: NewDrill, reference: Reference, tmp_path: Path) -> None:
    """From an element of an array: whatever of it the child inherited would start the parent again, without end."""
    expected = reference(2)
    drill = new_drill()
    parent = drill.cluster.command(
        *("sbatch", "--parsable", "--array=5", "-o", str(tmp_path / "parent.log"), "--wrap"), inside_command(tmp_path)
    )
    drill.until(lambda: drill.scheduled(parent) in ("COMPLETED", "FAILED"), "the parent")
    assert drill.scheduled(parent) == "COMPLETED", (tmp_path / "parent.log").read_text()
    drill.until(lambda: drill.run_folder.status().state == "done", "the child")
    drill.assert_equal_to(expected)
    (life,) = drill.lives()
    assert life.scheduled_id != ""
    assert "_" not in life.scheduled_id
    everything = drill.cluster.command("squeue", "-h", "-r", "-t", "all", "-o", "%A", "-S", "i").split()
    assert [number for number in everything if int(number) >= int(parent)] == [parent, life.scheduled_id]


def inside_command(folder: Path) -> str:
    """What the parent does."""
    return f"cd {ROOT} && {sys.executable} -m tests.slurm.submit_inside {folder}"
