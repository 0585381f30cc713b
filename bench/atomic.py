"""Writes that another process may read: made beside the target, then renamed over it, so nobody sees half a file."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def cache_folder() -> Path:
    """Where what can be computed again is kept: $SPADE_BENCH_CACHE, else ~/.cache/spade-bench."""
    return Path(os.environ.get("SPADE_BENCH_CACHE") or "~/.cache/spade-bench").expanduser()


@contextlib.contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """A temporary path in the folder of ``path``; renamed to ``path`` when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, data: Any) -> None:
    """``data`` as indented JSON; NaN and infinities are refused with a ValueError."""
    text = json.dumps(data, indent=2, allow_nan=False)
    with written_beside(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """The JSON value in ``path``. Raises ValueError that names the file when it is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: not valid JSON ({error}); delete it or restore it from a copy") from error
