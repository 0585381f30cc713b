"""What could go wrong before it does: packages, devices, weights, data folders."""

from __future__ import annotations

import importlib
import os
import shutil
from collections.abc import Iterator
from importlib import metadata

OK, NOTE, FAIL = 0, 1, 2
_NEEDED = (
    "torch",
    "torchvision",
    "numpy",
    "scipy",
    "pandas",
    "matplotlib",
    "pytorch_fid",
    "mmengine",
    "submitit",
    "typer",
    "rich",
    "safetensors",
)


def findings() -> Iterator[tuple[int, str]]:
    """(level, text) of each check: 0 fine, 1 worth knowing, 2 will fail."""
    for name in _NEEDED:
        try:
            importlib.import_module(name)
        except ImportError as error:
            yield FAIL, f"package {name} cannot be imported ({error}); run `make` to install the environment"
    yield from _versions()
    yield from _devices()
    yield from _weights()
    yield from _data()
    free = shutil.disk_usage(".").free / 2**30
    yield (OK if free > 20 else NOTE), f"{free:.0f} GiB free here; one run at the paper's size keeps about 4 GiB"


def _versions() -> Iterator[tuple[int, str]]:
    scipy = tuple(int(part) for part in metadata.version("scipy").split(".")[:2])
    if scipy >= (1, 18):
        yield FAIL, f"scipy {metadata.version('scipy')}: pytorch-fid 0.3.0 needs scipy < 1.18"
    else:
        yield OK, f"scipy {metadata.version('scipy')}, torch {metadata.version('torch')}"


def _devices() -> Iterator[tuple[int, str]]:
    import torch

    if torch.cuda.is_available():
        names = {torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())}
        yield OK, f"{torch.cuda.device_count()} GPU(s): {', '.join(sorted(names))}"
    else:
        yield NOTE, f"no GPU: training runs on {os.cpu_count()} CPU cores, fit for small studies only"


def _weights() -> Iterator[tuple[int, str]]:
    from bench.evaluation.weights import find_weights, list_weights, missing_reason, require_weights

    for item in list_weights():
        if find_weights(item.name) is None:
            yield NOTE, f"{missing_reason(item.name)}: {item.purpose}; from {item.address}"
            continue
        try:
            yield OK, f"weights {item.name}: {require_weights(item.name)}"
        except ValueError as error:
            yield FAIL, str(error)


def _data() -> Iterator[tuple[int, str]]:
    from bench.data.dataset_files import read_dataset_files
    from bench.data.registry import ENTRIES

    described, problems = read_dataset_files()
    for problem in problems:
        yield FAIL, problem
    for entry in (*ENTRIES, *described):
        if not entry.needs_root:
            continue
        if not os.environ.get(entry.root_variable):
            yield NOTE, f"data set {entry.name}: {entry.root_variable} is not set (or give --root)"
            continue
        try:
            yield OK, f"data set {entry.name}: {entry.resolve_root(None)}"
        except ValueError as error:
            yield FAIL, str(error)
