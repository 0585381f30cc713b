"""Every pair that the published table orders, with the verdict that the seeds allow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.reporting.cells import Table, TableRow
from bench.reporting.orderings import orderings_table
from bench.reporting.render import render
from bench.reporting.tables import Collected
from bench.reporting.text import cell_text
from bench.store import Store
from tests.reporting.conftest import FakeStore, make_dataset, make_study

SCORES = {
    "SPADE decoder": (50.0, 51.0, 49.0),
    "decoder w/ Concat": (49.5, 50.5, 50.0),
    "pix2pixHD++": (20.0, 21.0, 19.0),
    "pix2pixHD": (30.0, 31.0, 29.0),
}


@pytest.fixture
def seeded(tmp_path: Path) -> FakeStore:
    fake = FakeStore(make_study(seeds=(0, 1, 2)), Store(tmp_path / "store"))
    fake.judge(None, mIoU=89.0)
    for label, scores in SCORES.items():
        for seed, score in enumerate(scores):
            fake.done(label, seed, mIoU=score)
    return fake


def line(table: Table, label: str) -> TableRow:
    (found,) = [row for row in table.rows if row.label == label]
    return found


def texts(table: Table, label: str) -> list[str]:
    return [
        cell_text(cell, column, table) for cell, column in zip(line(table, label).cells, table.columns, strict=True)
    ]


def test_pairs_hold_are_reversed_or_stay_open(seeded: FakeStore) -> None:
    table = orderings_table(Collected(seeded.study, seeded.store))
    assert texts(table, "SPADE decoder over pix2pixHD++") == [
        *("50.0", "20.0", "+30.0 ± 2.3", "1.00", "holds"),
        *("+2.5", "+0.2", "+3.5"),
    ]
    assert texts(table, "SPADE decoder over decoder w/ Concat")[3:5] == ["0.50", "open"]
    assert texts(table, "pix2pixHD++ over pix2pixHD")[2:5] == ["−10.0 ± 2.3", "0.00", "reversed"]
    assert not [row.label for row in table.rows if "odd_row" in row.label or "real" in row.label]
    assert table.notes[0] == "Of the paper's 5 orderings by mIoU: holds 3, open 1, reversed 1."


def test_pairs_that_the_paper_orders_both_ways_are_told_and_left_out(seeded: FakeStore) -> None:
    table = orderings_table(Collected(seeded.study, seeded.store))
    assert not [row.label for row in table.rows if "Concat" in row.label and "pix2pixHD++" in row.label]
    assert "order them differently or tie: decoder w/ Concat and pix2pixHD++." in " ".join(table.notes)


def test_one_seed_decides_nothing(fake: FakeStore) -> None:
    for label, scores in SCORES.items():
        fake.done(label, mIoU=scores[0])
    table = orderings_table(Collected(fake.study, fake.store))
    assert texts(table, "SPADE decoder over pix2pixHD")[:5] == ["50.0", "30.0", "+20.0", "1.00", ""]
    assert "not decided without two judged seeds of both rows 5" in table.notes[0]


def test_a_published_data_set_is_ordered_by_its_own_numbers(tmp_path: Path) -> None:
    study = make_study(datasets=(make_dataset("coco_stuff", published="COCO-Stuff"),))
    table = orderings_table(Collected(study, Store(tmp_path)))
    assert [column.heading for column in table.columns if column.group.startswith("paper")] == ["COCO-Stuff"]
    assert texts(table, "pix2pixHD++ over decoder w/ Concat") == ["", "", "", "", "", "+0.8"]


@pytest.mark.parametrize("form", ["terminal", "md", "csv", "latex", "html"])
def test_every_format_has_the_verdicts(seeded: FakeStore, form: str) -> None:
    table = orderings_table(Collected(seeded.study, seeded.store))
    text = render("Orderings", [table], form, width=200)  # type: ignore[arg-type]
    assert "SPADE decoder over pix2pixHD" in text
    assert ("verdict" if form == "csv" else "reversed") in text


def test_a_study_beside_no_published_table_is_refused(fake: FakeStore) -> None:
    with pytest.raises(ValueError, match="--orderings: the study tiny stands beside no published table"):
        orderings_table(Collected(replace(fake.study, published_table=None), fake.store))
