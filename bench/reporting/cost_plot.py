"""Score against cost, with the rows that nothing beats in both: the Pareto front."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.cost import RunCost
from bench.evaluation.metric_table import METRICS
from bench.reporting.capacity import Point, draw_point, limit_scores, panels_for, scale_count
from bench.reporting.collect import MeasuredRow
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
from bench.reporting.style import SOFT, Drawn, Kind, save, settle, styled

_PANEL_IN = (3.6, 2.7)


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Something that a row costs, or a speed."""

    key: str
    axis: str
    of: Callable[[MeasuredRow, RunCost | None], float | None]
    """From a row and the cost of its first measured run, as the tables have it; None where nothing is known."""
    lower_better: bool = True


def _parameters(row: MeasuredRow, cost: RunCost | None) -> float | None:
    return row.generator_parameters


def _multiply_adds(row: MeasuredRow, cost: RunCost | None) -> float | None:
    return cost.multiply_adds if cost is not None else None


def _images_per_s(row: MeasuredRow, cost: RunCost | None) -> float | None:
    return cost.images_per_s if cost is not None else None


def _gpu_hours(row: MeasuredRow, cost: RunCost | None) -> float | None:
    return cost.rank_hours if cost is not None and cost.on_gpus else None


COSTS = (
    Cost(key="parameters", axis="parameters of the generator", of=_parameters),
    Cost(key="multiply-adds", axis="multiply-adds for one image", of=_multiply_adds),
    Cost(key="GPU-hours", axis="GPU-hours of training (one run)", of=_gpu_hours),
    Cost(key="images/s", axis="images per second in training", of=_images_per_s, lower_better=False),
)


def pareto_front(points: Sequence[tuple[float, float]], *, lower_cost: bool, higher_score: bool) -> list[int]:
    """Positions of the points (cost, score) that no other equals or betters in both and betters in one, by cost.

    ``lower_cost`` and ``higher_score`` say which way is better. Equal points are all on the front.
    """
    keys = [(cost if lower_cost else -cost, -score if higher_score else score) for cost, score in points]
    kept = [
        index
        for index, (cost, score) in enumerate(keys)
        if not any(c <= cost and s <= score and (c, s) != (cost, score) for c, s in keys)
    ]
    return sorted(kept, key=lambda index: (points[index][0], index))


def draw_score_against_cost(
    material: Material, out: Path, metric: str = "mIoU", kinds: Sequence[Kind] = ("svg", "png")
) -> list[Drawn]:
    """One figure a data set, one panel for each cost that any row's runs tell; none while only parameters are known.

    (The score against the parameters alone is a figure of its own.)
    """
    drawn: list[Drawn] = []
    for panel in material.panels:
        found = [(cost, points) for cost in COSTS if (points := _points(material, panel, metric, cost))]
        if any(cost.key != "parameters" for cost, _ in found):
            suffix = "" if len(material.panels) == 1 else f"_{panel.table.dataset}"
            drawn.append(_draw(material, panel, metric, found, out, f"score_vs_cost{suffix}", kinds))
    return drawn


def _points(material: Material, panel: Panel, metric: str, cost: Cost) -> list[Point]:
    found: list[Point] = []
    for index, item in enumerate(panel.measured):
        cell = panel.cell(index, metric)
        if panel.is_real(index) or cell is None or cell.value is None:
            continue
        known = material.costs.get((item.label, panel.dataset.ref.name)) if item.row is not None else None
        x = cost.of(item, known)
        if x:
            found.append(Point(index=index, label=material.label(index), x=x, cell=cell))
    return found


def _draw(
    material: Material,
    panel: Panel,
    metric: str,
    found: Sequence[tuple[Cost, list[Point]]],
    out: Path,
    name: str,
    kinds: Sequence[Kind],
) -> Drawn:
    with styled():
        figure, axes = panels_for(len(found), _PANEL_IN)
        for axis, (cost, points) in zip(axes, found, strict=True):
            scale_count(axis, [point.x for point in points])
            limit_scores(axis, points, None)
            _draw_front(axis, points, metric, cost)
            for point in points:
                draw_point(axis, point, material.look(point.index))
            axis.set_xlabel(f"{cost.axis} {'← better' if cost.lower_better else '→ better'}")
            axis.set_ylabel(axis_label(metric))
        axes[0].set_title(f"{panel.table.dataset} · {panel.table.protocol}")
        indices = sorted({point.index for _, points in found for point in points})
        figure.legend(
            handles=[_handle(material, index) for index in indices],
            loc="outside lower center",
            ncols=min(3, len(indices)),
        )
        settle(figure)
        title = f"{metric} against cost on {panel.table.dataset}"
        costs = [cost.key for cost, _ in found]
        return save(figure, out, name, title=title, caption=_caption(material, panel, metric, costs), kinds=kinds)


def _handle(material: Material, index: int) -> Any:
    from matplotlib.lines import Line2D

    look = material.look(index)
    return Line2D(
        [],
        [],
        linestyle="none",
        marker=look.marker,
        color=look.colour,
        markerfacecolor=look.face,
        markersize=6,
        label=material.label(index),
    )


def _draw_front(axis: Any, points: Sequence[Point], metric: str, cost: Cost) -> None:
    """The staircase that bounds what the rows reach: at each cost the best score of those that cost no more."""
    higher = METRICS[metric].higher_better
    places = [(point.x, point.value) for point in points]
    front = [places[at] for at in pareto_front(places, lower_cost=cost.lower_better, higher_score=higher)]
    left, right = axis.get_xlim()
    worst = axis.get_ylim()[0 if higher else 1]
    if not cost.lower_better:
        front, right = front[::-1], left
    stairs = [(front[0][0], worst)]
    for x, y in front:
        stairs += [(x, stairs[-1][1]), (x, y)]
    stairs.append((right, front[-1][1]))
    xs, ys = [x for x, _ in stairs], [y for _, y in stairs]
    axis.plot(xs, ys, color=SOFT, linewidth=1.0, zorder=1)
    axis.fill_between(xs, ys, worst, color="#000000", alpha=0.045, linewidth=0, zorder=0)


def _caption(material: Material, panel: Panel, metric: str, costs: Sequence[str]) -> str:
    words = {
        "parameters": "parameters of the generator",
        "multiply-adds": "multiply-adds of the generator for one image",
        "GPU-hours": "GPU-hours of one training run (its images over its images per second, times its ranks)",
        "images/s": "images per second in training, on the hardware of each run",
    }
    return joined(
        f"{metric} ({METRICS[metric].meaning}) against {'; '.join(words[key] for key in costs)}.",
        "Speed and cost: of each row's first measured run." if {"GPU-hours", "images/s"} & set(costs) else "",
        "Line: Pareto front by the means; a row below it is matched or beaten in both by another.",
        protocol_words([panel], [metric]),
        spread_words([panel], [metric]),
        selection_words(material, [panel]),
        sign_words([panel]),
    )
