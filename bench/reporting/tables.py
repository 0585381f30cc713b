"""From a study and a store to tables: every row of the study is always there, whatever the store holds of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from bench.evaluation.metric_table import METRICS, Metric
from bench.evaluation.protocols import Protocol, get_protocol
from bench.reporting.cells import BLANK, Cell, CellState, Column, Table, TableRow
from bench.reporting.collect import Collector, Measured, MeasuredRow
from bench.reporting.notes import table_notes
from bench.reporting.published import Published, counterpart_of, published_cell, published_datasets
from bench.reporting.statistics import competition_ranks, seed_interval
from bench.store import Store
from bench.study import Study, StudyDataset

RECONSTRUCTION = "†"
EXTENSION = "‡"
EXTERNAL = "§"
"""Behind rows of imported pictures; :attr:`TableRow.external` says the same to programs."""
UPPER_BOUND = " (upper bound)"
PARAMETERS = "parameters"
IMAGES = "images"
PUBLISHED_PARAMETERS = "paper:params_m"


def study_tables(study: Study, store: Store) -> list[Table]:
    """One table for each data set of the study."""
    collector = Collector(store)
    measured = [(dataset, collector.rows(study, dataset)) for dataset in study.datasets]
    unreadable = tuple(f"Passed over, since it cannot be read: {why}." for why in collector.unreadable)
    tables = [study_table(study, dataset, rows) for dataset, rows in measured]
    return [replace(table, notes=table.notes + unreadable) for table in tables]


def study_table(study: Study, dataset: StudyDataset, measured: Sequence[MeasuredRow]) -> Table:
    """The study's table on one data set, the real images last."""
    protocol = get_protocol(dataset.protocol)
    columns = _columns(study, dataset, protocol, measured)
    rows = [_row(study, dataset, columns, item) for item in measured]
    rows = _with_standings(columns, rows)
    shown = [cell for column in zip(*(row.cells for row in rows), strict=True) for cell in column]
    height, width = dataset.ref.size
    return Table(
        study=study.name,
        dataset=dataset.ref.name,
        protocol=protocol.key,
        title=f"{study.title} · {dataset.ref.name}, {height}×{width} px · protocol {protocol.key}",
        columns=tuple(columns),
        rows=tuple(rows),
        notes=tuple(table_notes(study, dataset, columns, rows, measured)),
        reasons=tuple(
            dict.fromkeys(cell.detail for cell in shown if cell.detail and cell.state in ("pending", "failed", "n/a"))
        ),
        footnotes=tuple(f"{item.label}: {note}" for item in measured if (note := _footnote(item.seeds, protocol.key))),
    )


def _columns(study: Study, dataset: StudyDataset, protocol: Protocol, measured: Sequence[MeasuredRow]) -> list[Column]:
    columns = [Column(key=PARAMETERS, heading="#param", kind="parameters", meaning="parameters of our generator")]
    for name in protocol.metrics:
        metric = METRICS[name]
        columns.append(
            Column(
                key=name,
                heading=f"{name} {_scale(metric)}{'↑' if metric.higher_better else '↓'}",
                kind="metric",
                metric=name,
                unit=metric.unit,
                decimals=_decimals(metric, measured),
                higher_is_better=metric.higher_better,
                meaning=metric.meaning,
            )
        )
    columns.append(Column(key=IMAGES, heading="N", kind="images", decimals=0, meaning="validation images judged"))
    if study.published_table:
        columns += _published_columns(study.published_table, dataset, protocol)
    return columns


def _scale(metric: Metric) -> str:
    """What the printed values were multiplied by; per cents need no word."""
    return f"{metric.unit} " if metric.unit not in ("", "%") else ""


