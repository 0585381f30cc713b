"""What several verbs need: the study that is meant, its store, a console."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from bench.store import Store
    from bench.study import Study

StudyArgument = Annotated[
    str, typer.Argument(metavar="STUDY", help="A study of the folder studies/ (see `list studies`).")
]
DataOption = Annotated[
    list[str] | None,
    typer.Option(
        "--data",
        metavar="NAME=DIR",
        help="Folder of a data set (may be repeated).",
        show_default="$SPADE_BENCH_DATA_<NAME>",
    ),
]
SeedsOption = Annotated[str | None, typer.Option("--seeds", metavar="0,1,2", help="Seeds in place of the study's own.")]


def study_of(
    name: str, data: list[str] | None, seeds: str | None, kept: Store | None = None, *, as_last_run: bool = False
) -> Study:
    """The study, with the data folders and seeds given on the command line.

    Where its data or its file is not on this machine, the study that ``kept`` holds from its last `run` takes its
    place. With ``as_last_run`` the seeds are those of that `run`, unless they are given.
    """
    from bench.data.dataset import DatasetError
    from bench.data.registry import dataset_spec
    from bench.study import Study, UnknownStudyError, get_study

    for item in data or []:
        dataset, equals, folder = item.partition("=")
        if not equals or not folder:
            raise ValueError(f"--data is {item!r}; write NAME=DIR, such as coco_stuff=/data/coco_stuff")
        os.environ[dataset_spec(dataset).root_variable] = str(Path(folder).absolute())  # jobs start elsewhere
    stored = kept.study_json(name) if kept is not None else None
    try:
        study = get_study(name)
    except (DatasetError, UnknownStudyError):
        if stored is None:
            raise
        study = Study.from_json(stored, f"study {name} in the store")
    if seeds is None:
        return replace(study, seeds=tuple(stored["seeds"])) if as_last_run and stored is not None else study
    try:
        chosen = tuple(int(seed) for seed in seeds.split(","))
    except ValueError:
        raise ValueError(f"--seeds is {seeds!r}; write whole numbers separated by commas, such as 0,1,2") from None
    return replace(study, seeds=chosen)


def store_in(folder: Path) -> Store:
    """The store in ``folder``. Raises ValueError where that is a file."""
    from bench.store import Store

    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--store {folder} is a file; give a folder (it is made where there is none)")
    return Store(folder)


def tell_if_missing(store: Store) -> None:
    """Say so where there is no such store yet, for then everything is pending."""
    if not store.root.exists():
        print(f"note: there is no store at {store.root} yet, so everything is pending (--store DIR)", file=sys.stderr)


def console_here() -> Console:
    """The terminal, or 160 columns for a file."""
    from rich.console import Console

    found = Console()
    return found if found.is_terminal else Console(width=160)
