"""The verb ``import-images``: another system's pictures as a row."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import DEFAULT_STORE, DataRootOption, SizeOption, StoreOption, parse_size


def register(app: typer.Typer) -> None:
    """Add this module's verb to the command line."""
    app.command("import-images")(import_images)


def import_images(
    variant: Annotated[
        str, typer.Option("--variant", metavar="NAME", help="Name of the system; it need not be a registered variant.")
    ],
    dataset: Annotated[
        str, typer.Option("--dataset", metavar="NAME", help="Whose validation maps the pictures were made from.")
    ],
    folder: Annotated[Path, typer.Option("--dir", metavar="DIR", help="The pictures, named <sample id>.png.")],
    root: DataRootOption = None,
    size: SizeOption = None,
    val_images: Annotated[
        int | None, typer.Option(help="Pictures of the first so many validation images.", show_default="all")
    ] = None,
    note: Annotated[str, typer.Option("--note", help="Where the pictures are from; printed under every table.")] = "",
    replace: Annotated[
        bool, typer.Option("--replace", help="Put them in the place of other pictures of that name.")
    ] = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Take another system's pictures into the store, to be judged and shown as a row marked external.

    \b
    import-images --variant SIMS --dataset cityscapes --root DIR --dir DIR --note "the authors' results"
    evaluate --imported SIMS --dataset cityscapes

    There must be one picture for each validation image, of the data set's size: files that are missing, too many,
    of another size or unreadable are all listed, and nothing is written. The same pictures again change nothing;
    others under the same name are refused unless --replace is given. In a study they stand in the row of the variant
    of that name, as long as it has no run, or in a row of their own where the study names them.
    """
    from rich.console import Console

    from bench.data.opening import validation_ref
    from bench.evaluation.importing import import_images as take
    from bench.imports import check_name, import_folder
    from bench.launching.progress import ProgressLine
    from bench.store import Store

    check_name(variant)
    opened = Store(store)
    ref = validation_ref(dataset, size=parse_size(size), val_images=val_images, root=root)
    with ProgressLine(Console(), f"import {variant}") as line:
        found, outcome = take(opened, variant, folder, ref, replace=replace, note=note, progress=line.update)
    words = {
        "imported": "imported",
        "unchanged": "unchanged, imported before",
        "replaced": "imported in place of others",
    }
    print(f"{variant} on {ref.name}: {words[outcome]}: {found.told}")
    for warning in found.warnings:
        print(f"warning: {warning}")
    print(f"pictures: {import_folder(opened, variant, ref) / 'images'}")
    print(f"then: ./run_study.py evaluate --imported {variant} --dataset {ref.name}")
