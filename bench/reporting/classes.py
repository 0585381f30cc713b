"""Intersection over union class by class, against how many of the judged pixels belong to the class."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from bench.reporting.collect import MeasuredRow
from bench.reporting.material import Material, Panel, joined, selection_words, sign_words
from bench.reporting.style import INK, Drawn, Kind, save, settle, styled

MOST_NAMED = 24
"""Up to so many classes every one has a line of its own; more are points with a line through their groups."""
_GROUPS = 8
"""Groups of classes of equal size, by frequency, that a line goes through."""


@dataclass(frozen=True, kw_only=True)
class ClassScores:
    """One row's scores by class name."""

    index: int | None
    """Row of the study; None for the real images."""
    label: str
    iou: Mapping[str, float]
    """Percent, mean over the seeds; classes that the protocol's mean leaves out are absent."""
    seeds: int


def class_frequencies(panel: Panel) -> dict[str, float]:
    """Share of the labelled pixels by class name, the most frequent first; classes without a pixel are left out.

    Every row is judged on the same label maps, so the first evaluation tells.
    """
    evaluations = [evaluation for item in panel.measured for evaluation in item.evaluations if evaluation.class_pixels]
    if not evaluations:
        return {}
    most = max(evaluations, key=lambda evaluation: evaluation.images)
    total = sum(most.class_pixels.values())
    shares = {name: count / total for name, count in most.class_pixels.items() if count}
    return dict(sorted(shares.items(), key=lambda item: (-item[1], item[0])))


def class_scores(material: Material, panel: Panel) -> list[ClassScores]:
    """The scores by class of every row that has some, in the study's order, the real images last."""
    found: list[ClassScores] = []
    for index, item in enumerate(panel.measured):
        iou = _mean_iou(item)
        if iou:
            seeds = sum(bool(evaluation.class_iou) for evaluation in item.evaluations)
            place = index if not panel.is_real(index) else None
            label = material.label(index) if place is not None else item.label
            found.append(ClassScores(index=place, label=label, iou=iou, seeds=seeds))
    return found


def _mean_iou(item: MeasuredRow) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for evaluation in item.evaluations:
        for name, value in evaluation.class_iou.items():
            if value is not None:
                values.setdefault(name, []).append(value)
    return {name: fmean(found) for name, found in values.items()}


def draw_class_iou(material: Material, out: Path, kinds: Sequence[Kind] = ("svg", "png")) -> list[Drawn]:
    """One figure a data set; none for those without an evaluation that tells the classes apart."""
    drawn: list[Drawn] = []
    for panel in material.panels:
        frequencies, rows = class_frequencies(panel), class_scores(material, panel)
        if frequencies and any(row.index is not None for row in rows):
            suffix = "" if len(material.panels) == 1 else f"_{panel.table.dataset}"
            drawn.append(_draw(material, panel, frequencies, rows, out, f"class_iou{suffix}", kinds))
    return drawn


