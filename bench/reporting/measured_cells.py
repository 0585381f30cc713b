"""What one row has in one column: mean, interval, the paper's cell, the footnote, or why there is nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from bench.cost import RunCost
from bench.evaluation.protocols import Protocol
from bench.reporting.cells import BLANK, Cell, CellState, Column, IntervalOver
from bench.reporting.collect import Measured, MeasuredRow
from bench.reporting.intervals import Intervals
from bench.reporting.published import Published, counterpart_of, published_cell
from bench.store import Evaluation
from bench.study import Study, StudyDataset


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a table is of."""

    study: Study
    dataset: StudyDataset
    protocol: Protocol
    intervals: Intervals
    costs: Mapping[tuple[str, str], RunCost] = field(default_factory=dict)
    """By row label and data set; empty where no cost is asked for."""
    made: dict[tuple[str, str], Cell] = field(default_factory=dict)
    """Cells that were made for another table of the same, by column and row label; those of cost are not among them."""


def measured_cell(asked: Asked, column: Column, item: MeasuredRow) -> Cell:
    """The cell of ``item`` in a column of any kind but ``delta``."""
    if column.kind == "cost":
        return cost_cell(asked, column.key.partition(":")[2], item)
    key = column.key, item.label
    if key not in asked.made:
        asked.made[key] = _made_cell(asked, column, item)
    return asked.made[key]


def _made_cell(asked: Asked, column: Column, item: MeasuredRow) -> Cell:
    if column.kind == "metric":
        return metric_cell(asked, column.metric, item)
    if column.kind == "paper":
        _, _, rest = column.key.partition(":")
        return paper_cell(_published(asked.study, item, rest.rpartition(":")[0], column.metric))
    if column.kind == "images":
        counts = [evaluation.images for evaluation in item.evaluations]
        if not counts:
            return BLANK
        return Cell(state="value", value=min(counts), n_images=min(counts), footnote=footnote(item.seeds))
    count = item.generator_parameters
    return BLANK if count is None else Cell(state="value", value=count, footnote=_trained_by(item))


def paper_cell(found: Published | None) -> Cell:
    """The printed number, blank where the paper has none or we do not know it."""
    if found is None or found.value is None:
        return BLANK
    return Cell(
        state="value",
        value=found.value,
        published=found.value,
        published_cell=found.name,
        published_source=_source(found),
        footnote=f"{found.name}; {_source(found)}",
    )


def delta_cell(ours: Cell) -> Cell:
    """The difference that ``ours`` carries."""
    if ours.delta is None:
        return BLANK
    return Cell(
        state="value",
        value=ours.delta,
        published=ours.published,
        delta=ours.delta,
        published_cell=ours.published_cell,
        published_source=ours.published_source,
        footnote=f"ours minus {ours.published:g} ({ours.published_cell}; {ours.published_source}); {ours.footnote}",
    )


def metric_cell(asked: Asked, metric: str, item: MeasuredRow) -> Cell:
    """Mean and interval over the seeds that have a value, or what they are doing."""
    counterpart = counterpart_of(metric, asked.protocol)
    name = asked.dataset.published_dataset
    found = _published(asked.study, item, name, counterpart.metric) if counterpart else None
    published = found.value if found else None
    source = _source(found) if found and published is not None else ""
    named = found.name if found and published is not None else ""
    used = [seed for seed in item.seeds if seed.evaluation and _value(seed, metric) is not None]
    values = [value for seed in used if (value := _value(seed, metric)) is not None]
    if not values:
        state, detail = state_without_value(metric, item)
        return Cell(
            state=state,
            detail=detail,
            n_seeds_planned=_seeds(item.seeds),
            published=published,
            published_cell=named,
            published_source=source,
        )
    mean = fmean(values)
    evaluations = [seed.evaluation for seed in used if seed.evaluation]
    others = sorted({seed.other_protocol for seed in used if seed.other_protocol})
    interval: tuple[float, float] | None = None
    over: IntervalOver = ""
    if not item.real and not others:
        class_mean = asked.protocol.class_mean
        interval, over = asked.intervals.of(evaluations, metric, class_mean, seeded=not item.external)
    return Cell(
        state="value",
        value=mean,
        interval=interval,
        interval_over=over,
        n_seeds=_seeds(used),
        n_seeds_planned=_seeds(item.seeds),
        n_images=min(evaluation.images for evaluation in evaluations),
        detail="; ".join(_other_seeds(metric, item)),
        published=published,
        delta=None if published is None or others else mean - published,
        published_cell=named,
        published_source=source,
        footnote=footnote(used),
        other_protocol="/".join(others),
    )


def cost_cell(asked: Asked, key: str, item: MeasuredRow) -> Cell:
    """What the row's first measured run cost; blank for what was not trained here or has not begun."""
    cost = asked.costs.get((item.label, asked.dataset.ref.name)) if item.row is not None else None
    if cost is None or cost.images_per_s is None:
        return BLANK
    on = f"{cost.ranks} × {cost.hardware or 'unknown hardware'}" if cost.on_gpus else cost.hardware or "CPU"
    note = f"{_trained_by(item)}; measured on {on}"
    if key == "gpu_hours":
        if not cost.on_gpus:
            return Cell(state="n/a", detail=f"n/a (trained without a GPU: {_hours(cost)} on the CPU)", footnote=note)
        return Cell(state="value", value=cost.rank_hours, footnote=note)
    value = {
        "multiply_adds": None if cost.multiply_adds is None else cost.multiply_adds / 1e9,
        "memory": cost.memory_gib,
        "speed": cost.images_per_s,
    }[key]
    if value is None:
        return Cell(state="n/a", detail="n/a (not recorded when the run was trained)", footnote=note)
    return Cell(state="value", value=value, footnote=note)