def _decimals(metric: Metric, measured: Sequence[MeasuredRow]) -> int:
    """One decimal of per cents, two for distances around 1, none that say nothing for those in the hundreds."""
    if metric.decimals is not None or metric.unit == "%":
        return metric.decimals if metric.decimals is not None else 1
    values = [
        score.value
        for item in measured
        for evaluation in item.evaluations
        if not item.real and (score := evaluation.scores.get(metric.name)) is not None and score.value is not None
    ]
    return 2 if not values or max(values) < 100 else 1


def _published_columns(table: str, dataset: StudyDataset, protocol: Protocol) -> list[Column]:
    group = f"paper, {table}"
    columns = [
        Column(
            key=PUBLISHED_PARAMETERS,
            heading="#param",
            kind="paper",
            metric="params_m",
            unit="M",
            decimals=0,
            group=group,
        )
    ]
    name = dataset.published_dataset
    if name is None:
        columns += [
            Column(
                key=f"paper:{other}:mIoU", heading=f"{other} mIoU", kind="paper", metric="mIoU", unit="%", group=group
            )
            for other in published_datasets(table)
        ]
    else:
        for metric in protocol.metrics:
            counterpart = counterpart_of(metric, protocol)
            if counterpart is None or name not in published_datasets(table, counterpart.metric):
                continue
            key = f"paper:{name}:{counterpart.metric}"
            if all(column.key != key for column in columns):
                heading = f"{name} {counterpart.metric}"
                columns.append(Column(key=key, heading=heading, kind="paper", metric=counterpart.metric, group=group))
            columns.append(
                Column(key=f"delta:{metric}", heading=f"Δ {metric}", kind="delta", metric=metric, group=group)
            )
    return columns


def _row(study: Study, dataset: StudyDataset, columns: Sequence[Column], item: MeasuredRow) -> TableRow:
    cells = {column.key: _measured_cell(study, dataset, column, item) for column in columns if column.kind != "delta"}
    for column in columns:
        if column.kind == "delta":
            delta = cells[column.metric].delta
            cells[column.key] = BLANK if delta is None else Cell(state="value", value=delta)
    variant = item.row.variant if item.row and not item.external else None
    marks = {"reconstruction": RECONSTRUCTION, "extension": EXTENSION}.get(variant.provenance, "") if variant else ""
    return TableRow(
        label=item.label + (UPPER_BOUND if item.real else ""),
        variant=variant.name if variant else item.external,
        marks=EXTERNAL if item.external else marks,
        real=item.real,
        external=bool(item.external),
        cells=tuple(cells[column.key] for column in columns),
    )


def _measured_cell(study: Study, dataset: StudyDataset, column: Column, item: MeasuredRow) -> Cell:
    if column.kind == "metric":
        return _metric_cell(study, dataset, column.metric, item)
    if column.kind == "paper":
        _, _, rest = column.key.partition(":")
        found = _published(study, item, rest.rpartition(":")[0], column.metric)
        if found is None or found.value is None:
            return BLANK
        return Cell(state="value", value=found.value, published=found.value, published_source=_source(found))
    if column.kind == "images":
        counts = [evaluation.images for evaluation in item.evaluations]
        return Cell(state="value", value=min(counts), n_images=min(counts)) if counts else BLANK
    count = item.generator_parameters
    return BLANK if count is None else Cell(state="value", value=count)


def _published(study: Study, item: MeasuredRow, dataset: str | None, metric: str) -> Published | None:
    method = item.published_method
    if study.published_table is None or method is None or dataset is None:
        return None
    return published_cell(study.published_table, method, dataset, metric)


def _source(found: Published) -> str:
    return f"{found.source} ({found.note})" if found.note else found.source


