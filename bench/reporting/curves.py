"""What happened during training: scores on the way, where they were taken, and every loss."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.evaluation.metric_table import METRICS
from bench.plan import evaluation_of
from bench.reporting.collect import Measured
from bench.reporting.material import Material, Panel, joined, selection_words, sign_words
from bench.reporting.style import INK, Drawn, Kind, save, settle, styled
from bench.run_spec import RunSpec
from bench.store import Evaluation, EvaluationSpec, Store

LOSS_PREFIXES = ("generator/", "discriminator/")
SCORE, JUDGED = "score/", "judged/"
"""Keys of scores that the training itself took on its way, and of judged checkpoints of several steps."""
MOST_POINTS = 160
"""A loss with more records is drawn as means of neighbouring ones."""
MOST_SEEDS = 12
"""Of a row with more seeds, the first so many are drawn: lines beyond them hide one another, and each is read whole."""
_LOG_FROM = 30.0
"""Ratio of the largest to the smallest loss from which a panel is logarithmic."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One quantity of one run over its steps."""

    index: int
    """Row of the study."""
    seed: int
    key: str
    """``generator/NAME``, ``discriminator/NAME``, ``score/METRIC`` or ``judged/METRIC``."""
    steps: NDArray[np.int64]
    """Ascending, (points,)."""
    values: NDArray[np.float64]
    """(points,); losses as recorded: means between two records."""
    taken: str = ""
    """Of a score: protocol and images, as recorded with it."""

    @property
    def score(self) -> bool:
        return self.key.startswith((SCORE, JUDGED))


def training_curves(material: Material, panel: Panel) -> list[Curve]:
    """Losses and scores on one data set, of the first ``MOST_SEEDS`` runs of each row that have begun.

    Scores are mIoU and the Frechet distances, as far as they are known.
    """
    found: list[Curve] = []
    for index, item in enumerate(panel.measured):
        for seed in [seed for seed in item.seeds if seed.provenance][:MOST_SEEDS]:
            if seed.run is not None:
                found += _recorded(material.store, seed.run, index)
                found += _judged(material.store, panel, seed, seed.run, index)
    return found


def _recorded(store: Store, run: RunSpec, index: int) -> Iterator[Curve]:
    steps: dict[str, list[int]] = {}
    values: dict[str, list[float]] = {}
    taken = ""
    for record in store.run(run).metrics():
        if "protocol" in record:
            taken = f"{record['protocol']}, the first {record['images']} validation images"
        for key, value in record.items():
            if isinstance(value, (int, float)) and (key.startswith(LOSS_PREFIXES) or _shown_score(key, SCORE)):
                steps.setdefault(key, []).append(record["step"])
                values.setdefault(key, []).append(value)
    for key in steps:
        yield Curve(
            index=index,
            seed=run.seed,
            key=key,
            steps=np.array(steps[key]),
            values=np.array(values[key], float),
            taken=taken if key.startswith(SCORE) else "",
        )


def _shown_score(key: str, prefix: str) -> bool:
    name = key.removeprefix(prefix)
    return key.startswith(prefix) and (name == "mIoU" or (name in METRICS and METRICS[name].kind == "frechet"))


def _judged(store: Store, panel: Panel, seed: Measured, run: RunSpec, index: int) -> Iterator[Curve]:
    """Of runs with judged checkpoints of several steps, by the protocol of the table and on the same images."""
    reported = seed.evaluation
    spec = reported.spec if reported is not None else evaluation_of(run, panel.dataset)
    judged = judged_steps(store, run, spec)
    if reported is not None and reported.step is not None:
        judged[reported.step] = reported
    if len(judged) < 2:
        return
    names = {name for evaluation in judged.values() for name in evaluation.scores}
    for name in sorted(names):
        scores = {step: found.scores[name].value for step, found in judged.items() if name in found.scores}
        known = [(step, value) for step, value in sorted(scores.items()) if value is not None]
        if len(known) > 1 and _shown_score(JUDGED + name, JUDGED):
            images = next(iter(judged.values())).images
            yield Curve(
                index=index,
                seed=run.seed,
                key=JUDGED + name,
                steps=np.array([step for step, _ in known]),
                values=np.array([value for _, value in known], float),
                taken=f"{spec.protocol}, {images} images",
            )


