"""Tables of every stage of a study: values exact, states with their reasons, nothing invented."""

from __future__ import annotations

import statistics
from dataclasses import replace
from pathlib import Path

import pytest
from scipy import stats

from bench.reporting.cells import Table
from bench.reporting.tables import study_tables
from bench.store import Evaluation, Store

from .conftest import MISSING, ROWS, FakeStore, make_dataset, make_study


def table_of(fake: FakeStore) -> Table:
    (table,) = study_tables(fake.study, fake.store)
    return table


def test_empty_store_gives_every_row_pending(fake: FakeStore) -> None:
    table = table_of(fake)
    assert [row.label for row in table.rows] == [label for label, _, _ in ROWS] + ["real images (upper bound)"]
    metrics = [index for index, column in enumerate(table.columns) if column.kind == "metric"]
    assert {row.cells[index].state for row in table.rows for index in metrics} == {"pending"}
    assert [column.metric for column in table.columns if column.kind == "metric"] == [
        "mIoU",
        "accu@all",
        "accu@labelled",
        "FD@synthetic-judge",
        "FD@efficientnet-lite0",
        "FID@tf",
    ]


def test_partial_store_tells_each_state(partial: FakeStore) -> None:
    table = table_of(partial)
    value = table.cell("SPADE decoder", "mIoU")
    assert (value.state, value.value, value.n_images, value.n_seeds, value.interval) == ("value", 43.25, 200, 1, None)
    running = table.cell("pix2pixHD++", "mIoU")
    assert (running.state, running.detail) == ("running", "running 61 %")
    failed = table.cell("pix2pixHD", "FID@tf")
    assert (failed.state, failed.detail) == ("failed", "failed (CUDA out of memory)")
    assert table.cell("100% odd_row & co", "mIoU").state == "pending"
    missing = table.cell("SPADE decoder", "FID@tf")
    assert (missing.state, missing.detail) == ("n/a", f"n/a ({MISSING})")
    assert table.reason_number(missing) == table.reason_number(table.cell("decoder w/ Concat", "FID@tf"))
    assert set(table.reasons) == {f"n/a ({MISSING})", "failed (CUDA out of memory)"}


def test_trained_but_not_judged_and_failed_evaluation(fake: FakeStore) -> None:
    fake.train("SPADE decoder")
    fake.train("pix2pixHD")
    spec = fake.judge("pix2pixHD", mIoU=1.0)
    (fake.store.evaluation_folder(spec.eval_id) / "evaluation.json").unlink()
    fake.store.write_evaluation_error(spec.eval_id, "Traceback\nValueError: no image called 7.png")
    table = table_of(fake)
    assert table.cell("SPADE decoder", "mIoU").detail == "pending (trained, not judged yet)"
    assert table.cell("pix2pixHD", "mIoU").detail == "failed (evaluation: ValueError: no image called 7.png)"


def test_parameters_come_from_provenance_or_stay_blank(partial: FakeStore) -> None:
    table = table_of(partial)
    assert table.cell("SPADE decoder", "parameters").value == 1_234_567
    assert table.cell("pix2pixHD", "parameters").state == "blank"
    assert table.cell("real images (upper bound)", "parameters").state == "blank"


def test_footnote_names_run_step_weights_protocol_commit_and_images(partial: FakeStore) -> None:
    run_id = partial.run_spec("SPADE decoder").run_id
    footnote = table_of(partial).cell("SPADE decoder", "mIoU").footnote
    assert footnote == f"run {run_id}; step 300 (last), raw weights; synthetic@2; commit abcdef0123; 200 images"


def test_several_seeds_give_mean_and_interval_as_scipy(tmp_path: Path) -> None:
    fake = FakeStore(make_study(seeds=(0, 1, 2)), Store(tmp_path))
    values = [43.0, 45.5, 41.25]
    for seed, value in enumerate(values):
        fake.done("SPADE decoder", seed, mIoU=value)
    fake.done("pix2pixHD", 1, mIoU=20.0)
    fake.train("pix2pixHD", 2, state="failed", error="lost its node")
    table = table_of(fake)
    cell = table.cell("SPADE decoder", "mIoU")
    assert cell.value == pytest.approx(statistics.fmean(values), abs=1e-12)
    expected = stats.t.interval(0.95, 2, loc=statistics.fmean(values), scale=stats.sem(values))
    assert cell.interval == pytest.approx(expected, rel=1e-12)
    assert (cell.n_seeds, cell.n_seeds_planned, cell.complete) == (3, 3, True)
    incomplete = table.cell("pix2pixHD", "mIoU")
    assert (incomplete.value, incomplete.n_seeds, incomplete.interval, incomplete.complete) == (20.0, 1, None, False)
    assert incomplete.detail == "seed 0: pending; seed 2: failed (lost its node)"
    assert "pix2pixHD: seed 0: pending; seed 2: failed (lost its node)." in table.notes


