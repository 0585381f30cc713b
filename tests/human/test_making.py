"""The folder of a study: the right pictures under names that tell nothing, lists, key."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.evaluation.image_folder import ImageFolderError
from bench.human.design import SENTINEL, HumanStudy
from bench.human.making import flat_fill, read_study, write_study
from bench.human.sources import named, open_source
from bench.plain import to_plain
from bench.store import Store

from .small import pixels, scenes, small_study, wanted, write_systems


def page_of(folder: Path) -> dict[str, Any]:
    text = (folder / "study" / "page" / "study-data.js").read_text()
    data: dict[str, Any] = json.loads(text.removeprefix("window.HUMAN_STUDY=").rstrip().rstrip(";"))
    return data


def test_the_page_shows_the_right_pictures_on_the_right_sides(tmp_path: Path) -> None:
    study = small_study(tmp_path)
    page, images = page_of(tmp_path), tmp_path / "study" / "page" / "images"
    dataset = scenes(8)
    index_of = {dataset.sample_id(index): index for index in range(8)}
    seen = set()
    for place in study.places:
        for shown, (question, swapped) in zip(place.shown, page["places"][place.name], strict=True):
            assert shown.question == question
            asked = study.by_id[question]
            label_map, *pair, classes = page["questions"][question]
            left, right = reversed(pair) if swapped else pair
            ours, other = (left, right) if shown.ours_left else (right, left)
            sample = dataset.load(index_of[asked.sample])
            assert np.array_equal(pixels(images / label_map), dataset.palette[sample.labels])
            assert set(classes) <= set(np.unique(sample.labels).tolist())
            systems = tmp_path / "systems"
            if asked.comparison == SENTINEL:
                expected = sample.image, flat_fill(sample.labels, sample.image)
            else:
                expected = tuple(pixels(systems / name / f"{asked.sample}.png") for name in ("SPADE", asked.comparison))
            assert np.array_equal(pixels(images / ours), expected[0])
            assert np.array_equal(pixels(images / other), expected[1])
            seen.add(asked.comparison)
    assert seen == {"CRN", "pix2pixHD", SENTINEL}


def test_what_is_uploaded_does_not_tell_whose_a_picture_is(tmp_path: Path) -> None:
    study = small_study(tmp_path)
    told = "".join(path.read_text() for path in (tmp_path / "study" / "page").iterdir() if path.is_file())
    told += (tmp_path / "study" / "crowd.csv").read_text() + (tmp_path / "study" / "places.csv").read_text()
    for word in (*study.sources, *(question.sample for question in study.questions), "sentinel"):
        assert word not in told
    page = page_of(tmp_path)
    flipped = [swapped for place in page["places"].values() for _, swapped in place]
    ours_left = [shown.ours_left for place in study.places for shown in place.shown]
    agree = sum(bool(one) == other for one, other in zip(flipped, ours_left, strict=True)) / len(flipped)
    assert 0.2 < agree < 0.8


def test_the_lists_of_a_platform_name_the_same_pictures(tmp_path: Path) -> None:
    study = write_study(
        wanted(tmp_path / "systems", against=("CRN",)), tmp_path / "study", base_url="https://example.org/s/"
    )
    with (tmp_path / "study" / "crowd.csv").open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    assert len(lines) == sum(len(place.shown) for place in study.places)
    images = tmp_path / "study" / "page" / "images"
    for line in lines:
        asked = study.by_id[line["question"]]
        if asked.comparison == SENTINEL:
            continue
        side = "left_url" if study.ours_left[(line["place"], line["question"])] else "right_url"
        assert line[side].startswith("https://example.org/s/images/")
        ours = pixels(images / line[side].rpartition("/")[2])
        assert np.array_equal(ours, pixels(tmp_path / "systems" / "SPADE" / f"{asked.sample}.png"))
    places = (tmp_path / "study" / "places.csv").read_text().splitlines()
    assert places[1].endswith(f"https://example.org/s/index.html?place={study.places[0].name}")


def test_the_same_wish_is_the_same_study_and_an_interrupted_one_is_finished(tmp_path: Path) -> None:
    first = small_study(tmp_path / "a")
    second = small_study(tmp_path / "b")
    files = {path.relative_to(tmp_path / "a"): path.read_bytes() for path in (tmp_path / "a" / "study").rglob("*.*")}
    assert first.id == second.id
    assert all((tmp_path / "b" / name).read_bytes() == content for name, content in files.items())
    (tmp_path / "b" / "study" / "study.json").unlink()
    missing = next((tmp_path / "b" / "study" / "page" / "images").iterdir())
    missing.unlink()
    again = wanted(tmp_path / "again", against=("CRN", "pix2pixHD"))
    assert write_study(again, tmp_path / "b" / "study").id == first.id
    assert missing.is_file()


def test_another_study_is_not_written_over(tmp_path: Path) -> None:
    small_study(tmp_path)
    other = wanted(tmp_path / "again", against=("CRN", "pix2pixHD"), seed=1)
    with pytest.raises(ValueError, match="holds another study .* would lose their key"):
        write_study(other, tmp_path / "study")


def test_the_key_can_be_read_back_and_an_edited_one_is_found(tmp_path: Path) -> None:
    study = small_study(tmp_path)
    assert read_study(tmp_path / "study") == study
    data = study.to_json()
    data["places"][0]["shown"][0]["ours_left"] ^= True
    with pytest.raises(ValueError, match="the file was edited"):
        HumanStudy.from_json(data, "study.json")
    with pytest.raises(ValueError, match="not the key of a human study"):
        HumanStudy.from_json(to_plain(study), "study.json")
    with pytest.raises(ValueError, match="there is no such file; give the folder"):
        read_study(tmp_path)


def test_missing_pictures_are_listed_with_their_system(tmp_path: Path) -> None:
    dataset = scenes(6)
    folders = write_systems(tmp_path, dataset)
    gone = [dataset.sample_id(index) for index in (1, 4)]
    for name in gone:
        (folders["CRN"] / f"{name}.png").unlink()
    with pytest.raises(ImageFolderError, match="the pictures of CRN") as caught:
        open_source("CRN", str(folders["CRN"]), dataset, 6, Store(tmp_path))
    assert all(f"{name}: missing" in str(caught.value) for name in gone)


def test_real_photographs_can_be_compared_with(tmp_path: Path) -> None:
    dataset = scenes(3)
    source = open_source("photo", "real", dataset, 3, Store(tmp_path))
    assert np.array_equal(source.read(2), dataset.load(2).image)


@pytest.mark.parametrize("text", ["CRN", "=DIR", "CRN="])
def test_how_a_system_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="write NAME=DIR"):
        named(text, "--against")
    assert named("CRN=a=b", "--against") == ("CRN", "a=b")


def test_two_systems_of_one_name_and_a_limit_of_nothing_are_refused(tmp_path: Path) -> None:
    wish = wanted(tmp_path, images=3, against=("CRN",))
    with pytest.raises(ValueError, match="the name SPADE is given twice"):
        replace(wish, against=(wish.ours,))
    with pytest.raises(ValueError, match="--time-limit is 0"):
        replace(wish, time_limit_s=0)
    with pytest.raises(ValueError, match="nothing to compare with"):
        replace(wish, against=())