def judged_steps(store: Store, run: RunSpec, spec: EvaluationSpec) -> dict[int, Evaluation]:
    """By step: the evaluations that ``evaluate --run RUN --step STEP`` has left, otherwise equal to ``spec``.

    The folders of generated images tell which steps to look for; in a store that was copied without them, the steps
    at which the run saves.
    """
    images = store.run(run).path / "generated"
    steps = {int(path.name.removeprefix("step_").partition("-")[0]) for path in images.glob("step_*")}
    if not steps:
        every = run.training.save_every_steps
        steps = {*range(every, run.training.steps + 1, every), run.training.steps}
    found: dict[int, Evaluation] = {}
    for step in sorted(steps) if len(steps) > 1 else []:
        evaluation = store.evaluation(replace(spec, step=step).eval_id)
        if evaluation is not None:
            found[step] = evaluation
    return found


def draw_curves(material: Material, out: Path, kinds: Sequence[Kind] = ("svg", "png")) -> list[Drawn]:
    """A figure of scores and one of losses for each data set; none for those without a record."""
    drawn: list[Drawn] = []
    for panel in material.panels:
        curves = training_curves(material, panel)
        suffix = "" if len(material.panels) == 1 else f"_{panel.table.dataset}"
        scores, losses = [c for c in curves if c.score], [c for c in curves if not c.score]
        where = f"on {panel.table.dataset}"
        if scores:
            title, caption = f"Scores during training {where}", _score_caption(material, panel, scores)
            drawn.append(_draw(material, panel, scores, out, f"training_scores{suffix}", title, caption, kinds))
        if losses:
            title, caption = f"Losses during training {where}", _loss_caption(panel, losses)
            drawn.append(_draw(material, panel, losses, out, f"training_losses{suffix}", title, caption, kinds))
    return drawn


def _draw(
    material: Material,
    panel: Panel,
    curves: Sequence[Curve],
    out: Path,
    name: str,
    title: str,
    caption: str,
    kinds: Sequence[Kind],
) -> Drawn:
    from matplotlib.figure import Figure

    keys = _ordered({curve.key for curve in curves})
    columns = min(3, len(keys))
    lines = math.ceil(len(keys) / columns)
    with styled():
        figure = Figure(figsize=(2.9 * columns if columns > 1 else 4.4, 2.1 * lines + 0.6), layout="constrained")
        axes = figure.subplots(lines, columns, squeeze=False, sharex=True).ravel()
        for axis, key in zip(axes, keys, strict=False):
            _draw_panel(axis, material, [curve for curve in curves if curve.key == key], key)
            if key.startswith((SCORE, JUDGED)):
                _ring_reported(axis, material, panel, [curve for curve in curves if curve.key == key])
        for axis in axes[len(keys) :]:
            axis.set_axis_off()
        for axis in axes[max(0, len(keys) - columns) : len(keys)]:
            axis.set_xlabel("step")
            axis.tick_params(labelbottom=True)
        axes[0].set_xlim(0, 1.02 * max(curve.steps[-1] for curve in curves))
        _legend(figure, material, curves, axes[len(keys)] if len(keys) < len(axes) else None)
        settle(figure)
        return save(figure, out, name, title=title, caption=caption, kinds=kinds)


def _ordered(keys: set[str]) -> list[str]:
    """mIoU first, then distances, then the generator's losses, then the discriminator's."""
    return sorted(keys, key=lambda key: ("mIoU" not in key, not key.startswith("generator/"), key))


def _draw_panel(axis: Any, material: Material, curves: Sequence[Curve], key: str) -> None:
    score = key.startswith((SCORE, JUDGED))
    low, high = math.inf, 0.0
    for index in sorted({curve.index for curve in curves}):
        look = material.look(index)
        runs = [thinned(curve, MOST_POINTS) for curve in curves if curve.index == index]
        if len(runs) > 1:
            xs = np.concatenate([[*run.steps, np.nan] for run in runs])  # one line with gaps is drawn faster
            ys = np.concatenate([[*run.values, np.nan] for run in runs])
            axis.plot(xs, ys, color=look.colour, linewidth=0.6, alpha=0.35)
        steps, values = mean_over_seeds(runs)
        axis.plot(
            steps,
            values,
            color=look.colour,
            linestyle=look.dash,
            marker=look.marker if score and len(steps) <= 40 else None,
            markerfacecolor=look.face,
            markersize=3.5,
            markeredgewidth=0.9,
        )
        low, high = min(low, *(run.values.min() for run in runs)), max(high, *(run.values.max() for run in runs))
    axis.set_title(_heading(key))
    axis.xaxis.set_major_formatter(lambda step, _: f"{step / 1000:g}k" if step >= 10_000 else f"{step:g}")
    if not score and low > 0 and high / low > _LOG_FROM:
        axis.set_yscale("log")
        axis.locator_params(axis="x", nbins=5)
        return
    if score:
        axis.set_ylim(bottom=0)
    axis.locator_params(nbins=5)


