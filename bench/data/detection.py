"""Which layout a folder is in; and where it is in none, what it holds instead. Free of numpy."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.data.dataset import DatasetError
from bench.data.files import Layout
from bench.data.layouts.photographs import Photographs

Mistaken = Callable[[Path], str | None]
"""What a folder is that people take for the data set, in words; None for any other folder."""

_OTHER = {"train": "val", "training": "validation"}
_SPLIT_NAME = re.compile("training|train(?!val)")
_SHOWN = 12
_NEIGHBOURS = 200  # folders that are looked into for a layout one level down


def find_layout(
    name: str, layouts: Sequence[Layout], root: Path, splits: Sequence[str], mistaken: Mistaken | None = None
) -> Layout:
    """The first of the layouts that recognises ``root``.

    Raises DatasetError with the folders of every layout, what is in ``root`` instead, and where near it a layout is.
    """
    if not os.access(root, os.R_OK | os.X_OK):
        raise DatasetError(
            f"dataset {name!r}: {root} may not be read by this user; ask its owner, or name another copy"
        )
    for layout in layouts:
        if layout.recognises(root):
            return layout
    held = mistaken(root) if mistaken is not None else None
    lines = [f"dataset {name!r}: {root} holds none of its layouts; it should hold", layouts_text(layouts, splits)]
    lines.append(f"  it holds {contents(root)}")
    if held is not None:
        lines.append(f"  {held}")
    else:
        lines += [
            f"  give --root {near}: that folder is in the layout {item.name!r}" for near, item in _near(layouts, root)
        ]
    raise DatasetError("\n".join(lines))


def layouts_text(layouts: Sequence[Layout], splits: Sequence[str]) -> str:
    """The layouts and the folders of their splits, one line a layout."""
    return "\n".join(f"  - {layout.name}: {'; '.join(folders_text(layout, splits))}" for layout in layouts)


def folders_text(layout: Layout, splits: Sequence[str]) -> tuple[str, ...]:
    """What a layout reads, the two splits in one text where they differ by their names alone: ``{train,val}_img``."""
    if tuple(splits) != ("train", "val"):
        return tuple(dict.fromkeys(part for split in splits for part in layout.folders(None, split)))
    texts = []
    for train, val in zip(layout.folders(None, "train"), layout.folders(None, "val"), strict=True):
        one = _SPLIT_NAME.sub(lambda found: _OTHER[found[0]], train)
        both = _SPLIT_NAME.sub(lambda found: f"{{{found[0]},{_OTHER[found[0]]}}}", train)
        texts += [both] if one == val else [train, val]
    return tuple(texts)


def contents(root: Path) -> str:
    """The names in a folder, in words: folders with a slash, the first dozen."""
    with os.scandir(root) as listing:
        names = sorted(item.name + ("/" if item.is_dir() else "") for item in listing if not item.name.startswith("."))
    if not names:
        return "nothing"
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _near(layouts: Sequence[Layout], root: Path) -> list[tuple[Path, Layout]]:
    """Folders one level below and above that are in one of the layouts (nearly any folder above holds photographs)."""
    with os.scandir(root) as listing:
        below = sorted(Path(item.path) for item in listing if item.is_dir() and not item.name.startswith("."))
    found = []
    for folder in [*below[:_NEIGHBOURS], root.parent]:
        known = [item for item in layouts if folder != root.parent or not isinstance(item, Photographs)]
        layout = next((layout for layout in known if _recognises(layout, folder)), None)
        if layout is not None:
            found.append((folder, layout))
    return found


def _recognises(layout: Layout, folder: Path) -> bool:
    try:
        return layout.recognises(folder)
    except OSError:  # a neighbour that we may not read
        return False
