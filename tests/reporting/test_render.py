"""Every format says the same, keeps its structure with awkward labels, and compiles where a compiler is."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from bench.reporting import latex, markdown
from bench.reporting.cells import Column
from bench.reporting.render import FILES, FORMATS, render, report
from bench.reporting.tables import study_tables
from bench.reporting.text import number_text, parameters_text
from bench.reporting.tidy import tidy
from bench.store import Store

from .conftest import MISSING, FakeStore, make_dataset, make_study


def text_of(fake: FakeStore, form: str, width: int = 220) -> str:
    return render(fake.study.title, study_tables(fake.study, fake.store), form, width=width)  # type: ignore[arg-type]


def markdown_cells(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[entry.strip() for entry in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_markdown_table_is_rectangular_and_marks_best_and_second(partial: FakeStore) -> None:
    table = markdown_cells(text_of(partial, "md"))
    assert {len(line) for line in table} == {len(table[0])}
    assert len(table) == 2 + len(partial.study.rows) + 1
    column = table[0].index("mIoU ↑")
    shown = {line[0]: line[column] for line in table[2:]}
    assert shown == {
        "SPADE decoder": "**43.2°**",
        "decoder w/ Concat †": "_40.0°_",
        "pix2pixHD++": "running 61 %",
        "pix2pixHD": "failed¹",
        "100% odd\\_row & co": "pending",
        "_real images (upper bound)_": "89.0",
    }
    assert table[2][table[0].index("#param")] == "1.23M"
    assert table[2][table[0].index("paper, Table 3: ADE20K mIoU")] == "38.5"


def test_notes_number_the_reasons(partial: FakeStore) -> None:
    text = text_of(partial, "md")
    assert f"- ² n/a ({markdown.escape(MISSING)})" in text
    assert "- ¹ failed (CUDA out of memory)" in text


def test_markdown_escapes_what_would_be_interpreted() -> None:
    assert markdown.escape("a|b_c*d\n<e>") == r"a\|b\_c\*d \<e\>"


def test_seeds_are_shown_as_mean_and_half_width(tmp_path: Path) -> None:
    fake = FakeStore(make_study(seeds=(0, 1, 2)), Store(tmp_path))
    for seed, value in enumerate((42.0, 44.0, 46.0)):
        fake.done("SPADE decoder", seed, mIoU=value)
    fake.done("pix2pixHD", 0, mIoU=20.0)
    fake.done("pix2pixHD", 2, mIoU=20.0)
    table = markdown_cells(text_of(fake, "md"))
    shown = {line[0]: line[table[0].index("mIoU ↑")] for line in table[2:]}
    # t(2, 0.975) = 4.302653, s = 2: 4.302653 * 2 / sqrt(3) = 4.968
    assert shown["SPADE decoder"] == "**44.0 ± 5.0**"
    assert shown["pix2pixHD"] == r"_20.0 ± 0.0 \[2/3\]_"


def test_csv_has_one_line_a_cell_with_unrounded_values(partial: FakeStore) -> None:
    (table,) = study_tables(partial.study, partial.store)
    lines = list(csv.DictReader(io.StringIO(text_of(partial, "csv"))))
    assert len(lines) == len(table.rows) * len(table.columns)
    found = {(line["row"], line["column"]): line for line in lines}
    distance = found["SPADE decoder", "FD@synthetic-judge"]
    assert (distance["state"], float(distance["value"]), distance["n_seeds"]) == ("value", 3.456, "1")
    assert distance["protocol"] == "synthetic@2"
    missing = found["SPADE decoder", "FID@tf"]
    assert (missing["state"], missing["value"], missing["detail"]) == ("n/a", "", f"n/a ({MISSING})")
    assert float(found["SPADE decoder", "parameters"]["value"]) == 1_234_567
    assert found["pix2pixHD", "mIoU"]["detail"] == "failed (CUDA out of memory)"


def test_tidy_frame_keeps_differences_and_sources(tmp_path: Path) -> None:
    fake = FakeStore(make_study(datasets=(make_dataset("coco_stuff", "COCO-Stuff"),)), Store(tmp_path))
    fake.done("SPADE decoder", mIoU=36.0)
    frame = tidy(study_tables(fake.study, fake.store))
    line = frame[(frame["row"] == "SPADE decoder") & (frame["column"] == "mIoU")].iloc[0]
    assert line["delta"] == pytest.approx(0.8)
    assert "Table 3" in line["published_source"]
    assert frame[frame["row"] == "100% odd_row & co"]["delta"].isna().all()


def test_latex_is_escaped_balanced_and_rectangular(partial: FakeStore) -> None:
    text = text_of(partial, "latex")
    lines = [line for line in text.splitlines() if not line.startswith("%")]
    assert r"100\% odd\_row \& co" in text
    assert all(ord(character) < 128 for line in lines for character in line)
    parts = "\n".join(lines).split(r"\begin{tabular}")[1:]
    assert len(parts) > 1, "so many columns do not fit one line"
    for part in parts:
        count = re.match(r"\{@\{\}l(r+)@", part)
        assert count is not None
        _, _, body = part.partition(r"\midrule")
        rows = [line for line in body.partition(r"\bottomrule")[0].splitlines() if line.endswith(r"\\")]
        assert len(rows) == len(partial.study.rows) + 1
        assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {len(count.group(1))}
    assert text.count(r"\begin{table*}") == text.count(r"\end{table*}") == 1
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}}") == len(parts)
    assert r"\textbf{43.2$^{\circ}$}" in text
    assert r"\underline{40.0$^{\circ}$}" in text
    run_id = partial.run_spec("SPADE decoder").run_id
    assert re.search(rf"^% SPADE decoder \| mIoU .*: run {run_id}; step 300", text, re.MULTILINE)


def test_latex_escape_covers_every_special_character() -> None:
    assert latex.escape(r"\&%$#_{}~^") == (r"\textbackslash{}\&\%\$\#\_\{\}\textasciitilde{}\textasciicircum{}")
    assert latex.escape("± † ↑ ² [x]") == r"$\pm$ $^{\dagger}$ $\uparrow$ $^{2}$ {[}x{]}"


def test_latex_compiles(partial: FakeStore, tmp_path: Path) -> None:
    compiler = shutil.which("tectonic") or shutil.which("pdflatex")
    if compiler is None:
        pytest.skip("neither tectonic nor pdflatex is on the path")
    head = r"\documentclass{article}\usepackage[T1]{fontenc}\usepackage[utf8]{inputenc}\usepackage{booktabs,graphicx}"
    head += r"\IfFileExists{lmodern.sty}{\usepackage{lmodern}}{}"
    source = tmp_path / "paper.tex"
    body = text_of(partial, "latex")
    source.write_text(f"{head}\n\\begin{{document}}\n{body}\\end{{document}}\n", encoding="utf-8")
    options = [] if "tectonic" in compiler else ["-interaction=nonstopmode", "-halt-on-error"]
    done = subprocess.run([compiler, *options, source.name], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "paper.pdf").is_file()


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.row_lengths: list[int] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("meta", "img"):
            return
        self.open.append(tag)
        if tag == "tr":
            self.row_lengths.append(0)
        if tag in ("td", "th"):
            self.row_lengths[-1] += int(dict(attrs).get("colspan") or 1)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_html_is_well_formed_escaped_and_self_contained(partial: FakeStore) -> None:
    text = text_of(partial, "html")
    parser = _Tags()
    parser.feed(text)
    assert parser.open == []
    assert len(set(parser.row_lengths)) == 1
    assert "100% odd_row &amp; co" in text
    assert 'class="best"' in text
    assert "http" not in text.replace("http-equiv", "")


def test_terminal_splits_into_parts_that_fit(partial: FakeStore) -> None:
    for width in (80, 110, 220):
        text = text_of(partial, "terminal", width)
        assert max(len(line) for line in text.splitlines()) <= width
        assert "…" not in text
        for word in ("43.2°", "running 61 %", "failed¹", "38.5"):
            assert word in text
    assert text_of(partial, "terminal", 80).count("SPADE decoder ") > text_of(partial, "terminal", 220).count(
        "SPADE decoder "
    )


def test_report_writes_every_format_and_embeds_the_plot(partial: FakeStore, tmp_path: Path) -> None:
    out = tmp_path / "out"
    files = report(partial.study, partial.store, out, ["md", "csv", "latex", "html"], figures=("svg", "pdf"))
    assert {path.name for path in files} == {
        *FILES.values(),
        *(f"{name}.{kind}" for name in ("score_vs_parameters", "scores") for kind in ("svg", "pdf")),
        "captions.json",
    }
    assert all(path.parent == out and path.stat().st_size > 0 for path in files)
    assert "(score_vs_parameters.svg)" in (out / "report.md").read_text(encoding="utf-8")
    assert "data:image/svg+xml;base64," in (out / "report.html").read_text(encoding="utf-8")


def test_report_without_a_folder_prints(partial: FakeStore, capsys: pytest.CaptureFixture[str]) -> None:
    assert report(partial.study, partial.store, None, ["terminal", "md"]) == []
    printed = capsys.readouterr().out
    assert "running 61 %" in printed
    assert "| --- |" in printed


def test_unknown_format_is_refused_before_anything_is_written(partial: FakeStore, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"no report format is called 'pdf'; there are: terminal, md, csv, latex, html"
    ):
        report(partial.study, partial.store, tmp_path / "out", ["md", "pdf"])  # type: ignore[list-item]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_of_an_empty_store(fake: FakeStore, form: str) -> None:
    assert text_of(fake, form).count("pending") >= 5


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (950, "950"),
        (45_600, "45.6k"),
        (999_600, "1.00M"),
        (1_234_567, "1.23M"),
        (96_492_483, "96.5M"),
        (236_879_235, "237M"),
    ],
)
def test_parameters_have_three_digits(count: int, text: str) -> None:
    assert parameters_text(count) == text


@pytest.mark.parametrize(("value", "text"), [(-1.44, "−1.4"), (0.76, "+0.8"), (-0.04, "+0.0")])
def test_differences_carry_their_sign(value: float, text: str) -> None:
    assert number_text(value, Column(key="delta:mIoU", heading="Δ", kind="delta")) == text
