"""All figures of a study, each where the store has the numbers for it, and their captions in a file."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.atomic import written_beside
from bench.reporting.cells import Table
from bench.reporting.collect import Collector
from bench.reporting.html import Picture
from bench.reporting.material import gather
from bench.reporting.style import Drawn, Kind
from bench.store import Store
from bench.study import Study

CAPTIONS_FILE = "captions.json"
_LONGEST_FIRST = ("curves", "cost", "bars", "classes", "parameters", "width")
"""The order in which figures are begun, so that two processes end together."""


def study_plots(
    study: Study,
    store: Store,
    tables: Sequence[Table],
    out: Path,
    *,
    kinds: Sequence[Kind] = ("svg", "png"),
    curves: bool = True,
    collector: Collector | None = None,
) -> list[Drawn]:
    """Every figure that the store has the numbers for, written under ``out``.

    Score against parameters, bars, score against cost, width sweep, IoU by class, and with ``curves`` scores and
    losses during training (reading every run's record takes as long as the rest where runs are long). ``collector``
    is one that has read the store already.
    """
    from bench.reporting.bars import draw_bars
    from bench.reporting.capacity import draw_score_against_parameters
    from bench.reporting.classes import draw_class_iou
    from bench.reporting.cost_plot import draw_score_against_cost
    from bench.reporting.curves import draw_curves
    from bench.reporting.forks import in_forks
    from bench.reporting.style import load_matplotlib
    from bench.reporting.sweep import draw_width_sweep

    material = gather(study, store, tables, collector)
    tasks: dict[str, Callable[[], list[Drawn] | Drawn | None]] = {
        "parameters": lambda: draw_score_against_parameters(material, out, kinds=kinds),
        "bars": lambda: draw_bars(material, out, kinds),
        "cost": lambda: draw_score_against_cost(material, out, kinds=kinds),
        "width": lambda: draw_width_sweep(material, out, kinds),
        "classes": lambda: draw_class_iou(material, out, kinds),
        "curves": lambda: draw_curves(material, out, kinds) if curves else None,
    }
    load_matplotlib()
    drawn = dict(zip(_LONGEST_FIRST, in_forks([tasks[name] for name in _LONGEST_FIRST]), strict=True))
    found: list[Drawn] = []
    for name in tasks:
        figures = drawn[name]
        found += [figures] if isinstance(figures, Drawn) else figures or []
    return found


def write_captions(out: Path, pictures: Sequence[Picture]) -> Path:
    """Write ``captions.json`` under ``out``: by the name of each picture's file without suffix, its caption."""
    path = out / CAPTIONS_FILE
    captions = {picture.file.stem: picture.caption for picture in pictures}
    with written_beside(path) as temporary:
        temporary.write_text(json.dumps(captions, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return path
