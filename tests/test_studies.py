"""Every study: what its page says, that its rows are the published ones, and that equal settings are trained once."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path

import pytest

from bench.data.dataset import DatasetError
from bench.data.registry import ENTRIES
from bench.plan import study_jobs
from bench.reporting.published import published_methods
from bench.study import Study, get_study, list_studies
from tests.data import trees

NAMES = [name for name, _ in list_studies()]
SMALL = ["quickstart", "figure3_small", "table1_small", "table2_small", "table3_small", "table4_small", "table5_small"]
PAPER = {"table3": 8, "table4": 11, "table5": 9, "width": 9}
TABLE_1 = ("table1", "table2", "figure5")


@pytest.fixture
def no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    for entry in ENTRIES:
        monkeypatch.delenv(entry.root_variable, raising=False)


@pytest.fixture
def cityscapes_only(no_data: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPADE_BENCH_DATA_CITYSCAPES", str(trees.write_cityscapes(tmp_path / "cityscapes")))


def runs_of(study: Study) -> set[str]:
    return {job.run.run_id for job in study_jobs(study) if job.kind == "train" and job.run is not None}


@pytest.mark.parametrize("name", NAMES)
def test_its_page_says_what_it_is_how_to_run_it_and_what_it_costs(name: str) -> None:
    page = importlib.import_module(f"studies.{name}").__doc__ or ""
    for word in ("Command: ", f"./run_study.py plan {name}", "Cost"):
        assert word in page.replace(f"run {name}", f"plan {name}"), f"{name}: no {word!r}"


@pytest.mark.parametrize("name", SMALL)
def test_a_small_study_has_the_published_labels_and_says_its_scale(name: str, no_data: None) -> None:
    study = get_study(name)
    assert study.published_table is not None
    assert {row.label for row in study.rows} <= set(published_methods(study.published_table))
    assert all(row.published_method == row.label for row in study.rows)
    assert "Scaled down: synthetic scenes" in study.scale_note


def test_small_studies_share_the_runs_of_equal_settings(no_data: None) -> None:
    quick, three, five = (get_study(name) for name in ("quickstart", "table3_small", "table5_small"))
    assert runs_of(quick) <= runs_of(three)
    assert runs_of(get_study("figure3_small")) <= runs_of(quick)
    assert runs_of(get_study("table2_small")) < runs_of(get_study("table1_small"))
    assert len(runs_of(quick) & runs_of(five)) == 4  # SPADE, pix2pixHD++ w/ SPADE, pix2pixHD++, pix2pixHD; seed 0
    assert len(runs_of(get_study("table4_small"))) == 8 * 3


@pytest.mark.parametrize(("name", "rows"), PAPER.items())
def test_a_paper_study_takes_the_data_sets_that_are_there(name: str, rows: int, cityscapes_only: None) -> None:
    study = get_study(name)
    assert [dataset.published_dataset for dataset in study.datasets] == ["Cityscapes"]
    assert study.scale_note == "Left out, since no folder was given: COCO-Stuff, ADE20K."
    assert len(study.rows) == rows
    assert study.ranks == 8
    (dataset,) = study.datasets
    assert dataset.training.batch_images == 32
    assert study.published_table is not None
    methods = {row.published_method for row in study.rows} - {None}
    assert methods <= set(published_methods(study.published_table))


@pytest.mark.parametrize("name", TABLE_1)
def test_what_is_about_table_1_shares_its_runs(name: str, cityscapes_only: None) -> None:
    study = get_study(name)
    assert [row.label for row in study.rows] == ["CRN", "pix2pixHD", "SPADE (Ours)"]
    assert study.imports == ("SIMS",)
    assert {"CRN", "SIMS", "pix2pixHD", "SPADE (Ours)"} == set(published_methods("Table 1"))
    assert "Left out, since no folder was given: COCO-Stuff, ADE20K, ADE20K-outdoor." in study.scale_note
    assert runs_of(study) == runs_of(get_study("table1"))
    assert len(runs_of(study) & runs_of(get_study("table3"))) == 2
    crn, other = (study.run(row, study.datasets[0], 0) for row in study.rows[:2])
    assert (crn.training.batch_images, other.training.batch_images) == (8, 32)
    assert 0 <= crn.training.steps * 8 - other.training.steps * 32 < 8


def test_equal_settings_of_the_papers_tables_are_one_run(cityscapes_only: None) -> None:
    three, four, five, width = (runs_of(get_study(name)) for name in PAPER)
    assert (len(three), len(four), len(five), len(width)) == (8, 8, 9, 9)
    assert len(three & four) == 2  # SPADE and its compact form
    assert len(three & five) == 4
    assert len(width & four) == 3


@pytest.mark.parametrize("name", PAPER)
def test_without_any_data_it_says_what_to_give(name: str, no_data: None) -> None:
    with pytest.raises(DatasetError, match=f"study '{name}': no folder of any .*--data NAME=DIR .*SPADE_BENCH_DATA_"):
        get_study(name)


def test_a_folder_that_is_wrong_is_not_passed_over(
    no_data: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPADE_BENCH_DATA_CITYSCAPES", str(tmp_path / "nowhere"))
    with pytest.raises(DatasetError, match=r"nowhere .*is not a folder"):
        get_study("table3")


def test_a_row_with_a_batch_of_its_own_draws_as_many_images(no_data: None) -> None:
    study = get_study("quickstart")
    row, (dataset,) = study.rows[0], study.datasets
    whole, small = study.run(row, dataset, 0).training, study.run(replace(row, batch_images=3), dataset, 0).training
    assert (whole.batch_images, whole.steps) == (8, 250)
    assert (small.batch_images, small.steps, small.norm_group_images) == (3, 667, 3)
    kept = replace(study, rows=(replace(row, batch_images=3),))
    assert Study.from_json(kept.to_json(), "here") == kept
    with pytest.raises(ValueError, match=r"batch_images is 0; it must be at least 1"):
        replace(row, batch_images=0)
