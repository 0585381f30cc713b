"""Protocols that users describe in files: a second judge, other settings, and every mistake in one."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from bench.evaluation.label_mappings import mapping_for
from bench.evaluation.mmseg_configs import config_sha256, find_config
from bench.evaluation.protocol_files import ProtocolFileError, protocol_files, read_protocol_file, read_protocol_files
from bench.evaluation.protocols import get_protocol, list_protocols, protocol_for, protocol_names
from bench.plain import content_hash
from tests.evaluation.test_label_mappings import Ids

CONFIG = "upernet_r101_4xb4-160k_ade20k-512x512"
SECOND = f"""
base = "paper2019-ade20k"
summary = "a second judge for ADE20K"
judge_config = "{CONFIG}"
judge_checkpoint = "upernet.pth"
label_mapping = "ade20k-150"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPADE_BENCH_PROTOCOLS", str(tmp_path))
    monkeypatch.setenv("SPADE_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SPADE_BENCH_WEIGHTS", "")
    return tmp_path


def write(folder: Path, text: str, name: str = "second") -> Path:
    path = folder / f"{name}.toml"
    path.write_text(text)
    return path


def problems_of(folder: Path, text: str) -> str:
    with pytest.raises(ProtocolFileError) as told:
        read_protocol_file(write(folder, text))
    return str(told.value)


def test_a_second_judge(folder: Path) -> None:
    (folder / "upernet.pth").write_bytes(b"checkpoint")
    path = write(folder, SECOND)
    protocol = get_protocol("second")
    assert (protocol.key, protocol.dataset, protocol.judge) == ("second@1", "ade20k", "mmseg")
    assert (protocol.test, protocol.judge_weights, protocol.paper_accuracy) == (None, (), "")
    assert protocol.mmseg is not None
    assert (protocol.mmseg.config, protocol.mmseg.checkpoint) == (CONFIG, str(folder / "upernet.pth"))
    assert protocol.mmseg.checkpoint_sha256 == hashlib.sha256(b"checkpoint").hexdigest()
    assert len(protocol.mmseg.config_sha256) == 64
    assert protocol.weights_files == ("inception-fid", "inception-tv2019")
    own = {row.field for row in protocol.explained() if row.source == f"the user's protocol file {path}"}
    assert {"judge", "label_mapping", "mmseg.config_name", "mmseg.checkpoint"} <= own
    assert "image_resize" in protocol.guesses
    assert protocol in list_protocols()
    assert "second@1" in protocol_names()
    assert protocol_for("ade20k").name == "paper2019-ade20k"
    assert protocol_for("ade20k", "second@1") == protocol


def test_the_identity_covers_config_and_checkpoint_but_no_path(folder: Path) -> None:
    (folder / "upernet.pth").write_bytes(b"one")
    first = content_hash(read_protocol_file(write(folder, SECOND)))
    assert content_hash(read_protocol_file(write(folder, SECOND.replace("a second", "my")))) == first
    (folder / "sub").mkdir()
    (folder / "sub" / "u.pth").write_bytes(b"one")
    assert content_hash(read_protocol_file(write(folder, SECOND.replace("upernet.pth", "sub/u.pth")))) == first
    (folder / "upernet.pth").write_bytes(b"two")
    assert content_hash(read_protocol_file(write(folder, SECOND))) != first
    (folder / "upernet.pth").write_bytes(b"one")
    other = SECOND.replace(CONFIG, CONFIG.replace("r101", "r50"))
    assert content_hash(read_protocol_file(write(folder, other))) != first
    (folder / "upernet.pth").unlink()
    missing = read_protocol_file(write(folder, SECOND))
    assert missing.mmseg is not None
    assert missing.mmseg.checkpoint_sha256 == "missing"
    assert content_hash(missing) != first


