"""Pictures of another system: checked as a whole, kept once, told apart by their content."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.cli.catalogue import _systems
from bench.data.opening import open_split, validation_ref
from bench.evaluation.image_folder import ImageFolderError
from bench.evaluation.importing import import_images, stored_images
from bench.imports import check_name, evaluation_of_import, find_import, import_folder, imports_of, read_import
from bench.store import Store

REF = validation_ref("synthetic", size=(16, 24), val_images=4)
DATASET = open_split(REF, "val")
IDS = [DATASET.sample_id(index) for index in range(4)]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "theirs"
    made.mkdir()
    for index, name in enumerate(IDS):
        Image.fromarray(DATASET.load(index).image).save(made / f"{name}_fake_B.png")
    return made


def everything(store: Store) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(store.root.rglob("*")) if path.is_file()}


def test_pictures_become_a_row_under_their_samples_names(store: Store, folder: Path) -> None:
    imported, outcome = import_images(store, "SIMS", folder, REF, note="from the authors")
    assert outcome == "imported"
    assert read_import(store, "SIMS", REF) == imported == find_import(store, "SIMS", None)
    kept = import_folder(store, "SIMS", REF) / "images"
    assert sorted(path.name for path in kept.iterdir()) == [f"{name}.png" for name in IDS]
    shutil.rmtree(folder)
    files = stored_images(store, imported, REF)
    assert all(np.array_equal(files.read(index), DATASET.load(index).image) for index in range(4))
    assert "from the authors" in imported.told


def test_every_problem_is_listed_and_nothing_is_written(store: Store, folder: Path) -> None:
    (folder / f"{IDS[0]}_fake_B.png").unlink()
    (folder / f"{IDS[1]}_fake_B.png").write_bytes(b"no picture")
    Image.new("RGB", (8, 8)).save(folder / f"{IDS[2]}_fake_B.png")
    Image.new("RGB", (24, 16)).save(folder / "somebody.png")
    with pytest.raises(ImageFolderError, match="nothing was imported") as caught:
        import_images(store, "SIMS", folder, REF)
    told = str(caught.value)
    for words in (
        f"{IDS[0]}: missing",
        f"{IDS[1]}_fake_B.png: cannot be read",
        "8x8 px, expected 24x16",
        "somebody.png: extra",
    ):
        assert words in told
    assert not store.root.exists()


def test_the_same_again_changes_nothing_and_others_are_refused(store: Store, folder: Path) -> None:
    first, _ = import_images(store, "SIMS", folder, REF)
    before = everything(store)
    assert import_images(store, "SIMS", folder, REF, note="again") == (first, "unchanged")
    assert everything(store) == before
    Image.new("RGB", (24, 16)).save(folder / f"{IDS[3]}_fake_B.png")
    with pytest.raises(ValueError, match="holds other pictures of SIMS .* or --replace"):
        import_images(store, "SIMS", folder, REF)
    assert everything(store) == before
    second, outcome = import_images(store, "SIMS", folder, REF, replace=True)
    assert outcome == "replaced"
    assert second.sha256 != first.sha256
    assert evaluation_of_import(second, None).eval_id != evaluation_of_import(first, None).eval_id
    assert not stored_images(store, second, REF).read(3).any()


def test_other_formats_are_kept_as_png_with_the_same_pixels_and_a_warning(store: Store, folder: Path) -> None:
    for name in IDS:
        source = folder / f"{name}_fake_B.png"
        with Image.open(source) as picture:
            picture.save(folder / f"{name}.jpg")
        source.unlink()
    imported, _ = import_images(store, "SIMS", folder, REF)
    with Image.open(folder / f"{IDS[0]}.jpg") as picture:
        assert np.array_equal(stored_images(store, imported, REF).read(0), np.asarray(picture))
    assert "JPEG" in imported.warnings[0]
    assert import_images(store, "SIMS", folder, REF)[1] == "unchanged"


def test_an_interrupted_import_is_none_and_is_finished(store: Store, folder: Path) -> None:
    imported, _ = import_images(store, "SIMS", folder, REF)
    place = import_folder(store, "SIMS", REF)
    (place / "import.json").unlink()
    (place / "images" / f"{IDS[1]}.png").unlink()
    (place / "images" / "left-over.png").write_bytes(b"")
    assert read_import(store, "SIMS", REF) is None
    again, outcome = import_images(store, "SIMS", folder, REF)
    assert (again.sha256, outcome) == (imported.sha256, "imported")
    assert len(list((place / "images").iterdir())) == 4


def test_pictures_changed_in_the_store_are_found(store: Store, folder: Path) -> None:
    imported, _ = import_images(store, "SIMS", folder, REF)
    Image.new("RGB", (24, 16)).save(import_folder(store, "SIMS", REF) / "images" / f"{IDS[0]}.png")
    with pytest.raises(ValueError, match="not those that were imported"):
        stored_images(store, imported, REF)


def test_what_is_imported_is_found_by_name(store: Store, folder: Path) -> None:
    with pytest.raises(ValueError, match="no import is called 'SIMS'.*\n.*nothing was imported"):
        find_import(store, "SIMS", None)
    for name in ("SIMS", "CRN"):
        import_images(store, name, folder, REF)
    assert [item.name for item in imports_of(store)] == ["CRN", "SIMS"]
    with pytest.raises(ValueError, match="no import is called 'SIMS' on cityscapes(.|\n)*SIMS on synthetic, 16x24 px"):
        find_import(store, "SIMS", "cityscapes")


@pytest.mark.parametrize("name", ["", "real", "../SIMS", "a b", "-x", "<script>", "x" * 65])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(ValueError, match="1 to 64 letters, digits"):
        check_name(name)


@pytest.mark.parametrize("name", ["SIMS", "CRN", "pix2pixhd-pp", "my.system_v2+ema"])
def test_names_of_any_system(name: str) -> None:
    assert check_name(name) == name


def test_what_was_imported_is_among_the_systems(store: Store, folder: Path) -> None:
    import_images(store, "SIMS-theirs", folder, REF, note="from the authors")
    rows = _systems(store.root)
    assert [row["made_by"] for row in rows if row["name"] in ("SIMS", "crn", "SIMS-theirs")] == [
        "train",
        "sims bank, retrieve, ...",
        "import-images",
    ]
    assert rows[-1]["summary"].startswith("synthetic at 16x24 px: 4 images, sha256 ")
    assert "from the authors" in rows[-1]["summary"]
