"""The sentences under a table: what its signs mean and what its numbers do not say."""

from __future__ import annotations

from collections.abc import Sequence

from bench.evaluation.protocols import get_protocol
from bench.reporting.cells import Column, TableRow
from bench.reporting.collect import MeasuredRow
from bench.reporting.measured_cells import Asked
from bench.reporting.published import (
    RUNNING_TEXT,
    contradicting_cells,
    counterpart_of,
    published_cell,
    published_datasets,
)
from bench.reporting.statistics import kendall_tau
from bench.reporting.text import rank_text
from bench.study import Study, StudyDataset

FEWEST_RANKED_ROWS = 3
"""An order of two rows is a coin toss, not an agreement."""


def table_notes(
    asked: Asked, columns: Sequence[Column], rows: Sequence[TableRow], measured: Sequence[MeasuredRow]
) -> list[str]:
    """Every note that applies, the question and the protocol first."""
    study, dataset, protocol = asked.study, asked.dataset, asked.protocol
    notes = [f"Question: {study.question}", f"Protocol {protocol.key}: {protocol.summary}."]
    if study.scale_note:
        notes.append(f"Scale: {study.scale_note}")
    notes += _seed_notes(study, rows)
    notes += _standing_notes(rows)
    notes += _rank_notes(columns, rows)
    notes += _checkpoint_notes(measured)
    notes += _row_notes(study, measured)
    notes += _weights_notes(measured)
    notes += _mixed_notes(rows, protocol.key)
    notes += _published_notes(study, dataset, columns)
    notes += _contradictions(study, dataset, columns)
    notes += rank_agreement(study, dataset, columns, rows)
    return notes


def _seed_notes(study: Study, rows: Sequence[TableRow]) -> list[str]:
    cells = [cell for row in rows if not row.real for cell in row.cells if cell.value is not None]
    over = {cell.interval_over for cell in cells}
    planned = f"({len(study.seeds)} planned)"
    notes: list[str] = []
    if "seeds" in over:
        notes.append(
            f"±: half the width of the 95 % Student-t interval of the mean over seeds {planned}; "
            "it says how far seeds differ, not how far other images would."
        )
    if "seeds and images" in over:
        notes.append(
            f"±ˢⁱ: half the width of the 95 % interval for other seeds and other images: Student-t over seeds "
            f"{planned} and jackknife over the judged images, added as variances."
        )
    if "images" in over:
        alone = any(cell.interval_over == "images" and cell.n_seeds == 1 for cell in cells)
        why = "one seed, so " if alone and "seeds" not in over and not any(cell.n_seeds > 1 for cell in cells) else ""
        notes.append(
            f"±ⁱ: {why}half the width of the 95 % jackknife interval over the judged images; it says how far other "
            "images would differ, not how far seeds do."
        )
    if any(cell.n_seeds == 1 and cell.interval is None for cell in cells):
        notes.append("°: one seed only, so nothing is known about the spread over seeds.")
    if any(not cell.complete for cell in cells):
        notes.append(f"[k/{len(study.seeds)}]: so many of the planned seeds are in the mean.")
    for row in rows:
        told = dict.fromkeys(cell.detail for cell in row.cells if cell.value is not None and cell.detail)
        notes += [f"{row.label}: {detail}." for detail in list(told)[:1]]
    return notes


def _rank_notes(columns: Sequence[Column], rows: Sequence[TableRow]) -> list[str]:
    """The ranks that the intervals of the first metric leave open."""
    at = next((index for index, column in enumerate(columns) if column.kind == "metric"), None)
    if at is None:
        return []
    ranked = [(rank, row.label) for row in rows if (rank := row.cells[at].rank) is not None]
    if len(ranked) < 2:
        return []
    listed = ", ".join(f"{rank_text(rank)} {label}" for rank, label in sorted(ranked, key=lambda item: item[0]))
    return [
        f"Ranks by {columns[at].metric}, shared where the intervals overlap: {listed}. "
        "(Two rows are told apart more sharply by report --compare; no correction for the number of rows.)"
    ]


def _checkpoint_notes(measured: Sequence[MeasuredRow]) -> list[str]:
    """The rule that chose the reported checkpoint."""
    trained = [
        (item.label, evaluation.spec.selection)
        for item in measured
        for evaluation in item.evaluations
        if evaluation.spec.run_id is not None and item.row is not None
    ]
    best = list(dict.fromkeys(label for label, selection in trained if selection == "best"))
    if best:
        return [
            f"Checkpoint selected by its score during training, not the last one: {', '.join(best)}. The scores that "
            "selected it are on the first of the very images that are judged here, so its own are flattered."
        ]
    return ["Checkpoint: the last one of every run; none was selected by a score."] if trained else []


def _standing_notes(rows: Sequence[TableRow]) -> list[str]:
    standings = {cell.standing for row in rows for cell in row.cells}
    if "best" not in standings:
        return []
    return ["Marked: best and second best of each metric by the mean (ties at the printed precision share a place)."]


