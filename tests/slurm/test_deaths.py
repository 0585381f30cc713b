"""Whatever dies, the job ends at once, says why, and goes on from its newest valid checkpoint to the same weights."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator

import pytest

from bench.training.checkpoint import checkpoint_path, load_checkpoint
from tests.slurm.cluster import Cluster
from tests.slurm.conftest import NewDrill
from tests.slurm.drill import SAVE_EVERY, Drill

pytestmark = pytest.mark.slurm
Reference = Callable[[int], str]
BROKEN_AT = 2 * SAVE_EVERY + 3


def assert_it_failed_soon(drill: Drill, *, within_s: float = 60.0) -> None:
    """The job ends soon after the fault: the ranks that are left do not wait for the one that is gone."""
    drill.until(lambda: (drill.folder / "faulted").exists(), "the fault")
    began = time.monotonic()
    assert drill.until_over() == "FAILED"
    assert time.monotonic() - began < within_s


def assert_it_goes_on_from_the_last_checkpoint(drill: Drill, reference: str) -> None:
    """Submitted again it ends as if nothing had been."""
    saved = drill.newest_saved()
    lost = max(step for life in drill.begun()[0].values() for step in life) - saved
    drill.submit()
    drill.until_over()
    drill.assert_equal_to(reference)
    assert drill.first_steps() == [0, saved]
    assert drill.done_again() == lost
    assert drill.run_folder.first_error() is None


@pytest.mark.drill_ci
def test_a_rank_raises(new_drill: NewDrill, reference: Reference) -> None:
    drill = new_drill(fault=f"raise:{BROKEN_AT}:1")
    drill.submit()
    assert_it_failed_soon(drill)
    status = drill.run_folder.status()
    assert (status.state, status.error) == ("failed", "rank 1: ValueError: a drill broke this rank")
    assert status.step == drill.newest_saved() == 2 * SAVE_EVERY
    told = drill.why()
    assert "first: rank 1 of 2 on node" in told
    assert "error: ValueError: a drill broke this rank" in told
    assert 'raise ValueError("a drill broke this rank")' in told
    assert_it_goes_on_from_the_last_checkpoint(drill, reference(2))


def test_a_rank_is_killed(new_drill: NewDrill, reference: Reference) -> None:
    drill = new_drill(fault=f"kill:{BROKEN_AT}:1")
    drill.submit()
    assert_it_failed_soon(drill)
    status = drill.run_folder.status()
    if status.state == "failed":  # else rank 0 was killed before it could say so: it shows when its claim is old
        assert "rank 0: another rank, or its machine, ended without a word" in status.error
    assert "task 1: Killed" in drill.logs()
    assert_it_goes_on_from_the_last_checkpoint(drill, reference(2))


@pytest.mark.drill_ci
def test_a_rank_hangs(new_drill: NewDrill, reference: Reference) -> None:
    drill = new_drill(fault=f"hang:{BROKEN_AT}:1")
    drill.submit(hang_after_s=20.0)
    assert_it_failed_soon(drill, within_s=90.0)
    error = drill.run_folder.status().error
    assert error.startswith("rank 1: HangError: no step for ")
    assert f"(last: step {BROKEN_AT - 1}); it hangs in hang_here" in error
    told = drill.why()
    assert "in hang_here time.sleep(1)" in told
    assert_it_goes_on_from_the_last_checkpoint(drill, reference(2))


def test_a_node_loses_its_power(new_drill: NewDrill, reference: Reference) -> None:
    drill = new_drill(slow_s=0.4)
    drill.submit()
    drill.until_step(SAVE_EVERY + 2)
    node = drill.node()
    drill.cluster.kill_node(node)
    saved = drill.newest_saved()
    drill.until(lambda: len(drill.lives()) == 2, "the second life")
    assert drill.node() != node
    drill.until_over()
    drill.assert_equal_to(reference(2))
    assert drill.first_steps() == [0, saved]
    first, second = drill.lives()
    assert (first.end, second.end, second.restart) == ("", "done", 1)


def test_slurmd_is_killed_and_its_job_lives_twice(new_drill: NewDrill, reference: Reference) -> None:
    drill = new_drill(slow_s=6.0)
    drill.submit()
    drill.until_step(2)
    drill.cluster.kill_slurmd(drill.node())
    assert_the_first_life_was_fenced(drill, reference(2))


@pytest.mark.drill_ci
def test_the_network_is_cut_and_the_job_lives_twice(
    separate_networks: None, new_drill: NewDrill, reference: Reference
) -> None:
    drill = new_drill(slow_s=6.0)
    drill.submit()
    drill.until_step(2)
    node = drill.node()
    drill.cluster.cut_node(node)
    assert_the_first_life_was_fenced(drill, reference(2))
    drill.cluster.join_node(node)


def assert_the_first_life_was_fenced(drill: Drill, reference: str) -> None:
    """The first life goes on for a while; as soon as the second one begins it ends, and has written nothing since."""
    drill.until(lambda: len(drill.lives()) == 2, "the second life")
    drill.until(lambda: drill.run_folder.status().state == "done", "the end of the second life")
    at_the_end = {path: path.stat().st_mtime_ns for path in drill.run_folder.path.rglob("*")}
    drill.until(lambda: "has taken this folder over" in drill.logs(), "the end of the first life")
    drill.until(lambda: drill.logs().count("FencedError") >= 1, "its traceback")
    lives = [steps for steps in drill.begun()[0].values()]
    first, second = lives
    assert first[-1] > second[0] - 1, "the first life was still at work when the second began"
    time.sleep(8.0)
    assert drill.begun()[0][next(iter(drill.begun()[0]))] == first, "the first life is over"
    assert {path: path.stat().st_mtime_ns for path in drill.run_folder.path.rglob("*")} == at_the_end
    drill.assert_equal_to(reference)
    one, two = drill.lives()
    assert (one.end, two.end, two.restart) == ("", "done", 1)


@pytest.mark.drill_ci
def test_the_newest_checkpoint_is_damaged(new_drill: NewDrill, reference: Reference) -> None:
    drill = new_drill(fault=f"raise:{BROKEN_AT}:0")
    drill.submit()
    assert_it_failed_soon(drill)
    newest = checkpoint_path(drill.run_folder.checkpoints, 2 * SAVE_EVERY)
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    drill.submit()
    drill.until_over()
    note = drill.run_folder.status().note
    assert f"{newest}: is damaged" in note
    assert f"put aside as .damaged, the one of step {SAVE_EVERY} is taken" in note
    assert f"note: {' '.join(note.split())}" in drill.why()
    assert "is damaged" in drill.logs()
    drill.assert_equal_to(reference(2), saved=[0, 2 * SAVE_EVERY])
    assert drill.first_steps() == [0, SAVE_EVERY]


@pytest.fixture
def on_small_disk(new_drill: NewDrill, cluster: Cluster) -> Iterator[Drill]:
    """A drill whose store is on a disk that is soon full."""
    drill = new_drill(disk=cluster.settings.small_disk, slow_s=0.4)
    yield drill
    shutil.rmtree(drill.store.root)


@pytest.mark.drill_ci
def test_the_disk_is_full(on_small_disk: Drill, reference: Reference) -> None:
    drill = on_small_disk
    drill.submit()
    drill.until_step(SAVE_EVERY + 1)
    good = checkpoint_path(drill.run_folder.checkpoints, SAVE_EVERY)
    filler = drill.store.root / "filler"
    free = shutil.disk_usage(drill.store.root).free
    filler.write_bytes(b"\0" * (free - good.stat().st_size // 2))
    assert drill.until_over() == "FAILED"
    status = drill.run_folder.status()
    assert status.state == "failed"
    assert f"step_{2 * SAVE_EVERY:08d}.pt: cannot be written, no space is left on its disk" in status.error
    assert "free some, or move the store to another disk" in drill.why()
    load_checkpoint(good)
    assert list(drill.store.root.rglob("*.part")) == []
    filler.unlink()
    drill.slow_s = 0.0
    drill.submit()
    drill.until_over()
    drill.assert_equal_to(reference(2))
    assert drill.first_steps() == [0, SAVE_EVERY]