def _metric_cell(study: Study, dataset: StudyDataset, metric: str, item: MeasuredRow) -> Cell:
    counterpart = counterpart_of(metric, get_protocol(dataset.protocol))
    found = _published(study, item, dataset.published_dataset, counterpart.metric) if counterpart else None
    published = found.value if found else None
    source = _source(found) if found and published is not None else ""
    used = [seed for seed in item.seeds if seed.evaluation and _value(seed, metric) is not None]
    values = [value for seed in used if (value := _value(seed, metric)) is not None]
    if not values:
        state, detail = _state_without_value(metric, item)
        return Cell(
            state=state, detail=detail, n_seeds_planned=_seeds(item.seeds), published=published, published_source=source
        )
    mean = fmean(values)
    return Cell(
        state="value",
        value=mean,
        interval=seed_interval(values),
        n_seeds=_seeds(used),
        n_seeds_planned=_seeds(item.seeds),
        n_images=min(seed.evaluation.images for seed in used if seed.evaluation),
        detail="; ".join(_other_seeds(metric, item)),
        published=published,
        delta=None if published is None else mean - published,
        published_source=source,
        footnote=_footnote(used, dataset.protocol),
    )


def _seeds(measured: Sequence[Measured]) -> int:
    """Training seeds; the real images have none."""
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


def _state_without_value(metric: str, item: MeasuredRow) -> tuple[CellState, str]:
    states = [_seed_state(metric, seed) for seed in item.seeds]
    order: tuple[CellState, ...] = ("n/a", "running", "failed", "pending")
    state = next(name for name in order if any(name == found for found, _ in states))
    return state, next(detail for found, detail in states if found == state)


def _other_seeds(metric: str, item: MeasuredRow) -> list[str]:
    """What the seeds without a value are doing, where others have one."""
    missing = [seed for seed in item.seeds if _value(seed, metric) is None]
    states = [(seed.seed, *_seed_state(metric, seed)) for seed in missing]
    return [f"seed {number}: {detail or state}" for number, state, detail in states]


def _footnote(seeds: Sequence[Measured], protocol: str) -> str:
    """Runs, step, weights, protocol, commit and images behind a row's numbers; empty before the first evaluation."""
    evaluations = [seed.evaluation for seed in seeds if seed.evaluation]
    if not evaluations:
        return ""
    parts: list[str] = []
    runs = [seed.run.run_id for seed in seeds if seed.run and seed.evaluation]
    if runs:
        parts.append(f"run{'s' if len(runs) > 1 else ''} {', '.join(runs)}")
    steps = sorted({evaluation.step for evaluation in evaluations if evaluation.step is not None})
    if steps:
        selections = sorted({evaluation.spec.selection for evaluation in evaluations})
        weights = sorted({evaluation.spec.weights for evaluation in evaluations})
        parts.append(f"step {_listed(steps)} ({_listed(selections)}), {_listed(weights)} weights")
    parts.append(_listed(sorted({evaluation.spec.protocol for evaluation in evaluations}) or [protocol]))
    commits = Counter(_commit(seed) for seed in seeds if _commit(seed))
    if commits:
        parts.append(f"commit {_listed(sorted(commits))}")
    parts.append(f"{_listed(sorted({evaluation.images for evaluation in evaluations}))} images")
    return "; ".join(parts)


def _listed(values: Sequence[object]) -> str:
    return "/".join(str(value) for value in values)


def _commit(seed: Measured) -> str:
    commit = str(seed.provenance.get("commit") or "")[:10]
    return f"{commit} with changes" if commit and seed.provenance.get("dirty") else commit


def _with_standings(columns: Sequence[Column], rows: Sequence[TableRow]) -> list[TableRow]:
    """Mark the best and the second best of every metric; one value alone is not the best of anything."""
    cells = [list(row.cells) for row in rows]
    for index, column in enumerate(columns):
        if column.kind != "metric":
            continue
        values = [
            round(value, column.decimals) if (value := row.cells[index].value) is not None and not row.real else None
            for row in rows
        ]
        if sum(value is not None for value in values) < 2:
            continue
        ranks = competition_ranks(values, higher_is_better=bool(column.higher_is_better))
        for line, rank in zip(cells, ranks, strict=True):
            if rank in (1, 2):
                line[index] = replace(line[index], standing="best" if rank == 1 else "second")
    return [replace(row, cells=tuple(line)) for row, line in zip(rows, cells, strict=True)]
