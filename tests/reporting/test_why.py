"""``why``: the rank that failed first, with host, time and log, beside what its scheduler says, and what to do."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bench.claim import this_machine
from bench.job_records import JobRecords, Submission
from bench.lives import Life, Start, begin_life, end_life
from bench.plain import to_plain
from bench.plan import study_jobs
from bench.reporting.advice import advice_for
from bench.reporting.failing import failing
from bench.reporting.why import why_text
from bench.scheduler import Scheduled
from bench.signs import Sign, SignEnd, signs_folder
from bench.store import LOST_PEER, RunFolder
from bench.targets import Target, find_target

from .conftest import FakeStore

LOST = f"RuntimeError: {LOST_PEER} (Connection closed by peer)"
ENDED = Scheduled(state="ended", id="4711", ids=("4711",), node="node[1-2]", cause="failed", exit_code=1)


@dataclass
class Scene:
    """A training on some ranks that came to a bad end, written down as the real ones do."""

    fake: FakeStore
    target: Target
    run: RunFolder
    now: float

    @property
    def jobs(self) -> Path:
        return self.fake.store.job_folder(self.target.key)

    def sign(self, rank: int, *, host: str, ago: float, ranks: int = 2, end: SignEnd = "", why: str = "") -> None:
        """What one rank last said, so many seconds ago."""
        sign = Sign(
            rank=rank,
            ranks=ranks,
            host=host,
            machine=f"{host} boot pids",
            pid=100 + rank,
            began=self.now - 5000,
            last=self.now - ago,
            submission="ab12",
            end=end,
            why=why,
        )
        folder = signs_folder(self.jobs)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"rank-{rank:05d}.json").write_text(json.dumps(to_plain(sign)))

    def error(self, rank: int, line: str, *, ago: float, ranks: int = 2) -> None:
        """A traceback in the run's folder."""
        path = self.run.rank_error_file(rank)
        named = f"rank {rank}: {line}" if ranks > 1 else line
        path.write_text(f'{named}\nTraceback (most recent call last):\n  File "x.py", line {rank}\n{line}\n')
        os.utime(path, (self.now - ago, self.now - ago))

    def submitted(self, logs: dict[int, str] | None = None) -> None:
        """Handed to SLURM as 4711, with logs by rank."""
        folder = self.jobs / "logs"
        folder.mkdir(parents=True, exist_ok=True)
        for rank, text in (logs or {}).items():
            (folder / f"4711_{rank}_log.out").write_text(text)
        submission = Submission(
            token="ab12",
            name="n-ab12",
            scheduler="SLURM",
            time=self.now - 6000,
            folder=folder.relative_to(self.fake.store.root).as_posix(),
            ids=("4711",),
        )
        JobRecords(self.fake.store).intend(self.target.key, submission)

    def lived(self, *ends: str) -> None:
        """Lives of the submission; an empty end was killed."""
        for number, end in enumerate(ends):
            life: Life = begin_life(
                self.jobs, Start(submission="ab12", scheduled_id="4711", restart=number), saved=number
            )
            if end:
                end_life(self.jobs, life, end, "SIGUSR2; put back")  # type: ignore[arg-type]

    def why(self, heard: Scheduled | None = None) -> str:
        return why_text(self.fake.store, self.target, {self.target.key: heard} if heard is not None else None)


@pytest.fixture
def scene(fake: FakeStore) -> Scene:
    run = fake.train("SPADE decoder", state="failed", step=120, steps=300, error="see above", attempt=3)
    folder = fake.store.run(run)
    folder.checkpoints.mkdir()
    (folder.checkpoints / "step_00000100.pt").touch()
    return Scene(fake, find_target(fake.store, run.run_id), folder, time.time())


def in_order(text: str, *parts: str) -> bool:
    places = [text.find(part) for part in parts]
    assert -1 not in places, (parts[places.index(-1)], text)
    return places == sorted(places)


def test_the_earliest_rank_is_named_not_the_lowest(scene: Scene) -> None:
    scene.submitted({0: "life", 1: "train x: life 1 on node2\nboom\n"})
    for rank, host, ago in ((0, "node1", 8.0), (1, "node2", 10.0)):
        scene.sign(rank, host=host, ago=ago, end="failed", why="x")
    scene.error(1, "ValueError: label 300 is not one of 0 to 182", ago=10.0)
    scene.error(0, LOST, ago=7.0)
    text = scene.why(ENDED)
    assert in_order(
        text,
        ": failed, step 120/300, saved at step 100, attempt 3",
        "first: rank 1 of 2 on node2 (process 101), 20",
        "error: ValueError: label 300",
        f"log: {scene.jobs}/logs/4711_1_log.out",
        "Traceback (most recent call last):",
        f"failed too: rank 0 3 s later: RuntimeError: {LOST_PEER} ({scene.run.error_file})",
        "SLURM says: failed (SLURM job 4711 on node[1-2], exit code 1)",
        "what to do:",
        "  - it goes on from step 100",
        f"folder {scene.run.path}",
    )
    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(scene.now - 10))
    assert f"(process 101), {moment}" in text


