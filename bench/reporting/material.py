"""What the figures of a study are drawn from, read once, and the sentences that they share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from bench.cost import RunCost, study_costs
from bench.evaluation.metric_table import METRICS
from bench.plan import REAL_LABEL
from bench.reporting.cells import Cell, Table
from bench.reporting.collect import Collector, MeasuredRow
from bench.reporting.families import families
from bench.reporting.style import SOFT, Mark, row_marks
from bench.store import Store
from bench.study import Study, StudyDataset


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One data set of a study: its table and the evaluations behind it."""

    dataset: StudyDataset
    table: Table
    """The study's rows in its order, then what else was judged, the real images last."""
    measured: Sequence[MeasuredRow]
    """The study's rows in its order, the real images last."""

    def cell(self, index: int, key: str) -> Cell | None:
        """The cell of the row at ``index`` in the column ``key``; None where the table has no such column."""
        keys = [column.key for column in self.table.columns]
        return self.table.rows[index].cells[keys.index(key)] if key in keys else None

    def is_real(self, index: int) -> bool:
        """Whether the measured row at ``index`` is the real images."""
        item = self.measured[index]
        return item.row is None and item.label == REAL_LABEL

    def has_value(self, key: str) -> bool:
        """Whether any row but the real images has a value in the column ``key``."""
        cells = [self.cell(index, key) for index, row in enumerate(self.table.rows) if not row.real]
        return any(cell is not None and cell.value is not None for cell in cells)

    def real(self, metric: str) -> float | None:
        """The score of the real images."""
        cells = [self.cell(index, metric) for index, row in enumerate(self.table.rows) if row.real]
        return next((cell.value for cell in cells if cell is not None), None)


@dataclass(frozen=True)
class Material:
    """A study, its store, its tables and what they were made from."""

    study: Study
    store: Store
    panels: tuple[Panel, ...]

    @cached_property
    def _marks(self) -> list[Mark]:
        return row_marks(self.study.rows)

    def look(self, index: int) -> Mark:
        """The look of the row at ``index``, the same in all figures; grey for rows that are not the study's own."""
        return self._marks[index] if index < len(self._marks) else Mark(colour=SOFT, marker="h", filled=True)

    def family_look(self, index: int) -> Mark:
        """The look of the first of the row's family: its colour is never pale."""
        group = next((group for group in self.families if index in group), (index,))
        return self.look(min(group))

    @cached_property
    def costs(self) -> dict[tuple[str, str], RunCost]:
        """By row label and data set."""
        return {(cost.label, cost.dataset): cost for cost in study_costs(self.study, self.store)}

    @cached_property
    def families(self) -> list[tuple[int, ...]]:
        """Positions of the rows that are one architecture at several widths."""
        return families(self.study.rows)

    def label(self, index: int) -> str:
        """As the tables print it, with its mark."""
        row = self.panels[0].table.rows[index]
        return row.label + row.marks


def gather(study: Study, store: Store, tables: Sequence[Table], collector: Collector | None = None) -> Material:
    """Everything that figures need; ``tables`` are the study's, one for each data set in its order.

    A table of several data sets side by side among them is passed over. ``collector`` is one that has read the store
    already; one that mixes protocols is not asked, for figures show one alone.
    """
    if collector is None or collector.mix_protocols:
        collector = Collector(store)
    names = {dataset.ref.name for dataset in study.datasets}
    single = [table for table in tables if table.dataset in names]
    panels = [
        Panel(dataset=dataset, table=table, measured=collector.rows(study, dataset))
        for dataset, table in zip(study.datasets, single, strict=True)
    ]
    return Material(study, store, tuple(panels))


def axis_label(metric: str) -> str:
    """Such as ``mIoU (%) → better``."""
    unit, higher = METRICS[metric].unit, METRICS[metric].higher_better
    return f"{metric}{f' ({unit})' if unit else ''} {'→ better' if higher else '← better'}"


def distances(keys: Iterable[str]) -> list[str]:
    """The Frechet distances among ``keys``, in their order."""
    return [key for key in keys if key in METRICS and METRICS[key].kind == "frechet"]


def protocol_words(panels: Sequence[Panel], keys: Sequence[str]) -> str:
    """Such as ``Protocol synthetic@2 on synthetic (N = 200 images).``, for the columns ``keys``."""
    parts: list[str] = []
    for panel in panels:
        counts = sorted({cell.n_images for cell in _values([panel], keys) if cell.n_images})
        judged = f" (N = {'/'.join(map(str, counts))} images)" if counts else ""
        parts.append(f"{panel.table.protocol} on {panel.table.dataset}{judged}")
    return f"Protocol{'s' if len(parts) > 1 else ''} {', '.join(parts)}."


def spread_words(panels: Sequence[Panel], keys: Sequence[str], what: str = "Bars") -> str:
    """How many seeds stand behind each value, and what its interval covers."""
    cells = [cell for cell in _values(panels, keys) if cell.n_seeds]
    counts = sorted({cell.n_seeds for cell in cells})
    if not counts:
        return ""
    words = "One seed" if counts == [1] else f"Mean over {'/'.join(map(str, counts))} seeds"
    kinds = sorted({_covered(cell) for cell in cells if cell.interval}, reverse=True)
    return f"{words}. {what}: 95 % interval over {' or over '.join(kinds)}." if kinds else f"{words}, no interval."


def _covered(cell: Cell) -> str:
    """What the cell's interval speaks for; of one seed it can only be other images."""
    told = str(getattr(cell, "interval_over", ""))
    return told or ("seeds" if cell.n_seeds > 1 else "images")


def selection_words(material: Material, panels: Sequence[Panel] | None = None) -> str:
    """By which rule the reported checkpoints were selected; empty before the first evaluation."""
    found: dict[str, list[str]] = {}
    for panel in panels or material.panels:
        for item in panel.measured:
            for evaluation in item.evaluations:
                if evaluation.step is None:  # of the real images, say, which no checkpoint made
                    continue
                labels = found.setdefault(evaluation.spec.selection, [])
                if item.label not in labels:
                    labels.append(item.label)
    if not found:
        return ""
    if set(found) == {"last"}:
        return "Checkpoint: the last of each run."
    best = "the one with the best mIoU during training"
    if set(found) == {"best"}:
        return f"Checkpoint: {best}."
    return f"Checkpoint: {best} for {', '.join(found['best'])}; the last of each run for the others."


def sign_words(panels: Sequence[Panel]) -> str:
    """What the signs behind row labels mean, where there are any."""
    signs = {row.marks for panel in panels for row in panel.table.rows}
    words = [meaning for sign, meaning in (("†", "† reconstruction"), ("‡", "‡ extension")) if sign in signs]
    return f"{', '.join(words)}." if words else ""


def joined(*sentences: str) -> str:
    """The sentences that are not empty, one after the other."""
    return " ".join(sentence for sentence in sentences if sentence)


def _values(panels: Sequence[Panel], keys: Sequence[str]) -> list[Cell]:
    found: list[Cell] = []
    for panel in panels:
        for index, row in enumerate(panel.table.rows):
            cells = [panel.cell(index, key) for key in keys] if not row.real else []
            found += [cell for cell in cells if cell is not None and cell.value is not None]
    return found