def _row_notes(study: Study, measured: Sequence[MeasuredRow]) -> list[str]:
    notes: list[str] = []
    for kind, sign in (("reconstruction", "†"), ("extension", "‡")):
        reasons: dict[str, list[str]] = {}
        for item in measured:
            if item.row and not item.external and item.row.variant.provenance == kind:
                reasons.setdefault(item.row.variant.provenance_note, []).append(item.label)
        notes += [f"{sign} {kind}, {' and '.join(labels)}: {reason}." for reason, labels in reasons.items()]
    substituted = [
        item.label
        for item in measured
        if item.row
        and not item.external
        and item.row.recipe.perceptual_weight
        and item.row.recipe.perceptual_network == "efficientnet-lite0"
    ]
    if substituted:
        notes.append(
            f"Perceptual loss on features of EfficientNet-Lite0 in place of VGG19's: {', '.join(substituted)}."
        )
    external = [item.label for item in measured if item.external and item.imported is None]
    if external:
        notes.append(
            f"⊕ external, {' and '.join(external)}: images, or the weights that made them, come from elsewhere; they "
            "were judged here by the same protocol."
        )
    notes += [
        f"⊕ external, {item.label}: imported pictures, which no run of the store made ({item.imported.told})."
        for item in measured
        if item.imported is not None
    ]
    if study.real_row:
        notes.append(
            "Real images: the same judge on the validation images themselves, a bound for the labels' scores; "
            "their Frechet distance compares the set with itself."
        )
    return notes


def _weights_notes(measured: Sequence[MeasuredRow]) -> list[str]:
    others = [item.label for item in measured if any(seed.other_weights for seed in item.seeds)]
    if not others:
        return []
    return [f"Judged with other judge or extractor files than those on this machine: {', '.join(others)}."]


def _mixed_notes(rows: Sequence[TableRow], protocol: str) -> list[str]:
    mixed = {row.label: cell.other_protocol for row in rows for cell in row.cells if cell.other_protocol}
    if not mixed:
        return []
    listed = ", ".join(f"{label} by {other}" for label, other in mixed.items())
    return [
        f"§ judged by another protocol than {protocol}, shown because it was asked for, neither compared nor ranked: "
        f"{listed}."
    ]


def _contradictions(study: Study, dataset: StudyDataset, columns: Sequence[Column]) -> list[str]:
    """Where the paper prints two numbers for one model, data set and metric: which of them the differences are to."""
    table, name = study.published_table, dataset.published_dataset
    if table is None or name is None:
        return []
    metrics = [column.metric for column in columns if column.kind == "paper" and column.metric != "params_m"]
    notes = []
    for row in study.rows:
        for metric in metrics:
            found = published_cell(table, row.published_method, name, metric) if row.published_method else None
            if found is None or found.value is None:
                continue
            others = {other.table: other for other in reversed(contradicting_cells(found, row.variant.table_rows))}
            if others:
                told = sorted(others.values(), key=lambda other: other.table)
                listed = ", ".join(
                    f"{other.text} in {'the ' if other.table == RUNNING_TEXT else ''}{other.table} ({other.method})"
                    for other in told
                )
                notes.append(
                    f"The paper contradicts itself: {name} {metric} of {row.label} is {found.text} in {table} and "
                    f"{listed}; Δ is to {table}."
                )
    return notes


def _published_notes(study: Study, dataset: StudyDataset, columns: Sequence[Column]) -> list[str]:
    if study.published_table is None:
        return []
    if dataset.published_dataset is None:
        return [
            f"The paper has no {dataset.ref.name} column: its {study.published_table} is shown as context, "
            "and no difference is taken."
        ]
    notes = [
        f"Δ: our value minus the one of {study.published_table} in the same row. "
        "An empty cell of the paper is not known to us."
    ]
    compared = [column.metric for column in columns if column.kind == "delta"]
    counterparts = [counterpart_of(metric, get_protocol(dataset.protocol)) for metric in compared]
    caveats = dict.fromkeys(found.caveat for found in counterparts if found is not None and found.caveat)
    return notes + [f"{caveat[0].upper()}{caveat[1:]}." for caveat in caveats]


def rank_agreement(
    study: Study, dataset: StudyDataset, columns: Sequence[Column], rows: Sequence[TableRow]
) -> list[str]:
    """Kendall's tau between our mIoU and the paper's, where at least three rows have both; otherwise nothing."""
    table = study.published_table
    keys = [column.key for column in columns]
    if table is None or "mIoU" not in keys:
        return []
    names = [dataset.published_dataset] if dataset.published_dataset else list(published_datasets(table))
    methods: dict[str, str | None] = {row.label: row.published_method for row in study.rows}
    methods |= {name: name for name in study.imports}
    ours = {row.label: row.cells[keys.index("mIoU")].value for row in rows if row.label in methods}
    found: list[str] = []
    for name in names:
        pairs: list[tuple[float, float]] = []
        for label, value in ours.items():
            method = methods[label]
            published = published_cell(table, method, name, "mIoU") if method else None
            if value is not None and published is not None and published.value is not None:
                pairs.append((value, published.value))
        if len(pairs) < FEWEST_RANKED_ROWS:
            continue
        tau = kendall_tau([pair[0] for pair in pairs], [pair[1] for pair in pairs])
        found.append(f"{name} {'undefined (all tied)' if tau is None else f'{tau:+.2f}'} (n = {len(pairs)} rows)")
    if not found:
        return []
    return [f"Order of our mIoU and the paper's, Kendall's tau-b: {', '.join(found)}."]
