"""The columns of a study's table on one data set."""

from __future__ import annotations

from collections.abc import Sequence

from bench.evaluation.metric_table import METRICS, Metric
from bench.evaluation.protocols import Protocol
from bench.reporting.cells import Column
from bench.reporting.collect import MeasuredRow
from bench.reporting.options import ReportOptions
from bench.reporting.published import counterpart_of, published_cell, published_datasets, published_methods
from bench.study import Study, StudyDataset

PARAMETERS = "parameters"
IMAGES = "images"
PUBLISHED_PARAMETERS = "paper:params_m"
COST = (
    ("multiply_adds", "multiply-adds", "G", 1, "multiplications and additions of our generator for one image, in 10^9"),
    ("memory", "memory GiB", "GiB", 1, "the most that training held: of the first rank's GPU, or of the process"),
    ("speed", "images/s", "", 1, "training speed over all ranks, as last measured"),
    ("gpu_hours", "GPU-hours", "h", 1, "one training from its first step to its last, over all its GPUs"),
)
"""Key (behind ``cost:``), heading, unit, decimals, meaning."""


def study_columns(
    study: Study, dataset: StudyDataset, protocol: Protocol, measured: Sequence[MeasuredRow], options: ReportOptions
) -> list[Column]:
    """Ours, then the paper's beside its differences."""
    name = dataset.ref.name
    columns = [
        Column(key=PARAMETERS, heading="#param", kind="parameters", meaning="parameters of our generator", dataset=name)
    ]
    if options.cost:
        columns += cost_columns(name)
    columns += [metric_column(METRICS[item], dataset, protocol, measured) for item in protocol.metrics]
    columns.append(
        Column(key=IMAGES, heading="N", kind="images", decimals=0, meaning="validation images judged", dataset=name)
    )
    if study.published_table:
        columns += _published_columns(study.published_table, dataset, protocol)
    return columns


def cost_columns(dataset: str) -> list[Column]:
    """What a row costs to train and to run."""
    return [
        Column(
            key=f"cost:{key}",
            heading=heading,
            kind="cost",
            unit=unit,
            decimals=decimals,
            meaning=meaning,
            higher_is_better=key == "speed",
            dataset=dataset,
        )
        for key, heading, unit, decimals, meaning in COST
    ]


def metric_column(metric: Metric, dataset: StudyDataset, protocol: Protocol, measured: Sequence[MeasuredRow]) -> Column:
    """Ours of one metric."""
    return Column(
        key=metric.name,
        heading=f"{metric.name} {_scale(metric)}{'↑' if metric.higher_better else '↓'}",
        kind="metric",
        metric=metric.name,
        unit=metric.unit,
        decimals=_decimals(metric, measured),
        higher_is_better=metric.higher_better,
        meaning=metric.meaning,
        dataset=dataset.ref.name,
        protocol=protocol.key,
    )


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
    """The paper's; without a count of parameters where ``table`` prints none."""
    group = f"paper, {table}"
    columns = []
    if any(published_cell(table, method, "", "params_m") for method in published_methods(table)):
        meaning = f"parameters of the generator as printed in {table}"
        columns.append(
            Column(
                key=PUBLISHED_PARAMETERS,
                heading="#param",
                kind="paper",
                metric="params_m",
                unit="M",
                decimals=0,
                group=group,
                meaning=meaning,
            )
        )
    name = dataset.published_dataset
    if name is None:
        return columns + [_paper_column(table, other, "mIoU") for other in published_datasets(table)]
    for metric in protocol.metrics:
        counterpart = counterpart_of(metric, protocol)
        if counterpart is None or name not in published_datasets(table, counterpart.metric):
            continue
        paper = _paper_column(table, name, counterpart.metric)
        if all(column.key != paper.key for column in columns):
            columns.append(paper)
        columns.append(
            Column(
                key=f"delta:{metric}",
                heading=f"Δ {metric}",
                kind="delta",
                metric=metric,
                group=group,
                meaning=f"our {metric} minus the {counterpart.metric} of {name} in {table}",
                dataset=dataset.ref.name,
                protocol=protocol.key,
            )
        )
    return columns


def _paper_column(table: str, dataset: str, metric: str) -> Column:
    return Column(
        key=f"paper:{dataset}:{metric}",
        heading=f"{dataset} {metric}",
        kind="paper",
        metric=metric,
        unit="%" if metric != "FID" else "",
        group=f"paper, {table}",
        meaning=f"{metric} on {dataset} as printed in {table}",
        dataset=dataset,
    )
