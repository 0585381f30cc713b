"""What stands below a page's tables in full: protocols, recipes, generators, runs, and what judged them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from baselines.recipe import Recipe
from baselines.registry import get_variant
from baselines.variant import Variant
from bench.evaluation.metric_table import METRICS
from bench.evaluation.protocol import Protocol
from bench.evaluation.protocol_words import six_answers
from bench.evaluation.protocols import get_protocol
from bench.plain import to_plain
from bench.reporting.collect import Measured, MeasuredRow
from bench.study import Row, Study, StudyDataset

_SHORT = 10


@dataclass(frozen=True, kw_only=True)
class Field:
    """One line of a list of fields."""

    name: str
    value: str
    source: str = ""
    flag: str = ""
    """What a reader should notice: a guess, a change."""


@dataclass(frozen=True, kw_only=True)
class FieldList:
    """Fields under a heading."""

    title: str
    fields: tuple[Field, ...]
    remark: str = ""


@dataclass(frozen=True, kw_only=True)
class RunLine:
    """One run and its evaluation."""

    row: str
    dataset: str
    seed: str
    run_id: str
    state: str
    step: str
    commit: str
    time: str
    hardware: str
    command: str
    eval_id: str


def protocol_lists(protocol: Protocol) -> tuple[FieldList, ...]:
    """The six questions, every field with its source, and what the metrics mean."""
    answers = [Field(name=item.question, value=item.answer, flag=_guess(item.guess)) for item in six_answers(protocol)]
    explained = [
        Field(name=row.field, value=plain_text(row.value), source=row.source, flag=_guess(row.guess))
        for row in protocol.explained()
    ]
    metrics = [
        Field(
            name=name,
            value=METRICS[name].meaning,
            source=", ".join(
                part
                for part in (
                    METRICS[name].unit,
                    "higher is better" if METRICS[name].higher_better else "lower is better",
                )
                if part
            ),
        )
        for name in protocol.metrics
    ]
    return (
        FieldList(title="The six questions", fields=tuple(answers), remark=protocol.summary),
        FieldList(title="Every field and its source", fields=tuple(explained)),
        FieldList(title="Metrics", fields=tuple(metrics)),
    )


def _guess(guess: bool) -> str:
    return "our guess" if guess else ""


def recipe_lists(study: Study) -> tuple[FieldList, ...]:
    """Each recipe once, every field with its value and source; what the study changed is marked."""
    users: dict[str, list[Row]] = {}
    for row in study.rows:
        users.setdefault(repr(to_plain(row.recipe)), []).append(row)
    found = []
    for rows in users.values():
        recipe = rows[0].recipe
        registered = _registered_recipe(rows[0])
        found.append(
            FieldList(
                title=f"Recipe {recipe.name}: {', '.join(row.label for row in rows)}",
                fields=tuple(_recipe_fields(recipe, registered)),
            )
        )
    return tuple(found)


def _registered(row: Row) -> Variant | None:
    """The variant of that name, or None where a study brings one of its own."""
    try:
        return get_variant(row.variant.name)
    except ValueError:
        return None


def _registered_recipe(row: Row) -> Recipe | None:
    variant = _registered(row)
    return next((item for item in variant.recipes if item.name == row.recipe.name), None) if variant else None


def _recipe_fields(recipe: Recipe, registered: Recipe | None) -> Iterable[Field]:
    before: Mapping[str, str] = {}
    if registered is not None:
        before = {part: text for name, value, _ in registered.explained() for part, text in _parts(name, value)}
    for name, value, source in recipe.explained():
        for part, text in _parts(name, value):
            changed = registered is not None and part in before and before[part] != text
            flag = f"changed by this study; the recipe says {before[part]}" if changed else ""
            yield Field(name=part, value=text, source=source, flag=flag)


def generator_lists(study: Study) -> tuple[FieldList, ...]:
    """The settings of every row's generator, with where the variant comes from."""
    found = []
    for row in study.rows:
        variant = row.variant
        registered = _registered(row)
        before = dict(_parts("", registered.generator)) if registered else {}
        told = [
            Field(
                name=name,
                value=text,
                flag=f"changed by this study; the variant has {before[name]}" if before.get(name, text) != text else "",
            )
            for name, text in _parts("", variant.generator)
        ]
        rows = f"stands for {'; '.join(variant.table_rows)}" if variant.table_rows else "no row of the paper"
        note = f"{variant.provenance}: {variant.provenance_note}" if variant.provenance_note else variant.provenance
        found.append(
            FieldList(
                title=f"{row.label}: {variant.name}",
                fields=tuple(told),
                remark=f"{variant.summary}; {rows}. Provenance {note}.",
            )
        )
    return tuple(found)


