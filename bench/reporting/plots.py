"""Figures of a study: the score against the generator's parameters, and what happened during training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.evaluation.metric_table import METRICS
from bench.reporting.cells import Cell, Table
from bench.reporting.labels import place_labels
from bench.reporting.style import INK, Drawn, Kind, mark, save, settle, styled
from bench.reporting.tables import PARAMETERS
from bench.store import Store
from bench.study import Study

_PANEL_IN = (4.6, 3.35)
_LOG_FROM = 4.0
"""Ratio of the largest to the smallest count from which the axis is logarithmic."""


_SIZES = ((1e9, "B"), (1e6, "M"), (1e3, "k"))


@dataclass(frozen=True, kw_only=True)
class _Point:
    index: int
    """Row of the study."""
    label: str
    parameters: float
    cell: Cell


def study_plots(
    study: Study,
    store: Store,
    tables: Sequence[Table],
    out: Path,
    *,
    kinds: Sequence[Kind] = ("svg", "png"),
    curves: bool = True,
) -> list[Drawn]:
    """Every figure that the store has the numbers for, written under ``out``."""
    score = draw_score_against_parameters(tables, out, kinds=kinds)
    drawn = [score] if score is not None else []
    if curves:
        from bench.reporting.curves import draw_curves

        drawn += draw_curves(study, store, out, kinds)
    return drawn


def draw_score_against_parameters(
    tables: Sequence[Table], out: Path, metric: str = "mIoU", kinds: Sequence[Kind] = ("svg", "png")
) -> Drawn | None:
    """One panel a data set, one marker a row, bars for the interval over seeds, a line for the real images.

    None while no row has both a value and a number of parameters.
    """
    from matplotlib.figure import Figure

    shown = [(table, points) for table in tables if (points := _points(table, metric))]
    if not shown:
        return None
    with styled():
        width, height = _PANEL_IN
        figure = Figure(figsize=(width * len(shown), height), layout="constrained")
        panels = figure.subplots(1, len(shown), squeeze=False)[0]
        for panel, (table, points) in zip(panels, shown, strict=True):
            _draw_panel(panel, table, points, metric)
        settle(figure)
        for panel, (_, points) in zip(panels, shown, strict=True):
            marks = [(point.parameters, _value(point.cell), point.label, mark(point.index).colour) for point in points]
            place_labels(panel, marks)
        return save(figure, out, "score_vs_parameters", _caption([table for table, _ in shown], metric), kinds)


def _points(table: Table, metric: str) -> list[_Point]:
    keys = [column.key for column in table.columns]
    if metric not in keys:
        return []
    found: list[_Point] = []
    for index, row in enumerate(table.rows):
        parameters, cell = row.cells[keys.index(PARAMETERS)].value, row.cells[keys.index(metric)]
        if parameters is not None and cell.value is not None and not row.real:
            found.append(_Point(index=index, label=row.label + row.marks, parameters=parameters, cell=cell))
    return found


def _value(cell: Cell) -> float:
    assert cell.value is not None
    return cell.value


def _draw_panel(panel: Any, table: Table, points: Sequence[_Point], metric: str) -> None:
    unit, higher = METRICS[metric].unit, METRICS[metric].higher_better
    for point in points:
        look, value = mark(point.index), _value(point.cell)
        panel.errorbar(
            point.parameters,
            value,
            yerr=point.cell.half_width,
            fmt=look.marker,
            color=look.colour,
            markerfacecolor=look.colour if look.filled else "white",
            markersize=6.5,
            markeredgewidth=1.2,
            elinewidth=1.1,
            capsize=2.5,
            zorder=3,
        )
    real = next((row.cells[table.column(metric)].value for row in table.rows if row.real), None)
    if real is not None:
        panel.axhline(real, color=INK, linewidth=1, linestyle=(0, (5, 3)), zorder=2)
        panel.annotate(
            f"real images {real:.1f}",
            (0.0, real),
            xycoords=("axes fraction", "data"),
            xytext=(3, 3),
            textcoords="offset points",
            fontsize=8,
            color=INK,
        )
    _limits(panel, points, real)
    panel.set_xlabel("parameters of the generator")
    panel.set_ylabel(f"{metric}{f' ({unit})' if unit else ''} {'→ better' if higher else '← better'}")
    panel.set_title(f"{table.dataset} · {table.protocol}")


def _limits(panel: Any, points: Sequence[_Point], real: float | None) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    counts = [point.parameters for point in points]
    if max(counts) / min(counts) > _LOG_FROM:
        panel.set_xscale("log")
        panel.set_xlim(min(counts) / 1.6, max(counts) * 1.6)
        panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.xaxis.set_minor_formatter(NullFormatter())
    else:
        span = max(counts) - min(counts) or max(counts)
        panel.set_xlim(max(0.0, min(counts) - 0.25 * span), max(counts) + 0.35 * span)
        panel.xaxis.set_major_locator(MaxNLocator(6))
    size, letter = next(((size, letter) for size, letter in _SIZES if max(counts) >= size), (1, ""))
    panel.xaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count / size:g}{letter if count else ''}"))
    ends = [end for point in points for end in (point.cell.interval or (_value(point.cell),))]
    low, high = min(ends), max([*ends, *([real] if real is not None else [])])
    room = 0.09 * (high - low) or 0.1 * abs(high) or 1.0
    panel.set_ylim(max(0.0, low - room), high + room)


def _caption(tables: Sequence[Table], metric: str) -> str:
    meaning = METRICS[metric].meaning
    cells = [cell for table in tables for row in table.rows if not row.real for cell in row.cells if cell.n_seeds]
    seeds = sorted({cell.n_seeds for cell in cells})
    counted = "/".join(str(count) for count in seeds)
    spread = f"Mean over {counted} seeds; bars: 95 % Student-t interval over seeds" if max(seeds) > 1 else "One seed"
    images = sorted({cell.n_images for cell in cells if cell.n_images})
    judged = "/".join(str(count) for count in images)
    protocols = ", ".join(f"{table.protocol} on {table.dataset}" for table in tables)
    dagger = " † Reconstruction." if any(row.marks for table in tables for row in table.rows) else ""
    return (
        f"{metric} ({meaning}) against the parameters of the generator, one marker for each row; {protocols}, "
        f"{judged} validation images. {spread}. Dashed: the judge on the real images.{dagger}"
    )