def test_best_and_second_share_places_at_the_printed_precision(fake: FakeStore) -> None:
    fake.judge(None, mIoU=89.0, FD=0.0)
    fake.done("SPADE decoder", mIoU=43.21, FD=3.0)
    fake.done("decoder w/ Concat", mIoU=43.19, FD=4.0)
    fake.done("pix2pixHD++", mIoU=30.0, FD=5.0)
    fake.done("pix2pixHD", mIoU=31.0, FD=4.0)
    table = table_of(fake)
    standings = {row.label: row.cells[table.column("mIoU")].standing for row in table.rows}
    assert standings == {
        "SPADE decoder": "best",
        "decoder w/ Concat": "best",
        "pix2pixHD++": "",
        "pix2pixHD": "",
        "100% odd_row & co": "",
        "real images (upper bound)": "",
    }
    distances = [row.cells[table.column("FD@synthetic-judge")].standing for row in table.rows]
    assert distances == ["best", "second", "", "second", "", ""]


def test_one_value_is_not_the_best_of_anything(fake: FakeStore) -> None:
    fake.done("SPADE decoder", mIoU=43.0)
    assert table_of(fake).cell("SPADE decoder", "mIoU").standing == ""


def test_context_columns_without_any_difference_where_the_paper_has_no_such_data_set(partial: FakeStore) -> None:
    table = table_of(partial)
    assert [column.key for column in table.columns if column.group] == [
        "paper:params_m",
        "paper:COCO-Stuff:mIoU",
        "paper:ADE20K:mIoU",
        "paper:Cityscapes:mIoU",
    ]
    assert table.cell("SPADE decoder", "paper:ADE20K:mIoU").value == 38.5
    assert table.cell("SPADE decoder", "paper:params_m").value == 96
    assert table.cell("100% odd_row & co", "paper:ADE20K:mIoU").state == "blank"
    assert all(cell.delta is None for row in table.rows for cell in row.cells)
    assert not any(column.kind == "delta" for column in table.columns)


def test_difference_only_where_a_published_cell_exists(tmp_path: Path) -> None:
    dataset = make_dataset("coco_stuff", "COCO-Stuff")
    rows = (
        ("SPADE", "spade-decoder", "SPADE (Ours)"),
        ("SIMS stand-in", "pix2pixhd", "SIMS"),
        ("ours", "pix2pixhd-pp", None),
    )
    fake = FakeStore(make_study(datasets=(dataset,), rows=rows, table="Table 1"), Store(tmp_path))
    for label, _, _ in rows:
        fake.done(label, mIoU=36.0, accu_all=60.0, accu_labelled=70.0, FID=25.5)
    table = table_of(fake)
    spade = table.cell("SPADE", "mIoU")
    assert (spade.published, spade.delta) == (37.4, pytest.approx(-1.4))
    assert "Table 1" in spade.published_source
    assert table.cell("SPADE", "delta:accu@labelled").value == pytest.approx(70.0 - 67.9)
    assert table.cell("SPADE", "delta:FID@tf").value == pytest.approx(25.5 - 22.6)
    assert table.cell("SPADE", "accu@all").delta is None
    keys = [column.key for column in table.columns]
    assert "delta:accu@all" not in keys
    assert keys.count("paper:COCO-Stuff:FID") == 1
    for label in ("SIMS stand-in", "ours"):
        for key in ("delta:mIoU", "paper:COCO-Stuff:mIoU"):
            assert table.cell(label, key).state == "blank"
        assert table.cell(label, "mIoU").delta is None
    assert sum("which one it is, is our guess" in note for note in table.notes) == 1


