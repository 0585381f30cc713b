"""Imported pictures in a study's table: marked external in every format; until then, what is to be done."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.imports import Imported, evaluation_of_import, write_import
from bench.reporting.cells import Table
from bench.reporting.collect import Collector
from bench.reporting.render import render
from bench.reporting.tables import study_tables
from bench.store import Evaluation, Score, Store
from bench.study import Study

from .conftest import FakeStore, make_dataset, make_study

STUDY = replace(make_study(table="Table 1"), imports=("SIMS",))
DATASET = STUDY.datasets[0]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def put(store: Store, name: str, *, judged: float | None = None, val_images: int = 200) -> Imported:
    imported = Imported(
        name=name,
        dataset=replace(DATASET.ref, manifest="", val_images=val_images),
        images=val_images,
        sha256="ab" * 32,
        stored_sha256="cd" * 32,
        source="/somewhere",
        imported_at="2026-11-28T10:00:00+00:00",
        note="the authors' own results",
    )
    write_import(store, imported)
    if judged is not None:
        spec = evaluation_of_import(imported, DATASET.protocol)
        store.write_evaluation(
            Evaluation(
                eval_id=spec.eval_id,
                spec=spec,
                images=val_images,
                step=None,
                scores={"mIoU": Score(value=judged)},
                class_iou={},
                class_pixels={},
            )
        )
    return imported


def table_of(store: Store, study: Study = STUDY) -> Table:
    (table,) = study_tables(study, store)
    return table


def test_a_system_that_the_study_names_is_a_row_from_the_start(store: Store) -> None:
    table = table_of(store)
    assert [row.label for row in table.rows][-2:] == ["SIMS", "real images (upper bound)"]
    cell = table.cell("SIMS", "mIoU")
    assert cell.state == "pending"
    assert "import-images --variant SIMS --dataset synthetic" in cell.detail
    put(store, "SIMS")
    assert "evaluate --imported SIMS --dataset synthetic" in table_of(store).cell("SIMS", "mIoU").detail


def test_a_judged_import_is_marked_external_in_every_format(store: Store) -> None:
    put(store, "SIMS", judged=31.5)
    table = table_of(store)
    row = next(row for row in table.rows if row.label == "SIMS")
    assert (row.external, row.real, row.marks) == (True, False, "⊕")
    assert table.cell("SIMS", "mIoU").value == 31.5
    assert [row.label for row in table.rows if row.external] == ["SIMS"]
    note = next(note for note in table.notes if note.startswith("⊕ external, SIMS"))
    assert "the authors' own results" in note
    assert "200 images" in note
    for form in ("terminal", "md", "csv", "latex", "html"):
        text = render("t", [table], form)  # type: ignore[arg-type]
        assert (r"\oplus" if form == "latex" else "⊕") in text
        assert "31.5" in text


def test_a_row_without_runs_shows_what_was_imported_under_its_variants_name(store: Store) -> None:
    put(store, "pix2pixhd", judged=20.0)
    table = table_of(store)
    assert table.cell("pix2pixHD", "mIoU").value == 20.0
    assert next(row for row in table.rows if row.label == "pix2pixHD").external
    assert "20.0" in render("t", [table], "md")
    fake = FakeStore(STUDY, store)
    fake.done("pix2pixHD", mIoU=15.0)
    own = table_of(store)
    assert own.cell("pix2pixHD", "mIoU").value == 15.0
    assert not next(row for row in own.rows if row.label == "pix2pixHD").external


def test_pictures_of_other_maps_are_not_shown(store: Store) -> None:
    put(store, "SIMS", judged=31.5, val_images=100)
    assert "other validation images" in table_of(store).cell("SIMS", "mIoU").detail


def test_pictures_that_were_replaced_do_not_keep_their_score(store: Store) -> None:
    old = put(store, "SIMS", judged=31.5)
    write_import(store, replace(old, sha256="ef" * 32))
    assert table_of(store).cell("SIMS", "mIoU").state == "pending"


def test_the_published_cell_stands_beside_the_import() -> None:
    dataset = replace(make_dataset("coco_stuff", published="Cityscapes"))
    study = replace(make_study(datasets=(dataset,), table="Table 1"), imports=("SIMS",))
    (table,) = study_tables(study, Store("no-store"))
    assert table.cell("SIMS", "paper:Cityscapes:mIoU").value == 47.2


def test_a_stored_study_keeps_its_imports() -> None:
    assert Study.from_json(STUDY.to_json(), "here") == STUDY
    old = {name: value for name, value in STUDY.to_json().items() if name != "imports"}
    assert Study.from_json(old, "here") == replace(STUDY, imports=())


def test_an_import_may_not_be_called_like_a_row_or_like_nothing() -> None:
    with pytest.raises(ValueError, match="row label pix2pixHD occurs twice"):
        replace(STUDY, imports=("pix2pixHD",))
    with pytest.raises(ValueError, match="1 to 64 letters"):
        replace(STUDY, imports=("a b",))


def test_the_real_images_stay_the_real_images(store: Store) -> None:
    rows = Collector(store).rows(STUDY, DATASET)
    assert [row.label for row in rows if row.real] == ["real images"]
