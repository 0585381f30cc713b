"""The look at every file: what it finds, what it remembers when it is stopped, and what it says."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.data.dataset import DatasetError
from bench.data.layouts.released import Released
from bench.data.manifest import Manifest, build_manifest, leaks, manifest_from_plain, manifest_to_plain
from bench.data.paired import SplitFiles, split_files
from bench.data.registry import dataset_spec
from tests.data.trees import write_released

ROOT = Path(__file__).resolve().parents[2]
STOPPED = """
import sys, time
from pathlib import Path
from tests.data.test_manifest import look, split_of
def slowly(done, of):
    print(done, flush=True)
    time.sleep(0.05)
if __name__ == "__main__":
    look(split_of(Path(sys.argv[1])), progress=slowly, workers=2)
"""


def split_of(root: Path, split: str = "train", dataset: str = "coco_stuff") -> SplitFiles:
    entry = dataset_spec(dataset)
    return split_files(entry, Released(has_instances=entry.has_instances), root, split, entry.size_px)


def look(files: SplitFiles, *, progress: Callable[[int, int], None] | None = None, workers: int | None = 1) -> Manifest:
    return build_manifest(files, manifest_dir=files.root.parent / "manifests", progress=progress, workers=workers)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_released(tmp_path / "data", pairs={"train": 5, "val": 3})


def edit(path: Path, value: int) -> None:
    """Give the first pixel of a label map another value."""
    ids = np.array(Image.open(path))
    ids[0, 0] = value
    Image.fromarray(ids).save(path)


def test_the_look_counts_what_there_is(root: Path) -> None:
    Image.open(root / "train_img" / "pair001.jpg").convert("L").save(root / "train_img" / "pair001.jpg")
    manifest = look(split_of(root))
    maps = [np.asarray(Image.open(path)) for path in sorted((root / "train_label").iterdir())]
    together = np.concatenate([labels.ravel() for labels in maps])
    values, counts = np.unique(together, return_counts=True)
    assert manifest.label_pixels == dict(zip(values.tolist(), counts.tolist(), strict=True))
    assert manifest.label_images == {v: sum(int((m == v).any()) for m in maps) for v in values.tolist()}
    assert manifest.image_modes == {"L": 1, "RGB": 4}
    assert (manifest.layout, manifest.official_pairs) == ("released", 118287)
    for entry, labels in zip(manifest.entries, maps, strict=True):
        instances = np.asarray(Image.open(root / str(entry.instance)))
        assert (entry.height, entry.width) == labels.shape
        assert entry.instance_ids == len(np.unique(instances))


@pytest.mark.parametrize(
    "ids",
    [
        np.arange(48, dtype=np.uint8).reshape(6, 8) % 2 > 0,
        np.arange(48, dtype=np.uint16).reshape(6, 8) // 2 * 2000,
        np.arange(48, dtype=np.int32).reshape(6, 8) // 4 * 10_000_000,
    ],
)
def test_instance_maps_of_every_depth_are_counted(root: Path, ids: np.ndarray) -> None:
    size = Image.open(root / "train_img" / "pair000.jpg").size
    (root / "train_inst" / "pair000.png").unlink()
    Image.fromarray(ids).resize(size, Image.Resampling.NEAREST).save(root / "train_inst" / "pair000.tif")
    assert look(split_of(root)).entries[0].instance_ids == len(np.unique(ids))


def test_processes_and_threads_find_the_same(root: Path) -> None:
    hashes = set()
    for workers in (1, 2, None):
        shutil.rmtree(root.parent / "manifests", ignore_errors=True)
        hashes.add(look(split_of(root), workers=workers).content_hash)
    assert len(hashes) == 1


def test_a_manifest_survives_being_written_down(root: Path) -> None:
    manifest = look(split_of(root))
    assert manifest_from_plain(json.loads(json.dumps(manifest_to_plain(manifest)))) == manifest


def test_a_killed_look_goes_on_where_it_was(tmp_path: Path) -> None:
    root = write_released(tmp_path / "data", pairs={"train": 80}, size=(16, 16))
    with subprocess.Popen(
        [sys.executable, "-c", STOPPED, root], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        before = [int(process.stdout.readline()) for _ in range(2)][-1]
        process.kill()
    (journal,) = (tmp_path / "manifests").glob("*.looks")
    with journal.open("ab") as stream:
        stream.write(b'["pair9')  # as a disk that was full leaves it
    assert not list((tmp_path / "manifests").glob("*.json"))
    steps: list[int] = []
    manifest = look(split_of(root), progress=lambda done, of: steps.append(done))
    assert before <= steps[0] < 80
    assert steps[-1] == 80
    shutil.rmtree(tmp_path / "manifests")
    assert look(split_of(root)) == manifest


def test_only_what_changed_is_looked_at_again(root: Path) -> None:
    first = look(split_of(root))
    edit(root / "train_label" / "pair002.png", 17)
    steps: list[int] = []
    second = look(split_of(root), progress=lambda done, of: steps.append(done))
    assert steps == [4, 5]
    assert [a == b for a, b in zip(first.entries, second.entries, strict=True)] == [True, True, False, True, True]


def test_another_content_of_equal_length_is_looked_at(root: Path) -> None:
    path = root / "train_label" / "pair002.png"

    def pad() -> None:
        path.write_bytes(path.read_bytes().ljust(5000, b"\0"))  # what follows a PNG's end is read by nobody

    pad()
    before = look(split_of(root))
    edit(path, 77)
    pad()
    after = look(split_of(root))
    assert path.stat().st_size == 5000
    assert (77 in before.label_pixels, 77 in after.label_pixels) == (False, True)
    assert after.content_hash != before.content_hash


def test_a_file_that_could_not_be_read_is_tried_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.read_bytes

    def read_bytes(path: Path) -> bytes:
        if path.name == "pair001.jpg":
            raise OSError(5, "Input/output error")
        return real(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    with pytest.raises(DatasetError, match=r"pair001.jpg: not readable as an image \(.*Input/output error"):
        look(split_of(root))
    monkeypatch.undo()
    steps: list[int] = []
    assert len(look(split_of(root), progress=lambda done, of: steps.append(done)).entries) == 5
    assert steps == [4, 5]


@pytest.mark.parametrize(("part", "words"), [(0.0, "it is empty or not a picture"), (0.7, "")])
def test_torn_files_are_named(root: Path, part: float, words: str) -> None:
    for name in ("train_img/pair000.jpg", "train_label/pair003.png"):
        content = (root / name).read_bytes()
        (root / name).write_bytes(content[: int(part * len(content))])
    with pytest.raises(DatasetError, match=r"2 problems in its files \(unreadable 2\)") as error:
        look(split_of(root))
    for name in ("train_img/pair000.jpg", "train_label/pair003.png"):
        assert f"{root / name}: not readable as an image ({words}" in str(error.value)


def test_a_wrong_kind_of_label_map_is_told_from_wrong_values(root: Path) -> None:
    Image.open(root / "train_label" / "pair000.png").convert("RGB").save(root / "train_label" / "pair000.png")
    edit(root / "train_label" / "pair001.png", 200)
    (root / "train_inst" / "pair004.png").unlink()
    with pytest.raises(DatasetError, match=r"\(unpaired or missing 1, mode 1, label out of range 1\)") as error:
        look(split_of(root))
    for words in (
        "pair000.png: label map of mode RGB; allowed are L, P",
        "pair001.png: label 200 (1 pixels); allowed are 0 to 181, and 255 for don't care",
        "no instance map named 'pair004'",
    ):
        assert words in str(error.value)


def test_many_problems_are_written_to_a_file_that_is_named(tmp_path: Path) -> None:
    root = write_released(tmp_path / "data", pairs={"train": 45}, size=(16, 16), values=(0, 200))
    for path in (root / "train_label").iterdir():
        edit(path, 200)
    with pytest.raises(DatasetError, match=r"45 problems in its files \(label out of range 45\)") as error:
        look(split_of(root))
    lines = str(error.value).splitlines()
    assert len(lines) == 42
    (everything,) = (tmp_path / "manifests").glob("*.problems.txt")
    assert lines[-1] == f"  ... and 5 more; all of them are listed in {everything}"
    assert len(everything.read_text().splitlines()) == 45
    for path in (root / "train_label").iterdir():
        edit(path, 0)
        ids = np.array(Image.open(path))
        Image.fromarray(np.where(ids == 200, 0, ids).astype(np.uint8)).save(path)
    look(split_of(root))
    assert not everything.exists()


@pytest.mark.parametrize(
    ("official", "words"),
    [
        (6, ["5 of 6 pairs: incomplete; scores are not comparable with the paper's"]),
        (4, ["5 pairs, 1 more than the 4 of the official split: another set; scores are not comparable"]),
        (5, []),
        (None, []),
    ],
)
def test_the_count_is_held_against_the_official_one(root: Path, official: int | None, words: list[str]) -> None:
    from dataclasses import replace

    warnings = look(replace(split_of(root), official_pairs=official)).warnings
    assert len(warnings) == len(words)
    assert all(warning.startswith(word) for warning, word in zip(warnings, words, strict=True))


def test_equal_pictures_are_found_whatever_their_files(root: Path) -> None:
    size = (56, 40)
    picture = Image.open(root / "train_img" / "pair000.jpg")
    for number in (1, 2):
        for folder in ("label", "inst"):
            path = root / f"train_{folder}" / f"pair00{number}.png"
            Image.open(path).resize(size, Image.Resampling.NEAREST).save(path)
    picture.save(root / "train_img" / "pair001.png")
    (root / "train_img" / "pair001.jpg").unlink()
    shutil.copy(root / "train_img" / "pair000.jpg", root / "train_img" / "pair002.jpg")
    (warning,) = look(split_of(root)).warnings[1:]
    assert warning.startswith("2 pictures are there more than once (train_img/pair000.jpg = train_img/pair001.png = ")


def test_pictures_of_both_splits_are_a_leak(root: Path) -> None:
    train, val = look(split_of(root)), look(split_of(root, "val"))
    assert leaks(train, val) == []
    for folder, suffix in (("img", "jpg"), ("label", "png"), ("inst", "png")):
        shutil.copy(root / f"train_{folder}" / f"pair003.{suffix}", root / f"val_{folder}" / f"pair000.{suffix}")
    (warning,) = leaks(train, look(split_of(root, "val")))
    assert warning.startswith(
        "1 of 3 validation pictures are also in the training split (train_img/pair003.jpg = val_img"
    )


def test_photographs_that_want_to_be_turned_are_counted(root: Path) -> None:
    path = root / "train_img" / "pair004.jpg"
    picture = Image.open(path)
    tags = picture.getexif()
    tags[0x0112] = 6
    picture.save(path, exif=tags)
    warnings = look(split_of(root)).warnings
    assert warnings[1].startswith("1 photographs ask to be turned by their EXIF data (train_img/pair004.jpg)")


def test_damaged_exif_data_are_no_damage(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def getexif(picture: Image.Image) -> Image.Exif:
        raise SyntaxError("not a TIFF file")

    monkeypatch.setattr(Image.Image, "getexif", getexif)
    assert len(look(split_of(root)).entries) == 5


def test_a_cache_that_cannot_be_written_is_named(root: Path) -> None:
    (root.parent / "manifests").write_text("in the way")
    with pytest.raises(DatasetError, match=r"manifests: what is known.*\(File exists\); set SPADE_BENCH_CACHE"):
        look(split_of(root))


def test_a_second_process_waits_and_takes_the_record_of_the_first(tmp_path: Path) -> None:
    root = write_released(tmp_path / "data", pairs={"train": 40}, size=(16, 16))
    with subprocess.Popen(
        [sys.executable, "-c", STOPPED, root], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        waited: list[str] = []
        steps: list[int] = []
        manifest = build_manifest(
            split_of(root),
            manifest_dir=tmp_path / "manifests",
            progress=lambda done, of: steps.append(done),
            waiting=lambda: waited.append("waited"),
        )
    assert (len(manifest.entries), waited, steps) == (40, ["waited"], [])