def test_unknown_published_cells_stay_blank(tmp_path: Path) -> None:
    dataset = make_dataset("coco_stuff", "COCO-Stuff")
    rows = (("5x5", "spade-decoder-kernel-5", "5x5"), ("3x3", "spade-decoder", "3x3"))
    fake = FakeStore(make_study(datasets=(dataset,), rows=rows, table="Table 4"), Store(tmp_path))
    for label, _, _ in rows:
        fake.done(label, mIoU=30.0)
    table = table_of(fake)
    assert table.cell("5x5", "paper:COCO-Stuff:mIoU").state == "blank"
    assert table.cell("5x5", "delta:mIoU").state == "blank"
    assert table.cell("3x3", "delta:mIoU").value == pytest.approx(-5.2)


def test_rank_agreement_needs_three_rows(partial: FakeStore) -> None:
    assert not any("Kendall" in note for note in table_of(partial).notes)
    partial.done("pix2pixHD++", mIoU=50.0)
    (note,) = [note for note in table_of(partial).notes if "Kendall" in note]
    # ours: 43.25, 40, 50; COCO-Stuff 35.2, 31.9, 32.7; ADE20K 38.5, 33.6, 38.3; Cityscapes 62.3, 61.1, 58.8
    for name, published in {"COCO-Stuff": (35.2, 31.9, 32.7), "Cityscapes": (62.3, 61.1, 58.8)}.items():
        tau = stats.kendalltau([43.25, 40.0, 50.0], published).statistic
        assert f"{name} {tau:+.2f} (n = 3 rows)" in note


def test_notes_explain_protocol_scale_reconstruction_and_bound(partial: FakeStore) -> None:
    table = table_of(partial)
    notes = "\n".join(table.notes)
    assert "synthetic@2" in table.title
    assert "Protocol synthetic@2" in notes
    assert "widths of 8, 300 steps." in notes
    assert "† reconstruction, decoder w/ Concat:" in notes
    assert {row.label: row.marks for row in table.rows}["decoder w/ Concat"] == "†"
    assert "one seed only" in notes
    assert "a bound for the labels' scores" in notes


def test_a_perceptual_network_that_stands_in_for_another_is_named(tmp_path: Path) -> None:
    crn = make_study(rows=(("CRN", "crn", None), ("CRN, one image", "crn-single", None)))
    row = replace(crn.rows[1], recipe=crn.rows[1].variant.recipe("crn-lite0"))
    fake = FakeStore(replace(crn, rows=(crn.rows[0], row)), Store(tmp_path))
    found = [note for note in table_of(fake).notes if "EfficientNet-Lite0" in note]
    assert found == ["Perceptual loss on features of EfficientNet-Lite0 in place of VGG19's: CRN, one image."]


def test_store_copied_to_a_machine_with_other_weights_still_reports(fake: FakeStore) -> None:
    fake.train("SPADE decoder")
    found = fake.judge("SPADE decoder", mIoU=43.0)
    (fake.store.evaluation_folder(found.eval_id) / "evaluation.json").unlink()
    names = sorted(found.spec.weights_sha256)
    elsewhere = replace(found.spec, weights_sha256=dict.fromkeys(names, "0" * 64))
    partly = replace(found.spec, weights_sha256={**elsewhere.weights_sha256, names[0]: "missing"})
    for spec, value in ((partly, 1.0), (elsewhere, 43.0)):
        evaluation = Evaluation(**{**vars(found), "eval_id": spec.eval_id, "spec": spec})
        evaluation.scores["mIoU"] = replace(evaluation.scores["mIoU"], value=value)
        fake.store.write_evaluation(evaluation)
    table = table_of(fake)
    assert table.cell("SPADE decoder", "mIoU").value == 43.0
    assert any("other judge or extractor files" in note and "SPADE decoder" in note for note in table.notes)


def test_real_images_alone_can_be_left_out(fake: FakeStore) -> None:
    study = replace(fake.study, real_row=False)
    (table,) = study_tables(study, fake.store)
    assert not any(row.real for row in table.rows)


def test_an_evaluation_of_another_version_is_passed_over_and_named(partial: FakeStore) -> None:
    folder = partial.store.evaluation_folder("0123456789ab")
    folder.mkdir()
    (folder / "evaluation.json").write_text('{"eval_id": "0123456789ab"}', encoding="utf-8")
    table = table_of(partial)
    assert table.cell("SPADE decoder", "mIoU").value == 43.25
    (note,) = [note for note in table.notes if note.startswith("Passed over")]
    assert "0123456789ab/evaluation.json: missing field" in note