def training_list(dataset: StudyDataset) -> FieldList:
    """Data and training of every row on one data set."""
    shown = [*_parts("data", dataset.ref), *_parts("training", dataset.training)]
    listed = tuple(Field(name=name, value=text) for name, text in shown)
    return FieldList(title=f"Data and training: {dataset.ref.name}", fields=listed)


def _parts(name: str, value: Any) -> list[tuple[str, str]]:
    """(name, text) of a value; of a dataclass those of its fields, as ``name.field``."""
    if is_dataclass(value) and not isinstance(value, type):
        return [
            part
            for item in fields(value)
            for part in _parts(f"{name}.{item.name}" if name else item.name, getattr(value, item.name))
        ]
    return [(name, plain_text(value))]


def plain_text(value: Any) -> str:
    """A value of a field as a reader would write it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if is_dataclass(value) and not isinstance(value, type):
        return ", ".join(f"{name} {text}" for name, text in _parts("", value))
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {plain_text(item)}" for key, item in value.items()) or "none"
    if isinstance(value, (tuple, list)):
        return ", ".join(plain_text(item) for item in value) or "none"
    return str(value)


def run_lines(dataset: StudyDataset, measured: Sequence[MeasuredRow]) -> list[RunLine]:
    """Every run of a study on one data set, and the evaluation of the real images."""
    return [_run_line(dataset, row, seed) for row in measured for seed in row.seeds]


def _run_line(dataset: StudyDataset, row: MeasuredRow, one: Measured) -> RunLine:
    told, found = one.provenance, one.evaluation
    hardware = told.get("hardware")
    hardware = hardware if isinstance(hardware, dict) else {}
    gpus = ", ".join(map(str, hardware.get("gpus") or ()))
    machine = gpus or " ".join(str(hardware[key]) for key in ("cores", "processor") if key in hardware)
    commit = str(told.get("commit") or "")[:_SHORT]
    return RunLine(
        row=row.label,
        dataset=dataset.ref.name,
        seed="" if one.seed is None else str(one.seed),
        run_id="" if one.run is None else one.run.run_id,
        state=("judged" if found else one.detail or one.state),
        step=""
        if found is None or found.step is None
        else f"{found.step} ({found.spec.selection}, {found.spec.weights})",
        commit=f"{commit} with changes" if commit and told.get("dirty") else commit,
        time=str(told.get("time") or ""),
        hardware=machine,
        command=str(told.get("command") or ""),
        eval_id="" if found is None else found.eval_id,
    )


def package_lists(measured: Sequence[MeasuredRow]) -> tuple[FieldList, ...]:
    """The versions of packages, once for each set of runs that shares them."""
    users: dict[tuple[tuple[str, str], ...], int] = {}
    for row in measured:
        for one in row.seeds:
            packages = one.provenance.get("packages")
            if isinstance(packages, Mapping) and packages:
                key = tuple((str(name), str(version)) for name, version in packages.items())
                users[key] = users.get(key, 0) + 1
    return tuple(
        FieldList(
            title=f"Packages of {count} run{'s'[: count != 1]}",
            fields=tuple(Field(name=name, value=version) for name, version in packages),
        )
        for packages, count in users.items()
    )


def judged_with(measured: Sequence[MeasuredRow]) -> FieldList | None:
    """The files of judges and feature extractors that the evaluations used, by their sha256."""
    users: dict[tuple[str, str], int] = {}
    for row in measured:
        for found in row.evaluations:
            for item in found.spec.weights_sha256.items():
                users[item] = users.get(item, 0) + 1
    if not users:
        return None
    listed = [
        Field(name=name, value=digest, source=f"{count} evaluation{'s'[: count != 1]}")
        for (name, digest), count in sorted(users.items())
    ]
    return FieldList(title="Files that judged, by sha256", fields=tuple(listed))


def protocols_of(study: Study) -> list[Protocol]:
    """The study's protocols, each once."""
    return [get_protocol(name) for name in dict.fromkeys(dataset.protocol for dataset in study.datasets)]
