"""Scores as bars with their intervals: a line of panels a data set, a panel a metric, a bar a row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.evaluation.metric_table import METRICS
from bench.reporting.cells import Cell
from bench.reporting.material import (
    Material,
    Panel,
    distances,
    joined,
    protocol_words,
    selection_words,
    sign_words,
    spread_words,
)
from bench.reporting.style import INK, SOFT, Drawn, Kind, lighter, save, settle, styled

_BAR_IN, _PANEL_IN, _HEAD_IN = 0.27, 2.35, 0.62
_STATES = {"pending": "pending", "running": "running", "failed": "failed", "n/a": "n/a"}


def draw_bars(material: Material, out: Path, kinds: Sequence[Kind] = ("svg", "png")) -> Drawn | None:
    """mIoU, accuracy and Frechet distance of every row on every data set; None while there is no value at all.

    A row without a value keeps its place and says why it has none; small ticks are the paper's own numbers.
    """
    shown = [(panel, keys) for panel in material.panels if (keys := _metrics(panel))]
    if not shown:
        return None
    from matplotlib.figure import Figure

    columns = max(len(keys) for _, keys in shown)
    labels = max(len(material.label(index)) for index in range(len(material.study.rows)))
    height = _HEAD_IN + _BAR_IN * len(material.study.rows)
    with styled():
        size = (_PANEL_IN * columns + 0.068 * labels, height * len(shown))
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(len(shown), columns, squeeze=False, sharey=True)
        for line, (panel, keys) in zip(axes, shown, strict=True):
            for axis, key in zip(line, keys, strict=False):
                _draw_panel(axis, material, panel, key)
            for axis in line[len(keys) :]:
                axis.set_axis_off()
            line[0].set_title(f"{panel.table.dataset} · {panel.table.protocol}\n{_heading(keys[0])}")
        settle(figure)
        return save(
            figure,
            out,
            "scores",
            title=f"Scores of every row on {', '.join(panel.table.dataset for panel, _ in shown)}",
            caption=_caption(material, shown),
            kinds=kinds,
        )


def _metrics(panel: Panel) -> list[str]:
    """mIoU, one accuracy and one distance: the first of each kind that any row has a value of."""
    keys = [column.key for column in panel.table.columns if column.kind == "metric"]
    wanted = (["mIoU"], [key for key in keys if key.startswith("accu")], distances(keys))
    found: list[str] = []
    for names in wanted:
        measured = [name for name in names if panel.has_value(name)]
        # The accuracy that the paper's is compared with, where one is.
        compared = [name for name in measured if any(_published(cell) for cell in _cells(panel, name))]
        found += (compared or measured)[:1]
    return found


def _cells(panel: Panel, key: str) -> list[Cell]:
    cells = [panel.cell(index, key) for index, row in enumerate(panel.table.rows) if not row.real]
    return [cell for cell in cells if cell is not None]


def _published(cell: Cell) -> bool:
    return cell.published is not None


def _heading(key: str) -> str:
    metric = METRICS[key]
    return f"{key}{f' ({metric.unit})' if metric.unit else ''} {'↑' if metric.higher_better else '↓'}"


def _draw_panel(axis: Any, material: Material, panel: Panel, key: str) -> None:
    cells = _cells(panel, key)
    decimals = panel.table.columns[panel.table.column(key)].decimals
    reach = [end for cell in cells if cell.value is not None for end in (cell.value, *(cell.interval or ()))]
    published = [cell.published for cell in cells if cell.published is not None]
    real = panel.real(key)
    lines = [real] if real is not None and METRICS[key].higher_better else []
    limit = max([*reach, *published, *lines])
    axis.set_xlim(0, 1.24 * limit)
    for index, cell in enumerate(cells):
        if cell.value is None:
            axis.text(0.015 * limit, index, _STATES.get(cell.state, ""), va="center", fontsize=7.5, color=SOFT)
            continue
        _draw_bar(axis, index, cell, material.look(index).colour, material.look(index).filled)
        end = max(cell.value, *(cell.interval or (0.0,)), cell.published or 0.0)
        ground = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
        text = f"{cell.value:.{decimals}f}"
        axis.text(end + 0.03 * limit, index, text, va="center", fontsize=7.5, color=INK, bbox=ground)
    if lines:
        axis.axvline(lines[0], color=INK, linewidth=0.9, linestyle=(0, (5, 3)))
    axis.set_yticks(range(len(cells)), [material.label(index) for index in range(len(cells))])
    axis.set_ylim(len(cells) - 0.4, -0.6)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="y", visible=False)
    axis.spines["left"].set_visible(False)
    axis.locator_params(axis="x", nbins=5)
    axis.set_title(_heading(key))


def _draw_bar(axis: Any, index: int, cell: Cell, colour: str, filled: bool) -> None:
    assert cell.value is not None
    face = lighter(colour, 0.35) if filled else lighter(colour, 0.75)
    axis.barh(index, cell.value, height=0.66, color=face, edgecolor=colour, linewidth=0.8, zorder=2)
    if cell.interval:
        low, high = cell.interval
        axis.errorbar(
            cell.value,
            index,
            xerr=[[cell.value - max(low, 0.0)], [high - cell.value]],
            fmt="none",
            ecolor=INK,
            elinewidth=1,
            capsize=2.5,
            zorder=3,
        )
    if cell.published is not None:
        axis.plot([cell.published] * 2, [index - 0.42, index + 0.42], color="#000000", linewidth=2.0, zorder=4)
        axis.plot([cell.published] * 2, [index - 0.40, index + 0.40], color="white", linewidth=0.8, zorder=5)


def _caption(material: Material, shown: Sequence[tuple[Panel, list[str]]]) -> str:
    panels = [panel for panel, _ in shown]
    keys = list(dict.fromkeys(key for _, names in shown for key in names))
    meanings = ", ".join(f"{key} ({METRICS[key].meaning})" for key in keys)
    ticks = any(cell.published is not None for panel, names in shown for key in names for cell in _cells(panel, key))
    real = any(panel.real(key) is not None and METRICS[key].higher_better for panel, names in shown for key in names)
    return joined(
        f"Every row of the study: {meanings}.",
        protocol_words(panels, keys),
        spread_words(panels, keys),
        "Dashed: the judge on the real images." if real else "",
        f"White ticks: the numbers of the paper's {material.study.published_table}." if ticks else "",
        selection_words(material, panels),
        sign_words(panels),
    )
