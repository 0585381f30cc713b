"""From evaluations to the lines of a leaderboard: means over seeds, intervals, places with ties."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from bench.evaluation.metric_table import METRICS
from bench.evaluation.protocols import get_protocol
from bench.reporting.leaderboard.scan import JudgedRun
from bench.reporting.leaderboard.schema import Change
from bench.reporting.statistics import seed_interval

_DIGITS = 8


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of the file: one entry by one metric. Fields are the columns of :mod:`.schema`."""

    board: str
    dataset: str
    size: str
    protocol: str
    images: int
    metric: str
    unit: str
    higher_is_better: bool
    rank: int | None = None
    tied: int | None = None
    change: Change = ""
    previous_rank: int | None = None
    variant: str
    provenance: str
    recipe: str
    settings: str
    steps: int | None
    batch_images: int | None
    weights: str
    selection: str
    entry: str
    seeds: tuple[str, ...]
    n_seeds: int
    mean: float | None
    low: float | None
    high: float | None
    reason: str
    params: int | None
    run_ids: tuple[str, ...]
    eval_ids: tuple[str, ...]
    commits: tuple[str, ...]
    judged_with: tuple[str, ...]

    @property
    def ranked(self) -> bool:
        """Whether it has a place: a value, and not the real images'."""
        return self.mean is not None and self.provenance != "real images"

    @property
    def range(self) -> tuple[float, float]:
        """The interval, or the value alone where there is none."""
        assert self.mean is not None
        return (self.mean if self.low is None else self.low), (self.mean if self.high is None else self.high)


def ranked_lines(runs: Sequence[JudgedRun]) -> list[Line]:
    """Every line, boards by data set, size, protocol and N, each metric's entries by place, the real images last."""
    lines = [line for group in _grouped(runs).values() for line in _lines_of(group)]
    order: dict[tuple[str, str], int] = {}
    for line in lines:
        order.setdefault((line.board, line.metric), len(order))
    contests: dict[tuple[str, str, tuple[str, ...]], list[Line]] = {}
    for line in lines:
        contests.setdefault((line.board, line.metric, line.judged_with), []).append(line)
    placed = [line for contest in contests.values() for line in with_places(contest)]
    return sorted(
        placed,
        key=lambda line: (
            *(line.dataset, line.size, line.protocol, -line.images, line.board),
            *(_metric_order(line), line.metric, line.judged_with),
            *(not line.ranked, line.provenance == "real images", line.rank or 0, _goodness(line)),
            *(line.variant, line.settings, line.entry),
        ),
    )


def with_places(contest: Sequence[Line]) -> list[Line]:
    """The lines with their places: by mean, and an interval that overlaps the first one's of a place shares it."""
    best_first = sorted((line for line in contest if line.ranked), key=lambda line: (_goodness(line), line.entry))
    places: list[list[Line]] = []
    for line in best_first:
        if places and _overlap(places[-1][0], line):
            places[-1].append(line)
        else:
            places.append([line])
    rank, placed = 1, []
    for group in places:
        placed += [replace(line, rank=rank, tied=len(group)) for line in group]
        rank += len(group)
    return placed + [line for line in contest if not line.ranked]


def _overlap(first: Line, second: Line) -> bool:
    (low, high), (other_low, other_high) = first.range, second.range
    return low <= other_high and other_low <= high


def _goodness(line: Line) -> float:
    """Smaller is better."""
    if line.mean is None:
        return 0.0
    return -line.mean if line.higher_is_better else line.mean


def _metric_order(line: Line) -> int:
    """The protocol's order of its metrics; those that it does not have come last."""
    metrics = _metrics_of(line.protocol)
    return metrics.index(line.metric) if line.metric in metrics else len(metrics)


def _metrics_of(key: str) -> tuple[str, ...]:
    try:
        protocol = get_protocol(key.partition("@")[0])
    except ValueError:  # of another installation
        return ()
    return protocol.metrics