def test_a_checkpoint_may_lie_in_a_weights_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = folder / "weights"
    weights.mkdir()
    (weights / "upernet.pth").write_bytes(b"there")
    monkeypatch.setenv("SPADE_BENCH_WEIGHTS", str(weights))
    protocol = read_protocol_file(write(folder, SECOND))
    assert protocol.mmseg is not None
    assert protocol.mmseg.checkpoint == str(weights / "upernet.pth")


def test_a_config_of_the_users_own_counts_with_all_that_it_builds_on(folder: Path) -> None:
    (folder / "configs").mkdir()
    base, top = folder / "configs" / "base.py", folder / "configs" / "mine.py"
    base.write_text("model = dict(width=1)\n")
    top.write_text("_base_ = ['./base.py']\n")
    text = SECOND.replace(CONFIG, "configs/mine.py")
    first = read_protocol_file(write(folder, text))
    assert first.mmseg is not None
    assert (first.mmseg.config_name, first.mmseg.config) == ("mine", str(top))
    base.write_text("model = dict(width=2)\n")
    assert content_hash(read_protocol_file(write(folder, text))) != content_hash(first)
    base.unlink()
    assert f"base.py: cannot be read (No such file or directory); {top} builds on it" in problems_of(folder, text)
    base.write_text("_base_ = 'mine.py'\n")
    assert "the config builds on itself" in problems_of(folder, text)
    base.write_text("model = (\n")
    assert "base.py: is not Python (line 1: " in problems_of(folder, text)
    assert "no.py: there is no such config file" in problems_of(folder, SECOND.replace(CONFIG, "no.py"))


def test_new_style_configs_are_followed(tmp_path: Path) -> None:
    (tmp_path / "_base_").mkdir()
    (tmp_path / "_base_" / "model.py").write_text("width = 1\n")
    top = tmp_path / "top.py"
    top.write_text(
        "from mmengine.config import read_base\nwith read_base():\n    from ._base_.model import *  # noqa: F403\n"
    )
    first = config_sha256(top)
    (tmp_path / "_base_" / "model.py").write_text("width = 2\n")
    assert config_sha256(top) != first


def test_every_config_that_comes_with_mmsegmentation_can_be_hashed() -> None:
    digests = {config_sha256(find_config(name, Path())) for name in (CONFIG, CONFIG.replace("r101", "r50"))}
    assert len(digests) == 2


def test_other_settings_without_a_judge(folder: Path) -> None:
    text = 'base = "followups-coco"\nmetrics = ["mIoU", "LPIPS@alex"]\nclass_mean = "union"\nignored = "don\'t care"\n'
    protocol = read_protocol_file(write(folder, text))
    assert (protocol.judge, protocol.test) == (
        get_protocol("followups-coco").judge,
        get_protocol("followups-coco").test,
    )
    assert (protocol.metrics, protocol.class_mean, protocol.paper_accuracy) == (("mIoU", "LPIPS@alex"), "union", "")
    assert "alexnet" in protocol.weights_files


def test_a_users_own_data_set_with_its_own_classes(folder: Path) -> None:
    text = f"""
base = "distances"
dataset = "streets"
judge_config = "{CONFIG}"
judge_checkpoint = "u.pth"
judge_classes = ["way", "sky"]
class_of = [0, 0, 1, -1]
ignored = "don't care"
"""
    protocol = read_protocol_file(write(folder, text))
    assert protocol.metrics == ("mIoU", "accu@all", "accu@labelled", "FID@tf", "KID@tf", "FD@efficientnet-lite0")
    streets = Ids(name="streets", class_names=("road", "path", "sky", "don't care"), scored_classes=(0, 1, 2))
    mapping = mapping_for(protocol, streets)
    assert (mapping.classes, mapping.class_of) == (("way", "sky"), (0, 0, 1, None))
    assert protocol_for("streets") == protocol
    other = text.replace("-1]", "-1, 0]")
    with pytest.raises(ValueError, match="label mapping own maps 5 label ids of streets, but data set streets has 4"):
        mapping_for(read_protocol_file(write(folder, other)), streets)
    assert "classes [2] have no name" in problems_of(folder, text.replace("[0, 0, 1", "[0, 2, 1"))


