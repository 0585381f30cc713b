"""SLURM's variables as a rank reads them; when a stopped job is put back into the queue. SLURM itself: tests/slurm."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from bench.launching.slurm import worker
from bench.launching.slurm.commands import SchedulerError
from bench.launching.slurm.worker import Worker, guarded_python, job_number, rank_environment

SLURM = {
    "SLURM_JOB_ID": "4711",
    "SLURM_PROCID": "11",
    "SLURM_NTASKS": "16",
    "SLURM_LOCALID": "3",
    "SLURM_STEP_NODELIST": "gpu[07-08]",
    "SLURM_JOB_NODELIST": "gpu[07-08]",
}
ROOT = Path(__file__).resolve().parents[2]
SAVED = "SIGUSR2; its state is saved"
BACK = ("stopped", f"{SAVED}, it is put back into the queue")


def test_ranks_are_found_in_slurms_variables() -> None:
    found = rank_environment(SLURM)
    assert found.pop("MASTER_PORT").isdigit()
    assert found == {"RANK": "11", "WORLD_SIZE": "16", "LOCAL_RANK": "3", "MASTER_ADDR": "gpu07"}


def test_every_life_has_a_port_of_its_own() -> None:
    ports = {
        rank_environment({**SLURM, "SLURM_JOB_ID": str(job), "SLURM_RESTART_COUNT": str(restart)})["MASTER_PORT"]
        for job in range(4700, 4720)
        for restart in range(5)
    }
    assert len(ports) >= 98
    assert all(12_000 <= int(port) < 32_000 for port in ports)
    assert rank_environment(SLURM) == rank_environment({**SLURM, "SLURM_PROCID": "11"})


def test_an_element_of_an_array_is_named_as_scontrol_wants_it() -> None:
    assert job_number(SLURM) == "4711"
    assert job_number({**SLURM, "SLURM_ARRAY_JOB_ID": "4700", "SLURM_ARRAY_TASK_ID": "3"}) == "4700_3"


def test_a_worker_can_be_pickled_without_torch(tmp_path: Path) -> None:
    path = tmp_path / "worker.pkl"
    path.write_bytes(pickle.dumps(Worker(tmp_path / "job.json", "ab12")))
    code = f"import pickle, sys; print(pickle.load(open({str(path)!r}, 'rb')), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"Worker(job_file={tmp_path / 'job.json'!r}, submission='ab12') False"


WORKER = """
import os, signal, sys
from bench.launching.slurm import worker

class File:
    class settings:
        requeue = True

def execute(path, *, start, settle):
    assert (start.submission, start.scheduled_id, start.restart) == ("ab12", "4700_3", 2), start
    assert os.environ["WORLD_SIZE"] == "16"
    return sys.argv[1]

worker.execute = execute
worker.JobFile.read = lambda path: File
signal.signal(signal.SIGUSR2, signal.SIG_DFL)  # as submitit's, it would end the process
outcome = worker.Worker("job.json")()
os.kill(os.getpid(), signal.SIGUSR2)
os.kill(os.getpid(), signal.SIGTERM)
print(outcome)
"""


@pytest.mark.parametrize(
    ("rank", "outcome", "status"), [("0", "done", 0), ("0", "stopped", 75), ("1", "stopped", 0), ("1", "done", 0)]
)
def test_a_worker_listens_to_its_end_and_only_rank_0_tells_that_it_stopped(
    rank: str, outcome: str, status: int
) -> None:
    array = {"SLURM_ARRAY_JOB_ID": "4700", "SLURM_ARRAY_TASK_ID": "3", "SLURM_RESTART_COUNT": "2"}
    environment = {**os.environ, **SLURM, **array, "SLURM_PROCID": rank, "SLURM_JOB_NAME": "spade-train-x-ab12"}
    done = subprocess.run(
        [sys.executable, "-c", WORKER, outcome], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == status, done.stderr
    assert done.stdout.strip() == ("" if status else outcome)


class FakeSlurm:
    """Answers of squeue and scontrol."""

    def __init__(self, squeue: Sequence[str], scontrol: str = "") -> None:
        self.squeue, self.scontrol = list(squeue), scontrol
        self.asked: list[str] = []

    def __call__(self, command: Sequence[str], *, tries: int) -> str:
        assert tries > 1
        self.asked.append(f"{command[0]} {command[1]}" if command[0] == "scontrol" else command[0])
        if command[0] == "squeue":
            answer = self.squeue.pop(0)
            if answer == "error":
                raise SchedulerError("`squeue` failed: Invalid job id specified")
            return answer
        if self.scontrol:
            raise SchedulerError(self.scontrol)
        return ""


@pytest.mark.parametrize(
    ("squeue", "allowed", "end", "done"),
    [
        ("RUNNING None", True, BACK, True),
        ("COMPLETING TimeLimit", True, BACK, True),
        ("TIMEOUT TimeLimit", True, BACK, True),
        ("PREEMPTED None", True, BACK, True),
        ("RUNNING None", False, ("stopped", f"{SAVED}; it may not be put back into the queue here"), False),
        ("COMPLETING None", True, ("cancelled", "SIGUSR2; it was cancelled, its state is saved"), False),
        ("CANCELLED None", False, ("cancelled", "SIGUSR2; it was cancelled, its state is saved"), False),
    ],
)
def test_a_stopped_job_goes_back_unless_it_may_not_or_was_cancelled(
    squeue: str, allowed: bool, end: tuple[str, str], done: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeSlurm([squeue])
    monkeypatch.setattr(worker, "ask", fake)
    back = worker._Requeue(SLURM, allowed=allowed)
    notes: list[tuple[str, str]] = []
    back.settle(lambda *note: notes.append(note), "SIGUSR2")
    assert notes == [("stopped", SAVED), end]  # the first line before anything is asked
    assert back.done is done
    assert ("scontrol requeue" in fake.asked) is done


@pytest.mark.parametrize(("afterwards", "done"), [("PENDING BeginTime", True), ("RUNNING None", False)])
def test_what_slurm_refuses_is_noted_unless_it_has_done_it_itself(
    afterwards: str, done: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(worker, "ask", FakeSlurm(["RUNNING None", afterwards], "requeue is disabled"))
    back = worker._Requeue(SLURM, allowed=True)
    notes: list[tuple[str, str]] = []
    back.settle(lambda *note: notes.append(note), "SIGTERM")
    assert back.done is done
    expected = "could not be put back into the queue: requeue is disabled"
    assert (expected in notes[-1][1]) is not done
    assert ("requeue is disabled" in capsys.readouterr().err) is not done


@pytest.mark.parametrize("python", [sys.executable, f"env A=1 {sys.executable}"])
def test_a_notice_while_the_interpreter_starts_kills_nothing(python: str) -> None:
    code = (
        "import os, signal; os.kill(os.getpid(), signal.SIGUSR2); os.kill(os.getpid(), signal.SIGTERM); print('here')"
    )
    command = f'{guarded_python(python)} -c "{code}"'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "here\n")


def test_the_guard_lets_handlers_be_installed(tmp_path: Path) -> None:
    code = (
        "import os, signal\n"
        "from bench.launching.stopping import stop_requests\n"
        "with stop_requests() as stop:\n"
        "    os.kill(os.getpid(), signal.SIGUSR2)\n"
        "    print(stop.signal)\n"
    )
    file = tmp_path / "listen.py"
    file.write_text(code)
    command = f"PYTHONPATH={ROOT} {guarded_python(sys.executable)} {file}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.stdout == "SIGUSR2\n", done.stderr