def _draw(
    material: Material,
    panel: Panel,
    frequencies: Mapping[str, float],
    rows: Sequence[ClassScores],
    out: Path,
    name: str,
    kinds: Sequence[Kind],
) -> Drawn:
    from matplotlib.figure import Figure

    named = len(frequencies) <= MOST_NAMED
    with styled():
        height = 1.1 + 0.27 * len(frequencies) if named else 3.9
        figure = Figure(figsize=(6.6, height + 0.17 * ((len(rows) + 2) // 3)), layout="constrained")
        axis = figure.subplots()
        (_draw_lines if named else _draw_points)(axis, material, frequencies, rows)
        axis.set_title(f"{panel.table.dataset} · {panel.table.protocol}")
        handles, labels = axis.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3, handlelength=1.8)
        settle(figure)
        return save(
            figure,
            out,
            name,
            title=f"Intersection over union by class, against the class's frequency, on {panel.table.dataset}",
            caption=_caption(material, panel, rows, named=named),
            kinds=kinds,
        )


def _draw_lines(axis: Any, material: Material, frequencies: Mapping[str, float], rows: Sequence[ClassScores]) -> None:
    """One line a class, the most frequent on top, one marker a row."""
    classes = list(frequencies)
    spread = 0.56 / max(1, len(rows) - 1)
    models = [row for row in rows if row.index is not None]
    for place, row in enumerate(models):
        assert row.index is not None
        look = material.look(row.index)
        shown = [
            (row.iou[name], line + spread * (place - (len(models) - 1) / 2)) for line, name in _lines(classes, row)
        ]
        axis.plot(
            [x for x, _ in shown],
            [y for _, y in shown],
            look.marker,
            color=look.colour,
            markerfacecolor=look.face,
            markersize=4.5,
            markeredgewidth=0.9,
            label=row.label,
            zorder=3,
        )
    for row in rows:
        if row.index is None:
            ends = [(row.iou[name], line) for line, name in _lines(classes, row)]
            axis.vlines(
                [x for x, _ in ends],
                [line - 0.4 for _, line in ends],
                [line + 0.4 for _, line in ends],
                color=INK,
                linewidth=1.2,
                label=row.label,
                zorder=2,
            )
    for line in range(0, len(classes), 2):
        axis.axhspan(line - 0.5, line + 0.5, color="#000000", alpha=0.035, linewidth=0, zorder=0)
    axis.set_yticks(range(len(classes)), [f"{name}  {_share(frequencies[name])}" for name in classes])
    axis.set_ylim(len(classes) - 0.5, -0.5)
    axis.set_xlim(-1.5, 101.5)
    axis.set_xlabel("intersection over union (%) → better")
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="y", visible=False)


def _lines(classes: Sequence[str], row: ClassScores) -> list[tuple[int, str]]:
    return [(line, name) for line, name in enumerate(classes) if name in row.iou]


def _share(share: float) -> str:
    percent = 100 * share
    return f"{percent:.0f} %" if percent >= 9.95 else f"{percent:.1f} %" if percent >= 0.095 else f"{percent:.1g} %"


def _draw_points(axis: Any, material: Material, frequencies: Mapping[str, float], rows: Sequence[ClassScores]) -> None:
    """A pale point for each class and row, and for each row a line through the means of groups of classes."""
    for row in rows:
        look = material.look(row.index) if row.index is not None else None
        colour = look.colour if look is not None else INK
        if look is not None:
            shared = [name for name in frequencies if name in row.iou]
            axis.plot(
                [100 * frequencies[name] for name in shared],
                [row.iou[name] for name in shared],
                look.marker,
                color=colour,
                markersize=2.6,
                markeredgewidth=0,
                alpha=0.22,
                zorder=1,
                rasterized=True,
            )
        middles = group_means(frequencies, row.iou, _GROUPS)
        axis.plot(
            [100 * x for x, _ in middles],
            [y for _, y in middles],
            color=colour,
            linestyle=look.dash if look is not None else (0, (5, 3)),
            marker=look.marker if look is not None else None,
            markerfacecolor=look.face if look is not None else None,
            markersize=4.5,
            markeredgewidth=0.9,
            linewidth=1.3,
            label=row.label,
            zorder=3,
        )
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:g} %")
    axis.set_ylim(bottom=0)
    axis.set_xlabel("share of the labelled pixels")
    axis.set_ylabel("intersection over union (%) → better")


def group_means(frequencies: Mapping[str, float], iou: Mapping[str, float], groups: int) -> list[tuple[float, float]]:
    """(geometric mean of the shares, mean IoU) of groups of classes of nearly equal number, the rarest first."""

    classes = [name for name in frequencies if name in iou][::-1]
    count = min(groups, len(classes))
    found: list[tuple[float, float]] = []
    for group in range(count):
        members = classes[group * len(classes) // count : (group + 1) * len(classes) // count]
        share = math.exp(fmean(math.log(frequencies[name]) for name in members))
        found.append((share, fmean(iou[name] for name in members)))
    return found


def _caption(material: Material, panel: Panel, rows: Sequence[ClassScores], *, named: bool) -> str:
    images = sorted({evaluation.images for item in panel.measured for evaluation in item.evaluations})
    seeds = sorted({row.seeds for row in rows if row.index is not None})
    how = (
        "one line a class, the most frequent first, with its share of the labelled pixels."
        if named
        else f"points: classes; lines: means over {_GROUPS} groups of nearly equally many classes, by frequency."
    )
    real = any(row.index is None for row in rows)
    return joined(
        f"Intersection over union by class of the judge, {how}",
        f"Protocol {panel.table.protocol} on {panel.table.dataset} (N = {'/'.join(map(str, images))} images).",
        "One seed." if seeds == [1] else f"Means over {'/'.join(map(str, seeds))} seeds.",
        ("Upright strokes: the judge on the real images." if named else "Dashed black: the judge on the real images.")
        if real
        else "",
        selection_words(material, [panel]),
        sign_words([panel]),
    )