def test_a_judge_check_with_published_scores(folder: Path) -> None:
    text = SECOND.replace("paper2019-ade20k", "judge-check-ade20k") + "expected = { mIoU = 43.82 }\n"
    protocol = read_protocol_file(write(folder, text))
    assert (protocol.subject, dict(protocol.expected)) == ("real", {"mIoU": 43.82})


def test_everything_wrong_is_told_at_once(folder: Path) -> None:
    text = problems_of(
        folder,
        f'base = "paper2018"\njudge_config = "{CONFIG[:-1]}"\nmetrics = ["FID"]\ncolour = 3\nclass_mean = "mean"\n',
    )
    assert text.startswith(f"{folder / 'second.toml'}: 7 problems\n")
    for part in (
        "- base: is 'paper2018'; it must be a built-in protocol: synthetic, paper2019-coco",
        f"- judge_config: mmsegmentation has no config '{CONFIG[:-1]}'; did you mean {CONFIG}",
        "- judge_checkpoint: missing; judge_config and judge_checkpoint go together",
        "- label_mapping: missing; say how label ids become the judge's classes: coco-182",
        "- metrics: is ['FID']; it must be a list of metrics: mIoU",
        "- colour: unknown key; allowed are base, summary, judge_config",
        "- class_mean: is 'mean'; it must be 'present', 'all' or 'union'",
    ):
        assert part in text, part


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("base = ", "not readable as TOML"),
        ("", "base: missing; give a built-in protocol: synthetic"),
        (SECOND + "class_of = [0]\n", "judge_classes: missing; judge_classes (names) and class_of"),
        (SECOND + 'judge_classes = ["a"]\nclass_of = [0]\n', "label_mapping: given beside class_of; leave one"),
        (SECOND.replace("ade20k-150", "own"), "label_mapping: is 'own'; it must be one of coco-182"),
        (SECOND + 'image_resize = "bicubic"\n', "image_resize='bicubic' with label_size='generated'"),
        (SECOND + "expected = { mIoU = 3 }\n", "expected scores need subject='real'"),
        (SECOND + "expected = { PSNR = 3 }\n", "a table of published scores on real images"),
    ],
)
def test_mistakes_are_named(folder: Path, text: str, words: str) -> None:
    told = problems_of(folder, text)
    assert told.startswith(f"{folder / 'second.toml'}: ")
    assert words in told


def test_names_and_folders(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, SECOND, "Second")
    write(folder, SECOND, "synthetic")
    with pytest.raises(
        ProtocolFileError, match=r"(?s)'Second' cannot be a protocol's name.*a built-in protocol 'synthetic'"
    ):
        protocol_files()
    monkeypatch.setenv("SPADE_BENCH_PROTOCOLS", str(folder / "none"))
    with pytest.raises(ProtocolFileError, match=r"none \(from SPADE_BENCH_PROTOCOLS\) is not a folder"):
        protocol_files()
    monkeypatch.setenv("SPADE_BENCH_PROTOCOLS", "")
    assert protocol_files() == {}


def test_a_mistake_in_one_file_stops_nobody_else(folder: Path) -> None:
    write(folder, "colour = 1", "broken")
    write(folder, SECOND, "fine")
    assert get_protocol("fine").key == "fine@1"
    assert get_protocol("synthetic").key == "synthetic@2"
    assert protocol_for("coco_stuff").name == "paper2019-coco"
    found, problems = read_protocol_files()
    assert [item.key for item in found] == ["fine@1"]
    assert len(problems) == 1
    with pytest.raises(ProtocolFileError, match=r"broken.toml: 2 problems"):
        list_protocols()
    with pytest.raises(ValueError, match=r"no protocol is called 'fin'; known are: .*broken@1, fine@1; describe one"):
        get_protocol("fin")
