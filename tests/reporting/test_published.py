"""The published cells: all there, blank where unknown, the same as the facts they were taken from."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from bench.evaluation.metric_table import METRICS
from bench.evaluation.protocols import get_protocol, list_protocols
from bench.reporting.published import (
    PUBLISHED_CSV,
    counterpart_of,
    published_cell,
    published_cells,
    published_datasets,
    published_methods,
)

FACTS = Path(__file__).resolve().parents[1] / "facts"


def test_table_3_agrees_with_the_facts() -> None:
    with (FACTS / "table3.csv").open(encoding="utf-8") as stream:
        facts = list(csv.DictReader(stream))
    assert len(facts) == 8
    columns = {"mIoU_COCO": "COCO-Stuff", "mIoU_ADE20K": "ADE20K", "mIoU_Cityscapes": "Cityscapes"}
    for fact in facts:
        for name, dataset in columns.items():
            cell = published_cell("Table 3", fact["method"], dataset, "mIoU")
            assert cell is not None
            assert cell.value == float(fact[name])
        params = published_cell("Table 3", fact["method"], "", "params_m")
        assert params is not None
        assert params.value == float(fact["params_M_paper"])


def test_cell_keeps_the_number_as_printed_and_its_source() -> None:
    cell = published_cell("Table 2", "Ours vs SIMS", "ADE20K-outdoor", "% preferring SPADE")
    assert cell is not None
    assert (cell.value, cell.text) == (85.7, "85.70")
    assert "1903.07291" in cell.source


def test_unknown_numbers_are_blank_and_other_cells_absent() -> None:
    blank = published_cell("Table 4", "5x5", "ADE20K", "mIoU")
    assert blank is not None
    assert blank.value is None
    assert blank.text == ""
    assert "not known" in blank.note
    assert published_cell("Table 3", "SPADE of another paper", "ADE20K", "mIoU") is None


def test_parameters_belong_to_no_data_set() -> None:
    cell = published_cell("Table 3", "pix2pixHD++ w/ SPADE", "", "params_m")
    assert cell is not None
    assert cell.value == 237
    assert published_datasets("Table 3") == ("COCO-Stuff", "ADE20K", "Cityscapes")
    assert len(published_methods("Table 3")) == 8


def test_counterparts_are_metrics_of_the_paper_and_one_accuracy_only() -> None:
    printed = {cell.metric for cell in published_cells()}
    for protocol in list_protocols():
        found = {metric: counterpart_of(metric, protocol) for metric in METRICS}
        assert {item.metric for item in found.values() if item is not None} <= printed
        accuracies = [metric for metric, item in found.items() if item is not None and item.metric == "accu"]
        assert accuracies == ([protocol.paper_accuracy] if protocol.paper_accuracy else [])
    cityscapes = counterpart_of("accu@all", get_protocol("paper2019-cityscapes"))
    assert cityscapes is not None
    assert "unlabelled" in cityscapes.caveat
    assert counterpart_of("accu@labelled", get_protocol("paper2019-cityscapes")) is None
    assert counterpart_of("KID@tf", get_protocol("paper2019-coco")) is None


def test_every_wrong_line_is_reported_at_once(tmp_path: Path) -> None:
    path = tmp_path / "published.csv"
    header = PUBLISHED_CSV.read_text(encoding="utf-8").splitlines()[0]
    path.write_text(
        f"{header}\nTable 9,a,b,mIoU,n/a,,x\nTable 9,c,b,mIoU,1,,x\nTable 9,c,b,mIoU,2,,x\n", encoding="utf-8"
    )
    with pytest.raises(ValueError, match=r"(?s)line 2: value 'n/a' is no number.*line 4: the cell .* occurs twice"):
        published_cells(path)


def test_wrong_header_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "published.csv"
    path.write_text("table,method\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"published\.csv: the header is \['table', 'method'\]; it must be"):
        published_cells(path)
