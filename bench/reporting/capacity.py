"""Score against the generator's parameters, as in Table 3: one marker a row, the widths of an architecture joined."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import wrap
from typing import Any

from bench.evaluation.metric_table import METRICS
from bench.reporting.cells import Cell
from bench.reporting.labels import place_labels
from bench.reporting.material import (
    Material,
    Panel,
    axis_label,
    joined,
    protocol_words,
    selection_words,
    sign_words,
    spread_words,
)
from bench.reporting.style import INK, SOFT, Drawn, Kind, Mark, save, settle, styled
from bench.reporting.tables import PARAMETERS, PUBLISHED_PARAMETERS

PANEL_IN = (4.6, 3.35)
MOST_COLUMNS = 3
LOG_FROM = 4.0
"""Ratio of the largest to the smallest value from which an axis is logarithmic."""
_SIZES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_REAL_WITHIN = 0.6
"""The real images are on the axis if they are above the best row by at most this share of the rows' range."""
_NAMED_MEMBERS = 3
"""Of a family of more rows, the first and the last are labelled alone."""
_NAME_LETTERS, _NAMES_LETTERS = 32, 20
"""A longer label is broken into lines: of one name at its spaces, of several between the names."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One row in a panel whose axes are a number known of the row, and a score."""

    index: int
    """Row of the study, the first of those that are the same trainings."""
    label: str
    x: float
    cell: Cell
    same: tuple[int, ...] = ()
    """The others of them."""

    @property
    def value(self) -> float:
        assert self.cell.value is not None
        return self.cell.value


def draw_score_against_parameters(
    material: Material, out: Path, metric: str = "mIoU", kinds: Sequence[Kind] = ("svg", "png")
) -> Drawn | None:
    """One panel a data set, one marker a row, bars for the interval, a dashed line for the real images.

    Where the paper has the data set, its own numbers stand beside it in grey. None while no row has both a value and
    a number of parameters.
    """
    shown = [(panel, points) for panel in material.panels if (points := _points(material, panel, metric))]
    if not shown:
        return None
    with styled():
        figure, axes = panels_for(len(shown), PANEL_IN)
        for axis, (panel, points) in zip(axes, shown, strict=True):
            paper = _published_points(material, panel, metric)
            places = {index: (point.x, point.value) for point in points for index in (point.index, *point.same)}
            _join(axis, material, places, SOFT)
            _draw_published(axis, material, paper)
            for point in points:
                draw_point(axis, point, material.look(point.index))
            scale_count(axis, [point.x for point in points] + [x for x, _ in paper.values()])
            real = panel.real(metric)
            limit_scores(axis, points, real, [y for _, y in paper.values()])
            draw_real(axis, real)
            axis.set_xlabel("parameters of the generator")
            axis.set_ylabel(axis_label(metric))
            axis.set_title(f"{panel.table.dataset} · {panel.table.protocol}")
        settle(figure)
        for axis, (_, points) in zip(axes, shown, strict=True):
            label_points(axis, material, points)
        panels = [panel for panel, _ in shown]
        title = f"{metric} against the parameters of the generator"
        return save(
            figure, out, "score_vs_parameters", title=title, caption=_caption(material, panels, metric), kinds=kinds
        )


