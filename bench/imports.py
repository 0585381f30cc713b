"""Pictures of another system, kept in the store as a row: what is known of them. Free of torch and pandas.

    STORE/imports/<name>-<data set>-<height>x<width>/   import.json  images/<sample id>.png

There is no run behind such a row: its identity is the hash of the pictures.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from bench.atomic import read_json, write_json
from bench.evaluation.protocols import protocol_for
from bench.evaluation.weights import weights_sha256
from bench.plain import content_hash, from_plain, to_plain
from bench.run_spec import DatasetRef
from bench.store import EvaluationSpec, Store

EXTERNAL = "external:"
"""How the subject of an evaluation of imported pictures begins."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")


@dataclass(frozen=True, kw_only=True)
class Imported:
    """The content of ``import.json``."""

    name: str
    """Of the system: a registered variant, or any other."""
    dataset: DatasetRef
    """The validation split that the pictures were made from."""
    images: int
    sha256: str
    """Over sample ids and the contents of the files as they were given: the identity of the row."""
    stored_sha256: str
    """The same over the files in the store, which are PNG throughout."""
    source: str
    """The folder that they came from."""
    imported_at: str
    """ISO 8601."""
    note: str = ""
    """Where the pictures are from, in the words of who imported them."""
    warnings: tuple[str, ...] = ()

    @property
    def told(self) -> str:
        """One phrase for the notes of a table."""
        words = f"{self.images} images, sha256 {self.sha256[:12]}, imported {self.imported_at[:10]}"
        return "; ".join((words, *((self.note,) if self.note else ()), *self.warnings))

    def fits(self, dataset: DatasetRef) -> bool:
        """Whether they were made from the very validation maps that ``dataset`` means."""
        ours = self.dataset
        return (ours.name, ours.size, ours.val_manifest, ours.val_images) == (
            dataset.name,
            dataset.size,
            dataset.val_manifest,
            dataset.val_images,
        )


def check_name(name: str) -> str:
    """``name``, if it can name an imported system. Raises ValueError with the rule."""
    if not _NAME.fullmatch(name) or name == "real":
        raise ValueError(
            f"{name!r} cannot name an imported system: its name has 1 to 64 letters, digits and . _ + -, begins with "
            f"a letter or digit, and is not 'real'; it need not be a registered variant"
        )
    return name


def import_folder(store: Store, name: str, dataset: DatasetRef) -> Path:
    """Where the pictures of a system on a data set at its size are kept."""
    height, width = dataset.size
    return store.root / "imports" / f"{check_name(name)}-{dataset.name}-{height}x{width}"


def read_import(store: Store, name: str, dataset: DatasetRef) -> Imported | None:
    """What was imported under that name for the data set and its size, or None."""
    return _read(import_folder(store, name, dataset))


def write_import(store: Store, imported: Imported) -> None:
    """Write ``import.json``: from then on the pictures count as imported."""
    write_json(import_folder(store, imported.name, imported.dataset) / "import.json", to_plain(imported))


def imports_of(store: Store, name: str | None = None) -> Iterator[Imported]:
    """Everything that was imported, or what was under one name."""
    folder = store.root / "imports"
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        found = _read(path)
        if found is not None and name in (None, found.name):
            yield found


def find_import(store: Store, name: str, dataset: str | None) -> Imported:
    """The one import of that name (on that data set). Raises ValueError that lists what there is."""
    every = list(imports_of(store))
    found = [item for item in every if item.name == name and dataset in (None, item.dataset.name)]
    if len(found) == 1:
        return found[0]
    shown = found or every
    sizes = (f"{item.name} on {item.dataset.name}, {item.dataset.size[0]}x{item.dataset.size[1]} px" for item in shown)
    listed = "\n  ".join(sizes) or "(nothing was imported)"
    what = "several imports are" if found else "no import is"
    on = f" on {dataset}" if dataset else ""
    raise ValueError(f"{what} called {name!r}{on} in {store.root}; import-images makes one; there are:\n  {listed}")


def evaluation_of_import(imported: Imported, protocol: str | None, dataset: DatasetRef | None = None) -> EvaluationSpec:
    """The evaluation of imported pictures by a protocol (None: the data set's).

    ``dataset`` may tell where the data set's files are; see :attr:`DatasetRef.root`.
    """
    chosen = protocol_for(imported.dataset.name, protocol)
    root = imported.dataset.root if dataset is None else dataset.root
    return EvaluationSpec(
        subject=f"{EXTERNAL}{imported.name}",
        run_id=imported.sha256[:12],
        protocol=chosen.key,
        protocol_sha256=content_hash(chosen),
        dataset=replace(imported.dataset, root=root),
        weights_sha256={file: weights_sha256(file) for file in chosen.weights_files},
    )


def _read(folder: Path) -> Imported | None:
    path = folder / "import.json"
    return from_plain(Imported, read_json(path), str(path)) if path.is_file() else None
