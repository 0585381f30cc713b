"""ADE20K-outdoor: the rule on scene categories, lists of the user's, and that either is part of the identity."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from bench.data.dataset import Dataset, DatasetError
from bench.data.layouts.outdoor import LIST_VARIABLE, RULE, is_outdoor, outdoor_scenes
from bench.data.registry import dataset_spec
from tests.data import trees

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPADE_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(LIST_VARIABLE, raising=False)
    return trees.write_ade_challenge(tmp_path / "ADEChallengeData2016")


def opened(root: Path, split: str = "train") -> Dataset:
    return dataset_spec("ade20k_outdoor").open(split=split, root=root, size=(32, 32))


def ids_of(dataset: Dataset) -> list[str]:
    return [dataset.sample_id(index) for index in range(len(dataset))]


def identity(root: Path, split: str = "train") -> str:
    (text,) = dataset_spec("ade20k_outdoor").find_layout(root).identity(root, split)
    return text


def test_the_version_is_that_of_the_list() -> None:
    """When this fails, the list of scenes has changed: raise the version in RULE, in the file's head and here."""
    digest = hashlib.sha256("\n".join(outdoor_scenes()).encode()).hexdigest()
    assert (RULE, digest[:16]) == ("outdoor-scenes@1", "f398476a0cb8215a")
    assert len(set(outdoor_scenes())) == len(outdoor_scenes())


def test_scenes_are_judged_by_their_names() -> None:
    outside = ("street", "mountain_snowy", "meadow", "church_outdoor", "castle", "broadleaf", "balcony_exterior")
    inside = ("bedroom", "church_indoor", "misc", "questionable", "airport_terminal", "streets", "platform", "shop")
    assert [scene for scene in outside if not is_outdoor(scene)] == []
    assert [scene for scene in inside if is_outdoor(scene)] == []


def test_the_rule_keeps_the_outdoor_images_of_both_splits(root: Path) -> None:
    train, val = opened(root), opened(root, "val")
    assert ids_of(train) == [f"ADE_train_{n:08d}" for n in (1, 3, 5, 7)]
    assert ids_of(val) == [f"ADE_val_{n:08d}" for n in (1, 3, 5)]
    assert (
        identity(root)
        == f"outdoor images: rule {RULE}, {len(outdoor_scenes())} scene categories, sha256 f398476a0cb8215a"
    )
    assert train.spec == dataset_spec("ade20k").spec
    whole = dataset_spec("ade20k").open(split="train", root=root, size=(32, 32))
    assert (train.truth(1) == whole.truth(2)).all()


def test_names_with_slashes_are_the_same_scenes(root: Path) -> None:
    path = root / "sceneCategories.txt"
    path.write_text(path.read_text().replace("church_outdoor", "church/outdoor").replace("church_in", "church/in"))
    assert len(opened(root)) == 4


def test_a_list_takes_the_place_of_the_rule(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    by_rule = opened(root)
    (root / "outdoor_training.txt").write_text("# mine\nADE_train_00000002.jpg\n\nimages/training/ADE_train_00000001\n")
    by_list = opened(root)
    assert ids_of(by_list) == ["ADE_train_00000001", "ADE_train_00000002"]
    assert identity(root) == "outdoor images: a list of the user's"
    assert (
        identity(root, "val")
        == f"outdoor images: rule {RULE}, {len(outdoor_scenes())} scene categories, sha256 f398476a0cb8215a"
    )
    same = root / "outdoor_training.txt"
    same.write_text("\n".join(ids_of(by_rule)))
    assert ids_of(opened(root)) == ids_of(by_rule)
    assert opened(root).manifest_hash != by_rule.manifest_hash, "the rule is part of the identity"
    same.unlink()
    (root / "outdoor.txt").write_text("ADE_train_00000004\nADE_val_00000002\nADE_val_00000004\n")
    assert (ids_of(opened(root)), len(opened(root, "val"))) == (["ADE_train_00000004"], 2)
    elsewhere = root.parent / "mine.txt"
    elsewhere.write_text("ADE_train_00000008\n")
    monkeypatch.setenv(LIST_VARIABLE, str(elsewhere))
    assert ids_of(opened(root)) == ["ADE_train_00000008"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "ADE_train_00000001\nADE_train_00009999\n",
            "names images that are not in split train: ADE_train_00009999; corr",
        ),
        ("\n".join(f"ADE_train_1000000{n}" for n in range(8)), "ADE_train_10000004 and 3 more; correct the list"),
        ("# nothing\n", "names no image of split train; list names such as ADE_train_00000001, one a line"),
        ("ADE_val_00000001\n", "names no image of split train"),
    ],
)
def test_what_is_wrong_with_a_list_is_said(root: Path, text: str, said: str) -> None:
    (root / "outdoor_training.txt").write_text(text)
    with pytest.raises(DatasetError, match=rf"outdoor_training.txt: .*{said}"):
        opened(root)


