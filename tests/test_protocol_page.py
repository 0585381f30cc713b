"""`show protocol` as it is read: at 100 columns, with every source, guesses marked, and the numbers beside it."""

from __future__ import annotations

import re

import pytest
from typer.testing import CliRunner

from bench.cli import command_line
from bench.evaluation.protocols import get_protocol, list_protocols


def page(name: str, columns: int = 100) -> str:
    environment = {"COLUMNS": str(columns), "SPADE_BENCH_PROTOCOLS": ""}
    result = CliRunner().invoke(command_line(), ["show", "protocol", name], env=environment, catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("name", [item.key for item in list_protocols()])
def test_every_page_fits_and_is_whole(name: str) -> None:
    protocol = get_protocol(name)
    text = page(name)
    assert max(map(len, text.splitlines())) <= 100
    assert text.startswith(f"{name}: ")
    for row in protocol.explained():
        mark = r"\?" if row.guess else " "
        assert re.search(rf"^{re.escape(row.field)} +{mark} ", text, flags=re.MULTILINE), row.field
    for question in ("Which network?", "Fed at what size?", "Which pixels are ignored?", "Compared with which images?"):
        assert question in text
    assert all(name in text for name in (*protocol.metrics, *protocol.weights_files))
    told = words(text).rpartition("? marks our guess: ")[2]
    assert (told == f"{', '.join(protocol.guesses)}.") == bool(protocol.guesses)


def test_the_papers_numbers_and_those_of_others_stand_beside_it() -> None:
    text = page("paper2019-ade20k")
    assert re.search(r"^SPADE \(Ours\) +38\.5 +79\.9 +33\.9", text, flags=re.MULTILINE)
    assert "Compared: mIoU with mIoU, accu@labelled with accu, FID@tv2019 with FID." in words(text)
    assert re.search(r"^42\.0 +81\.4 +SMIS authors", text, flags=re.MULTILINE)
    assert "SIMS" not in text
    assert "Other protocols for these images paper2019-ade20k-baseline, followups-ade20k" in words(text)
    assert "nearest to this protocol" in words(page("followups-coco"))
    assert "The paper's scores" not in page("mmseg-ade20k")
    assert "Its text and Tables 3 and 5 say 35.2" in words(page("paper2019-coco"))
    assert re.search(r"^mIoU +42\.66$", page("judge-check-ade20k").replace(" \n", "\n"), flags=re.MULTILINE)


def test_a_wide_terminal_is_used_and_a_narrow_one_respected() -> None:
    assert max(map(len, page("paper2019-coco", 160).splitlines())) > 120
    assert max(map(len, page("paper2019-coco", 80).splitlines())) <= 80
