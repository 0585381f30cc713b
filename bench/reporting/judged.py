"""What ``evaluate`` prints: one evaluation beside its upper bound and the paper's numbers. Free of torch and pandas."""

from __future__ import annotations

from typing import Any

from bench.evaluation.metric_table import METRICS
from bench.evaluation.protocols import get_protocol
from bench.reporting.published import Published, counterpart_of, published_cell
from bench.store import Evaluation, Score


def judged_lines(
    found: Evaluation, bound: Evaluation | None, variant: str | None
) -> tuple[list[dict[str, Any]], list[str]]:
    """One row for each metric (value, real images, the paper's cell, difference), and notes under the table.

    ``variant`` chooses the paper's row: the first published one that the variant stands for.
    """
    from bench.data.registry import dataset_spec

    protocol = get_protocol(found.spec.protocol)
    title = dataset_spec(found.spec.dataset.name).title
    rows, notes = [], []
    for name, score in found.scores.items():
        row: dict[str, Any] = {"metric": name, "value": score_text(name, score)}
        if bound is not None and bound is not found:
            same_reason = score.value is None and score == bound.scores[name]
            row["real images"] = "n/a" if same_reason else score_text(name, bound.scores[name])
        if protocol.expected:
            expected = protocol.expected.get(name)
            row["published"] = "" if expected is None else f"{expected:g}"
        match = counterpart_of(name, protocol)
        cell = _published(variant, title, match.metric) if match is not None else None
        row["paper"] = "" if cell is None else f"{cell.text} ({cell.table}, {cell.method})"
        known = score.value is not None and cell is not None and cell.value is not None
        row["difference"] = f"{score.value - cell.value:+.1f}" if known else ""  # type: ignore[operator, union-attr]
        if cell is not None and match is not None and match.caveat:
            notes.append(f"note: {match.caveat}")
        rows.append(row)
    official = dataset_spec(found.spec.dataset.name).official_pairs.get("val", found.images)
    if found.images != official and any(row.get("paper") or row.get("published") for row in rows):
        notes.append(
            f"note: N = {found.images:,}, and the official validation split has {official:,} images: a difference to "
            "published scores means nothing"
        )
    for name in ("published", "paper", "difference"):
        if all(not row.get(name) for row in rows):
            rows = [{key: value for key, value in row.items() if key != name} for row in rows]
    return rows, list(dict.fromkeys(notes))


def score_text(metric: str, score: Score) -> str:
    """The value with as many digits as its unit asks for, or the reason why there is none."""
    if score.value is None:
        return f"n/a ({score.reason})"
    known = METRICS[metric]
    decimals = known.decimals if known.decimals is not None else 1 if known.unit == "%" else 2
    return f"{score.value:.{decimals}f}{' ' + known.unit if known.unit else ''}"


def time_lines(found: Evaluation) -> list[str]:
    """Where the time went, longest first: seconds, share, milliseconds an image."""
    if sum(found.stage_seconds.values()) < 0.05:
        return []
    total = max(found.seconds, 1e-9)
    other = found.seconds - sum(found.stage_seconds.values())
    stages = sorted([*found.stage_seconds.items(), ("other", other)], key=lambda item: -item[1])
    lines = [f"time: {found.seconds:.1f} s, {1000 * total / max(found.images, 1):.0f} ms an image"]
    for name, seconds in stages:
        if seconds >= 0.005 * total:
            each = f"{1000 * seconds / max(found.images, 1):.0f} ms an image"
            lines.append(f"  {name:<28} {seconds:8.2f} s  {100 * seconds / total:4.0f} %  {each}")
    return lines


def _published(variant: str | None, title: str, metric: str) -> Published | None:
    if variant is None:
        return None
    from baselines.registry import get_variant

    for row in get_variant(variant).table_rows:
        table, _, method = row.partition(": ")
        cell = published_cell(table, method, title, metric)
        if cell is not None and cell.value is not None:
            return cell
    return None
