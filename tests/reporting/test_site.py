"""The files of a site: what is on its pages, that texts of a store stay texts, and what may be overwritten."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.reporting.cells import Cell, Column, Table, TableRow
from bench.reporting.gallery import gallery_items
from bench.reporting.site.build import TABLE_FORMAT, write_site
from bench.reporting.site.folder import ForeignFolderError, renewed
from bench.reporting.site.render import STATIC
from bench.reporting.site.view import table_view
from bench.reporting.tables import study_tables

from .conftest import MISSING, FakeStore

HOSTILE = '<script>alert(1)</script> & "co"'
VARIANT = "<script>"
UNPLOTTED = pytest.mark.usefixtures("unplotted")
"""For tests to which plots do not matter: they take most of the time of a page."""


@pytest.fixture
def unplotted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.reporting.site.build.study_plots", lambda *_, **__: [])


def with_pictures(fake: FakeStore, samples: int = 2) -> FakeStore:
    """The judged rows have generated images of the first samples, each in a grey of its own."""
    from bench.data.opening import open_split

    (dataset,) = fake.study.datasets
    split = open_split(dataset.ref, "val")
    for number, item in enumerate(gallery_items(fake.study, fake.store, dataset)):
        item.folder.mkdir(parents=True, exist_ok=True)
        for index in range(samples):
            grey = np.full((64, 64, 3), 40 + 50 * number + 20 * index, np.uint8)
            Image.fromarray(grey).save(item.folder / f"{split.sample_id(index)}.png")
    return fake


def hostile(fake: FakeStore) -> FakeStore:
    """The first row carries a script as its label and as its variant's name, and has failed with one."""
    first, *rest = fake.study.rows
    named = replace(first, label=HOSTILE, variant=replace(first.variant, name=VARIANT))
    study = replace(fake.study, rows=(named, *rest), title=f"Tiny {HOSTILE}", question=f"Does it {HOSTILE}?")
    changed = FakeStore(study, fake.store)
    changed.train(HOSTILE, state="failed", step=1, steps=300, error=f"broken {HOSTILE}")
    return changed


