"""Score against the generator's width, for studies that have one architecture at three widths or more."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.evaluation.metric_table import METRICS
from bench.reporting.capacity import Point, draw_point, draw_real, panels_for
from bench.reporting.families import width_of
from bench.reporting.material import (
    Material,
    Panel,
    axis_label,
    distances,
    joined,
    protocol_words,
    selection_words,
    sign_words,
    spread_words,
)
from bench.reporting.style import Drawn, Kind, save, settle, styled

_PANEL_IN = (3.7, 3.0)
FEWEST_WIDTHS = 3


def draw_width_sweep(material: Material, out: Path, kinds: Sequence[Kind] = ("svg", "png")) -> Drawn | None:
    """mIoU and the first measured Frechet distance against the width, one panel for each data set and metric.

    None while no architecture has values at three widths.
    """
    shown = [
        (panel, metric, lines)
        for panel in material.panels
        for metric in _metrics(panel)
        if (lines := _lines(material, panel, metric))
    ]
    if not shown:
        return None
    with styled():
        figure, axes = panels_for(len(shown), _PANEL_IN)
        for axis, (panel, metric, lines) in zip(axes, shown, strict=True):
            _draw_panel(axis, material, panel, metric, lines)
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
        settle(figure)
        used = [panel for panel in material.panels if any(panel is found for found, _, _ in shown)]
        metrics = list(dict.fromkeys(metric for _, metric, _ in shown))
        return save(
            figure,
            out,
            "width_sweep",
            title=f"{' and '.join(metrics)} against the width of the generator",
            caption=_caption(material, used, metrics),
            kinds=kinds,
        )


def _metrics(panel: Panel) -> list[str]:
    keys = [column.key for column in panel.table.columns if column.kind == "metric"]
    measured = [key for key in distances(keys) if panel.has_value(key)]
    return [*(["mIoU"] if panel.has_value("mIoU") else []), *measured[:1]]


def _lines(material: Material, panel: Panel, metric: str) -> list[list[Point]]:
    """The points of each family with values at enough widths, by width."""
    rows = material.study.rows
    found: list[list[Point]] = []
    for group in material.families:
        line: list[Point] = []
        for index in group:
            cell, width = panel.cell(index, metric), width_of(rows[index])
            if cell is not None and cell.value is not None and width is not None:
                line.append(Point(index=index, label=rows[index].variant.name, x=width, cell=cell))
        if len(line) >= FEWEST_WIDTHS:
            found.append(line)
    return found


def _draw_panel(axis: Any, material: Material, panel: Panel, metric: str, lines: Sequence[Sequence[Point]]) -> None:
    for line in lines:
        look = material.family_look(line[0].index)
        axis.plot(
            [point.x for point in line], [point.value for point in line], color=look.colour, linewidth=1, zorder=2
        )
        for point in line:
            draw_point(axis, point, look)
        axis.plot([], [], look.marker, color=look.colour, linestyle="-", label=line[0].label)
    widths = sorted({point.x for line in lines for point in line})
    axis.set_xticks(widths, [f"{width:g}" for width in widths])
    axis.set_xlabel("width of the generator (channels)")
    axis.set_ylabel(axis_label(metric))
    axis.set_ylim(bottom=0)
    if METRICS[metric].higher_better:
        draw_real(axis, panel.real(metric))
    axis.set_title(f"{panel.table.dataset} · {panel.table.protocol}")


def _caption(material: Material, panels: Sequence[Panel], metrics: Sequence[str]) -> str:
    meanings = ", ".join(f"{key} ({METRICS[key].meaning})" for key in metrics)
    real = any(panel.real("mIoU") is not None for panel in panels)
    return joined(
        f"{meanings} against the width of the generator, one line an architecture whose other settings stay.",
        protocol_words(panels, metrics),
        spread_words(panels, metrics),
        "Dashed, or named at the top: the judge on the real images." if real else "",
        selection_words(material, panels),
        sign_words(panels),
    )
