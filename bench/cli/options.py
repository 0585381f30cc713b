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
    typer.Option(
        "--root", metavar="DIR", help="Folder of the data set's files.", show_default="$SPADE_BENCH_DATA_<NAME>"
    ),
]
SizeOption = Annotated[
    str | None,
    typer.Option(
        "--size", metavar="HxW", help="Image height x width in px.", show_default="the paper's for the data set"
    ),
]


class Backend(StrEnum):
    """Where ``run`` executes jobs."""

    inline = "inline"
    local = "local"
    slurm = "slurm"


BackendOption = Annotated[
    Backend,
    typer.Option(
        "--backend",
        help="inline: here, one job after the other; local: as processes of this machine, several at a time, on its "
        "GPUs; slurm: submitted to a cluster.",
    ),
]
ProfileOption = Annotated[
    Path | None, typer.Option("--profile", metavar="FILE", help="Cluster profile, for --backend slurm.")
]
NodesOption = Annotated[int | None, typer.Option("--nodes", help="Nodes of each training job.", show_default="1")]
GpusOption = Annotated[
    int | None,
    typer.Option("--gpus-per-node", help="GPUs, and so ranks, on each of them.", show_default="the profile's"),
]

ProcessesOption = Annotated[
    int | None,
    typer.Option("--processes", help="--backend local: jobs at a time.", show_default="as the free GPUs hold, else 1"),
]
RanksOption = Annotated[
    int | None,
    typer.Option(
        "--ranks", help="--backend local: processes of each training; each has a GPU.", show_default="the study's"
    ),
]
JobsPerGpuOption = Annotated[
    int | None, typer.Option("--jobs-per-gpu", help="--backend local: jobs that share a GPU.", show_default="1")
]

OutOption = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Folder of the report.", show_default="results/STUDY")
]

DEFAULT_STORE = Path("results/store")


def parse_size(text: str | None) -> tuple[int, int] | None:
    """``256x512`` to (256, 512); None stays None. Raises ValueError for anything else."""
    if text is None:
        return None
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    if not match:
        raise ValueError(f"--size is {text!r}; write height x width in px, such as 256x512, both at least 1")
    return int(match.group(1)), int(match.group(2))
