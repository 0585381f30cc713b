"""What squeue and sacct say, in our words."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.job_records import JobRecords, Submission
from bench.launching.slurm.batches import ranges
from bench.launching.slurm.commands import SchedulerError, clean_environment, cluster_facts, outside_any_job
from bench.launching.slurm.query import Life, QueueRow, ask_scheduler, expanded, parse_accounts, parse_queue, state_of
from bench.launching.slurm.states import advice_for, cause_of
from bench.scheduler import Scheduled
from bench.store import Store
from tests.launching.slurm.fake import FakeSlurm

NOW = 1_000_000.0
ITEM = Submission(
    token="ab12", name="spade-x-ab12", scheduler="SLURM", time=NOW - 100, folder="jobs/x/logs", ids=("7",)
)

# As SLURM 22.05 printed it: an array with an element that failed, one requeued after a preemption, one out of memory.
SACCT = """\
16141601_3|COMPLETED|0:0|node1|1795364069|1795364071|spade-t-train-tok1
16141601_3.batch|COMPLETED|0:0|node1|1795364069|1795364071|batch
16141601_5|PREEMPTED|0:0|node1|1795364069|1795364075|spade-t-train-tok1
16141601_5.0|CANCELLED|0:15|node1|1795364069|1795364075|python
16141601_5|FAILED|1:0|node2|1795364080|1795364090|spade-t-train-tok1
16141601_5.batch|FAILED|1:0|node2|1795364080|1795364090|batch
16141601_6|FAILED|0:9|node2|1795364080|1795364090|spade-t-train-tok1
16141601_6.batch|COMPLETED|0:0|node2|1795364080|1795364090|batch
16141601_6.0|OUT_OF_MEMORY|0:125|node2|1795364080|1795364090|python
16141601_[7-9%2]|PENDING|0:0|None assigned|Unknown|Unknown|spade-t-train-tok1
16141602|CANCELLED by 1000|0:0|None assigned|Unknown|1795364090|other|name
"""


def row(word: str, reason: str = "None", **values: Any) -> dict[str, QueueRow]:
    return {
        "7": QueueRow(
            **{"id": "7", "word": word, "reason": reason, "node": "", "end": None, "name": ITEM.name, **values}
        )
    }


def life(word: str, **values: Any) -> dict[str, list[Life]]:
    given = {"id": "7", "exit_code": 0, "signal": None, "node": "node1", "end": NOW, "name": ITEM.name, **values}
    return {"7": [Life(word=word, **given)]}


def judged(rows: dict[str, QueueRow], lives: dict[str, list[Life]] | None = None, item: Submission = ITEM) -> Scheduled:
    return state_of(item, rows, lives or {}, now=lambda: NOW)


def test_lives_with_their_steps_are_read() -> None:
    lives = parse_accounts(SACCT)
    assert [(item.id.partition("_")[2], item.word) for item in lives] == [
        ("3", "COMPLETED"),
        ("5", "PREEMPTED"),
        ("5", "FAILED"),
        ("6", "FAILED"),
        ("7", "PENDING"),
        ("8", "PENDING"),
        ("9", "PENDING"),
        ("", "CANCELLED"),
    ]
    assert (lives[2].exit_code, lives[2].signal, lives[2].node, lives[2].end) == (1, None, "node2", 1795364090.0)
    assert lives[1].step_exits == ((0, 15),)
    assert lives[3].step_words == ("COMPLETED", "OUT_OF_MEMORY")
    assert (lives[-1].node, lives[-1].name) == ("", "other|name")


def test_the_queue_is_read_with_its_arrays_and_odd_lines() -> None:
    text = "12_[3,5-6%2]|PENDING|Resources||N/A|a|b\n\nslurm: warning\n13|RUNNING|None|node[1-2]|1795364090|c\n"
    rows = parse_queue(text)
    assert [item.id for item in rows] == ["12_3", "12_5", "12_6", "13"]
    assert (rows[0].name, rows[0].end, rows[3].node, rows[3].end) == ("a|b", None, "node[1-2]", 1795364090.0)


@given(st.sets(st.integers(0, 1000), min_size=1, max_size=40), st.integers(1, 9))
def test_pending_arrays_become_their_elements(indices: set[int], limit: int) -> None:
    assert expanded(f"12_[{ranges(indices)}%{limit}]") == [f"12_{index}" for index in sorted(indices)]
    assert expanded("12_4") == ["12_4"]


@pytest.mark.parametrize(
    ("rows", "lives", "expected"),
    [
        (row("PENDING", "Priority"), {}, ("pending", "Priority", False)),
        (row("PENDING", "(Resources)"), {}, ("pending", "Resources", False)),
        (row("PENDING"), {}, ("pending", "", False)),
        (row("PENDING", "DependencyNeverSatisfied"), {}, ("pending", "DependencyNeverSatisfied", True)),
        (row("PENDING", "PartitionConfig"), {}, ("pending", "PartitionConfig", True)),
        (row("PENDING", "PartitionNodeLimit"), {}, ("pending", "PartitionNodeLimit", True)),
        (row("PENDING", "QOSMaxGRESPerJob"), {}, ("pending", "QOSMaxGRESPerJob", True)),
        (row("PENDING", "QOSMaxGRESPerUser"), {}, ("pending", "QOSMaxGRESPerUser", False)),
        (row("PENDING", "AssocGrpGRES"), {}, ("pending", "AssocGrpGRES", False)),
        (row("PENDING", "launch failed requeued held"), {}, ("pending", "launch failed requeued held", True)),
        (row("PENDING", "JobHeldUser"), {}, ("pending", "JobHeldUser: `scontrol release` lets it go", False)),
        (row("REQUEUED", "BeginTime"), life("NODE_FAIL"), ("pending", "BeginTime", False)),
        (row("PREEMPTED", end=NOW - 5), life("PREEMPTED"), ("pending", "preempted, to be started again", False)),
        (row("NODE_FAIL", end=NOW - 5), {}, ("pending", "node failure, to be started again", False)),
        (row("COMPLETING", node="n3"), {}, ("running", "", False)),
        (row("SUSPENDED", node="n3"), {}, ("running", "", False)),
    ],
)
def test_what_is_not_over(rows: dict[str, QueueRow], lives: dict[str, list[Life]], expected: tuple[Any, ...]) -> None:
    state = judged(rows, lives)
    assert (state.state, state.reason, state.hopeless) == expected
    assert state.live == (not state.hopeless)
    assert bool(state.advice) == state.hopeless


@pytest.mark.parametrize(
    ("rows", "lives", "cause"),
    [
        (row("COMPLETED"), life("COMPLETED"), "completed"),
        ({}, life("FAILED", exit_code=1), "failed"),
        ({}, life("FAILED", signal=9, step_words=("COMPLETED", "OUT_OF_MEMORY")), "out of memory"),
        (row("FAILED"), life("RUNNING", step_words=("OUT_OF_MEMORY",)), "out of memory"),
        ({}, life("OUT_OF_MEMORY"), "out of memory"),
        (row("TIMEOUT"), {}, "time limit"),
        ({}, life("CANCELLED"), "cancelled"),
        (row("CANCELLED", "DependencyNeverSatisfied"), {}, "dependency failed"),
        (row("NODE_FAIL", end=NOW - 5000), {}, "node failure"),
        ({}, life("PREEMPTED"), "preempted"),
        ({}, life("COMPLETED", step_words=("OUT_OF_MEMORY",)), "completed"),
        ({}, {}, ""),
    ],
)
def test_what_is_over(rows: dict[str, QueueRow], lives: dict[str, list[Life]], cause: str) -> None:
    state = judged(rows, lives)
    assert (state.state, state.cause) == ("ended", cause)


def test_a_number_that_was_given_out_again_is_somebody_elses() -> None:
    assert judged(row("RUNNING", name="spade-other-99")).state == "ended"
    assert judged({}, life("COMPLETED", name="spade-other-99")).cause == ""


def test_lives_are_counted_and_the_last_one_tells() -> None:
    lives = {"7": [*life("PREEMPTED")["7"], *life("NODE_FAIL")["7"], *life("FAILED", exit_code=3, node="n2")["7"]]}
    state = judged({}, lives)
    assert (state.restarts, state.exit_code, state.node, state.cause) == (2, 3, "n2", "failed")
    assert state.ending() == "failed (SLURM job 7 on n2, exit code 3)"


def test_an_exit_code_that_only_a_step_tells_is_found() -> None:
    assert judged({}, life("CANCELLED", step_exits=((0, None), (0, 9)))).signal == 9


def test_of_a_chain_the_link_that_tells_most_is_told() -> None:
    chain = replace(ITEM, ids=("7", "8", "9"), links=3)
    ended = {
        **row("TIMEOUT"),
        "8": replace(row("RUNNING")["7"], id="8"),
        "9": replace(row("PENDING", "Dependency")["7"], id="9"),
    }
    assert (judged(ended, item=chain).state, judged(ended, item=chain).id) == ("running", "8")
    waiting = {**row("TIMEOUT"), "8": replace(row("PENDING", "Dependency")["7"], id="8")}
    assert judged(waiting, item=chain).live
    never = replace(row("CANCELLED", "DependencyNeverSatisfied")["7"], id="8")
    over = judged({**row("COMPLETED"), "8": never, "9": replace(never, id="9")}, item=chain)
    assert (over.state, over.cause, over.id, over.numbers) == ("ended", "completed", "7", ("7", "8", "9"))
    half = {**row("COMPLETED"), "8": replace(row("PENDING", "DependencyNeverSatisfied")["7"], id="8"), "9": never}
    assert judged(half, item=chain).cause == "completed"


def test_only_reasons_that_never_pass_are_hopeless() -> None:
    for reason in (
        "Priority",
        "Resources",
        "ReqNodeNotAvail, UnavailableNodes:n[1-4]",
        "BeginTime",
        "Dependency",
        "Licenses",
    ):
        assert advice_for(reason) is None
    assert cause_of("BOOT_FAIL") == "node failure"


def handed(store: Store, key: str, **values: Any) -> Submission:
    """A record of a submission, as if made a minute ago."""
    item = replace(ITEM, time=time.time() - 60, ids=(), cluster="pretended", **values)
    JobRecords(store).intend(key, item)
    return item


def with_job(slurm: FakeSlurm, number: str, name: str, **values: Any) -> None:
    job = {"id": number, "base": number.partition("_")[0], "name": name, "state": "PENDING", "reason": "Priority"}
    job |= {"node": "", "start": "Unknown", "end": "Unknown", "exit": "0:0", "dependency": "", "limit": 0}
    with slurm.state() as state:
        state["jobs"][number] = {**job, "lives": [], "steps": [], **values}


def test_nothing_is_asked_where_nothing_was_handed_over(slurm: FakeSlurm, store: Store) -> None:
    assert ask_scheduler(JobRecords(store), ["train-a", "train-b"], settle=True).states == {}
    assert slurm.calls() == []


def test_one_call_for_all_live_jobs_and_one_more_for_all_that_ended(slurm: FakeSlurm, store: Store) -> None:
    records = JobRecords(store)
    for index in range(40):
        key = f"train-{index}"
        handed(store, key, index=index)
        records.submitted(key, ITEM.token, [f"50_{index}"])
        with_job(slurm, f"50_{index}", ITEM.name, state="RUNNING" if index < 30 else "FAILED", exit="2:0", node="n1")
    answer = ask_scheduler(records, [f"train-{index}" for index in range(40)], cluster_facts())
    assert [call[0] for call in slurm.calls()] == ["scontrol", "squeue", "sacct"]
    assert [answer.states[f"train-{index}"].state for index in (0, 29, 30, 39)] == ["running"] * 2 + ["ended"] * 2
    assert answer.states["train-39"].exit_code == 2
    assert answer.in_queue == 30
    slurm.forget_calls()
    ask_scheduler(records, [f"train-{index}" for index in range(30)], cluster_facts())
    assert [call[0] for call in slurm.calls()] == ["scontrol", "squeue"]  # all live: sacct has nothing to add


def test_without_accounting_the_queue_tells_ends_until_it_forgets_them(slurm: FakeSlurm, store: Store) -> None:
    slurm.set(accounting=False)
    records = JobRecords(store)
    handed(store, "train-a")
    records.submitted("train-a", ITEM.token, ["50"])
    with_job(slurm, "50", ITEM.name, state="OUT_OF_MEMORY")
    assert ask_scheduler(records, ["train-a"]).states["train-a"].cause == "out of memory"
    slurm.change("50", forgotten=True)
    state = ask_scheduler(records, ["train-a"]).states["train-a"]
    assert (state.state, state.cause) == ("ended", "")
    assert not slurm.calls("sacct")


def test_ends_are_kept_so_that_nobody_asks_again(slurm: FakeSlurm, store: Store) -> None:
    records = JobRecords(store)
    handed(store, "train-a")
    records.submitted("train-a", ITEM.token, ["50"])
    with_job(slurm, "50", ITEM.name, state="TIMEOUT", node="n1")
    first = ask_scheduler(records, ["train-a"], settle=True).states["train-a"]
    slurm.forget_calls()
    assert ask_scheduler(records, ["train-a"]).states["train-a"] == first
    assert slurm.calls() == []
    latest = records.latest("train-a")
    assert latest is not None
    assert latest.ended == first


@pytest.mark.parametrize("accounting", [True, False])
def test_a_lost_submission_is_found_by_its_name(slurm: FakeSlurm, store: Store, accounting: bool) -> None:
    slurm.set(accounting=accounting)
    records = JobRecords(store)
    handed(store, "train-a")
    handed(store, "train-b", token="cd34", name="spade-array-cd34", index=3)
    with_job(slurm, "50", ITEM.name, state="RUNNING")
    with_job(slurm, "51_3", "spade-array-cd34", state="COMPLETED", forgotten=accounting)
    looked = ask_scheduler(records, ["train-a", "train-b"])
    assert records.read("train-a")[0].ids == ()  # who only looks writes nothing
    assert ask_scheduler(records, ["train-a", "train-b"], settle=True).states.keys() == looked.states.keys()
    assert [item.ids for key in ("train-a", "train-b") for item in records.read(key)] == [("50",), ("51_3",)]
    assert looked.states["train-a"].state == "running"
    assert looked.states["train-b"].cause == "completed"


def test_a_submission_that_never_arrived_is_settled_by_the_submitter_alone(slurm: FakeSlurm, store: Store) -> None:
    records = JobRecords(store)
    handed(store, "train-a")
    looked = ask_scheduler(records, ["train-a"]).states["train-a"]
    assert (looked.state, looked.live) == ("unknown", False)
    assert "being handed over" in looked.reason
    assert ask_scheduler(records, ["train-a"], settle=True).states == {}
    assert records.read("train-a")[0].refused == "the submission never reached the scheduler"
    assert records.latest("train-a") is None


def test_jobs_of_another_cluster_are_not_judged_here(slurm: FakeSlurm, store: Store) -> None:
    records = JobRecords(store)
    handed(store, "train-a")
    records.submitted("train-a", ITEM.token, ["50"])
    slurm.set(cluster="other")
    state = ask_scheduler(records, ["train-a"], settle=True).states["train-a"]
    assert (state.state, state.reason) == ("unknown", "on cluster pretended, and this is other; ask there")


def test_a_controller_that_is_away_is_an_error_that_says_what_to_do(slurm: FakeSlurm, store: Store) -> None:
    records = JobRecords(store)
    handed(store, "train-a")
    slurm.set(away=True)
    with pytest.raises(SchedulerError, match=r"(?s)`scontrol show config` failed: .*Unable to contact.*`sinfo` shows"):
        ask_scheduler(records, ["train-a"], settle=True)
    assert len(slurm.calls("scontrol")) == 4
    assert records.read("train-a")[0].lost


def test_a_machine_without_slurm_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SchedulerError, match="the command scontrol is not there: is this a login node"):
        cluster_facts()


def test_a_job_that_asks_or_submits_inherits_nothing_but_the_configuration() -> None:
    job = {"SLURM_JOB_ID": "1", "SLURM_ARRAY_TASK_ID": "3", "SLURM_CONF": "/c", "RANK": "2", "MASTER_PORT": "1"}
    job |= {"SUBMITIT_EXECUTOR": "slurm", "CUDA_VISIBLE_DEVICES": "3", "HOME": "/h", "SBATCH_ACCOUNT": "mine"}
    assert clean_environment(job) == {"SLURM_CONF": "/c", "HOME": "/h", "SBATCH_ACCOUNT": "mine"}
    login = {"SLURM_CLUSTERS": "a", "RANK": "x"}
    assert clean_environment(login) == login


def test_the_environment_of_a_job_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    monkeypatch.setenv("SLURM_JOB_ID", "5")
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "4")
    monkeypatch.setenv("SLURM_CONF", "/c")
    before = dict(os.environ)
    with outside_any_job():
        assert "SLURM_ARRAY_JOB_ID" not in os.environ
        assert os.environ["SLURM_CONF"] == "/c"
    assert dict(os.environ) == before