def test_a_rank_that_vanished_comes_before_those_who_saw_it_vanish(scene: Scene) -> None:
    """kill -9: no traceback of rank 1; rank 0's is of a lost connection, and srun has the word."""
    words = "srun: error: node2: task 1: Killed\nsrun: Terminating StepId=4711.0\n"
    older = "train x: life 1 on node1\nsrun: error: node9: task 7: Killed\n"
    scene.submitted({0: f"{older}train x: life 2 on node1\n{words}"})
    scene.sign(0, host="node1", ago=8.0, end="failed", why=LOST)
    scene.sign(1, host="node2", ago=17.0)
    scene.error(0, LOST, ago=7.0)
    text = scene.why(replace(ENDED, signal=9, exit_code=None))
    assert in_order(
        text,
        "first: rank 1 of 2 on node2 (process 101) fell silent; last sign of life ",
        "it left no traceback",
        "failed too: rank 0 10 s later: RuntimeError: another rank",
        "SLURM says: failed (SLURM job 4711 on node[1-2], signal 9)",
        "in the log:",
        "  srun: error: node2: task 1: Killed",
        "it was killed from outside",
    )
    assert "node9" not in text, "words of an earlier life"


def test_srun_says_which_of_the_silent_ranks_was_first(scene: Scene) -> None:
    words = "srun: error: node1: task 2: Killed\nsrun: error: node1: tasks 0-1,3: Terminated\n"
    scene.submitted({0: words})
    for rank in range(4):
        scene.sign(rank, host="node1", ago=10.0 + (rank == 0), ranks=4)
    told = failing(scene.fake.store, scene.target)
    assert [item.rank for item in told.failures] == [2, 0, 1, 3]
    assert "ended too, without a word: ranks 0, 1, 3" in scene.why(ENDED)


def test_a_power_cut_is_seen_from_who_fell_silent_together(scene: Scene) -> None:
    for rank in (0, 1):
        scene.sign(rank, host="node1", ago=60.0 - rank, ranks=4)
    for rank in (2, 3):
        scene.sign(rank, host="node2", ago=31.0, ranks=4, end="failed", why=LOST)
        scene.error(rank, LOST, ago=30.0 - rank)
    scene.submitted()
    text = scene.why(replace(ENDED, cause="node failure", exit_code=None, restarts=1))
    assert in_order(
        text,
        "first: rank 0 of 4 on node1 (process 100) fell silent",
        "all ranks of node1 fell silent at about the same time",
        "ended too, without a word: rank 1",
        "failed too: ranks 2, 3 32 s later",
        "SLURM says: node failure (SLURM job 4711 on node[1-2]); started again 1 time",
        "a machine failed, the run did not",
    )


def test_the_only_machine_went_dark(scene: Scene) -> None:
    for rank in (0, 1):
        scene.sign(rank, host="node1", ago=500.0 + rank)
    text = scene.why()
    assert "first: rank 1 of 2 on node1 (process 101) fell silent" in text
    assert "ended too, without a word: rank 0" in text
    assert "error: see above" in text


def test_a_rank_that_could_write_no_traceback_has_it_in_its_log(scene: Scene) -> None:
    error = "OSError: [Errno 28] No space left on device"
    body = f'Traceback (most recent call last):\n  File "x.py", line 7\n    go()\n{error}\n'
    scene.submitted({0: "", 1: f"train x: life 1 on node2\n{body}bye\n"})
    scene.sign(1, host="node2", ago=9.0, end="failed", why=error)
    scene.sign(0, host="node1", ago=5.0, end="failed", why=LOST)
    text = scene.why(ENDED)
    assert in_order(
        text, "first: rank 1", "error: OSError: [Errno 28]", 'File "x.py", line 7', "make room on the store"
    )
    assert "bye" not in text


