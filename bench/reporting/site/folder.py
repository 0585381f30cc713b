"""Where a site is put: a folder that holds nothing else, changed file by file, so that nobody sees half a page."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.atomic import explained

MARK = "site.json"
MAKER = "spade-bench site"
_FORMAT = 1
_MOST_NAMED = 3


class ForeignFolderError(ValueError):
    """The folder holds what this project did not write; the message names some of it."""


@contextmanager
def renewed(out: Path) -> Iterator[Path]:
    """An empty folder to build in; what it holds when the block ends without an error becomes the content of ``out``.

    Files that are the same already stay as they are, pages come last, and what an earlier site left over is deleted.
    ``out`` stays as it was when the block raises, or is killed. Raises ForeignFolderError before anything is built.
    """
    before = _written_before(out)
    with explained(out / MARK, opening=True):
        out.absolute().parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(dir=out.absolute().parent, prefix=f".{out.name}.", suffix=".part"))
    try:
        yield building
        files = _files_of(building)
        foreign = [name for name in files if name not in before and (out / name).exists()]
        if foreign:
            raise ForeignFolderError(
                f"{out}: {_listed(foreign)} would be overwritten, and no earlier site wrote it; move it away"
            )
        with explained(out / MARK, opening=True):
            _install(building, out, files)
            for name in sorted(before - set(files)):
                (out / name).unlink(missing_ok=True)
            _remove_empty_folders(out, before)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _install(building: Path, out: Path, files: list[str]) -> None:
    mark = json.dumps({"made_by": MAKER, "format": _FORMAT, "files": files}, indent=1) + "\n"
    (building / MARK).write_text(mark, encoding="utf-8")
    out.mkdir(parents=True, exist_ok=True)
    if not (out / MARK).exists():  # from now on the folder is ours, even if we are killed half-way
        os.replace(_copy_of(building / MARK), out / MARK)
    for name in [*sorted(files, key=lambda name: (name.endswith(".html"), name)), MARK]:
        target = out / name
        if target.is_file() and target.read_bytes() == (building / name).read_bytes():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        (building / name).chmod(0o644)
        os.replace(building / name, target)
    out.chmod(0o755)


def _copy_of(path: Path) -> Path:
    copy = path.with_name(f"{path.name}.copy")
    shutil.copyfile(path, copy)
    return copy


def _written_before(out: Path) -> set[str]:
    """The files of the site that ``out`` holds; empty for a new or an empty folder."""
    if out.exists() and not out.is_dir():
        raise ForeignFolderError(f"--out {out} is a file; give a folder (it is made where there is none)")
    names = sorted(path.name for path in out.iterdir()) if out.is_dir() else []
    if not names:
        return set()
    try:
        told = json.loads((out / MARK).read_text(encoding="utf-8"))
        if told["made_by"] == MAKER:
            return {name for name in told["files"] if isinstance(name, str) and _inside(name)}
    except (OSError, ValueError, TypeError, KeyError):
        pass
    raise ForeignFolderError(
        f"--out {out} holds {_listed(names)}, and no {MARK} that says a site was written there; "
        "give a new or an empty folder"
    )


def _inside(name: str) -> bool:
    """Whether a name of the list stays in the folder: it decides what is deleted."""
    return not Path(name).is_absolute() and ".." not in Path(name).parts


def _files_of(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _remove_empty_folders(out: Path, files: set[str]) -> None:
    parents = {out / parent for name in files for parent in Path(name).parents if parent != Path(".")}
    for folder in sorted(parents, key=lambda path: -len(path.parts)):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _listed(names: list[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
