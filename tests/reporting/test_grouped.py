"""Tables of several data sets side by side, on fabricated stores of the size of Tables 1 and 3."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bench.reporting.cells import Table
from bench.reporting.options import ReportOptions
from bench.reporting.panels import panels
from bench.reporting.render import FORMATS, render
from bench.reporting.tables import Collected

from .conftest import FakeStore
from .fabricated import FABRICATED, fabricate_table_1, fabricate_table_3

COCO = "coco_stuff|paper2019-coco@1|"
ADE20K = "ade20k|paper2019-ade20k@1|"
CITYSCAPES = "cityscapes|paper2019-cityscapes@1|"


@pytest.fixture(scope="module")
def table_1(tmp_path_factory: pytest.TempPathFactory) -> FakeStore:
    return fabricate_table_1(tmp_path_factory.mktemp("table1"), images=200)


@pytest.fixture(scope="module")
def table_3(tmp_path_factory: pytest.TempPathFactory) -> FakeStore:
    return fabricate_table_3(tmp_path_factory.mktemp("table3"))


def tables_of(fake: FakeStore, **options: object) -> list[Table]:
    return Collected(fake.study, fake.store, ReportOptions(**options)).report_tables()  # type: ignore[arg-type]


def test_the_columns_are_those_of_the_papers_table(table_1: FakeStore, table_3: FakeStore) -> None:
    grouped, *single = tables_of(table_3)
    assert grouped.grouped
    assert [table.dataset for table in single] == ["coco_stuff", "ade20k", "cityscapes"]
    assert [(column.group, column.heading) for column in grouped.columns] == [
        ("", "#param on ade20k"),
        ("", "Table 3 #param"),
        *(
            (group, heading)
            for group in (
                "COCO-Stuff, paper2019-coco@1, N = 5,000",
                "ADE20K, paper2019-ade20k@1, N = 2,000",
                "Cityscapes, paper2019-cityscapes@1, N = 500",
            )
            for heading in ("mIoU ↑", "Table 3 mIoU", "Δ mIoU")
        ),
    ]
    first = tables_of(table_1)[0]
    coco = [column.heading for column in first.columns if column.group.startswith("COCO")]
    assert [heading for heading in coco if "Table" not in heading and "Δ" not in heading] == [
        "mIoU ↑",
        "accu@labelled ↑",
        "FID@tv2019 ↓",
    ]
    assert "accu@all ↑" in [column.heading for column in first.columns if column.group.startswith("Cityscapes")]
    assert any("ade20k_outdoor" in column.key and "nothing judged yet" in column.group for column in first.columns)


def test_its_cells_are_those_of_the_single_tables(table_3: FakeStore) -> None:
    grouped, *single = tables_of(table_3)
    for table, prefix in zip(single, (COCO, ADE20K, CITYSCAPES), strict=True):
        for row in table.rows:
            for key in ("mIoU", "delta:mIoU"):
                assert grouped.cell(row.label, prefix + key) == table.cell(row.label, key)


def test_every_state_is_told(table_3: FakeStore) -> None:
    grouped = tables_of(table_3)[0]
    states = {row.label: row.cells[grouped.column(f"{ADE20K}mIoU")].state for row in grouped.rows}
    assert states == {
        "decoder w/ SPADE (Ours)": "value",
        "compact decoder w/ SPADE": "value",
        "decoder w/ Concat": "value",
        "pix2pixHD++ w/ SPADE": "value",
        "pix2pixHD++ w/ Concat": "running",
        "pix2pixHD++": "pending",
        "compact pix2pixHD++": "failed",
        "pix2pixHD": "value",
        "real images (upper bound)": "value",
    }
    assert grouped.cell("pix2pixHD++ w/ SPADE", f"{ADE20K}mIoU").n_seeds == 2
    assert grouped.reasons == ("pending (trained, not judged yet)", "failed (CUDA out of memory)")


def test_a_difference_names_its_cell_of_the_paper(table_1: FakeStore, table_3: FakeStore) -> None:
    first, third = tables_of(table_1)[0], tables_of(table_3)[0]
    in_first = first.cell("SPADE (Ours)", f"{COCO}delta:mIoU")
    in_third = third.cell("decoder w/ SPADE (Ours)", f"{COCO}delta:mIoU")
    assert (in_first.published, in_first.published_cell) == (37.4, "Table 1, SPADE (Ours), COCO-Stuff mIoU")
    assert (in_third.published, in_third.published_cell) == (35.2, "Table 3, decoder w/ SPADE (Ours), COCO-Stuff mIoU")
    (told,) = [note for note in third.notes if "contradicts" in note]
    assert "COCO-Stuff mIoU of decoder w/ SPADE (Ours) is 35.2 in Table 3 and 37.4 in Table 1 (SPADE (Ours))" in told
    assert "Δ is to Table 3" in told
    (told,) = [note for note in first.notes if "contradicts" in note]
    assert "is 37.4 in Table 1 and 35.2 in Table 3 (decoder w/ SPADE (Ours))" in told
    assert "35.2 in the running text (SPADE (Ours))" in told


def test_one_protocol_a_column(table_1: FakeStore) -> None:
    for table in tables_of(table_1):
        for column in table.columns:
            if column.kind in ("metric", "delta"):
                assert re.fullmatch(r"paper2019-[a-z0-9-]+@\d+", column.protocol)


def test_external_images_are_a_marked_row_where_asked_for(table_1: FakeStore) -> None:
    assert not any(row.external for table in tables_of(table_1) for row in table.rows)
    tables = tables_of(table_1, external=True)
    (row,) = [row for row in tables[0].rows if row.external]
    assert (row.label, row.marks, row.real) == ("SIMS", "⊕", False)
    cell = tables[0].cell("SIMS", f"{CITYSCAPES}mIoU")
    assert (cell.value, cell.n_seeds) == (47.5, 0)
    assert cell.footnote.startswith("imported images SIMS, content 0011223344ff; paper2019-cityscapes@1; judged at")
    assert tables[0].cell("SIMS", f"{COCO}mIoU").state == "blank"
    assert any(note.startswith("⊕ external, SIMS:") for note in tables[-1].notes)
    assert tables[0].rows[-1].real


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_says_that_it_is_fabricated_and_where_each_number_comes_from(
    table_3: FakeStore, form: str
) -> None:
    collected = Collected(table_3.study, table_3.store)
    tables = collected.tables(cost=True) if form == "csv" else collected.report_tables()
    text = render(table_3.study.title, tables, form, width=180)  # type: ignore[arg-type]
    assert FABRICATED in text or form == "csv"
    joined = " ".join(text.split())
    for seed in (0, 1, 2):
        assert table_3.run_spec("pix2pixHD", seed, 1).run_id in joined


def test_the_terminal_keeps_a_data_set_together_and_fits(table_1: FakeStore) -> None:
    for width in (100, 120, 180):
        text = render("", tables_of(table_1), "terminal", width=width)
        lines = [line for line in text.splitlines() if "─" in line or "°" in line]
        assert max(len(line) for line in lines) <= width
    grouped = tables_of(table_1)[0]
    for part in panels(grouped, 180)[1:]:
        assert len({grouped.columns[index].group for index in part}) == 1


def test_the_csv_has_every_cell_once_with_cost_and_provenance(table_3: FakeStore) -> None:
    collected = Collected(table_3.study, table_3.store)
    text = render("", [*collected.report_tables()[:1], *collected.tables(cost=True)], "csv")
    lines = list(csv.DictReader(io.StringIO(text)))
    keys = [(line["dataset"], line["row"], line["column"]) for line in lines]
    assert len(set(keys)) == len(keys)
    found = {key: line for key, line in zip(keys, lines, strict=True)}
    row = "decoder w/ SPADE (Ours)"
    assert float(found["ade20k", row, "cost:multiply_adds"]["value"]) == 181.0
    # 10,000 steps of 32 images at 48 images/s on one recorded rank
    assert float(found["ade20k", row, "cost:gpu_hours"]["value"]) == pytest.approx(320_000 / 48 / 3600)
    assert float(found["ade20k", row, "cost:memory"]["value"]) == pytest.approx(14_300 / 1024)
    score = found["ade20k", row, "mIoU"]
    assert (score["interval_over"], score["published_cell"]) == ("seeds", f"Table 3, {row}, ADE20K mIoU")
    assert int(score["rank_best"]) <= int(score["rank_worst"])


def test_latex_compiles(table_1: FakeStore, tmp_path: Path) -> None:
    compiler = shutil.which("pdflatex") or shutil.which("tectonic")
    if compiler is None:
        pytest.skip("neither tectonic nor pdflatex is on the path")
    head = r"\documentclass{article}\usepackage[T1]{fontenc}\usepackage[utf8]{inputenc}\usepackage{booktabs,graphicx}"
    head += r"\IfFileExists{lmodern.sty}{\usepackage{lmodern}}{}"
    body = render("", tables_of(table_1, external=True, cost=True), "latex")
    assert "$^{i}$" in body
    assert r"SIMS$^{\oplus}$" in body
    (tmp_path / "paper.tex").write_text(f"{head}\n\\begin{{document}}\n{body}\\end{{document}}\n", encoding="utf-8")
    options = [] if "tectonic" in compiler else ["-interaction=nonstopmode", "-halt-on-error"]
    done = subprocess.run([compiler, *options, "paper.tex"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