class Scripts(HTMLParser):
    """The scripts of a page, and every attribute that could run one."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts: list[dict[str, str | None]] = []
        self.handlers: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "script":
            self.scripts.append(dict(attrs))
        self.handlers += [name for name, _ in attrs if name.startswith("on") or name == "style"]
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "action", "srcset")]


def parsed(page: Path) -> Scripts:
    found = Scripts()
    found.feed(page.read_text(encoding="utf-8"))
    return found


def test_a_page_holds_table_protocol_recipe_and_provenance(partial: FakeStore, tmp_path: Path) -> None:
    told: list[tuple[int, int, str]] = []
    (made,) = write_site([partial.study], partial.store, tmp_path / "site", progress=lambda *now: told.append(now))
    assert made.address == "tiny.html"
    assert (made.planned, made.judged, made.failed) == (6, 3, 1)
    page = (tmp_path / "site" / "tiny.html").read_text(encoding="utf-8")
    for text in (
        "running 61 %",
        "failed (CUDA out of memory)",
        "43.2°",
        "abcdef0123",
        partial.run_spec("SPADE decoder").run_id,
        "Which network?",
        "learning_rate_generator",
        "released code (NVlabs/SPADE)",
        "changed by this study; the variant has 64",
    ):
        assert text in page, text
    assert "tiny.html" in (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert told[-1][:2] == (8, 8)
    assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)


@UNPLOTTED
def test_every_recipe_field_is_printed_with_its_source(partial: FakeStore, tmp_path: Path) -> None:
    (made,) = write_site([partial.study], partial.store, tmp_path / "site")
    for row in partial.study.rows:
        (listed,) = [item for item in made.recipes if row.label in item.title.partition(": ")[2].split(", ")]
        names = {field.name.partition(".")[0] for field in listed.fields}
        assert names == {name for name, _, _ in row.recipe.explained()}
        assert all(field.source for field in listed.fields)


@UNPLOTTED
def test_downloads_are_there_and_the_json_is_the_table(partial: FakeStore, tmp_path: Path) -> None:
    (made,) = write_site([partial.study], partial.store, tmp_path / "site")
    addresses = [address for _, address in made.downloads] + [a for view in made.tables for _, a in view.downloads]
    assert len(addresses) == 4
    assert all((tmp_path / "site" / address).stat().st_size > 0 for address in addresses)
    data = json.loads((tmp_path / "site" / made.tables[0].downloads[0][1]).read_text(encoding="utf-8"))
    assert data["format"] == TABLE_FORMAT
    (table,) = study_tables(partial.study, partial.store)
    assert [row["label"] for row in data["rows"]] == [row.label for row in table.rows]
    place = table.column("mIoU")
    assert [row["cells"][place]["value"] for row in data["rows"]] == [row.cells[place].value for row in table.rows]
    assert (tmp_path / "site" / "tiny" / "cells.csv").read_text(encoding="utf-8").count("\n") > 60


@UNPLOTTED
def test_texts_of_a_store_stay_texts(partial: FakeStore, tmp_path: Path) -> None:
    fake = hostile(partial)
    write_site([fake.study], fake.store, tmp_path / "site")
    for name in ("tiny.html", "index.html"):
        found = parsed(tmp_path / "site" / name)
        sources = [script.get("src") for script in found.scripts if script.get("type") != "application/json"]
        assert sources == ["assets/site.js"]
        assert found.handlers == []
        assert not [item for item in found.addresses if re.match(r"[a-z]+:|//", item) and item != "data:,"]
    page = (tmp_path / "site" / "tiny.html").read_text(encoding="utf-8")
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; &#34;co&#34;" in page
    (embedded,) = re.findall(r'<script type="application/json" id="cell-notes">(.*?)</script>', page, re.DOTALL)
    assert any(f"broken {HOSTILE}" in line[1] for lines in json.loads(embedded).values() for line in lines)


def test_equal_stores_give_equal_files_and_leave_them_alone(partial: FakeStore, tmp_path: Path) -> None:
    with_pictures(partial)
    files = {}
    for name in ("a", "b"):
        write_site([partial.study], partial.store, tmp_path / name)
        files[name] = {
            path.relative_to(tmp_path / name): path.read_bytes()
            for path in sorted((tmp_path / name).rglob("*"))
            if path.is_file()
        }
    assert files["a"] == files["b"]
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "a").rglob("*") if path.is_file()}
    partial.judge("decoder w/ Concat", mIoU=41.0)
    write_site([partial.study], partial.store, tmp_path / "a")
    changed = {path.name for path, time in before.items() if path.stat().st_mtime_ns != time}
    assert {"tiny.html", "table-1.json", "cells.csv"} <= changed
    assert not changed & {"site.css", "site.js", "labels.png", "real.png"}


@UNPLOTTED
def test_pictures_are_those_that_were_judged(partial: FakeStore, tmp_path: Path) -> None:
    with_pictures(partial)
    (made,) = write_site([partial.study], partial.store, tmp_path / "site", samples=3)
    (view,) = made.galleries
    assert [column.label for column in view.columns] == [
        "label map",
        "SPADE decoder",
        "decoder w/ Concat †",
        "real image",
    ]
    assert "the first 3 validation samples, none left out; images of seed 0" in view.rule
    assert view.files[2][1] == ""
    shown = Image.open(tmp_path / "site" / view.files[1][2])
    assert np.asarray(shown).max() == np.asarray(shown).min() == 40 + 50 + 20
    from bench.data.opening import open_split

    split = open_split(partial.study.datasets[0].ref, "val")
    sample = split.load(1)
    assert (np.asarray(Image.open(tmp_path / "site" / view.files[1][3])) == sample.image).all()
    assert (np.asarray(Image.open(tmp_path / "site" / view.files[1][0])) == split.palette[sample.labels]).all()
    names = {item.name for item in view.classes if 1 in item.samples}
    assert names <= {split.class_names[index] for index in np.unique(sample.labels)}


@UNPLOTTED
def test_without_the_data_the_gallery_says_what_is_missing(fake: FakeStore, tmp_path: Path) -> None:
    (dataset,) = fake.study.datasets
    gone = replace(dataset, ref=replace(dataset.ref, val_manifest="0" * 64))
    fake = FakeStore(replace(fake.study, datasets=(gone,)), fake.store)
    fake.done("SPADE decoder", mIoU=43.0)
    (item,) = gallery_items(fake.study, fake.store, gone)
    item.folder.mkdir(parents=True)
    Image.new("RGB", (64, 64)).save(item.folder / "one.png")
    (made,) = write_site([fake.study], fake.store, tmp_path / "site")
    (view,) = made.galleries
    assert [column.label for column in view.columns] == ["SPADE decoder"]
    assert "Label maps and real images are not shown: dataset 'synthetic', split val" in view.remark
    assert "by name" in view.rule


@UNPLOTTED
def test_an_empty_store_gives_a_page(fake: FakeStore, tmp_path: Path) -> None:
    (made,) = write_site([fake.study], fake.store, tmp_path / "site")
    assert (made.judged, made.plots, made.galleries) == (0, (), ())
    assert (tmp_path / "site" / "tiny.html").read_text(encoding="utf-8").count("pending") > 30
    with pytest.raises(ValueError, match="--samples is 0; a gallery needs at least 1"):
        write_site([fake.study], fake.store, tmp_path / "site", samples=0)


def test_any_table_is_shown_with_groups_marks_and_notes() -> None:
    columns = tuple(
        Column(key=f"{group}:mIoU", heading="mIoU ↑", kind="metric", metric="mIoU", group=group, higher_is_better=True)
        for group in ("COCO-Stuff", "COCO-Stuff", "ADE20K")
    )
    value = Cell(state="value", value=37.35, interval=(36.0, 38.7), n_seeds=3, n_seeds_planned=3, footnote="run 1")
    missing = Cell(state="n/a", detail="n/a (no weights)", n_seeds_planned=3)
    table = Table(
        study="s",
        dataset="both",
        protocol="p@1",
        title="t",
        columns=columns,
        rows=(TableRow(label="a", marks="†", cells=(value, missing, Cell(state="blank"))),),
        reasons=("n/a (no weights)",),
    )
    view = table_view(table, "t1")
    assert view.groups == [("COCO-Stuff", 2), ("ADE20K", 1)]
    assert [cell.text for cell in view.rows[0].cells] == ["37.4 ± 1.4", "n/a¹", ""]
    assert view.rows[0].states == ("value", "n/a")
    assert dict(view.note_lines["t1-r0c0"])["95 % interval"] == "36.00 to 38.70"
    assert dict(view.note_lines["t1-r0c1"])["state"] == "n/a (no weights)"
    assert "t1-r0c2" not in view.note_lines


@UNPLOTTED
def test_reasons_of_the_partial_store_are_listed(partial: FakeStore, tmp_path: Path) -> None:
    (made,) = write_site([partial.study], partial.store, tmp_path / "site")
    assert f"² n/a ({MISSING})" in made.tables[0].reasons
    assert made.tables[0].states == ["value", "running", "pending", "failed", "n/a"]
    assert made.tables[0].provenances[0] == "paper"
    assert made.tables[0].provenances[-1] == "real images"


def write(folder: Path, **files: str) -> None:
    with renewed(folder) as building:
        for name, text in files.items():
            path = building / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.tex").write_text("x")
    with pytest.raises(ForeignFolderError, match=r"holds thesis\.tex, and no site\.json .* give a new or an empty"):
        write(out, a="1")
    assert [path.name for path in out.iterdir()] == ["thesis.tex"]
    with pytest.raises(ForeignFolderError, match="is a file; give a folder"):
        write(out / "thesis.tex", a="1")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_site_is_renewed_and_files_of_others_stay(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(out, a="1", old__b="2", old__deep__c="3")
    (out / "CNAME").write_text("mine")
    write(out, a="1", new__d="4")
    names = sorted(path.relative_to(out).as_posix() for path in out.rglob("*"))
    assert names == ["CNAME", "a", "new", "new/d", "site.json"]
    with pytest.raises(ForeignFolderError, match="CNAME would be overwritten, and no earlier site wrote it"):
        write(out, CNAME="yours")
    assert (out / "CNAME").read_text() == "mine"


def test_a_failure_leaves_the_site_as_it_was(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(out, a="1")

    def stopped() -> None:
        with renewed(out) as building:
            (building / "a").write_text("2")
            raise RuntimeError("halfway")

    with pytest.raises(RuntimeError, match="halfway"):
        stopped()
    assert (out / "a").read_text() == "1"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_list_that_points_outside_deletes_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(out, a="1")
    (tmp_path / "precious").write_text("x")
    mark = json.loads((out / "site.json").read_text())
    (out / "site.json").write_text(json.dumps({**mark, "files": ["a", "../precious", str(tmp_path / "precious")]}))
    write(out, b="1")
    assert (tmp_path / "precious").read_text() == "x"
    assert not (out / "a").exists()


def luminance(colour: str) -> float:
    def linear(channel: float) -> float:
        return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4

    red, green, blue = (linear(int(colour[start : start + 2], 16) / 255) for start in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(first: str, second: str) -> float:
    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_texts_and_edges_have_the_contrast_that_wcag_aa_asks_for() -> None:
    style = (STATIC / "site.css").read_text(encoding="utf-8")
    blocks = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    themes = [dict(re.findall(r"--(\w+): (#\w{6})", block)) for block in blocks]
    assert len(themes) == 2
    for theme in themes:
        for ground in ("paper", "raised", "mark"):
            for text in ("ink", "soft", "link", "running", "failed", "flag"):
                assert contrast(theme[text], theme[ground]) >= 4.5, (text, ground)
        assert contrast(theme["edge"], theme["paper"]) >= 3
