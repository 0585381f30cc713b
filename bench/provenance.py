"""Where a number comes from: commit, uncommitted changes, packages, hardware. No torch until asked for hardware."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
import time
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parents[1]
SNAPSHOT_FILE = "snapshot.json"
"""In the root of a frozen copy of the code: what it was copied from."""
_PACKAGES = (
    "torch",
    "torchvision",
    "numpy",
    "pillow",
    "scipy",
    "pandas",
    "matplotlib",
    "pytorch-fid",
    "mmsegmentation",
    "safetensors",
)


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace").strip()


@lru_cache(maxsize=4)
def code_state(root: Path = _ROOT) -> dict[str, Any]:
    """The commit, and the sha256 of the difference to it, untracked code included (None outside a git checkout).

    Of a frozen copy: what it was copied from, with its own name as ``snapshot``.
    """
    if (root / SNAPSHOT_FILE).is_file():
        told = json.loads((root / SNAPSHOT_FILE).read_text(encoding="utf-8"))
        return {**{name: told[name] for name in ("commit", "dirty", "diff_sha256")}, "snapshot": root.name}
    commit = _git(root, "rev-parse", "HEAD")
    difference = _git(root, "diff", "HEAD") if commit else None
    if difference is not None:
        for name in (
            _git(root, "ls-files", "--others", "--exclude-standard", "--", "*.py", "*.toml") or ""
        ).splitlines():
            difference += f"\nuntracked {name} {hashlib.sha256((root / name).read_bytes()).hexdigest()}"
    return {
        "commit": commit,
        "dirty": bool(difference) if difference is not None else None,
        "diff_sha256": hashlib.sha256(difference.encode()).hexdigest() if difference else None,
    }


def packages() -> dict[str, str]:
    """Versions of the packages that numbers depend on."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


def hardware() -> dict[str, Any]:
    """Processor, cores, memory, and the GPUs that torch sees."""
    import torch

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory, 1),
        "torch_threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def provenance() -> dict[str, Any]:
    """All of the above with the command and the time."""
    return {
        **code_state(),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "packages": packages(),
        "hardware": hardware(),
    }
