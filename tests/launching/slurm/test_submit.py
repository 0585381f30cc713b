"""Handing jobs over: what sbatch is given, what is written, and what happens when something goes wrong."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.job_records import JobRecords
from bench.launching.job_file import JobFile
from bench.launching.profile import ClusterProfile
from bench.launching.slurm.backend import Asked, asked_plan, submit_plan
from bench.launching.slurm.commands import SchedulerError, cluster_facts
from bench.launching.slurm.sbatch import Unanswered
from bench.launching.slurm.script import Shape
from bench.launching.slurm.submit import Handed, Request, hand_over
from bench.launching.slurm.worker import Worker
from bench.launching.snapshot import Snapshot
from bench.plan import Verb, study_jobs
from bench.store import Store
from bench.study import Study
from tests.launching.slurm.fake import FakeSlurm
from tests.reporting.conftest import make_study

ROWS = (
    ("SPADE decoder", "spade-decoder", None),
    ("pix2pixHD", "pix2pixhd", None),
    ("pix2pixHD++", "pix2pixhd-pp", None),
)
STUDY = make_study(rows=ROWS)
REAL, TRAIN, JUDGE = study_jobs(STUDY)[:3]


def once(
    store: Store,
    profile: ClusterProfile,
    snapshot: Snapshot,
    study: Study = STUDY,
    *,
    max_running: int | None = None,
    settle: bool = True,
) -> tuple[Asked, Handed]:
    """What ``run`` does: look, plan, hand over."""
    asked = asked_plan(study, store, profile, settle=settle)
    request = Request(
        store=store,
        profile=profile,
        shape=Shape(nodes=1, gpus_per_node=2),
        snapshot=snapshot,
        cluster=asked.facts.name,
        study=study.name,
        array_size=asked.facts.max_array_size,
        max_running=max_running,
    )
    return asked, hand_over(asked.actions, request, asked.live_trainings)


def scripts(store: Store) -> dict[str, dict[str, str]]:
    """The options of every script that sbatch took, by job name."""
    found = {}
    for path in store.root.glob("jobs/*/logs/*_submission.sh"):
        pairs = re.findall(r"^#SBATCH --([\w-]+)(?:=(.*))?$", path.read_text(), flags=re.MULTILINE)
        options = {name: value.strip("'") for name, value in pairs}
        found[options["job-name"]] = options
    return found


def test_a_study_is_two_arrays_and_the_real_images(
    slurm: FakeSlurm, store: Store, profile: ClusterProfile, snapshot: Snapshot
) -> None:
    _, handed = once(store, profile, snapshot)
    assert [call[0] for call in slurm.calls()] == ["scontrol", "sbatch", "sbatch", "sbatch"]
    assert len(handed.submitted) == 7
    assert handed.left == []
    options = {name.rpartition("-")[0]: value for name, value in scripts(store).items()}
    train = options["spade-tiny-train"]
    assert (train["array"], train["ntasks-per-node"], train["gres"]) == ("0-2", "2", "gpu:2")
    assert train["requeue"] == ""
    judge = options["spade-tiny-evaluate"]
    base = handed.submitted[TRAIN.key][0].partition("_")[0]
    assert (judge["dependency"], judge["array"], judge["gres"]) == (f"aftercorr:{base}", "0-2", "gpu:1")
    assert judge["kill-on-invalid-dep"] == "yes"
    assert "dependency" not in options[f"spade-{REAL.key}"]
    file = JobFile.read(store.job_folder(TRAIN.key) / "job.json")
    assert (file.job, file.ranks, file.settings.device, file.settings.requeue) == (TRAIN, 2, "cpu", True)


def test_run_again_submits_nothing_twice_and_goes_on_where_it_must(
    slurm: FakeSlurm, store: Store, profile: ClusterProfile, snapshot: Snapshot
) -> None:
    _, first = once(store, profile, snapshot)
    slurm.forget_calls()
    asked, again = once(store, profile, snapshot)
    assert again.submitted == {}
    assert [call[0] for call in slurm.calls()] == ["scontrol", "squeue"]
    assert {action.verb for action in asked.actions} == {Verb.WAIT}
    assert asked.live_trainings == tuple(
        first.submitted[job.key][0] for job in study_jobs(STUDY) if job.kind == "train"
    )

    (number,) = first.submitted[TRAIN.key]
    started = slurm.start(9)
    assert number in started
    slurm.end([number], "OUT_OF_MEMORY", "0:125")
    slurm.start(9)  # the evaluation that waited for it is cancelled
    assert slurm.jobs[first.submitted[JUDGE.key][0]]["state"] == "CANCELLED"
    asked, third = once(store, profile, snapshot)
    actions = {action.job.key: action for action in asked.actions}
    assert actions[TRAIN.key].reason == f"failed before (out of memory (SLURM job {number} on node1, signal 125))"
    assert actions[JUDGE.key].reason.startswith("failed before (dependency failed (SLURM job ")
    assert third.submitted.keys() == {TRAIN.key, JUDGE.key}
    assert slurm.jobs[third.submitted[JUDGE.key][0]]["dependency"] == f"afterok:{third.submitted[TRAIN.key][0]}"


def test_a_hopeless_job_is_cancelled_and_replaced(
    slurm: FakeSlurm, store: Store, profile: ClusterProfile, snapshot: Snapshot
) -> None:
    _, first = once(store, profile, snapshot)
    (number,) = first.submitted[REAL.key]
    slurm.change(number, reason="PartitionConfig")
    asked, again = once(store, profile, snapshot)
    assert slurm.calls("scancel") == [["scancel", number]]
    assert slurm.jobs[number]["state"] == "CANCELLED"
    assert again.submitted.keys() == {REAL.key}
    assert "can never start (PartitionConfig: the partition has no such nodes" in asked.actions[0].reason


@pytest.mark.parametrize("moment", ["before sbatch", "after sbatch", "between the arrays"])
def test_whenever_the_process_dies_nothing_is_submitted_twice(
    slurm: FakeSlurm,
    store: Store,
    profile: ClusterProfile,
    snapshot: Snapshot,
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
) -> None:
    class Died(BaseException):
        pass

    def die(*_: object, **__: object) -> None:
        raise Died("at this moment")

    target = {
        "before sbatch": "bench.launching.slurm.submit.call_sbatch",
        "after sbatch": "bench.job_records.JobRecords.submitted",
        "between the arrays": "bench.launching.slurm.submit.evaluation_batches",
    }[moment]
    with monkeypatch.context() as patch:
        patch.setattr(target, die)
        with pytest.raises(Died, match="at this moment"):
            once(store, profile, snapshot)
    once(store, profile, snapshot)
    _, third = once(store, profile, snapshot)
    assert third.submitted == {}
    names = [job["name"] for job in slurm.jobs.values()]
    assert len(slurm.jobs) == 7, names
    judged = [job for job in slurm.jobs.values() if "evaluate" in job["name"] and job["dependency"]]
    assert len(judged) == 3
    while slurm.start(9):
        slurm.end([number for number, job in slurm.jobs.items() if job["state"] == "RUNNING"])
    assert {job["state"] for job in slurm.jobs.values()} == {"COMPLETED"}


def test_an_answer_that_gets_lost_is_no_second_submission(
    slurm: FakeSlurm, store: Store, profile: ClusterProfile, snapshot: Snapshot
) -> None:
    slurm.set(lose_answers=2)
    _, handed = once(store, profile, snapshot)
    assert len(handed.submitted) == len(slurm.jobs) == 7
    assert len(slurm.calls("sbatch")) == 3
    assert {number for numbers in handed.submitted.values() for number in numbers} == slurm.jobs.keys()


def test_a_busy_controller_is_asked_again(
    slurm: FakeSlurm, store: Store, profile: ClusterProfile, snapshot: Snapshot
) -> None:
    slurm.set(refuse=["Batch job submission failed: Unable to contact slurm controller (connect failure)"])
    _, handed = once(store, profile, snapshot)
    assert len(handed.submitted) == len(slurm.jobs) == 7


def test_where_nobody_knows_nothing_is_assumed(
    slurm: FakeSlurm, store: Store, profile: ClusterProfile, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    slurm.set(lose_answers=1)

    def away(*_: object, **__: object) -> str:
        raise SchedulerError("no answer within 120 s")

    with monkeypatch.context() as patch:
        patch.setattr("bench.launching.slurm.sbatch.ask", away)
        with pytest.raises(
            Unanswered, match=r"(?s)did not say whether it took spade-.*run again: the job is found by its"
        ):
            once(store, profile, snapshot)
    assert any(record.lost for key in JobRecords(store).keys() for record in JobRecords(store).read(key))  # noqa: SIM118
    once(store, profile, snapshot)
    assert len(slurm.jobs) == 7


def test_a_refusal_stops_only_what_depends_on_it(
    slurm: FakeSlurm, store: Store, profile: ClusterProfile, snapshot: Snapshot
) -> None:
    slurm.set(refuse=["Batch job submission failed: Invalid account or account/partition combination specified"])
    single = replace(profile, arrays=False)
    _, handed = once(store, single, snapshot)
    assert len(handed.submitted) == 5
    (train, why), (judge, because) = handed.left
    assert (train, judge) == (TRAIN, JUDGE)
    assert "sbatch refused spade-train-" in why
    assert "Invalid account or account/partition combination specified" in why
    assert because == "its training was not submitted"
    assert JobRecords(store).latest(TRAIN.key) is None
    assert JobRecords(store).read(TRAIN.key)[0].refused == why


def test_a_full_queue_takes_no_more_and_the_rest_follows_later(
    slurm: FakeSlurm, store: Store, profile: ClusterProfile, snapshot: Snapshot
) -> None:
    slurm.set(max_jobs=4)
    single = replace(profile, arrays=False)
    _, handed = once(store, single, snapshot)
    assert len(handed.submitted) == 4
    assert "QOSMaxSubmitJobPerUserLimit" in handed.queue_full
    assert len(slurm.calls("sbatch")) == 5  # no more knocking at a closed door
    assert len(handed.left) == 3


def test_the_profile_may_set_the_limit_itself(
    slurm: FakeSlurm, store: Store, profile: ClusterProfile, snapshot: Snapshot
) -> None:
    limited = replace(profile, max_jobs=3)
    asked, handed = once(store, limited, snapshot)
    assert len(handed.submitted) == 3
    waiting = [action.reason for action in asked.actions if action.verb is Verb.WAIT]
    assert "the queue may hold 3 of our jobs and is full; run again when some have ended" in waiting
    slurm.end(slurm.start(1))
    _, again = once(store, limited, snapshot)
    assert len(again.submitted) == 1


def test_a_chain_where_a_job_may_not_requeue_itself(
    slurm: FakeSlurm, store: Store, profile: ClusterProfile, snapshot: Snapshot
) -> None:
    chained = replace(profile, requeue=False, chain_links=3)
    study = make_study(rows=ROWS[:1])
    _, handed = once(store, chained, snapshot, study)
    first, second, third = handed.submitted[TRAIN.key]
    (judge,) = handed.submitted[JUDGE.key]
    assert slurm.jobs[second]["dependency"] == f"afternotok:{first}"
    assert slurm.jobs[third]["dependency"] == f"afternotok:{first}:{second}"
    assert slurm.jobs[judge]["dependency"] == f"afterok:{first}?afterok:{second}?afterok:{third}"
    assert "no-requeue" in next(iter(scripts(store).values()))
    assert JobFile.read(store.job_folder(TRAIN.key) / "job.json").settings.requeue is False
    slurm.start(9)
    slurm.end([first], "TIMEOUT")
    slurm.start(9)
    asked, again = once(store, chained, snapshot, study)
    assert again.submitted == {}
    reasons = {action.job.key: action.reason for action in asked.actions}
    assert reasons[TRAIN.key] == f"running as SLURM job {second} on node1"
    slurm.end([second])
    slurm.start(9)
    assert slurm.jobs[third]["state"] == "CANCELLED"  # never needed
    assert slurm.jobs[judge]["state"] == "RUNNING"


def test_at_most_so_many_at_a_time(slurm: FakeSlurm, store: Store, profile: ClusterProfile, snapshot: Snapshot) -> None:
    study = make_study(rows=ROWS[:1], seeds=tuple(range(20)))
    once(store, profile, snapshot, study, max_running=4)
    slurm.set(max_array_size=8)
    other = make_study(rows=ROWS[:2], seeds=tuple(range(20)))
    once(store, profile, snapshot, other, max_running=4)
    most = 0
    while running := [job["id"] for job in slurm.jobs.values() if job["state"] == "RUNNING"] or slurm.start(99):
        trainings = [number for number in running if "train" in slurm.jobs[number]["name"]]
        most = max(most, len(trainings))
        slurm.end([number for number in running if number not in trainings[1:]])
        slurm.start(99)
    assert most == 4
    assert {job["state"] for job in slurm.jobs.values()} == {"COMPLETED"}


def test_the_task_calls_the_worker_with_its_job_file(
    slurm: FakeSlurm, store: Store, profile: ClusterProfile, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    from submitit.core.utils import DelayedSubmission

    called: list[tuple[Path, str]] = []

    def call(self: Worker) -> str:
        called.append((self.job_file, self.submission))
        return "done"

    once(store, profile, snapshot)
    monkeypatch.setattr(Worker, "__call__", call)
    for key in (TRAIN.key, REAL.key):
        (record,) = JobRecords(store).read(key)
        task = DelayedSubmission.load(store.root / record.folder / f"{record.token}.pkl")
        monkeypatch.setenv("SLURM_ARRAY_TASK_ID", str(record.index))
        assert task.result() == "done"
        assert called.pop() == (store.job_folder(key).absolute() / "job.json", record.token)


def test_the_log_files_of_every_rank_are_found(store: Store) -> None:
    from bench.job_records import Submission

    record = Submission(token="t", name="n-t", scheduler="SLURM", time=0.0, folder="jobs/a/logs", ids=("7_1",))
    folder = store.root / "jobs" / "a" / "logs"
    folder.mkdir(parents=True)
    for name in ("7_1_0_log.out", "7_1_11_log.out", "7_11_0_log.out", "7_submission.sh"):
        (folder / name).touch()
    assert record.log_files(store.root) == {0: [folder / "7_1_0_log.out"], 11: [folder / "7_1_11_log.out"]}


def test_a_submission_from_a_job_takes_nothing_of_it_along(
    slurm: FakeSlurm, store: Store, profile: ClusterProfile, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, str]] = []
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "1")
    monkeypatch.setenv("SLURM_CONF", "/c")
    monkeypatch.setattr(
        "bench.launching.slurm.submit.call_sbatch", lambda *_, **__: seen.append(dict(os.environ)) or str(len(seen))
    )
    once(store, profile, snapshot)
    for environment in seen:
        assert [name for name in environment if name.startswith("SLURM_")] == ["SLURM_CONF"]


def test_the_study_is_kept_and_a_limit_of_none_is_refused(
    slurm: FakeSlurm, store: Store, profile: ClusterProfile, tmp_path: Path
) -> None:
    asked = asked_plan(STUDY, store, profile)
    shape = Shape(nodes=1, gpus_per_node=2)
    with pytest.raises(ValueError, match="--max-running is 0; it must be at least 1"):
        submit_plan(asked, STUDY, store, profile, shape, max_running=0)
    assert slurm.jobs == {}
    handed, taken = submit_plan(asked, STUDY, store, profile, shape)
    assert json.loads((store.root / "studies" / "tiny.json").read_text())["name"] == "tiny"
    assert len(handed.submitted) == 7
    record = JobRecords(store).latest(TRAIN.key)
    assert record is not None
    assert (store.root / record.code).resolve() == taken.folder.resolve()
    assert (taken.folder / "bench" / "plan.py").is_file()


def test_facts_are_asked_for_where_the_profile_does_not_say_them(slurm: FakeSlurm, profile: ClusterProfile) -> None:
    from bench.launching.slurm.backend import facts_for

    slurm.set(max_array_size=50, accounting=False)
    assert cluster_facts().max_array_size == facts_for(profile).max_array_size == 50
    assert not facts_for(profile).accounting
    said: dict[str, Any] = {"max_array_size": 10, "accounting": "slurmdbd"}
    assert facts_for(replace(profile, **said)).max_array_size == 10
    assert facts_for(replace(profile, **said)).accounting