def _hours(cost: RunCost) -> str:
    hours = cost.hours or 0.0
    return f"{hours:.1f} h" if hours >= 1 else f"{60 * hours:.0f} min"


def _published(study: Study, item: MeasuredRow, dataset: str | None, metric: str) -> Published | None:
    method = item.published_method
    if study.published_table is None or method is None or dataset is None:
        return None
    return published_cell(study.published_table, method, dataset, metric)


def _source(found: Published) -> str:
    return f"{found.source} ({found.note})" if found.note else found.source


def _seeds(measured: Sequence[Measured]) -> int:
    """Training seeds; the real images and external ones have none."""
    return sum(item.seed is not None for item in measured)


def _value(seed: Measured, metric: str) -> float | None:
    score = seed.evaluation.scores.get(metric) if seed.evaluation else None
    return score.value if score else None


def _seed_state(metric: str, seed: Measured) -> tuple[CellState, str]:
    """State and detail of one seed that has no value of ``metric``."""
    if seed.evaluation is None:
        return seed.state, seed.detail
    score = seed.evaluation.scores.get(metric)
    return "n/a", f"n/a ({score.reason or 'no reason recorded' if score else 'the evaluation did not measure it'})"


def state_without_value(metric: str, item: MeasuredRow) -> tuple[CellState, str]:
    """What the seeds of ``item`` are doing, none of which has a value of ``metric``."""
    states = [_seed_state(metric, seed) for seed in item.seeds]
    order: tuple[CellState, ...] = ("n/a", "running", "failed", "pending")
    state = next(name for name in order if any(name == found for found, _ in states))
    return state, next(detail for found, detail in states if found == state)


def _other_seeds(metric: str, item: MeasuredRow) -> list[str]:
    """What the seeds without a value are doing, where others have one."""
    missing = [seed for seed in item.seeds if _value(seed, metric) is None]
    states = [(seed.seed, *_seed_state(metric, seed)) for seed in missing]
    return [f"seed {number}: {detail or state}" for number, state, detail in states]


def footnote(seeds: Sequence[Measured]) -> str:
    """Runs, step, weights, protocol, commit and images behind a row's numbers; empty before the first evaluation."""
    evaluations = [seed.evaluation for seed in seeds if seed.evaluation]
    if not evaluations:
        return ""
    parts: list[str] = []
    runs = [seed.run.run_id for seed in seeds if seed.run and seed.evaluation]
    elsewhere = sorted({_elsewhere(item) for item in evaluations if not runs and item.spec.run_id is not None})
    if runs:
        parts.append(f"run{'s' if len(runs) > 1 else ''} {', '.join(runs)}")
    parts += elsewhere
    steps = sorted({evaluation.step for evaluation in evaluations if evaluation.step is not None})
    if steps:
        selections = sorted({evaluation.spec.selection for evaluation in evaluations})
        weights = sorted({evaluation.spec.weights for evaluation in evaluations})
        parts.append(f"step {_listed(steps)} ({_listed(selections)}), {_listed(weights)} weights")
    parts.append(_listed(sorted({evaluation.spec.protocol for evaluation in evaluations})))
    commits = Counter(_commit(seed.provenance) for seed in seeds if _commit(seed.provenance))
    judged = Counter(_commit(item.provenance) for item in evaluations if _commit(item.provenance))
    if commits:
        parts.append(f"commit {_listed(sorted(commits))}")
    if judged and set(judged) != set(commits):
        parts.append(f"judged at commit {_listed(sorted(judged))}")
    parts.append(f"{_listed(sorted({evaluation.images for evaluation in evaluations}))} images")
    notes = dict.fromkeys(item.selection_note for item in evaluations if item.spec.selection == "best")
    parts += [note for note in notes if note]
    return "; ".join(parts)


def _elsewhere(evaluation: Evaluation) -> str:
    kind, _, name = evaluation.spec.subject.partition(":")
    what = "imported images" if kind == "external" else "checkpoint file"
    return f"{what} {name}, content {evaluation.spec.run_id}"


def _trained_by(item: MeasuredRow) -> str:
    """The runs that have begun, and their commit."""
    begun = [seed for seed in item.seeds if seed.provenance and seed.run is not None]
    runs = ", ".join(seed.run.run_id for seed in begun if seed.run is not None)
    commits = sorted({_commit(seed.provenance) for seed in begun} - {""})
    return f"run{'s' if len(begun) > 1 else ''} {runs}" + (f"; commit {_listed(commits)}" if commits else "")


def _listed(values: Sequence[object]) -> str:
    return "/".join(str(value) for value in values)


def _commit(provenance: Mapping[str, object]) -> str:
    commit = str(provenance.get("commit") or "")[:10]
    return f"{commit} with changes" if commit and provenance.get("dirty") else commit
