"""Options that several verbs share, spelled once."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

StoreOption = Annotated[Path, typer.Option("--store", metavar="DIR", help="Folder of runs and evaluations.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
DeviceOption = Annotated[str, typer.Option("--device", metavar="auto|cpu|cuda", help="Where to compute.")]
DataRootOption = Annotated[
    Path | None,
    typer.Option("--root", metavar="DIR", help="Folder of the data set's files. [default: $SPADE_BENCH_DATA_<NAME>]"),
]
SizeOption = Annotated[
    str | None,
    typer.Option("--size", metavar="HxW", help="Image height x width in px. [default: the paper's for the data set]"),
]


class Backend(StrEnum):
    """Where ``run`` executes jobs."""

    inline = "inline"
    slurm = "slurm"


BackendOption = Annotated[
    Backend, typer.Option("--backend", help="inline: here, one job after the other; slurm: submitted to a cluster.")
]
ProfileOption = Annotated[
    Path | None, typer.Option("--profile", metavar="FILE", help="Cluster profile, for --backend slurm.")
]
NodesOption = Annotated[int | None, typer.Option("--nodes", help="Nodes of each training job. [default: 1]")]
GpusOption = Annotated[
    int | None, typer.Option("--gpus-per-node", help="GPUs, and so ranks, on each of them. [default: the profile's]")
]

DEFAULT_STORE = Path("results/store")


def parse_size(text: str | None) -> tuple[int, int] | None:
    """``256x512`` to (256, 512); None stays None. Raises ValueError for anything else."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if not match:
        raise ValueError(f"--size is {text!r}; write height x width in px, such as 256x512")
    return int(match.group(1)), int(match.group(2))