def thinned(curve: Curve, most: int) -> Curve:
    """``curve`` with at most ``most`` points, each the mean of neighbouring ones at the last of their steps."""
    count = len(curve.steps)
    if count <= most or curve.score:
        return curve
    ends = np.unique(np.linspace(0, count, most + 1).astype(int))
    sums = np.add.reduceat(curve.values, ends[:-1])
    return replace(curve, steps=curve.steps[ends[1:] - 1], values=sums / np.diff(ends))


def mean_over_seeds(runs: Sequence[Curve]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(steps, means) at the steps that every run has: seeds that are not so far yet would bend the mean."""
    steps = reduce(np.intersect1d, [run.steps for run in runs])
    return steps, np.mean([run.values[np.isin(run.steps, steps)] for run in runs], axis=0)


def _ring_reported(axis: Any, material: Material, panel: Panel, curves: Sequence[Curve]) -> None:
    """A ring around the reported checkpoint of runs that report the best one; the last needs none."""
    for curve in curves:
        for seed in panel.measured[curve.index].seeds:
            found = seed.evaluation
            if seed.seed != curve.seed or found is None or found.step is None or found.spec.selection != "best":
                continue
            there = curve.values[curve.steps == found.step]
            axis.plot([found.step] * len(there), there, "o", color=INK, fillstyle="none", markersize=8, zorder=4)


def _heading(key: str) -> str:
    if not key.startswith((SCORE, JUDGED)):
        return key.replace("_", " ").replace("/", ": ")
    kind, _, name = key.partition("/")
    metric = METRICS[name]
    where = "" if kind == "score" else ", whole split"
    return f"{name}{f' ({metric.unit})' if metric.unit else ''} {'↑' if metric.higher_better else '↓'}{where}"


def _legend(figure: Any, material: Material, curves: Sequence[Curve], free: Any) -> None:
    from matplotlib.lines import Line2D

    handles = []
    for index in sorted({curve.index for curve in curves}):
        look, label = material.look(index), material.label(index)
        shown = any(curve.score for curve in curves)
        handles.append(
            Line2D(
                [],
                [],
                color=look.colour,
                linestyle=look.dash,
                marker=look.marker if shown else None,
                markerfacecolor=look.face,
                markersize=4,
                label=label,
            )
        )
    if free is not None and len(handles) <= 9:
        free.legend(handles=handles, loc="center left", borderaxespad=0, handlelength=2.6)
    else:
        figure.legend(handles=handles, loc="outside lower center", ncols=min(3, len(handles)), handlelength=2.6)


def _seed_words(panel: Panel, curves: Sequence[Curve]) -> str:
    seeds = len({curve.seed for curve in curves})
    begun = max(sum(bool(seed.provenance) for seed in item.seeds) for item in panel.measured)
    of = f"the first {MOST_SEEDS} seeds of {begun:,}" if begun > MOST_SEEDS else f"{seeds} seeds"
    return f"Thick: mean over {of}, as far as all have come; thin: each of them." if seeds > 1 else "One seed."


def _score_caption(material: Material, panel: Panel, curves: Sequence[Curve]) -> str:
    on_the_way = sorted({curve.taken for curve in curves if curve.key.startswith(SCORE)})
    judged = sorted({curve.taken for curve in curves if curve.key.startswith(JUDGED)})
    known = [taken for taken in on_the_way if taken]
    told = f"({'; '.join(known)})" if known else "(by the data set's default protocol, on the first validation images)"
    best = any(found.spec.selection == "best" for item in panel.measured for found in item.evaluations)
    return joined(
        f"Scores during training on {panel.table.dataset}.",
        f"Taken by the training on its way {told}; they are no table's numbers." if on_the_way else "",
        f"Whole split: checkpoints judged by the table's protocol ({'; '.join(judged)})." if judged else "",
        _seed_words(panel, curves),
        selection_words(material, [panel]),
        "Rings: the reported checkpoints." if best else "",
        sign_words([panel]),
    )


def _loss_caption(panel: Panel, curves: Sequence[Curve]) -> str:
    longest = max(len(curve.steps) for curve in curves)
    thinned_words = f", thinned to at most {MOST_POINTS} points" if longest > MOST_POINTS else ""
    return joined(
        f"Weighted losses on {panel.table.dataset}, means between two records{thinned_words}.",
        _seed_words(panel, curves),
        "Losses of rows with different recipes (hinge, least squares) are not on one scale.",
        sign_words([panel]),
    )
