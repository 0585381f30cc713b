"""The sentences under a table: what its signs mean and what its numbers do not say."""

from __future__ import annotations

from collections.abc import Sequence

from bench.evaluation.protocols import get_protocol
from bench.reporting.cells import Column, TableRow
from bench.reporting.collect import MeasuredRow
from bench.reporting.published import counterpart_of, published_cell, published_datasets
from bench.reporting.statistics import kendall_tau
from bench.study import Study, StudyDataset

FEWEST_RANKED_ROWS = 3
"""An order of two rows is a coin toss, not an agreement."""


def table_notes(
    study: Study,
    dataset: StudyDataset,
    columns: Sequence[Column],
    rows: Sequence[TableRow],
    measured: Sequence[MeasuredRow],
) -> list[str]:
    """Every note that applies, the question and the protocol first."""
    protocol = get_protocol(dataset.protocol)
    notes = [f"Question: {study.question}", f"Protocol {protocol.key}: {protocol.summary}."]
    if study.scale_note:
        notes.append(f"Scale: {study.scale_note}")
    notes += _seed_notes(study, rows)
    notes += _standing_notes(rows)
    notes += _row_notes(study, measured)
    notes += _weights_notes(measured)
    notes += _published_notes(study, dataset, columns)
    notes += rank_agreement(study, dataset, columns, rows)
    return notes


def _seed_notes(study: Study, rows: Sequence[TableRow]) -> list[str]:
    cells = [cell for row in rows if not row.real for cell in row.cells if cell.n_seeds]
    notes: list[str] = []
    if any(cell.interval for cell in cells):
        notes.append(
            f"±: half the width of the 95 % Student-t interval of the mean over seeds ({len(study.seeds)} planned); "
            "it says how far seeds differ, not how far other images would."
        )
    if any(cell.n_seeds == 1 for cell in cells):
        notes.append("°: one seed only, so nothing is known about the spread over seeds.")
    if any(not cell.complete for cell in cells):
        notes.append(f"[k/{len(study.seeds)}]: so many of the planned seeds are in the mean.")
    for row in rows:
        told = dict.fromkeys(cell.detail for cell in row.cells if cell.value is not None and cell.detail)
        notes += [f"{row.label}: {detail}." for detail in list(told)[:1]]
    return notes


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
    notes += [
        f"§ external, {item.label}: pictures made outside this project and imported ({item.imported.told})."
        for item in measured
        if item.imported is not None
    ]
    best = [
        item.label for item in measured if any(evaluation.spec.selection == "best" for evaluation in item.evaluations)
    ]
    if best:
        notes.append(f"Checkpoint selected by its score during training, not the last one: {', '.join(best)}.")
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


def _published_notes(study: Study, dataset: StudyDataset, columns: Sequence[Column]) -> list[str]:
    if study.published_table is None:
        return []
    if dataset.published_dataset is None:
        return [
            f"The paper has no {dataset.ref.name} column: its {study.published_table} is shown as context, "
            "and no difference is taken."
        ]
    notes = [f"Δ: our value minus the one of {study.published_table}. An empty cell of the paper is not known to us."]
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
    ours = {row.label: row.cells[keys.index("mIoU")].value for row in rows if not row.real}
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
