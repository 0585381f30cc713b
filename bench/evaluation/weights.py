"""The weight files that judges, extractors and losses need: found in a folder, or explained. Free of torch.

Nothing here downloads: a compute node has no internet, and a silent download is no provenance.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from bench.atomic import cache_folder, written_beside

_LARGE_BYTES = 16 * 2**20
_ROOT = Path(__file__).resolve().parents[2]


class MissingWeightsError(ValueError):
    """A weights file is not there; the message says which, from where, and where to put it."""


@dataclass(frozen=True, kw_only=True)
class WeightsFile:
    """One file of the table."""

    name: str
    filename: str
    purpose: str
    licence: str
    address: str
    """Where its authors publish it."""
    sha256: str | None = None
    """None where it is not known to us; then it is recorded in every evaluation that uses the file."""
    sha256_prefix: str | None = None
    """The leading digits that the file's own name carries."""
    alternative: str = ""
    """What can be done without the file."""
    shipped: bool = False
    """Whether it is part of this project."""


WEIGHTS = (
    WeightsFile(
        name="synthetic-judge",
        filename="synthetic_judge_v1.safetensors",
        purpose="judge and features of the synthetic scenes",
        licence="Apache-2.0 (this project)",
        address="bench/evaluation/judges/synthetic_judge_v1.safetensors",
        shipped=True,
    ),
    WeightsFile(
        name="vgg19",
        filename="vgg19-dcbb9e9d.pth",
        purpose="perceptual loss of the recipes code, paper and pix2pixhd",
        licence="BSD-3-Clause (torchvision)",
        address="https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
        alternative="train without it: --switch no-perceptual",
        sha256_prefix="dcbb9e9d",
    ),
    WeightsFile(
        name="inception-fid",
        filename="pt_inception-2015-12-05-6726825d.pth",
        purpose="features of FID@tf",
        licence="Apache-2.0 (pytorch-fid; converted from TensorFlow's Inception)",
        address="https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
        sha256_prefix="6726825d",
    ),
    WeightsFile(
        name="deeplabv2-cocostuff164k",
        filename="deeplabv2_resnet101_msc-cocostuff164k-100000.pth",
        purpose="judge of COCO-Stuff",
        licence="MIT (kazuto1011/deeplab-pytorch)",
        address="https://github.com/kazuto1011/deeplab-pytorch/releases",
    ),
)


def list_weights() -> tuple[WeightsFile, ...]:
    """Every file of the table."""
    return WEIGHTS


def get_weights(name: str) -> WeightsFile:
    """The table's entry ``name``. Raises ValueError that lists the known names."""
    for entry in WEIGHTS:
        if entry.name == name:
            return entry
    raise ValueError(f"no weights file is called {name!r}; known are: {', '.join(item.name for item in WEIGHTS)}")


def search_folders() -> list[Path]:
    """Where files are looked for, in order: $SPADE_BENCH_WEIGHTS, the project's ``weights/``, torch's hub folder."""
    folders = [Path(value) for value in [os.environ.get("SPADE_BENCH_WEIGHTS", "")] if value]
    torch_home = (
        os.environ.get("TORCH_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "torch"
    )
    return [*folders, _ROOT / "weights", Path(torch_home) / "hub" / "checkpoints"]


def find_weights(name: str) -> Path | None:
    """The file of the table's entry ``name``, or None when it is not on this machine."""
    entry = get_weights(name)
    if entry.shipped:
        return _ROOT / entry.address
    return next((folder / entry.filename for folder in search_folders() if (folder / entry.filename).is_file()), None)


def missing_reason(name: str) -> str:
    """One line for a table cell: which file is missing."""
    return f"weights file {get_weights(name).filename} is missing"


def require_weights(name: str) -> Path:
    """The file, with its sha256 checked where it is known.

    Raises MissingWeightsError (where to get it, where to put it) or ValueError (wrong content).
    """
    entry = get_weights(name)
    path = find_weights(name)
    if path is None or not path.is_file():
        folders = "\n  ".join(str(folder) for folder in search_folders())
        raise MissingWeightsError(
            f"{missing_reason(name)} ({entry.purpose}; {entry.licence})\n"
            f"get it from {entry.address}\nand put it into one of\n  {folders}"
            + (f"\nor {entry.alternative}" if entry.alternative else "")
        )
    digest = file_sha256(path)
    expected = entry.sha256 or entry.sha256_prefix or ""
    if not digest.startswith(expected):
        raise ValueError(
            f"{path}: sha256 is {digest}, expected {expected}{'' if entry.sha256 else '...'}; "
            f"the file is damaged or another one: fetch it again from {entry.address}"
        )
    return path


def file_sha256(path: Path) -> str:
    """sha256 of a file in hexadecimal digits.

    That of a large file is kept in the cache folder until its size or time changes, so that `plan` stays quick.
    """
    stat = path.stat()
    if stat.st_size < _LARGE_BYTES:
        return _sha256(str(path), stat.st_size, stat.st_mtime_ns)
    identity = hashlib.sha256(f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns}".encode()).hexdigest()
    kept = cache_folder() / "digests" / identity
    if kept.is_file():
        return kept.read_text(encoding="utf-8").strip()
    digest = _sha256(str(path), stat.st_size, stat.st_mtime_ns)
    with written_beside(kept) as temporary:
        temporary.write_text(digest + "\n", encoding="utf-8")
    return digest


@lru_cache(maxsize=64)
def _sha256(path: str, size: int, mtime_ns: int) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def weights_sha256(name: str) -> str:
    """The file's sha256, or ``missing``."""
    path = find_weights(name)
    return file_sha256(path) if path is not None and path.is_file() else "missing"
