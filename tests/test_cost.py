"""What a study costs, from what its runs were measured at."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.cost import study_costs, told_cost
from bench.job_records import JobRecords, Submission
from bench.lives import Start, begin_life
from bench.plan import study_jobs
from bench.store import Store
from tests.reporting.conftest import make_study

ROWS = (
    ("SPADE decoder", "spade-decoder", None),
    ("pix2pixHD", "pix2pixhd", None),
    ("pix2pixHD++", "pix2pixhd-pp", None),
)
STUDY = make_study(rows=ROWS, seeds=(0, 1))  # 300 steps of 8 images a run
TRAININGS = [job for job in study_jobs(STUDY) if job.kind == "train"]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """The first row ran on 4 GPUs, the second (its second seed) on a CPU, the third not at all."""
    store = Store(tmp_path)
    for number, speed, gpus in ((0, 2.0, ["V100"]), (4, 0.5, [])):
        job = TRAININGS[number]
        assert job.run is not None
        folder = store.run(job.run)
        folder.create(job.run)
        folder.write_status(state="running", step=100, steps=300, images_per_s=speed)
        folder.write_provenance({"hardware": {"gpus": gpus}}, 1)
        rows = [
            {"step": 50, "memory_mib": 2048.0},
            {"step": 100, "memory_mib": 3072.0},
            {"step": 100, "score/mIoU": 1.0},
        ]
        folder.metrics_file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    record = Submission(token="t", name="n-t", scheduler="SLURM", time=0.0, folder="f", nodes=2, ranks_per_node=2)
    JobRecords(store).intend(TRAININGS[0].key, record)
    return store


def test_gpu_hours_follow_from_images_and_speed(store: Store) -> None:
    first, second, third = study_costs(STUDY, store)
    assert (first.label, first.runs, first.images, first.ranks, first.on_gpus) == ("SPADE decoder", 2, 2400, 4, True)
    assert first.hours == pytest.approx(2400 / 2.0 / 3600)
    assert first.rank_hours == pytest.approx(4 * 2400 / 2.0 / 3600)
    assert first.memory_gib == 3.0
    assert (second.images_per_s, second.on_gpus, second.ranks) == (0.5, False, 1)
    assert (third.images_per_s, third.hours, third.rank_hours, third.memory_gib) == (None, None, None, None)


def test_a_plan_tells_the_cost_as_far_as_it_is_known(store: Store) -> None:
    assert told_cost(STUDY, store) == (
        "training, by measured speed: 2.7 GPU-hours for 1 of 3 rows; 2.7 CPU process-hours for 1 of 3 rows; 1 of 3 "
        "rows have not run yet, so their cost is unknown: a few hundred steps of each tell (row by row: cluster cost "
        f"{STUDY.name})"
    )


def test_the_newest_life_says_on_how_many_ranks(store: Store) -> None:
    folder = store.job_folder(TRAININGS[0].key)
    begin_life(folder, Start(submission="t"), ranks=8)
    assert study_costs(STUDY, store)[0].ranks == 8
