"""The site of some studies: one page each and an index, with every picture and table as a file beside them."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.plain import to_plain
from bench.reporting.cells import Table, TableRow
from bench.reporting.collect import Collector
from bench.reporting.plots import study_plots
from bench.reporting.render import render
from bench.reporting.site.details import (
    FieldList,
    RunLine,
    generator_lists,
    judged_with,
    package_lists,
    protocol_lists,
    protocols_of,
    recipe_lists,
    run_lines,
    training_list,
)
from bench.reporting.site.folder import renewed
from bench.reporting.site.pictures import GalleryView, Progress, gallery_view
from bench.reporting.site.render import ASSETS, STATIC, page
from bench.reporting.site.view import Note, TableView, table_view
from bench.reporting.tables import Collected
from bench.store import Store
from bench.study import Study

TABLE_FORMAT = "spade-bench table@1"
"""What ``table*.json`` says of itself in its field ``format``."""
Told = Callable[[int, str], None]
"""Called with (units done of this study, what)."""
_RESERVED = ("index", "assets", "site")
_TEXTS = (("csv", "cells.csv", "CSV, a line a cell"), ("md", "report.md", "Markdown"), ("latex", "table.tex", "LaTeX"))


@dataclass(frozen=True, kw_only=True)
class Plot:
    """A plot of a page."""

    address: str
    caption: str
    files: tuple[tuple[str, str], ...]
    """(kind, address)."""


@dataclass(frozen=True, kw_only=True)
class ProtocolPart:
    """One protocol of a page."""

    key: str
    lists: tuple[FieldList, ...]


@dataclass(frozen=True, kw_only=True)
class StudyPage:
    """All that is on one page."""

    title: str
    question: str
    address: str
    facts: tuple[str, ...]
    planned: int
    judged: int
    failed: int
    tables: tuple[TableView, ...]
    downloads: tuple[tuple[str, str], ...]
    plots: tuple[Plot, ...]
    galleries: tuple[GalleryView, ...]
    protocols: tuple[ProtocolPart, ...]
    trainings: tuple[FieldList, ...]
    recipes: tuple[FieldList, ...]
    generators: tuple[FieldList, ...]
    runs: tuple[RunLine, ...]
    provenance: tuple[FieldList, ...]

    @property
    def picture(self) -> Plot | None:
        """What the index shows of it."""
        return self.plots[0] if self.plots else None


def write_site(
    studies: Sequence[Study],
    store: Store,
    out: Path,
    *,
    title: str = "Studies of semantic image synthesis",
    samples: int = 6,
    progress: Progress = lambda done, of, what: None,
) -> list[StudyPage]:
    """Write the site into the folder ``out``, which then holds these studies and nothing else.

    ``samples``: how many validation samples a gallery shows. Equal stores give equal files; those that are the same
    already are not touched, and ``out`` stays as it was until all is made. Raises ForeignFolderError (a ValueError)
    where ``out`` holds what no site wrote.
    """
    if samples < 1:
        raise ValueError(f"--samples is {samples}; a gallery needs at least 1")
    units = [2 + samples * len(study.datasets) for study in studies]
    pages: list[StudyPage] = []
    with renewed(out) as building:
        for name in ASSETS:
            (building / "assets").mkdir(exist_ok=True)
            shutil.copyfile(STATIC / name, building / "assets" / name)
        for number, (study, slug) in enumerate(zip(studies, _slugs(studies), strict=True)):
            before, of = sum(units[:number]), sum(units)

            def told(done: int, what: str, before: int = before, of: int = of, study: Study = study) -> None:
                progress(before + done, of, f"{study.name}: {what}")

            made = _StudyMaker(study, store, building, slug, samples, told).page()
            (building / made.address).write_text(page("study.html", page=made), encoding="utf-8")
            pages.append(made)
            progress(before + units[number], of, f"{study.name}: done")
        (building / "index.html").write_text(page("index.html", title=title, pages=pages), encoding="utf-8")
    return pages


def _slugs(studies: Sequence[Study]) -> list[str]:
    """A file name for every study: letters, digits, dots, hyphens and underscores, all different."""
    found: list[str] = []
    for study in studies:
        plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", study.name).strip(".-") or "study"
        plain = f"{plain}-study" if plain.lower() in _RESERVED else plain
        slug, again = plain, 2
        while slug.lower() in (other.lower() for other in found):
            slug, again = f"{plain}-{again}", again + 1
        found.append(slug)
    return found


class _StudyMaker:
    """Makes the files of one study and what its page says."""

    def __init__(self, study: Study, store: Store, building: Path, slug: str, samples: int, told: Told) -> None:
        self.study, self.store, self.slug, self.samples = study, store, slug, samples
        self.folder = building / slug
        self.folder.mkdir()
        self.told = told

    def page(self) -> StudyPage:
        study = self.study
        collected = Collected(study, self.store)
        tables, measured = collected.tables(), collected.measured
        seeds = [seed for _, rows in measured for row in rows for seed in row.seeds]
        every = [row for _, rows in measured for row in rows]
        judging = judged_with(every)
        views = self._views(tables)
        self.told(1, "plots")
        plots = self._plots(tables, collected.collector)
        return StudyPage(
            title=study.title,
            question=study.question,
            address=f"{self.slug}.html",
            facts=self._facts(),
            planned=len(seeds),
            judged=sum(seed.evaluation is not None for seed in seeds),
            failed=sum(seed.state == "failed" for seed in seeds),
            tables=views,
            downloads=self._texts(tables),
            plots=plots,
            galleries=self._galleries(),
            protocols=tuple(ProtocolPart(key=item.key, lists=protocol_lists(item)) for item in protocols_of(study)),
            trainings=tuple(training_list(dataset) for dataset in study.datasets),
            recipes=recipe_lists(study),
            generators=generator_lists(study),
            runs=tuple(line for dataset, rows in measured for line in run_lines(dataset, rows)),
            provenance=(*([judging] if judging else []), *package_lists(every)),
        )

    def _facts(self) -> tuple[str, ...]:
        study = self.study
        seeds = ", ".join(map(str, study.seeds))
        lines = [f"{len(study.rows)} rows, seed{'s'[: len(study.seeds) != 1]} {seeds}"]
        for dataset in study.datasets:
            height, width = dataset.ref.size
            protocol = next(item.key for item in protocols_of(study) if item.name == dataset.protocol.partition("@")[0])
            lines.append(f"{dataset.ref.name} at {height}×{width} px, protocol {protocol}")
        return tuple(lines)

    def _views(self, tables: Sequence[Table]) -> tuple[TableView, ...]:
        rows = {row.label: row for row in self.study.rows}

        def provenance(row: TableRow) -> str:
            if row.real:
                return "real images"
            return rows[row.label].variant.provenance if row.label in rows else "external"

        def about(row: TableRow) -> Note:
            if row.label not in rows:
                return ()
            known = rows[row.label]
            variant = known.variant
            told = f"{variant.provenance}: {variant.provenance_note}" if variant.provenance_note else variant.provenance
            return (
                ("variant", f"{variant.name}: {variant.summary}"),
                ("provenance", told),
                ("recipe", known.recipe.name),
                *((("paper's row", known.published_method),) if known.published_method else ()),
            )

        views = []
        for number, table in enumerate(tables, start=1):
            file = f"table-{number}.json"
            text = json.dumps({"format": TABLE_FORMAT, **to_plain(table)}, indent=1, allow_nan=False)
            (self.folder / file).write_text(text + "\n", encoding="utf-8")
            downloads = [("JSON, with all that is known of a cell", f"{self.slug}/{file}")]
            views.append(table_view(table, f"table-{number}", provenance=provenance, about=about, downloads=downloads))
        return tuple(views)

    def _texts(self, tables: Sequence[Table]) -> tuple[tuple[str, str], ...]:
        for form, file, _ in _TEXTS:
            text = render(self.study.title, tables, form)  # type: ignore[arg-type]
            (self.folder / file).write_text(text, encoding="utf-8")
        return tuple((what, f"{self.slug}/{file}") for _, file, what in _TEXTS)

    def _plots(self, tables: Sequence[Table], collector: Collector) -> tuple[Plot, ...]:
        drawn = study_plots(  # the report draws other kinds too
            self.study, self.store, tables, self.folder, kinds=("svg",), collector=collector
        )
        return tuple(
            Plot(
                address=f"{self.slug}/{item.shown.name}",
                caption=item.caption,
                files=tuple((file.suffix[1:].upper(), f"{self.slug}/{file.name}") for file in item.files),
            )
            for item in drawn
        )

    def _galleries(self) -> tuple[GalleryView, ...]:
        found = []
        for number, dataset in enumerate(self.study.datasets, start=1):

            def progress(done: int, of: int, what: str, number: int = number) -> None:
                self.told(2 + (number - 1) * self.samples + done, what)

            place = f"gallery-{number}"
            view = gallery_view(
                self.study,
                self.store,
                dataset,
                self.folder / place,
                f"{self.slug}/{place}",
                place,
                samples=self.samples,
                progress=progress,
            )
            if view is not None:
                found.append(view)
        return tuple(found)
