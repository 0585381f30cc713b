"""What happened during training: the score on the way, where it was taken, and every loss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from bench.evaluation.protocols import get_protocol
from bench.reporting.style import Drawn, Kind, mark, save, settle, styled
from bench.store import Store
from bench.study import Study, StudyDataset

SCORE = "score/mIoU"
LOSS_PREFIXES = ("generator/", "discriminator/")
_LOG_FROM = 30.0
"""Ratio of the largest to the smallest loss from which a panel is logarithmic."""
_FIELDS = ("row", "index", "seed", "step", "key", "value")


def training_frame(study: Study, dataset: StudyDataset, store: Store) -> pd.DataFrame:
    """Scores and losses of every run as recorded: columns row, index (of the row), seed, step, key, value."""
    lines: list[tuple[object, ...]] = []
    for index, row in enumerate(study.rows):
        for seed in study.seeds:
            for record in store.run(study.run(row, dataset, seed)).metrics():
                lines += [
                    (row.label, index, seed, record["step"], key, value)
                    for key, value in record.items()
                    if (key == SCORE or key.startswith(LOSS_PREFIXES)) and isinstance(value, (int, float))
                ]
    return pd.DataFrame(lines, columns=list(_FIELDS))


def draw_curves(study: Study, store: Store, out: Path, kinds: Sequence[Kind] = ("svg", "png")) -> list[Drawn]:
    """One figure a data set with a panel for the score and for each loss; none for data sets without a record."""
    drawn: list[Drawn] = []
    for dataset in study.datasets:
        frame = training_frame(study, dataset, store)
        if not frame.empty:
            name = "training_curves" if len(study.datasets) == 1 else f"training_curves_{dataset.ref.name}"
            drawn.append(_draw(frame, dataset, out, name, kinds))
    return drawn


def _draw(frame: pd.DataFrame, dataset: StudyDataset, out: Path, name: str, kinds: Sequence[Kind]) -> Drawn:
    from matplotlib.figure import Figure

    keys = _ordered(frame["key"].unique().tolist())
    columns = min(3, len(keys))
    rows = math.ceil(len(keys) / columns)
    with styled():
        figure = Figure(figsize=(2.75 * columns, 2.1 * rows + 0.45), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for panel, key in zip(panels, keys, strict=False):
            _draw_panel(panel, frame[frame["key"] == key], key)
        for panel in panels[len(keys) :]:
            panel.set_axis_off()
        for panel in panels[max(0, len(keys) - columns) : len(keys)]:
            panel.set_xlabel("step")
        _legend(figure, frame, panels[len(keys)] if len(keys) < len(panels) else None)
        settle(figure)
        return save(figure, out, name, _caption(frame, keys, dataset), kinds)


def _ordered(keys: Sequence[str]) -> list[str]:
    """The score first, then the generator's losses, then the discriminator's."""
    return sorted(keys, key=lambda key: (key != SCORE, not key.startswith("generator/"), key))


def _draw_panel(panel: Any, frame: pd.DataFrame, key: str) -> None:
    for index, runs in frame.groupby("index", sort=True):
        look = mark(int(str(index)))
        several = runs["seed"].nunique() > 1
        style = "-" if look.filled else (0, (4, 2))
        if several:
            for _, run in runs.groupby("seed"):
                panel.plot(run["step"], run["value"], color=look.colour, linewidth=0.6, alpha=0.35)
        # Seeds that are not so far yet would bend the mean: only steps that all of them have.
        mean = runs.groupby("step")["value"].agg(["mean", "count"])
        whole = mean[mean["count"] == runs["seed"].nunique()]
        marker = look.marker if key == SCORE else None
        panel.plot(whole.index, whole["mean"], color=look.colour, linestyle=style, marker=marker, markersize=3.5)
    panel.set_title("mIoU (%)" if key == SCORE else key.replace("_", " ").replace("/", ": "))
    panel.set_xlim(0, 1.02 * frame["step"].max())
    if key == SCORE:
        panel.set_ylim(bottom=0)
    elif frame["value"].min() > 0 and frame["value"].max() / frame["value"].min() > _LOG_FROM:
        panel.set_yscale("log")
        return
    panel.locator_params(nbins=5)


def _legend(figure: Any, frame: pd.DataFrame, free_panel: Any) -> None:
    from matplotlib.lines import Line2D

    labels = frame.drop_duplicates("index").sort_values("index")
    handles = []
    for index, label in zip(labels["index"], labels["row"], strict=True):
        look = mark(int(index))
        style: Any = "-" if look.filled else (0, (4, 2))
        handles.append(
            Line2D([], [], color=look.colour, linestyle=style, marker=look.marker, markersize=4, label=label)
        )
    if free_panel is not None:
        free_panel.legend(handles=handles, loc="center left", borderaxespad=0)
    else:
        figure.legend(handles=handles, loc="outside lower center", ncols=min(4, len(handles)))


def _caption(frame: pd.DataFrame, keys: Sequence[str], dataset: StudyDataset) -> str:
    protocol = get_protocol(dataset.protocol).key
    score = f"mIoU by {protocol} during training, and the" if SCORE in keys else "The"
    seeds = int(frame["seed"].nunique())
    several = f" Thick: mean over {seeds} seeds; thin: each seed." if seeds > 1 else " One seed."
    return (
        f"{score} weighted losses on {dataset.ref.name}, means between two records.{several} "
        "Losses of rows with different recipes (hinge, least squares) are not on one scale."
    )