def panels_for(count: int, size_in: tuple[float, float]) -> tuple[Any, list[Any]]:
    """A figure with ``count`` panels of ``size_in`` (width, height) in inches: two by two, or three a line."""
    from matplotlib.figure import Figure

    columns = 2 if count == 4 else min(MOST_COLUMNS, count)
    lines = math.ceil(count / columns)
    figure = Figure(figsize=(size_in[0] * columns, size_in[1] * lines), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    for axis in axes[count:]:
        axis.set_axis_off()
    return figure, list(axes[:count])


def draw_point(axis: Any, point: Point, look: Mark) -> None:
    """The marker of a row, with its interval where it has one."""
    low, high = point.cell.interval or (point.value, point.value)
    axis.errorbar(
        point.x,
        point.value,
        yerr=[[point.value - low], [high - point.value]] if point.cell.interval else None,
        fmt=look.marker,
        color=look.colour,
        markerfacecolor=look.face,
        markersize=6.5,
        markeredgewidth=1.2,
        elinewidth=1.1,
        capsize=2.5,
        zorder=3,
    )


def draw_real(axis: Any, real: float | None) -> None:
    """The line that the real images reach, or a word at the edge where it lies above; the limits must be set."""
    if real is None:
        return
    top = axis.get_ylim()[1]
    if real > top:
        axis.text(0.01, 0.985, f"↑ real images {real:.1f}", transform=axis.transAxes, va="top", fontsize=8, color=INK)
        return
    axis.axhline(real, color=INK, linewidth=1, linestyle=(0, (5, 3)), zorder=2)
    axis.annotate(
        f"real images {real:.1f}",
        (0.0, real),
        xycoords=("axes fraction", "data"),
        xytext=(3, 3),
        textcoords="offset points",
        fontsize=8,
        color=INK,
    )


def label_points(axis: Any, material: Material, points: Sequence[Point]) -> None:
    """Name every point, of large families the ends alone; the layout must be settled."""
    middle: set[int] = set()
    for group in material.families:
        if len(group) > _NAMED_MEMBERS:
            middle |= set(group[1:-1])
    named = [point for point in points if point.index not in middle]
    others = [(point.x, point.value) for point in points if point.index in middle]
    marks = [(point.x, point.value, point.label, material.family_look(point.index).colour) for point in named]
    place_labels(axis, marks, avoid=others)


def scale_count(axis: Any, values: Sequence[float], log_from: float = LOG_FROM) -> None:
    """Horizontal limits and ticks (``20M``) for large numbers; logarithmic where they differ by much."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    low, high = min(values), max(values)
    if high / low > log_from:
        axis.set_xscale("log")
        axis.set_xlim(low / 1.6, high * 1.6)
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_minor_formatter(NullFormatter())
    else:
        span = high - low or high
        axis.set_xlim(max(0.0, low - 0.25 * span), high + 0.35 * span)
        axis.xaxis.set_major_locator(MaxNLocator(6))
    size, letter = next(((size, letter) for size, letter in _SIZES if high >= size), (1, ""))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count / size:g}{letter if count else ''}"))


def limit_scores(axis: Any, points: Sequence[Point], real: float | None, others: Sequence[float] = ()) -> None:
    """Vertical limits that hold every marker and interval, and the real images if they are near."""
    ends = [end for point in points for end in (point.cell.interval or (point.value,))] + list(others)
    low, high = min(ends), max(ends)
    span = high - low or 0.1 * abs(high) or 1.0
    if real is not None and real <= high + _REAL_WITHIN * span:
        high = max(high, real)
    room = 0.12 * max(high - low, span)
    axis.set_ylim(max(0.0, low - room), high + room)


def _points(material: Material, panel: Panel, metric: str) -> list[Point]:
    """Rows that are the same trainings are one point, which has all their names."""
    found: list[Point] = []
    for index in range(len(material.study.rows)):
        count, cell = panel.cell(index, PARAMETERS), panel.cell(index, metric)
        if cell is None or cell.value is None or count is None or count.value is None:
            continue
        judged = panel.measured[index].evaluations
        same = next((at for at, point in enumerate(found) if panel.measured[point.index].evaluations == judged), None)
        if same is None:
            found.append(Point(index=index, label=material.label(index), x=count.value, cell=cell))
        else:
            one = found[same]
            found[same] = replace(one, same=(*one.same, index))
    return [replace(point, label=_label(material, point)) for point in found]


def _label(material: Material, point: Point) -> str:
    """The names of the point's rows, ``A = B``, in lines."""
    names = [material.label(index) for index in (point.index, *point.same)]
    whole, letters = "\N{NO-BREAK SPACE}", _NAME_LETTERS
    if len(names) > 1:
        names, letters = [name.replace(" ", whole) for name in names], _NAMES_LETTERS
    lines = wrap(f" ={whole}".join(names), letters, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines).replace(whole, " ")


def _published_points(material: Material, panel: Panel, metric: str) -> dict[int, tuple[float, float]]:
    """By row: the paper's (parameters, score) on this data set."""
    found: dict[int, tuple[float, float]] = {}
    for index in range(len(material.study.rows)):
        count, cell = panel.cell(index, PUBLISHED_PARAMETERS), panel.cell(index, metric)
        if cell is not None and cell.published is not None and count is not None and count.value:
            found[index] = (count.value * 1e6, cell.published)
    return found


def _draw_published(axis: Any, material: Material, paper: dict[int, tuple[float, float]]) -> None:
    for index, (x, y) in paper.items():
        marker = material.look(index).marker
        axis.plot(x, y, marker, color="#8c8c8c", markerfacecolor="white", markersize=4.5, markeredgewidth=0.8, zorder=2)
    _join(axis, material, paper, "#bdbdbd")


def _join(axis: Any, material: Material, places: dict[int, tuple[float, float]], colour: str) -> None:
    """A thin line through the rows of each family that are there."""
    for group in material.families:
        line = [places[index] for index in group if index in places]
        if len(line) > 1:
            axis.plot([x for x, _ in line], [y for _, y in line], color=colour, linewidth=0.8, zorder=1)


def _caption(material: Material, panels: Sequence[Panel], metric: str) -> str:
    paper = any(_published_points(material, panel, metric) for panel in panels)
    several = bool(material.families)
    real = any(panel.real(metric) is not None for panel in panels)
    return joined(
        f"{metric} ({METRICS[metric].meaning}) against the parameters of the generator, one marker for each row, or "
        f"for the rows that are the same trainings{'; widths of one architecture are joined' if several else ''}.",
        protocol_words(panels, [metric]),
        spread_words(panels, [metric]),
        "Dashed, or named at the top: the judge on the real images." if real else "",
        f"Small and grey: the numbers of the paper's {material.study.published_table}." if paper else "",
        selection_words(material, panels),
        sign_words(panels),
    )