def test_a_list_that_cannot_be_read_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LIST_VARIABLE, str(root / "gone.txt"))
    with pytest.raises(DatasetError, match=r"gone.txt: not readable as a list of image names .*; give one name a line"):
        opened(root)
    (root / "latin.txt").write_bytes(b"\xe9\n")
    monkeypatch.setenv(LIST_VARIABLE, str(root / "latin.txt"))
    with pytest.raises(DatasetError, match="latin.txt: not readable"):
        opened(root)


def test_texts_from_windows_are_read(root: Path) -> None:
    (root / "outdoor.txt").write_bytes(b"\xef\xbb\xbfADE_train_00000002.jpg\r\n\r\nADE_train_00000004\r\n")
    assert ids_of(opened(root)) == ["ADE_train_00000002", "ADE_train_00000004"]
    (root / "outdoor.txt").unlink()
    scenes = root / "sceneCategories.txt"
    scenes.write_bytes(b"\xef\xbb\xbf" + scenes.read_bytes().replace(b"\n", b"\r\n"))
    assert ids_of(opened(root)) == [f"ADE_train_{n:08d}" for n in (1, 3, 5, 7)]
    scenes.write_bytes(scenes.read_bytes() + b"ADE_train_00000009 caf\xe9\n")
    with pytest.raises(DatasetError, match=r"sceneCategories.txt: not readable \(.*can't decode byte 0xe9"):
        opened(root)


def test_without_scene_categories_the_message_says_where_they_come_from(root: Path) -> None:
    scenes = root / "sceneCategories.txt"
    text = scenes.read_text()
    scenes.rename(root.parent / "sceneCategories.txt")
    assert len(opened(root)) == 4, "the folder above the root will do"
    (root.parent / "sceneCategories.txt").unlink()
    with pytest.raises(
        DatasetError, match=r"sceneCategories.txt: no such file; it comes with ADEChallengeData2016.zip"
    ):
        opened(root)
    scenes.write_text("\n".join(text.splitlines()[3:]))
    with pytest.raises(DatasetError, match="has no scene category for 3 images, such as ADE_train_00000001; take the"):
        opened(root)
    scenes.write_text("\n".join(f"{line.split()[0]} bedroom" for line in text.splitlines()))
    with pytest.raises(DatasetError, match=r"calls none of the 8 images outdoor \(rule outdoor-scenes@1\)"):
        opened(root)


def test_missing_label_maps_are_still_named(root: Path) -> None:
    (root / "annotations" / "training" / "ADE_train_00000002.png").unlink()
    with pytest.raises(DatasetError, match="no label map named 'ADE_train_00000002'"):
        opened(root)


def test_prepare_prints_which_rule_made_the_set(root: Path, tmp_path: Path) -> None:
    command = [sys.executable, "run_study.py", "prepare", "ade20k_outdoor", "--root", str(root), "--workers", "1"]
    command += ["--size", "32x32", "--sheet", "0", "--out", str(tmp_path / "out")]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert f"\noutdoor images: rule {RULE}, {len(outdoor_scenes())} scene categories, sha256 " in done.stdout
    assert "ade20k_outdoor/train\n  pairs          4 " in done.stdout