def _grouped(runs: Sequence[JudgedRun]) -> Mapping[tuple[str, str], list[JudgedRun]]:
    """Evaluations by (board, entry); of several of one run that differ in missing files alone, the fullest."""
    groups: dict[tuple[str, str], dict[tuple[str, tuple[tuple[str, str], ...]], JudgedRun]] = {}
    for run in runs:
        present = tuple(sorted(item for item in run.files.items() if item[1] != "missing"))
        group = groups.setdefault((_board(run), _entry(run)), {})
        rivals = [key for key in group if key[0] == run.run_id and (set(key[1]) <= set(present))]
        for key in rivals:
            del group[key]
        if not any(key[0] == run.run_id and set(present) < set(key[1]) for key in group):
            group[run.run_id, present] = run
    return {key: list(group.values()) for key, group in groups.items()}


def _board(run: JudgedRun) -> str:
    judged: list[object] = [
        run.dataset,
        list(run.size),
        run.val_manifest,
        run.images,
        run.protocol,
        run.protocol_sha256,
    ]
    return _short(judged)


def _entry(run: JudgedRun) -> str:
    return _short([run.trained.key, run.weights, run.selection, run.step, run.noise_seed])


def _short(values: list[object]) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:_DIGITS]


def _lines_of(runs: Sequence[JudgedRun]) -> list[Line]:
    """The lines of one entry on one board: one a metric, and one for each set of files that judged."""
    found: list[Line] = []
    metrics = dict.fromkeys(name for run in runs for name in run.scores)
    for metric in metrics:
        by_files: dict[tuple[str, ...], list[JudgedRun]] = {}
        for run in runs:
            if metric in run.scores:
                by_files.setdefault(_files(run, metric), []).append(run)
        valued = {
            files: group for files, group in by_files.items() if any(_value(run, metric) is not None for run in group)
        }
        found += [_line(group, metric, files) for files, group in (valued or by_files).items()]
    return found


def _value(run: JudgedRun, metric: str) -> float | None:
    return run.scores[metric][0]


def _files(run: JudgedRun, metric: str) -> tuple[str, ...]:
    """The files that the metric's value depends on; all of them where that is not known here."""
    names = set(run.files)
    known = METRICS.get(metric)
    if known is not None:
        try:
            judge = set(get_protocol(run.protocol.partition("@")[0]).judge_weights)
        except ValueError:
            judge = names
        names &= judge if known.kind == "segmentation" else set(known.weights)
    return tuple(f"{name}={run.files[name][:_DIGITS]}" for name in sorted(names))


def _line(runs: Sequence[JudgedRun], metric: str, files: tuple[str, ...]) -> Line:
    ordered = sorted(runs, key=lambda run: (-1 if run.seed is None else run.seed, run.run_id, run.eval_id))
    used = [run for run in ordered if _value(run, metric) is not None]
    shown = used or ordered
    values = [value for run in used if (value := _value(run, metric)) is not None]
    first, known = ordered[0], METRICS.get(metric)
    interval = seed_interval(values) if len(values) > 1 else None
    seeds = tuple(dict.fromkeys(str(run.seed) for run in shown if run.seed is not None))
    return Line(
        board=_board(first),
        dataset=first.dataset,
        size=f"{first.size[0]}x{first.size[1]}",
        protocol=first.protocol,
        images=first.images,
        metric=metric,
        unit=known.unit if known else "",
        higher_is_better=known.higher_better if known else True,
        variant=first.trained.variant,
        provenance=first.trained.provenance,
        recipe=first.trained.recipe,
        settings=first.trained.settings,
        steps=first.trained.steps,
        batch_images=first.trained.batch_images,
        weights=first.weights,
        selection=first.selection,
        entry=_entry(first),
        seeds=seeds,
        n_seeds=len(seeds) if used else 0,
        mean=fmean(values) if values else None,
        low=interval[0] if interval else None,
        high=interval[1] if interval else None,
        reason="" if values else next((reason for run in ordered if (reason := run.scores[metric][1])), "not measured"),
        params=next((run.params for run in ordered if run.params is not None), None),
        run_ids=tuple(dict.fromkeys(run.run_id for run in shown if run.run_id)),
        eval_ids=tuple(run.eval_id for run in shown),
        commits=tuple(sorted({run.commit for run in shown if run.commit})),
        judged_with=files,
    )
