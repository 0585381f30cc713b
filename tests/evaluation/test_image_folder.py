"""A folder of images: matched by name, every problem listed at once, nothing judged before it fits."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.data.synthetic import SyntheticScenes
from bench.evaluation.image_folder import ImageFolderError, open_image_folder

SCENES = SyntheticScenes(split="val", size=(16, 24), images=5)
IDS = [SCENES.sample_id(index) for index in range(5)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for index, name in enumerate(IDS):
        Image.fromarray(SCENES.load(index).image).save(tmp_path / f"{name}.png")
    return tmp_path


def problems(folder: Path, count: int = 5) -> str:
    with pytest.raises(ImageFolderError, match="nothing was judged") as caught:
        open_image_folder(folder, SCENES, count)
    return str(caught.value)


def test_images_are_matched_by_name(folder: Path) -> None:
    opened = open_image_folder(folder, SCENES, 5)
    assert [path.stem for path in opened.files] == IDS
    assert all(np.array_equal(opened.read(index), SCENES.load(index).image) for index in range(5))
    assert opened.warnings == ()


@pytest.mark.parametrize(
    "ending",
    ["_leftImg8bit.png", "_synthesized_image.png", "_fake_B.png", "_gtFine_labelIds_synthesized_image.png", ".PNG"],
)
def test_endings_that_other_programs_write_do_not_matter(folder: Path, ending: str) -> None:
    (folder / f"{IDS[2]}.png").rename(folder / f"{IDS[2]}{ending}")
    assert np.array_equal(open_image_folder(folder, SCENES, 5).read(2), SCENES.load(2).image)


def test_the_identity_is_of_names_and_contents_and_of_nothing_else(folder: Path, tmp_path: Path) -> None:
    first = open_image_folder(folder, SCENES, 5).sha256
    copy = tmp_path / "elsewhere"
    copy.mkdir()
    for name in IDS:
        shutil.copy(folder / f"{name}.png", copy / f"{name}_leftImg8bit.png")
    (copy / "index.html").write_text("no image")
    assert open_image_folder(copy, SCENES, 5).sha256 == first
    Image.fromarray(SCENES.load(0).image ^ 1).save(copy / f"{IDS[0]}_leftImg8bit.png")
    assert open_image_folder(copy, SCENES, 5).sha256 != first


def test_every_problem_is_listed_at_once(folder: Path) -> None:
    (folder / f"{IDS[0]}.png").unlink()
    Image.new("RGB", (24, 17)).save(folder / f"{IDS[1]}.png")
    whole = (folder / f"{IDS[2]}.png").read_bytes()
    (folder / f"{IDS[2]}.png").write_bytes(whole[: len(whole) // 2])
    shutil.copy(folder / f"{IDS[3]}.png", folder / f"{IDS[3]}.jpg")
    shutil.copy(folder / f"{IDS[3]}.png", folder / "holiday.png")
    Image.new("I;16", (24, 16)).save(folder / f"{IDS[4]}.png")
    text = problems(folder)
    assert f"{folder}: 6 problems with the 5 images of synthetic/val" in text
    assert f"{IDS[0]}: missing (no file of that name)" in text
    assert f"{IDS[1]}.png: 24x17 px, expected 24x16 (width x height)" in text
    assert f"{IDS[2]}.png: cannot be read as an image (image file is truncated" in text
    assert f"{IDS[3]}.png: a second file for sample {IDS[3]} (beside {IDS[3]}.jpg)" in text
    assert "holiday.png: extra (no sample has this name)" in text
    assert f"{IDS[4]}.png: mode I;16; save it as 8-bit RGB" in text
    assert f"named <sample id>.png (the first is {IDS[0]}.png), 24x16 px" in text


def test_images_of_samples_that_are_not_asked_for_are_no_problem(folder: Path) -> None:
    assert len(open_image_folder(folder, SCENES, 3).files) == 3


def test_long_lists_are_cut_and_counted(tmp_path: Path) -> None:
    many = SyntheticScenes(split="val", size=(16, 24), images=50)
    with pytest.raises(ImageFolderError, match=r"50 problems with the 50 images(?s:.)*and 10 more"):
        open_image_folder(tmp_path, many, 50)


def test_a_folder_of_folders_is_told_from_a_folder_without_images(folder: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    for kind in ("synthesized_image", "input_label"):
        shutil.copytree(folder, results / "images" / kind, ignore=shutil.ignore_patterns("results"))
    text = problems(results)
    nested = ", ".join(str(results / "images" / kind) for kind in ("input_label", "synthesized_image"))
    assert f"{results} itself holds no images; give one folder of them, such as {nested}" in text
    (tmp_path / "empty").mkdir()
    assert "empty holds no images at all (allowed are .png, .jpg" in problems(tmp_path / "empty")
    (folder / f"{IDS[0]}.png").unlink()
    assert "holds no images" not in problems(folder)


def test_a_file_that_claims_to_be_gigantic_is_listed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert f"{IDS[0]}.png: cannot be read as an image (Image size (384 pixels) exceeds" in problems(folder)


def test_no_folder_is_no_traceback(tmp_path: Path) -> None:
    with pytest.raises(ImageFolderError, match="there is no such folder"):
        open_image_folder(tmp_path / "nowhere", SCENES, 5)


def test_compressed_images_are_judged_with_a_warning(folder: Path) -> None:
    (folder / f"{IDS[0]}.png").unlink()
    Image.fromarray(SCENES.load(0).image).save(folder / f"{IDS[0]}.jpg")
    assert "1 of 5 files are JPEG" in open_image_folder(folder, SCENES, 5).warnings[0]