@pytest.mark.parametrize(
    ("scheduled", "told", "advice"),
    [
        (
            Scheduled(state="ended", id="7", cause="out of memory", node="n1", exit_code=1, signal=9),
            "SLURM says: out of memory (SLURM job 7 on n1, exit code 1, signal 9)",
            "raise memory_gib_per_node",
        ),
        (
            Scheduled(state="ended", id="7", cause="time limit"),
            "SLURM says: time limit (SLURM job 7)",
            "raise time_limit",
        ),
        (Scheduled(state="ended", id="7", cause="preempted"), "SLURM says: preempted", "nothing is wrong with it"),
        (
            Scheduled(state="ended", id="7", cause="cancelled", reason="by alice"),
            "SLURM says: cancelled (SLURM job 7); by alice",
            "`retry STUDY` submits it again",
        ),
        (
            Scheduled(state="pending", id="7", reason="PartitionConfig", hopeless=True, advice="no such nodes"),
            "SLURM says: pending as SLURM job 7, and it can never start; PartitionConfig; no such nodes",
            "",
        ),
        (
            Scheduled(state="ended", id="ab", scheduler="local", cause="failed", signal=9, reason="rank 1 was killed"),
            "the local backend says: failed (local job ab, signal 9); rank 1 was killed",
            "it was killed from outside",
        ),
    ],
)
def test_what_the_scheduler_says_and_what_to_do(scene: Scene, scheduled: Scheduled, told: str, advice: str) -> None:
    scene.run.write_status(state="pending", step=100, steps=300)
    text = scene.why(scheduled)
    assert told in text
    assert advice in text
    assert "Traceback" not in text


def test_lives_are_told_when_there_were_several(scene: Scene) -> None:
    scene.lived("stopped", "stopped", "", "stopped", "stopped", "failed")
    text = scene.why(ENDED)
    assert "lives (the last 5 of 6):" in text
    assert re.search(
        r"life 2 began on \S+ at 20\S+ \S+ \(job 4711, restart 1\), 1 saved before\n +life 2 stopped", text
    )
    assert re.search(r"life 3 began .*\n  life 4 began", text), "killed without a word"


def test_a_run_that_goes_on_after_a_failure_says_so(scene: Scene) -> None:
    scene.error(0, "ValueError: once", ago=100.0, ranks=1)
    scene.run.write_status(state="running", step=130, steps=300)
    text = scene.why(Scheduled(state="running", id="4711", node="node1", restarts=1))
    assert in_order(text, ": running, step 130/300", "an earlier life of it failed:", "error: ValueError: once")
    assert "SLURM says: running as SLURM job 4711 on node1; started again 1 time" in text
    assert "what to do" not in text


def test_a_living_rank_is_not_silent(scene: Scene) -> None:
    scene.sign(0, host="node1", ago=1.0)
    assert failing(scene.fake.store, scene.target, living=True).first is None
    assert failing(scene.fake.store, scene.target).first is not None


def test_a_finished_run_has_not_failed(scene: Scene) -> None:
    scene.sign(0, host="node1", ago=1.0, end="done")
    scene.run.write_status(state="done", step=300, steps=300)
    text = scene.why(replace(ENDED, cause="completed"))
    assert "it has not failed" in text
    assert "SLURM" not in text


def test_a_failed_evaluation_is_named_by_its_key(fake: FakeStore) -> None:
    fake.train("SPADE decoder")
    job = next(job for job in study_jobs(fake.study) if job.title.startswith("evaluate SPADE decoder"))
    assert job.evaluation is not None
    error = (
        "Traceback (most recent call last):\n  File 'x'\nMissingWeightsError: weights file a.pth is missing\nget it\n"
    )
    fake.store.write_evaluation_error(job.evaluation.eval_id, error)
    text = why_text(fake.store, find_target(fake.store, job.key))
    assert in_order(
        text, f"{job.key}: failed", "error: MissingWeightsError: weights file a.pth", "Traceback", "`doctor`"
    )
    assert f"folder {fake.store.evaluation_folder(job.evaluation.eval_id)}" in text


@pytest.mark.parametrize(
    ("evidence", "words"),
    [
        ("OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB", ["GPU's memory"]),
        ("out of memory (SLURM job 7, signal 9)", ["machine's memory"]),
        ("slurmstepd: error: Detected 1 oom_kill event in StepId=7.0", ["machine's memory"]),
        ("WriteError: x: cannot be written, no space is left on its disk", ["make room"]),
        ("HangError: no step for 1200 s", ["stacks"]),
        ("ncclSystemError: System call failed", ["cluster check"]),
        ("ModuleNotFoundError: No module named 'torch'", ["setup and python"]),
        ("srun: error: n1: task 3: Killed", ["killed from outside"]),
        ("ends with signal 7, SIGBUS", ["/dev/shm"]),
        ("something new", []),
    ],
)
def test_advice(evidence: str, words: Sequence[str]) -> None:
    found = advice_for(evidence)
    assert len(found) == len(words)
    for text, word in zip(found, words, strict=True):
        assert word in text


def test_this_machine_is_not_taken_for_another() -> None:
    """Signs of the tests above are of other machines: their processes are not looked up here."""
    assert this_machine() != "node1 boot pids"
