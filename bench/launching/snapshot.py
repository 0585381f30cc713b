"""A frozen copy of the code for a submission: what is edited while jobs wait changes nothing. Free of torch.

    STORE/code/<hash>/  the files, snapshot.json (commit, difference, sha256 of each file), changes.patch

The folder's name is the hash of its content, so equal code is kept once.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bench.atomic import read_json, write_json
from bench.provenance import SNAPSHOT_FILE, code_state
from bench.store import Store

_PROJECT = Path(__file__).resolve().parents[2]
_PACKAGES = ("bench", "baselines", "spade_core", "studies", "datasets")
_LEFT_OUT = ("tests", "results", "docs", "weights", ".ci", ".github")
_MOST_BYTES = 200 * 2**20
_DIGITS = 16


class SnapshotError(ValueError):
    """The code cannot be frozen, or a frozen copy was changed."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """One frozen copy of the code."""

    folder: Path
    commit: str | None
    """None outside a git checkout."""
    dirty: bool | None
    """Whether it differs from the commit."""

    @property
    def name(self) -> str:
        """The folder's name: the first digits of the content's hash."""
        return self.folder.name

    def told(self) -> str:
        """Such as ``commit 1a2b3c4 with changes, code 0f3e...``."""
        commit = f"commit {self.commit[:7]}" if self.commit else "no commit"
        return f"{commit}{' with changes' if self.dirty else ''}, code {self.name}"


def take_snapshot(store: Store, root: Path = _PROJECT) -> Snapshot:
    """Copy the code under ``root`` into the store, unless the same is there already.

    In a git checkout: the tracked files as they are now and the untracked ``*.py`` and ``*.toml``, without tests,
    documentation and results. Elsewhere: the project's packages. Raises SnapshotError where the copy in the store was
    edited, or there is far too much code.
    """
    files = {name: root / name for name in sorted(_files(root))}
    digests = {name: _sha256(path) for name, path in files.items()}
    total = sum(path.stat().st_size for path in files.values())
    if not files or total > _MOST_BYTES:
        raise SnapshotError(
            f"{root}: {len(files)} files of {total / 2**20:.0f} MiB are no code to freeze (at most "
            f"{_MOST_BYTES / 2**20:.0f} MiB); is something large under version control?"
        )
    digest = hashlib.sha256("".join(f"{digests[name]} {name}\n" for name in files).encode()).hexdigest()
    folder = store.root.absolute() / "code" / digest[:_DIGITS]
    state = code_state.__wrapped__(root)  # as it is now, not as it was when first asked
    if (folder / SNAPSHOT_FILE).is_file():
        _check(folder)
    else:
        _copy(files, folder, {**state, "files": digests}, _patch(root))
    written = read_json(folder / SNAPSHOT_FILE)
    return Snapshot(folder=folder, commit=written["commit"], dirty=written["dirty"])


def frozen_environment(snapshot: Snapshot, environment: Mapping[str, str]) -> dict[str, str]:
    """``environment`` for a process that is to run the snapshot's code, and not that of any installation.

    The process must also start in ``snapshot.folder``: ``python -m`` looks there first. Files that the checkout holds
    and the snapshot does not (weights) are still found.
    """
    found = {**environment, "PYTHONPATH": str(snapshot.folder)}
    weights = _PROJECT / "weights"
    if weights.is_dir():
        found.setdefault("SPADE_BENCH_WEIGHTS", str(weights))
    return found


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", "surrogateescape")


def _files(root: Path) -> Iterable[str]:
    """Paths of the code, relative to ``root``, with ``/``."""
    if (root / SNAPSHOT_FILE).is_file():  # a job that submits: its code is frozen already
        return list(read_json(root / SNAPSHOT_FILE)["files"])
    top = _git(root, "rev-parse", "--show-toplevel")
    if top is None or Path(top.strip()).resolve() != root.resolve():
        return _packages_of(root)
    tracked = (_git(root, "ls-files", "-z") or "").split("\0")
    untracked = (_git(root, "ls-files", "-z", "--others", "--exclude-standard", "--", "*.py", "*.toml") or "").split(
        "\0"
    )
    wanted = {name for name in (*tracked, *untracked) if name and PurePosixPath(name).parts[0] not in _LEFT_OUT}
    return [name for name in wanted if (root / name).is_file()]


def _packages_of(root: Path) -> list[str]:
    """The project's packages, and the files beside them where ``root`` is the project's folder."""
    found = [
        path
        for package in _PACKAGES
        for path in (root / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    ]
    if (root / "pyproject.toml").is_file():
        found += [path for pattern in ("*.py", "*.toml") for path in root.glob(pattern) if path.is_file()]
    return [path.relative_to(root).as_posix() for path in found]


def _patch(root: Path) -> str:
    """The difference to the commit as a patch; empty where there is none."""
    return _git(root, "diff", "HEAD", "--binary") or ""


def _copy(files: Mapping[str, Path], folder: Path, told: Mapping[str, object], patch: str) -> None:
    """Fill ``folder``, whole or not at all; its files may only be read."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        for name, path in files.items():
            target = beside / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
            target.chmod(0o555 if os.access(path, os.X_OK) else 0o444)
        (beside / "changes.patch").write_text(patch, encoding="utf-8", errors="surrogateescape")
        write_json(beside / SNAPSHOT_FILE, told)
        beside.chmod(0o755)
        try:
            beside.rename(folder)
        except OSError:
            if not (folder / SNAPSHOT_FILE).is_file():  # not the same copy, made by another process meanwhile
                raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _check(folder: Path) -> None:
    """Raises SnapshotError naming files of a copy that are not what they were."""
    digests = read_json(folder / SNAPSHOT_FILE)["files"]
    wrong = [
        name for name, digest in digests.items() if not (folder / name).is_file() or _sha256(folder / name) != digest
    ]
    if wrong:
        raise SnapshotError(
            f"{folder}: {', '.join(wrong[:5])}{' and more' * (len(wrong) > 5)} of this frozen copy of the code were "
            f"changed; jobs run from it. When none of them runs any more, delete the folder and submit again"
        )


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
