"""What is accepted as a label map, and what is said of everything else."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.data.paired import read_ids
from bench.data.registry import dataset_spec
from bench.synthesis import inputs
from bench.synthesis.inputs import InputError, label_inputs, label_map_png, read_label_map, read_photograph
from tests.synthesis.conftest import write_map

SYNTHETIC, COCO, ADE = (dataset_spec(name) for name in ("synthetic", "coco_stuff", "ade20k"))


def png(array: object, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.asarray(array)).save(stream, "PNG", **options)  # type: ignore[arg-type]
    return stream.getvalue()


def test_ids_are_read_as_the_data_set_holds_them() -> None:
    ids = np.array([[0, 181], [255, 7]], np.uint8)
    assert read_label_map(png(ids), COCO, "map.png").tolist() == [[0, 181], [182, 7]]
    assert read_label_map(png(ids.astype(np.uint16)), COCO, "map.png").tolist() == [[0, 181], [182, 7]]
    assert read_label_map(png(np.array([[150, 0]], np.uint8)), ADE, "map.png").tolist() == [[150, 0]]


@pytest.mark.parametrize("entry", [SYNTHETIC, COCO, ADE], ids=lambda entry: entry.name)
def test_a_saved_map_comes_back_and_shows_the_data_sets_colours(entry: inputs.DatasetEntry) -> None:
    ids = np.arange(entry.spec.ids, dtype=np.uint8)[None].repeat(2, 0)
    saved = label_map_png(ids, entry)
    assert np.array_equal(read_label_map(saved, entry, "saved"), ids)
    assert np.array_equal(read_ids(io.BytesIO(saved)), inputs.label_file_values(ids, entry))
    with Image.open(io.BytesIO(saved)) as picture:
        colours = np.asarray(picture.convert("RGB"))
    assert colours[0].tolist() == [list(colour) for colour in inputs.palette(entry)]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (png(np.zeros((4, 4, 3), np.uint8)), r"m\.png: a label map of mode RGB; allowed are L, P, .*not their colours"),
        (png(np.full((2, 3), 12, np.uint8)), r"m\.png: label 12 \(6 pixels\); allowed in synthetic are 0 to 11\."),
        (png(np.arange(12, 32, dtype=np.uint8)[None]), r"label 12 \(1 pixels\), .* and 12 more values; allowed"),
        (b"", r"m\.png: cannot be read as a label map \(it is empty or not a picture\); give a whole PNG file"),
        (b"<html>", r"m\.png: cannot be read as a label map \(it is empty or not a picture\)"),
        (png(np.zeros((64, 64), np.uint8))[:60], r"m\.png: cannot be read as a label map"),
    ],
)
def test_what_is_no_label_map_is_named(content: bytes, told: str) -> None:
    with pytest.raises(InputError, match=told):
        read_label_map(content, SYNTHETIC, "m.png")


def test_dont_care_is_named_where_there_is_one() -> None:
    with pytest.raises(InputError, match=r"label 182 \(1 pixels\); allowed in coco_stuff are 0 to 181, and 255 for"):
        read_label_map(png(np.array([[182]], np.uint8)), COCO, "m.png")


def test_a_lossy_file_and_a_huge_one_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.BytesIO()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(stream, "JPEG")
    with pytest.raises(InputError, match=r"m\.jpg: a label map in the format JPEG loses its ids; save it as PNG"):
        read_label_map(stream.getvalue(), SYNTHETIC, "m.jpg")
    monkeypatch.setattr(inputs, "LARGEST_PIXELS", 100)
    with pytest.raises(InputError, match=r"m\.png: 20 x 10 px \(width x height\), more than 100 pixels in all"):
        read_label_map(png(np.zeros((10, 20), np.uint8)), SYNTHETIC, "m.png")
    with pytest.raises(InputError, match=r"s\.png: 20 x 10 px"):
        read_photograph(png(np.zeros((10, 20, 3), np.uint8)), "s.png")


def test_a_folder_is_read_by_name_at_the_models_size_with_its_instances(tmp_path: Path) -> None:
    for name in ("b", "a"):
        write_map(tmp_path / "maps" / f"{name}.png")
        (tmp_path / "instances").mkdir(exist_ok=True)
        Image.fromarray(np.full((48, 48), 26_001, np.uint16)).save(tmp_path / "instances" / f"{name}.png")
    found = label_inputs(tmp_path / "maps", tmp_path / "instances", SYNTHETIC, (32, 64))
    assert [each.id for each in found] == ["a", "b"]
    assert found[0].labels.shape == (32, 64)
    assert found[0].instances is not None
    assert np.unique(found[0].instances).tolist() == [26_001]
    (single,) = label_inputs(tmp_path / "maps" / "a.png", None, SYNTHETIC, (32, 64))
    assert single.instances is None
    assert single.sha256 != found[0].sha256


def test_everything_wrong_with_a_folder_is_told_at_once(tmp_path: Path) -> None:
    write_map(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    write_map(tmp_path / "high.png", ids=40)
    with pytest.raises(InputError, match=r"2 of 3 label maps cannot be used\n  - .*bad\.png: .*\n  - .*high\.png: lab"):
        label_inputs(tmp_path, None, SYNTHETIC, (32, 32))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"--labels .*empty: holds no \*\.png \(it holds: nothing\)"):
        label_inputs(tmp_path / "empty", None, SYNTHETIC, (32, 32))
    with pytest.raises(InputError, match=r"--labels .*none: there is no such file or folder"):
        label_inputs(tmp_path / "none", None, SYNTHETIC, (32, 32))
    with pytest.raises(InputError, match="generators of ade20k see no instances; leave it out"):
        label_inputs(tmp_path, tmp_path, ADE, (32, 32))
    (tmp_path / "instances").mkdir()
    with pytest.raises(InputError, match=r"good\.png: there is no such instance map"):
        label_inputs(tmp_path, tmp_path / "instances", SYNTHETIC, (32, 32))
