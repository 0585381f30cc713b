"""Verbs that show what there is: list, show, params."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.options import DEFAULT_STORE, JsonOption, StoreOption

if TYPE_CHECKING:
    from bench.data.entry import DatasetEntry


class Kind(StrEnum):
    """What ``list`` lists."""

    variants = "variants"
    systems = "systems"
    datasets = "datasets"
    protocols = "protocols"
    studies = "studies"
    weights = "weights"


class Thing(StrEnum):
    """What ``show`` shows."""

    variant = "variant"
    dataset = "dataset"
    protocol = "protocol"
    study = "study"


def register(app: typer.Typer) -> None:
    """Add this module's verbs to the command line."""
    app.command("list")(list_things)
    app.command("show")(show)
    app.command("params")(params)


def list_things(
    kind: Annotated[Kind, typer.Argument(help="What to list.")],
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """List variants, systems, datasets, protocols, studies or weights.

    Systems are all that can be a row of a table: the variants, SIMS, and what was imported into the store.
    """
    rows = _systems(store) if kind is Kind.systems else _ROWS[kind]()
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    if kind is Kind.weights:
        from bench.cli.weights import print_weights

        print_weights(rows)
    elif kind is Kind.protocols:
        print_table([{name: row[name] for name in ("name", "dataset", "summary")} for row in rows])
        print("\nshow protocol NAME: every field with its source; our guesses are marked")
    else:
        print_table(rows)
        if kind is Kind.datasets:
            print("\nshow dataset NAME: its folders, preprocessing, and every label id with its judge class")


def _variants() -> list[dict[str, Any]]:
    from baselines.registry import list_variants

    return [
        {
            "name": item.name,
            "summary": item.summary,
            "table_rows": list(item.table_rows),
            "paper_params_m": item.paper_params_m,
            "recipes": [recipe.name for recipe in item.recipes],
            "provenance": item.provenance,
        }
        for item in list_variants()
    ]


def _systems(store: Path) -> list[dict[str, Any]]:
    """Registered variants, the pipeline of SIMS, and what was imported into the store."""
    from baselines.registry import list_variants
    from bench.imports import imports_of
    from bench.store import Store

    rows = [{"name": item.name, "made_by": "train", "summary": item.summary} for item in list_variants()]
    rows.append(
        {
            "name": "SIMS",
            "made_by": "sims bank, retrieve, ...",
            "summary": "images from a memory bank of segments; its pictures become a row by import-images",
        }
    )
    for item in imports_of(Store(store)):
        height, width = item.dataset.size
        summary = f"{item.dataset.name} at {height}x{width} px: {item.told}"
        rows.append({"name": item.name, "made_by": "import-images", "summary": summary})
    return rows


def _datasets() -> list[dict[str, Any]]:
    from bench.data.registry import entries

    return [
        {
            "name": item.name,
            "title": item.title,
            "size": f"{item.size_px[0]}x{item.size_px[1]}",
            "label_ids": item.spec.ids,
            "channels": item.spec.channels,
            "files": _files(item),
        }
        for item in entries()
    ]


def _files(entry: DatasetEntry) -> str:
    """The layouts by name (`show dataset` tells their folders); of a user's data set the folders."""
    if not entry.needs_root:
        return "none: made by this project"
    return entry.layout if entry.described_in is not None else " or ".join(layout.name for layout in entry.layouts)


def _protocols() -> list[dict[str, Any]]:
    from bench.evaluation.protocols import list_protocols

    return [
        {
            "name": item.key,
            "dataset": item.dataset,
            "judge": item.judge,
            "metrics": list(item.metrics),
            "guesses": list(item.guesses),
            "summary": item.summary,
        }
        for item in list_protocols()
    ]


def _studies() -> list[dict[str, Any]]:
    from bench.study import list_studies

    return [{"name": name, "summary": text} for name, text in list_studies()]


def _weights() -> list[dict[str, Any]]:
    from bench.cli.weights import weights_rows

    return weights_rows()


_ROWS = {
    Kind.variants: _variants,
    Kind.datasets: _datasets,
    Kind.protocols: _protocols,
    Kind.studies: _studies,
    Kind.weights: _weights,
}


def show(
    thing: Annotated[Thing, typer.Argument(help="Kind of thing.")],
    name: Annotated[str, typer.Argument(help="Its name, as `list` prints it.")],
) -> None:
    """Show all about one variant, dataset, protocol or study, with the source of every value."""
    if thing is Thing.variant:
        _show_variant(name)
    elif thing is Thing.protocol:
        _show_protocol(name)
    elif thing is Thing.dataset:
        _show_dataset(name)
    else:
        _show_study(name)


def _show_variant(name: str) -> None:
    from baselines.registry import get_variant
    from bench.plain import to_plain

    variant = get_variant(name)
    print(f"{variant.name}: {variant.summary}")
    print(f"provenance: {variant.provenance}" + (f": {variant.provenance_note}" if variant.provenance_note else ""))
    print(f"rows: {'; '.join(variant.table_rows) or 'none in the paper'}")
    if variant.paper_params_m is not None:
        print(f"parameters in the paper: {variant.paper_params_m:g}M (generator alone, on ADE20K)")
    print(f"\ngenerator ({type(variant.generator).__name__})")
    print_table([{"field": key, "value": value} for key, value in to_plain(variant.generator).items()])
    for recipe in variant.recipes:
        print(f"\nrecipe {recipe.name}")
        print_table([{"field": f, "value": v, "source": s} for f, v, s in recipe.explained()])


def _show_protocol(name: str) -> None:
    from bench.cli.protocol_page import print_protocol
    from bench.evaluation.protocols import get_protocol

    print_protocol(get_protocol(name))


def _show_dataset(name: str) -> None:
    from bench.cli.dataset_page import print_dataset
    from bench.data.registry import dataset_spec

    print_dataset(dataset_spec(name))


def _show_study(name: str) -> None:
    import importlib

    from bench.study import get_study

    study = get_study(name)
    print((importlib.import_module(f"studies.{name}").__doc__ or "").strip())
    print(f"\nquestion: {study.question}")
    print_table(
        [
            {
                "row": row.label,
                "variant": row.variant.name,
                "recipe": row.recipe.name,
                "provenance": row.variant.provenance,
            }
            for row in study.rows
        ]
    )
    for item in study.datasets:
        height, width = item.ref.size
        print(f"data set {item.ref.name} at {height}x{width} px, protocol {item.protocol}, seeds {list(study.seeds)}")


def params(
    dataset: Annotated[str, typer.Option("--dataset", help="Data set whose label channels and size count.")] = "ade20k",
    as_json: JsonOption = False,
) -> None:
    """Count the generator parameters of every variant, beside the paper's."""
    from baselines.building import count_parameters
    from baselines.registry import list_variants
    from bench.data.fitting import fitted
    from bench.data.registry import dataset_spec

    entry = dataset_spec(dataset)
    rows = [
        {
            "variant": variant.name,
            "params": count_parameters(fitted(variant, entry.upsampling).generator, entry.spec, entry.size_px),
            "paper_params_m": variant.paper_params_m,
            "table_row": variant.table_rows[0] if variant.table_rows else None,
        }
        for variant in list_variants()
    ]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    print(
        f"generator parameters for {entry.title}: {entry.spec.channels} label channels (the paper's are for ADE20K)\n"
    )
    print_table([{**row, "params": f"{row['params']:,}"} for row in rows])


def print_table(rows: list[dict[str, Any]]) -> None:
    """Rows of one shape as a plain table; long texts wrap on a terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not rows:
        print("none")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in rows[0]:
        table.add_column(name, overflow="fold", justify="right" if name in ("params", "paper_params_m") else "left")
    for row in rows:
        table.add_row(*[Text(_text(value)) for value in row.values()])
    console = Console()
    Console(width=console.width if console.is_terminal else 200).print(table)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, (list, tuple)):
        return ", ".join(str(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
