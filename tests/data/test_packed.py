"""A packed copy gives what the files give, bit for bit; it goes on after a kill, and says what it cannot serve."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections import namedtuple
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.data import packing
from bench.data.dataset import Augmentation, Dataset, DatasetError
from bench.data.entry import DatasetEntry
from bench.data.layouts.coco_instances import write_instance_maps
from bench.data.manifest import build_manifest
from bench.data.opening import dataset_ref, open_split
from bench.data.pack_index import verify
from bench.data.packed import PackedDataset, is_packed, open_packed
from bench.data.packing import Packing, pack
from bench.data.paired import PairedDataset, split_files
from bench.data.registry import dataset_spec
from bench.data.transforms import draw_augmentation
from tests.data import trees

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = Path(os.environ.get("SPADE_BENCH_DATA", ROOT.parent / "shared" / "data"))
STOPPED = """
import sys, time
from pathlib import Path
from tests.data.test_packed import packed, splits_of
def slowly(what, done, of):
    print(done, flush=True)
    time.sleep(0.05)
if __name__ == "__main__":
    packed(splits_of("coco_stuff", Path(sys.argv[1]), (16, 16)), workers=2, progress=slowly)
"""


def splits_of(
    name: str | DatasetEntry, root: Path, size: tuple[int, int], splits: tuple[str, ...] = ("train", "val")
) -> list[PairedDataset]:
    entry = dataset_spec(name) if isinstance(name, str) else name
    layout = entry.find_layout(root)
    files = [split_files(entry, layout, root, split, size) for split in splits]
    return [PairedDataset(files=f, manifest=build_manifest(f, manifest_dir=root.parent / "manifests")) for f in files]


def packed(
    splits: list[PairedDataset], *, workers: int = 1, progress: Callable[[str, int, int], None] = lambda *_: None
) -> Packing:
    return pack(splits, splits[0].files.root.parent / "packed", workers=workers, progress=progress)


def opened(split: PairedDataset, out: Path) -> PackedDataset:
    return open_packed(dataset_spec(split.name), out, split.split, split.size)


def assert_equal(one: Dataset, other: Dataset, index: int, augmentation: Augmentation | None) -> None:
    a, b = one.load(index, augmentation), other.load(index, augmentation)
    assert a.id == b.id
    for mine, theirs in ((a.image, b.image), (a.labels, b.labels), (a.instances, b.instances)):
        assert (mine is None) == (theirs is None)
        if mine is not None and theirs is not None:
            assert mine.dtype == theirs.dtype
            np.testing.assert_array_equal(mine, theirs)


def assert_all_equal(split: PairedDataset, copy: Dataset, *, epochs: int = 4) -> None:
    """Everything that can be asked of a split, of its packed copy."""
    assert (len(copy), copy.manifest_hash) == (len(split), split.manifest_hash)
    for what in ("name", "split", "spec", "size", "class_names", "ignore_ids", "scored_classes", "augmentation_rule"):
        assert getattr(copy, what) == getattr(split, what)
    np.testing.assert_array_equal(copy.palette, split.palette)
    for index in range(len(split)):
        assert copy.sample_id(index) == split.sample_id(index)
        assert copy.native_size(index) == split.native_size(index)
        if split.split == "train":
            for epoch in range(epochs):
                assert_equal(copy, split, index, draw_augmentation(split.augmentation_rule, 3, epoch, index))
        else:
            assert_equal(copy, split, index, None)
            np.testing.assert_array_equal(copy.truth(index), split.truth(index))
            np.testing.assert_array_equal(copy.original(index), split.original(index))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return trees.write_released(tmp_path / "data", pairs={"train": 5, "val": 3})


def coco_download(root: Path) -> Path:
    trees.write_coco_download(root)
    for split in ("train", "val"):
        write_instance_maps(root, split, root / "instance_maps" / split, processes=1)
    return root


TREES: dict[str, tuple[str, tuple[int, int], Callable[[Path], Path]]] = {
    "released": ("coco_stuff", (32, 32), trees.write_released),
    "not square": ("coco_stuff", (64, 48), trees.write_released),
    "COCO's download": ("coco_stuff", (32, 32), coco_download),
    "ADE20K's challenge": ("ade20k", (32, 32), trees.write_ade_challenge),
    "outdoors": ("ade20k_outdoor", (32, 32), trees.write_ade_challenge),
    "Cityscapes": ("cityscapes", (32, 64), trees.write_cityscapes),
    "photographs": (
        "flickr_landscapes",
        (32, 32),
        lambda root: trees.write_label_maps(trees.write_photographs(root, splits={"train": 4, "val": 2})),
    ),
}


@pytest.mark.parametrize("tree", TREES)
def test_every_sample_is_equal_whatever_the_augmentation(tree: str, tmp_path: Path) -> None:
    name, size, write = TREES[tree]
    splits = splits_of(name, write(tmp_path / "data"), size)
    done = packed(splits)
    for split in splits:
        copy = opened(split, done.folder)
        assert_all_equal(split, copy)
        assert copy.manifest == split.manifest
    sizes = {path: path.stat().st_size for path in done.folder.rglob("*.bin")}
    assert sum(sizes.values()) == done.bytes == done.written


@pytest.mark.parametrize(("name", "splits"), [("coco_stuff", ("train", "val")), ("cityscapes", ("train",))])
def test_real_pairs_are_equal(name: str, splits: tuple[str, ...], tmp_path: Path) -> None:
    folder = SAMPLES / f"{name}_sample"
    if not folder.is_dir():
        pytest.skip(f"no pairs at {folder} (set SPADE_BENCH_DATA to the folder that holds {name}_sample)")
    entry = dataset_spec(name)
    files = [split_files(entry, entry.find_layout(folder), folder, split, entry.size_px) for split in splits]
    real = [PairedDataset(files=f, manifest=build_manifest(f, manifest_dir=tmp_path)) for f in files]
    out = pack(real, tmp_path / "packed").folder
    for split in real:
        assert_all_equal(split, opened(split, out), epochs=1)


def test_instance_ids_of_any_number_and_depth_survive(tmp_path: Path) -> None:
    root = trees.write_released(tmp_path / "data", pairs={"train": 2, "val": 2}, size=(48, 48))
    many = np.arange(48 * 48, dtype=np.int32).reshape(48, 48)
    for name, ids in (("pair000", many.astype(np.uint16)), ("pair001", many * 900_000 - 40)):
        (root / "train_inst" / f"{name}.png").unlink()
        Image.fromarray(ids).save(root / "train_inst" / f"{name}.tif")
    splits = splits_of("coco_stuff", root, (48, 48))
    copy = opened(splits[0], packed(splits).folder)
    assert copy.arrays["train/54x54/instance.bin"].dtype == "uint16"
    assert_all_equal(splits[0], copy)


def test_a_packed_folder_is_opened_like_any_other(root: Path) -> None:
    splits = splits_of("coco_stuff", root, (32, 32))
    out = packed(splits).folder
    entry = dataset_spec("coco_stuff")
    for split in splits:
        copy = entry.open(split=split.split, root=out, size=(32, 32))
        assert isinstance(copy, PackedDataset)
        unpacked = entry.open(split=split.split, root=root, size=(32, 32), manifest_dir=root.parent / "manifests")
        assert copy.manifest_hash == unpacked.manifest_hash


def test_a_copy_travels_to_other_processes_in_few_bytes(tmp_path: Path) -> None:
    root = trees.write_released(tmp_path / "data", pairs={"train": 40, "val": 1}, size=(16, 16))
    splits = splits_of("coco_stuff", root, (16, 16))
    copy = opened(splits[0], packed(splits).folder)
    copy.load(39, draw_augmentation(copy.augmentation_rule, 0, 0, 0))
    shipped = pickle.dumps(copy)
    assert len(shipped) < 20_000
    assert_equal(pickle.loads(shipped), copy, 7, draw_augmentation(copy.augmentation_rule, 0, 0, 7))


def test_a_killed_packing_goes_on_where_it_was(tmp_path: Path) -> None:
    root = trees.write_released(tmp_path / "data", pairs={"train": 80, "val": 3}, size=(24, 24))
    out = tmp_path / "packed"
    splits = splits_of("coco_stuff", root, (16, 16))
    with subprocess.Popen(
        [sys.executable, "-c", STOPPED, root], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        before = [int(process.stdout.readline()) for _ in range(3)][-1]
        process.kill()
    assert before > 0
    assert is_packed(out)
    with pytest.raises(DatasetError, match=r"not finished; run the same `prepare ... --pack .*packed` again"):
        opened(splits[0], out)
    (journal,) = (out / ".packing").glob("*.journal")
    with journal.open("ab") as stream:
        stream.write(b"[17, 1")
    robbed = tmp_path / "robbed"
    shutil.copytree(out, robbed)
    next(robbed.glob("train/*/label.bin")).unlink()
    steps: list[int] = []
    packed(splits, progress=lambda what, done, of: steps.append(done) if "train" in what else None)
    assert before <= steps[0] < 80
    assert steps[-1] == 80
    for split in splits:
        assert_all_equal(split, opened(split, out), epochs=1)
    verify(out)
    assert sorted(path.name for path in out.iterdir()) == [".lock", "packed.json", "train", "val"]
    pack(splits, robbed)
    for split in splits:
        assert_all_equal(split, opened(split, robbed), epochs=1)


def test_a_second_size_joins_and_a_third_time_nothing_is_done(root: Path) -> None:
    small, large = splits_of("coco_stuff", root, (32, 32)), splits_of("coco_stuff", root, (40, 48))
    out = packed(small).folder
    before = (out / "train" / "36x36" / "image.bin").stat().st_mtime_ns
    packed(large)
    for split in (*small, *large):
        assert_all_equal(split, opened(split, out), epochs=1)
    assert (out / "train" / "36x36" / "image.bin").stat().st_mtime_ns == before
    again = packed(small)
    assert (again.written, again.bytes) == (0, sum(path.stat().st_size for path in out.rglob("*.bin")))


def test_what_an_abandoned_size_left_is_removed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(packing, "_write_tables", full)
    with pytest.raises(OSError, match="No space left"):
        packed(splits_of("coco_stuff", root, (64, 64)))
    monkeypatch.undo()
    assert list((root.parent / "packed").rglob("72x72/*.bin"))
    out = packed(splits_of("coco_stuff", root, (32, 32))).folder
    assert not list(out.rglob("72x72/*.bin"))
    assert not list(out.rglob("64x64/*.bin"))


def test_a_size_that_is_not_there_is_refused_with_the_command(root: Path) -> None:
    splits = splits_of("coco_stuff", root, (32, 32))
    out = packed(splits).folder
    entry = dataset_spec("coco_stuff")
    with pytest.raises(DatasetError, match=r"packed for 32x32 px.*asked for at 64x64 px.*72x72.*36x36") as error:
        open_packed(entry, out, "train", (64, 64))
    assert f"./run_study.py prepare coco_stuff --root DIR --pack {out} --size 64x64" in str(error.value)
    assert str(root) in str(error.value)
    copy = open_packed(entry, out, "train", (32, 32))
    with pytest.raises(DatasetError, match=r"load_scale=1.5.*needs a pair of 48x48 px; 36x36 px are there"):
        copy.load(0, Augmentation(flip=False, load_scale=1.5, crop_y=0, crop_x=0))
    with pytest.raises(DatasetError, match=r"the train split is kept at the load size alone"):
        copy.truth(0)
    with pytest.raises(IndexError, match=r"coco_stuff/train has 5 samples; index 5"):
        copy.load(5)


def test_a_copy_of_another_data_set_or_meaning_is_refused(root: Path) -> None:
    out = packed(splits_of("coco_stuff", root, (32, 32))).folder
    with pytest.raises(DatasetError, match="a packed copy of 'coco_stuff', not of 'cityscapes'"):
        open_packed(dataset_spec("cityscapes"), out, "train", (32, 32))
    entry = dataset_spec("coco_stuff")
    other = replace(entry, has_instances=False, spec=replace(entry.spec, instance_edges=False))
    with pytest.raises(DatasetError, match=r"'instances': True.*now they mean.*'instances': False.*--pack NEW"):
        open_packed(other, out, "train", (32, 32))
    with pytest.raises(DatasetError, match="has no split 'test'; it has train, val"):
        open_packed(entry, out, "test", (32, 32))
    index = json.loads((out / "packed.json").read_text())
    (out / "packed.json").write_text(json.dumps({**index, "version": 99}))
    with pytest.raises(DatasetError, match="version 99 of packed copies"):
        open_packed(entry, out, "train", (32, 32))


def test_damage_is_seen_named_and_repaired(root: Path) -> None:
    splits = splits_of("coco_stuff", root, (32, 32))
    out = packed(splits).folder
    label = out / "train" / "36x36" / "label.bin"
    content = bytearray(label.read_bytes())
    content[100] ^= 1
    label.write_bytes(bytes(content))
    with pytest.raises(DatasetError, match=r"damaged.*\n  - .*label.bin: its content is not what was packed$"):
        verify(out)
    label.write_bytes(bytes(content[:-1]))
    (out / "val" / "files" / "image.bin").unlink()
    for split, words in (("train", r"6,479 bytes instead of 6,480"), ("val", r"files/image.bin: missing")):
        with pytest.raises(DatasetError, match=rf"damaged.*\n  - .*{words}"):
            open_packed(dataset_spec("coco_stuff"), out, split, (32, 32))
    assert packed(splits).written == label.stat().st_size + (out / "val" / "files" / "image.bin").stat().st_size
    for split in splits:
        assert_all_equal(split, opened(split, out), epochs=1)
    verify(out)


def test_folders_that_hold_something_else_stay_as_they_are(root: Path, tmp_path: Path) -> None:
    splits = splits_of("coco_stuff", root, (32, 32))
    with pytest.raises(DatasetError, match="is the folder of the files themselves"):
        pack(splits, root)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    with pytest.raises(DatasetError, match=r"holds other files \(thesis.tex\); name a folder that is empty"):
        pack(splits, tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]
    out = packed(splits).folder
    shutil.copy(root / "train_img" / "pair003.jpg", root / "train_img" / "pair000.jpg")
    with pytest.raises(DatasetError, match="holds a packed copy of other content: coco_stuff .train"):
        packed(splits_of("coco_stuff", root, (32, 32)))
    verify(out)


def test_a_file_that_changed_after_the_look_is_not_packed(root: Path) -> None:
    splits = splits_of("coco_stuff", root, (32, 32))
    shutil.copy(root / "val_img" / "pair000.jpg", root / "val_img" / "pair002.jpg")
    with pytest.raises(
        DatasetError, match=r"pair002.jpg: changed since it was looked at; run the same `prepare` again"
    ):
        packed(splits)
    assert not (root.parent / "packed" / "packed.json").exists()


def test_a_disk_that_is_too_small_is_told_before_anything_is_written(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, 50_000))
    with pytest.raises(DatasetError, match=r"the copy needs 0.0 GB more, the disk has 0.0 GB free; make room"):
        packed(splits_of("coco_stuff", root, (32, 32)))
    assert not list((root.parent / "packed").rglob("*.bin"))


def test_a_users_data_set_keeps_its_identity(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    described = 'title = "Mine"\nclasses = 182\nsize_px = [32, 32]\ndont_care_value = 255\nignore_ids = [3]\n'
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "mine.toml").write_text(described)
    monkeypatch.setenv("SPADE_BENCH_DATASETS", str(tmp_path / "datasets"))
    out = packed(splits_of("mine", root, (32, 32))).folder
    entry = dataset_spec("mine")
    for split in ("train", "val"):
        unpacked = entry.open(split=split, root=root, manifest_dir=tmp_path / "manifests")
        assert entry.open(split=split, root=out).manifest_hash == unpacked.manifest_hash
    (tmp_path / "datasets" / "mine.toml").write_text(described.replace("[3]", "[4]"))
    changed = dataset_spec("mine").open(split="val", root=out)
    assert changed.manifest_hash != entry.open(split="val", root=out).manifest_hash


def test_runs_on_a_copy_are_the_runs_on_the_files(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPADE_BENCH_CACHE", str(root.parent / "cache"))
    out = packed(splits_of("coco_stuff", root, (32, 32))).folder
    refs = [dataset_ref("coco_stuff", size=(32, 32), root=place, val_images=2) for place in (root, out)]
    assert replace(refs[0], root=None) == replace(refs[1], root=None)
    for ref in refs:
        assert open_split(ref, "val").manifest_hash == ref.val_manifest
