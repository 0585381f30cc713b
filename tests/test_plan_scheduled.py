"""The planner with a scheduler: hundreds of random states, and whole histories of a cluster that misbehaves."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.plan import Action, Job, JobState, Verb, limited, plan, study_jobs
from bench.scheduler import INTERRUPTIONS, Cause, Scheduled
from bench.store import RunStatus
from tests.reporting.conftest import make_study

ROWS = (
    ("SPADE decoder", "spade-decoder", None),
    ("same again", "spade-decoder", None),
    ("pix2pixHD", "pix2pixhd", None),
)
JOBS = study_jobs(make_study(rows=ROWS, seeds=(0, 1)))
REAL, TRAIN, JUDGE = JOBS[0], JOBS[1], JOBS[2]
STATES = ("pending", "running", "failed", "done")


@st.composite
def job_states(draw: st.DrawFn) -> JobState:
    """Anything that store and scheduler may say of a job, also what does not fit together."""
    status = RunStatus(
        state=draw(st.sampled_from(STATES)),
        step=draw(st.integers(0, 9)),
        steps=10,
        error=draw(st.sampled_from(["", "ValueError: no\nmore"])),
    )
    scheduled = None
    if draw(st.booleans()):
        state = draw(st.sampled_from(["pending", "running", "ended", "unknown"]))
        scheduled = Scheduled(
            state=state,
            id=draw(st.sampled_from(["", "7", "8_3"])),
            reason=draw(st.sampled_from(["", "Priority"])),
            hopeless=state == "pending" and draw(st.booleans()),
            cause=draw(st.sampled_from(get_args(Cause))) if state == "ended" else "",
            after=draw(st.sampled_from([(), ("7",), ("99",)])),
        )
    return JobState(status=status, has_checkpoint=draw(st.booleans()), scheduled=scheduled)


def run_id(job: Job) -> str | None:
    return job.run.run_id if job.run is not None else None


@settings(max_examples=400, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted({job.key for job in JOBS})), job_states()), st.booleans())
def test_whatever_the_states_no_rule_is_broken(states: dict[str, JobState], retry: bool) -> None:
    actions = plan(JOBS, states, retry_failed=retry)
    assert [action.job for action in actions] == JOBS
    assert plan(JOBS, states, retry_failed=retry) == actions
    runs = Counter(action.job.key for action in actions if action.runs)
    assert max(runs.values(), default=0) <= 1  # nothing is submitted twice
    training: dict[str | None, Action] = {}
    for action in actions:
        state = states.get(action.job.key, JobState(status=RunStatus(state="pending")))
        scheduled = state.scheduled
        assert action.reason
        if state.status.state == "done":
            assert not action.runs
        if state.status.state == "running":
            assert not action.runs
        if action.runs and scheduled is not None and scheduled.state in ("pending", "running", "unknown"):
            # never submitted twice: what can never run, or waits for a life that is over, is cancelled first
            assert scheduled.state == "pending"
            assert action.replaces == scheduled.numbers
        assert bool(action.replaces) <= action.runs
        if action.job.kind == "train":
            training.setdefault(run_id(action.job), action)
            assert not action.after
        elif action.runs and action.job.run is not None:
            first = training[run_id(action.job)]
            done = states.get(first.job.key, state).status.state == "done"
            held = states[first.job.key].scheduled if first.job.key in states else None
            assert done or first.runs or (held is not None and held.live and held.numbers)  # never before it
            assert bool(action.after) == (not done and not first.runs)
            if action.after:
                assert held is not None
                assert action.after == held.numbers
        if not retry and state.status.state == "failed" and scheduled is None:
            assert not action.runs


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(st.sampled_from(sorted({job.key for job in JOBS})), job_states()),
    st.integers(-3, 14),
    st.integers(1, 5),
)
def test_a_full_queue_takes_no_more_and_no_evaluation_without_its_training(
    states: dict[str, JobState], room: int, links: int
) -> None:
    def places(job: Job) -> int:
        return links if job.kind == "train" else 1

    before = plan(JOBS, states)
    after = limited(before, room, 20, places)
    assert sum(places(action.job) for action in after if action.runs) <= max(0, room)
    left_out = {
        run_id(a.job) for b, a in zip(before, after, strict=True) if b.runs and not a.runs and a.job.kind == "train"
    }
    for old, new in zip(before, after, strict=True):
        assert new == old or (new.verb is Verb.WAIT and new.reason and not new.replaces)
        assert not (new.runs and new.job.kind == "evaluate" and run_id(new.job) in left_out)
    if room >= len(JOBS) * links:
        assert after == before


@dataclass
class Cluster:
    """A scheduler of the crudest kind, and the store that its jobs write to; misbehaves by chance."""

    rng: random.Random
    chaos: float
    numbers: int = 100
    done: set[str] = field(default_factory=set)
    checkpoints: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    jobs: dict[str, dict[str, object]] = field(default_factory=dict)
    newest: dict[str, str] = field(default_factory=dict)
    started: Counter[str] = field(default_factory=Counter)

    def states(self) -> dict[str, JobState]:
        """What store and scheduler say now."""
        found = {}
        for job in JOBS:
            key = job.key
            number = self.newest.get(key)
            scheduled = None
            if number is not None:
                held = self.jobs[number]
                scheduled = Scheduled(
                    state=held["state"],  # type: ignore[arg-type]
                    id=number,
                    hopeless=held["state"] == "pending" and bool(held.get("hopeless")),
                    cause=held.get("cause", ""),  # type: ignore[arg-type]
                    after=held["after"],  # type: ignore[arg-type]
                )
            name = "done" if key in self.done else "failed" if key in self.failed else "pending"
            status = RunStatus(state=name, error=self.failed.get(key, ""))  # type: ignore[arg-type]
            found[key] = JobState(status=status, has_checkpoint=key in self.checkpoints, scheduled=scheduled)
        return found

    def submit(self, actions: list[Action]) -> None:
        """As the backend does: cancel what is replaced, then trainings, then what waits for them."""
        for action in actions:
            for number in action.replaces:
                assert self.jobs[number]["state"] == "pending"
                self.jobs[number].update(state="ended", cause="cancelled")
        by_run: dict[str | None, tuple[str, ...]] = {}
        for action in sorted(
            (action for action in actions if action.runs), key=lambda action: action.job.kind != "train"
        ):
            key = action.job.key
            held = self.newest.get(key)
            assert held is None or self.jobs[held]["state"] == "ended", "submitted twice"
            assert key not in self.done, "finished work is repeated"
            after = by_run.get(run_id(action.job), action.after) if action.job.kind == "evaluate" else ()
            self.numbers += 1
            self.jobs[str(self.numbers)] = {"key": key, "state": "pending", "after": after, "job": action.job}
            self.newest[key] = str(self.numbers)
            self.failed.pop(key, None)
            if action.job.kind == "train":
                by_run[run_id(action.job)] = (str(self.numbers),)

    def step(self) -> None:
        """One job starts, ends, dies, is preempted, cancelled, or turns out never to start."""
        open_jobs = [number for number, held in self.jobs.items() if held["state"] in ("pending", "running")]
        if not open_jobs:
            return
        number = self.rng.choice(open_jobs)
        held = self.jobs[number]
        job, key = held["job"], str(held["key"])
        assert isinstance(job, Job)
        fate = self.rng.random()
        if held["state"] == "pending":
            after = held["after"]
            assert isinstance(after, tuple)
            met = all(self.jobs[n]["state"] == "ended" and self.jobs[n].get("cause") == "completed" for n in after)
            never = any(self.jobs[n]["state"] == "ended" and self.jobs[n].get("cause") != "completed" for n in after)
            if never or fate < self.chaos / 8:
                held.update({"hopeless": True} if fate < 0.5 else {"state": "ended", "cause": "dependency failed"})
            elif met:
                if job.kind == "evaluate" and job.run is not None:
                    trained = next(item.key for item in JOBS if item.kind == "train" and run_id(item) == run_id(job))
                    assert trained in self.done, "judged before it was trained"
                assert key not in self.done
                self.started[key] += 1
                held["state"] = "running"
        elif fate < self.chaos:
            cause = self.rng.choice(["failed", "out of memory", "time limit", "preempted", "cancelled", "node failure"])
            held.update(state="ended", cause=cause)
            if cause == "failed":
                self.failed[key] = "ValueError: by chance"
            if self.rng.random() < 0.5 and job.kind == "train":
                self.checkpoints.add(key)
        else:
            self.done.add(key)
            held.update(state="ended", cause="completed")


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.floats(0.0, 0.8), st.booleans())
def test_run_again_always_ends_well(seed: int, chaos: float, impatient: bool) -> None:
    """However jobs die, running again continues, repeats nothing, and comes to the end once the chaos does."""
    cluster = Cluster(rng=random.Random(seed), chaos=chaos)
    keys = {job.key for job in JOBS}
    for turn in range(400):
        if turn == 200:
            cluster.chaos = 0.0
        states = cluster.states()
        actions = plan(JOBS, states)
        assert all(action.reason for action in actions)
        cluster.submit(actions)
        for _ in range(1 if impatient else 12):
            cluster.step()
        if cluster.done == keys:
            break
    assert cluster.done == keys
    assert all(action.verb is Verb.SKIP for action in plan(JOBS, cluster.states()))
    if chaos == 0.0:
        assert set(cluster.started.values()) == {1}


def told(job: Job, state: JobState, **options: bool) -> Action:
    """The action for one job; other jobs are done."""
    states = {item.key: JobState(status=RunStatus(state="done")) for item in JOBS}
    actions = plan(JOBS, {**states, job.key: state}, **options)
    return next(action for action in actions if action.job.key == job.key)


PENDING = JobState(status=RunStatus(state="pending"))


@pytest.mark.parametrize(
    ("scheduled", "verb", "reason"),
    [
        (Scheduled(state="pending", id="7", reason="Priority"), Verb.WAIT, "pending as SLURM job 7 (Priority)"),
        (Scheduled(state="running", id="7_2", node="n3"), Verb.WAIT, "running as SLURM job 7_2 on n3"),
        (
            Scheduled(state="unknown", id="7"),
            Verb.WAIT,
            "handed over as SLURM job 7; not asked how it stands (give --backend and --profile to ask)",
        ),
        (
            Scheduled(state="pending", id="7", reason="BadConstraints", hopeless=True, advice="no such node"),
            Verb.RETRY,
            "SLURM job 7 can never start (BadConstraints: no such node); it is cancelled and submitted anew",
        ),
        (
            Scheduled(state="ended", id="7", cause="preempted", node="n1"),
            Verb.SUBMIT,
            "preempted (SLURM job 7 on n1); begins anew",
        ),
        (
            Scheduled(state="ended", id="7", cause="out of memory"),
            Verb.RETRY,
            "failed before (out of memory (SLURM job 7))",
        ),
        (Scheduled(state="ended", id="7", cause="cancelled"), Verb.RETRY, "failed before (cancelled (SLURM job 7))"),
        (Scheduled(state="ended", id="7"), Verb.RETRY, "failed before (ended (SLURM job 7))"),
        (
            Scheduled(state="ended", id="7", cause="completed"),
            Verb.SUBMIT,
            "ended before its work was done (SLURM job 7); begins anew",
        ),
    ],
)
def test_every_state_of_the_scheduler_has_its_reason(scheduled: Scheduled, verb: Verb, reason: str) -> None:
    action = told(TRAIN, replace(PENDING, scheduled=scheduled))
    assert (action.verb, action.reason) == (verb, reason)


def test_an_error_of_its_own_is_told_with_what_the_scheduler_says() -> None:
    failed = RunStatus(state="failed", step=40, error="died without a word on n1")
    oom = Scheduled(state="ended", id="7", cause="out of memory")
    action = told(TRAIN, JobState(status=failed, has_checkpoint=True, scheduled=oom))
    assert action.verb is Verb.RESUME
    assert action.reason == (
        "failed at step 40 (died without a word on n1 (out of memory, SLURM job 7)); has a checkpoint"
    )


def test_with_failed_jobs_left_alone_interrupted_ones_still_go_on() -> None:
    for cause in get_args(Cause):
        ended = replace(PENDING, scheduled=Scheduled(state="ended", id="7", cause=cause))
        assert told(TRAIN, ended, retry_failed=False).runs == (cause in INTERRUPTIONS)
    never = Scheduled(state="pending", id="7", reason="BadConstraints", hopeless=True)
    assert told(TRAIN, replace(PENDING, scheduled=never), retry_failed=False).verb is Verb.CANCEL


def test_an_evaluation_is_submitted_to_wait_for_a_training_in_the_queue() -> None:
    states = {TRAIN.key: replace(PENDING, scheduled=Scheduled(state="running", id="7", ids=("7", "8")))}
    action = next(action for action in plan(JOBS, states) if action.job.key == JUDGE.key)
    assert (action.verb, action.after) == (Verb.SUBMIT, ("7", "8"))


def test_an_evaluation_that_waits_for_a_life_that_is_over_is_submitted_anew() -> None:
    waiting = replace(PENDING, scheduled=Scheduled(state="pending", id="9", reason="Dependency", after=("7",)))
    over = replace(PENDING, scheduled=Scheduled(state="ended", id="7", cause="cancelled"))
    again = replace(PENDING, scheduled=Scheduled(state="running", id="8"))
    for training, after in ((over, ()), (again, ("8",))):
        action = next(item for item in plan(JOBS, {TRAIN.key: training, JUDGE.key: waiting}) if item.job is JUDGE)
        assert (action.verb, action.replaces, action.after) == (Verb.RETRY, ("9",), after)
    same = replace(PENDING, scheduled=Scheduled(state="running", id="7"))
    action = next(item for item in plan(JOBS, {TRAIN.key: same, JUDGE.key: waiting}) if item.job is JUDGE)
    assert action.verb is Verb.WAIT
