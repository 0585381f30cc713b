"""Take the pictures of another system into the store: checked as a whole first, copied, then written down."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from PIL import Image

from bench.atomic import check_write, written_beside
from bench.data.opening import images_of, open_split
from bench.evaluation.image_folder import ImageFolder, open_image_folder
from bench.imports import Imported, import_folder, read_import, write_import
from bench.run_spec import DatasetRef
from bench.store import Store

Progress = Callable[[int, int, str], None]
Outcome = Literal["imported", "unchanged", "replaced"]


def import_images(
    store: Store,
    name: str,
    folder: Path,
    ref: DatasetRef,
    *,
    replace: bool = False,
    note: str = "",
    progress: Progress | None = None,
) -> tuple[Imported, Outcome]:
    """Import the pictures of ``folder``, one for each validation sample of ``ref``, as the row ``name``.

    The same pictures again change nothing. Raises ImageFolderError that lists every missing, extra, doubled, mis-sized
    and unreadable file, before anything is written, and ValueError for other pictures under a name that has some.
    """
    dataset = open_split(ref, "val")
    place = import_folder(store, name, ref)
    files = open_image_folder(folder, dataset, images_of(ref, dataset), undone="imported")
    before = read_import(store, name, ref)
    if before is not None and before.sha256 == files.sha256 and before.fits(ref):
        return before, "unchanged"
    if before is not None and not replace:
        raise ValueError(
            f"{place} holds other pictures of {name} ({before.told}); these have sha256 {files.sha256[:12]}. "
            f"Give them another --variant, or --replace to put them in the place of the old ones"
        )
    record = place / "import.json"
    check_write(record)
    record.unlink(missing_ok=True)
    ids = [dataset.sample_id(index) for index in range(len(files.files))]
    _copy(files, ids, place / "images", progress)
    stored = open_image_folder(place / "images", dataset, len(ids), undone="imported")
    imported = Imported(
        name=name,
        dataset=ref,
        images=len(ids),
        sha256=files.sha256,
        stored_sha256=stored.sha256,
        source=str(folder.resolve()),
        imported_at=datetime.now(UTC).isoformat(timespec="seconds"),
        note=note,
        warnings=files.warnings,
    )
    write_import(store, imported)
    return imported, "imported" if before is None else "replaced"


def stored_images(store: Store, imported: Imported, ref: DatasetRef) -> ImageFolder:
    """The pictures in the store. Raises ValueError where they are not those that were imported."""
    dataset = open_split(ref, "val")
    folder = import_folder(store, imported.name, imported.dataset) / "images"
    files = open_image_folder(folder, dataset, imported.images)
    if files.sha256 != imported.stored_sha256:
        raise ValueError(
            f"{folder}: the pictures are not those that were imported (sha256 {files.sha256[:12]}, expected "
            f"{imported.stored_sha256[:12]}); import them again with --replace"
        )
    return files


def _copy(files: ImageFolder, ids: list[str], folder: Path, progress: Progress | None) -> None:
    """Every file as ``<sample id>.png``: PNG files byte by byte, others written anew with the same pixels."""
    wanted = {f"{name}.png" for name in ids}
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name not in wanted:
            check_write(path)
            path.unlink()
    for done, (name, path) in enumerate(zip(ids, files.files, strict=True), start=1):
        with written_beside(folder / f"{name}.png", durable=False) as temporary:
            if path.suffix.lower() == ".png":
                shutil.copyfile(path, temporary)
            else:
                with Image.open(path) as picture:
                    picture.convert("RGB").save(temporary, format="PNG")
        if progress is not None:
            progress(done, len(ids), f"{done} of {len(ids)} files")
