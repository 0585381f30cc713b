"""A thousand runs: planned, submitted and watched with a handful of SLURM's commands."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from bench.atomic import write_json
from bench.launching.profile import ClusterProfile
from bench.launching.slurm.backend import asked_plan
from bench.launching.slurm.submit import Handed
from bench.launching.snapshot import Snapshot
from bench.plain import to_plain
from bench.plan import Job, Verb, study_jobs, summary
from bench.store import Evaluation, Score, Store
from bench.study import Study
from tests.launching.slurm.fake import FakeSlurm
from tests.launching.slurm.test_submit import once
from tests.reporting.conftest import make_study

ROWS = (("SPADE decoder", "spade-decoder", None), ("pix2pixHD", "pix2pixhd", None))


@dataclass
class Timed:
    """What a phase took."""

    processor_s: float
    """Other work on the machine does not count, nor do SLURM's answers."""
    seconds: float
    commands: list[str]


def timed(slurm: FakeSlurm, work: Callable[[], object]) -> Timed:
    slurm.forget_calls()
    began, processor = time.perf_counter(), time.process_time()
    work()
    return Timed(
        processor_s=round(time.process_time() - processor, 2),
        seconds=round(time.perf_counter() - began, 2),
        commands=[call[0] for call in slurm.calls()],
    )


def finish(store: Store, job: Job) -> None:
    """What the job leaves in the store."""
    if job.evaluation is None:
        assert job.run is not None
        folder = store.run(job.run)
        folder.create(job.run)
        folder.write_status(state="done", step=300, steps=300)
        return
    evaluation = Evaluation(
        eval_id=job.evaluation.eval_id,
        spec=job.evaluation,
        images=200,
        step=300,
        scores={"mIoU": Score(value=40.0)},
        class_iou={},
        class_pixels={},
    )
    write_json(store.evaluation_folder(evaluation.eval_id) / "evaluation.json", to_plain(evaluation))


def watched(store: Store, slurm: FakeSlurm, profile: ClusterProfile, study: Study, handed: Handed) -> None:
    """The cluster does half of the jobs, and the study is looked at after every tenth of them."""
    by_number = {handed.submitted[job.key][0]: job for job in study_jobs(study) if job.key in handed.submitted}
    for _ in range(5):
        started = slurm.start(len(by_number) // 10)
        for number in started:
            finish(store, by_number[number])
        slurm.end(started)
        asked_plan(study, store, profile)


@pytest.mark.parametrize(
    "runs",
    [60, pytest.param(1000, marks=pytest.mark.slow)],
)
def test_the_number_of_calls_does_not_grow_with_the_number_of_runs(
    slurm: FakeSlurm, store: Store, profile: ClusterProfile, snapshot: Snapshot, runs: int
) -> None:
    study = make_study(rows=ROWS, seeds=tuple(range(runs // 2)))
    slurm.set(delay_s=0.5 if runs > 100 else 0.0)
    handed: list[Handed] = []
    submitted = timed(slurm, lambda: handed.append(once(store, profile, snapshot, study)[1]))
    # how the cluster is, the trainings, the real images, the evaluations
    assert submitted.commands == ["scontrol", "sbatch", "sbatch", "sbatch"]
    assert len(handed[0].submitted) == len(slurm.jobs) == 2 * runs + 1
    again = timed(slurm, lambda: once(store, profile, snapshot, study))
    assert again.commands == ["scontrol", "squeue"]
    watching = timed(slurm, lambda: watched(store, slurm, profile, study, handed[0]))
    assert len(watching.commands) <= 5 * 3
    counts = summary(asked_plan(study, store, profile).actions)
    assert Verb.SUBMIT.value not in counts
    print(f"{runs} runs: submitted {submitted}, again {again}, watched {watching}")
    if runs > 100:
        assert submitted.processor_s < 20
        assert again.processor_s < 6
        assert watching.processor_s < 40


def test_arrays_stop_at_the_limit_of_the_cluster(
    slurm: FakeSlurm, store: Store, profile: ClusterProfile, snapshot: Snapshot
) -> None:
    slurm.set(max_array_size=25)
    study = make_study(rows=ROWS, seeds=tuple(range(30)))
    _, handed = once(store, profile, snapshot, study)
    assert handed.left == []
    sizes: dict[str, int] = {}
    for number in slurm.jobs:
        sizes[number.partition("_")[0]] = sizes.get(number.partition("_")[0], 0) + 1
    assert sorted(sizes.values()) == [1, 10, 10, 25, 25, 25, 25]
    _, again = once(store, replace(profile, max_array_size=5), snapshot, study)
    assert again.submitted == {}
