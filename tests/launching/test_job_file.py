"""A job as a file: read back as it was written; what is wrong with it is said with its place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.atomic import read_json, write_json
from bench.launching.job_file import JobFile, JobSettings
from bench.plan import Job, study_jobs
from bench.store import Store
from tests.launching.test_inline import tiny_study

REAL, TRAIN, JUDGE = study_jobs(tiny_study())[:3]


@pytest.mark.parametrize("job", [REAL, TRAIN, JUDGE], ids=["real images", "training", "evaluation"])
def test_what_is_written_is_read_back(job: Job, tmp_path: Path) -> None:
    settings = JobSettings(device="cpu", nodes=2, ranks_per_node=4, hang_after_s=7.5, requeue=False)
    written = JobFile(job=job, store=tmp_path, settings=settings)
    path = written.write()
    assert path == tmp_path / "jobs" / job.key / "job.json"
    assert JobFile.read(path) == written
    assert JobFile.read(path).job.title == job.title
    assert written.ranks == 8
    assert read_json(path)["title"] == job.title


def test_wrong_settings_are_all_named_at_once() -> None:
    with pytest.raises(
        ValueError, match="nodes is 0.*device is 'tpu'; allowed are auto, cpu, cuda.*hang_after_s is -1"
    ):
        JobSettings(nodes=0, device="tpu", hang_after_s=-1)
    with pytest.raises(ValueError, match="ranks_per_node is 1.5; it must be a whole number"):
        JobSettings(ranks_per_node=1.5)  # type: ignore[arg-type]


def test_a_relative_store_is_refused() -> None:
    with pytest.raises(ValueError, match="store is 'results'; it must be an absolute path"):
        JobFile(job=TRAIN, store=Path("results"))


def test_a_file_that_is_not_what_it_was_is_refused(tmp_path: Path) -> None:
    path = JobFile(job=TRAIN, store=tmp_path).write()
    data = read_json(path)
    write_json(path, {**data, "key": "train-000000000000"})
    with pytest.raises(ValueError, match=f"it is the file of train-000000000000, but its fields give {TRAIN.key}"):
        JobFile.read(path)
    write_json(path, {**data, "settings": {"gpus": 8}})
    with pytest.raises(ValueError, match=r"job\.json: settings: unknown field gpus; known are: device, nodes"):
        JobFile.read(path)
    del data["store"], data["seed"]
    write_json(path, data)
    with pytest.raises(ValueError, match=r"job\.json: missing field seed, store"):
        JobFile.read(path)
    path.unlink()
    with pytest.raises(ValueError, match=r"job\.json: there is no such job file; submit the job again"):
        JobFile.read(path)


def test_two_seeds_are_two_files(tmp_path: Path) -> None:
    assert TRAIN.run is not None
    other = replace(TRAIN, run=replace(TRAIN.run, seed=7), seed=7)
    paths = {JobFile(job=job, store=Store(tmp_path).root).write() for job in (TRAIN, other, JUDGE)}
    assert len(paths) == 3
