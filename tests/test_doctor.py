"""doctor: what is there, what is missing, what to do; exit status 1 for what will fail alone."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench import doctor
from bench.cli import command_line
from bench.doctor import FAIL, GROUPS, NOTE, OK, Finding, findings
from bench.evaluation.judges import mmcv_stand_in
from bench.evaluation.weights import get_weights

DATA = "SPADE_BENCH_DATA_CITYSCAPES"


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with no weights, no data sets and no files of the user's; returns its weights folder."""
    for name in ("mine", "protocols", "datasets"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("SPADE_BENCH_WEIGHTS", str(tmp_path / "mine"))
    monkeypatch.setenv("SPADE_BENCH_PROTOCOLS", str(tmp_path / "protocols"))
    monkeypatch.setenv("SPADE_BENCH_DATASETS", str(tmp_path / "datasets"))
    monkeypatch.setenv("SPADE_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv(DATA, raising=False)
    monkeypatch.setattr(mmcv_stand_in, "ensure_mmseg", lambda: None)  # it takes seconds; tried by the judges' tests
    return tmp_path / "mine"


def about(group: str, protocol: str | None = None) -> list[Finding]:
    return [item for item in findings(protocol) if item.group == group]


def only(found: list[Finding], begin: str) -> Finding:
    fitting = [item for item in found if item.text.startswith(begin)]
    assert len(fitting) == 1, [item.text for item in found]
    return fitting[0]


def put(folder: Path, name: str) -> Path:
    path = folder / get_weights(name).filename
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"no such network")
    return path


def test_groups_come_in_their_order(bare: Path) -> None:
    groups = [item.group for item in findings()]
    assert list(dict.fromkeys(groups)) == list(GROUPS)
    assert groups == sorted(groups, key=GROUPS.index)


def test_each_missing_file_has_its_command_or_its_address(bare: Path) -> None:
    found = about("weights")
    deeplab = only(found, "deeplabv2-cocostuff164k: missing (judge of COCO-Stuff)")
    assert deeplab.level == NOTE
    assert deeplab.remedy == ("./run_study.py fetch-weights deeplabv2-cocostuff164k   # about 214 MiB",)
    drn = only(found, "drn-d-105-cityscapes: missing")
    assert drn.remedy[0] == "get it in a browser: http://go.yf.io/drn-cityscapes-models"
    assert drn.remedy[1] == f"put it there: {bare / 'drn-d-105_ms_cityscapes.pth'}"
    assert only(found, "synthetic-judge: ").level == OK


def test_protocols_are_counted(bare: Path) -> None:
    put(bare, "deeplabv2-cocostuff164k")
    found = about("protocols")
    assert only(found, "paper2019-coco@1: ").text == "paper2019-coco@1: 1 of 3 files"
    assert only(found, "judge-check-coco@1: ").text == "judge-check-coco@1: 1 of 1 file"
    assert only(found, "judge-check-coco@1: ").level == OK
    assert only(found, "paper2019-coco@1: ").level == NOTE


def test_one_protocol_narrows_everything(bare: Path) -> None:
    found = list(findings("paper2019-cityscapes"))
    assert [item.text.partition(":")[0] for item in found if item.group == "weights"] == [
        "drn-d-105-cityscapes",
        "inception-fid",
        "inception-tv2019",
    ]
    counted = only(found, "paper2019-cityscapes@1: ")
    assert counted.text.endswith("0 of 3 files; missing: drn-d-105-cityscapes, inception-fid, inception-tv2019")
    assert counted.remedy == ("./run_study.py fetch-weights --all-for paper2019-cityscapes",)
    assert [item.text for item in found if item.group == "data sets"] == ["cityscapes: no folder is named"]
    with pytest.raises(ValueError, match="no protocol is called 'paper2020'"):
        list(findings("paper2020"))


def test_a_wrong_file_fails_and_says_what_to_do(bare: Path) -> None:
    path = put(bare, "inception-fid")
    wrong = only(about("weights", "distances"), f"{path}: sha256 is ")
    assert wrong.level == FAIL
    assert "expected 6726825d..." in wrong.text
    assert wrong.remedy[0].startswith(
        "the file is damaged or another one: fetch it again from https://github.com/mseit"
    )


def test_data_folders(bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = only(about("data sets"), "cityscapes: no folder is named")
    assert (named.level, named.remedy[0].startswith(f"export {DATA}=DIR")) == (NOTE, True)
    monkeypatch.setenv(DATA, str(tmp_path / "nowhere"))
    assert only(about("data sets"), "dataset 'cityscapes'").level == FAIL
    for kind in ("img", "label", "inst"):
        for split in ("train", "val"):
            (tmp_path / "city" / f"{split}_{kind}").mkdir(parents=True)
    monkeypatch.setenv(DATA, str(tmp_path / "city"))
    there = only(about("data sets"), "cityscapes: ")
    assert (there.level, str(tmp_path / "city") in there.text, "layout" in there.text) == (OK, True, True)


def test_the_cache_must_be_writable(bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert only(about("disk"), f"what is known of data files and weights is kept in {tmp_path / 'cache'}").level == OK
    (tmp_path / "file").touch()
    monkeypatch.setenv("SPADE_BENCH_CACHE", str(tmp_path / "file" / "cache"))
    found = only(about("disk"), f"{tmp_path / 'file' / 'cache'} cannot be written")
    assert (found.level, found.remedy[0].partition("=")[0]) == (FAIL, "export SPADE_BENCH_CACHE")


def test_files_of_the_users(bare: Path, tmp_path: Path) -> None:
    (tmp_path / "protocols" / "broken.toml").write_text("colour = 1\n")
    (tmp_path / "datasets" / "streets.toml").write_text("colour = 1\n")
    assert only(about("protocols"), f"{tmp_path}/protocols/broken.toml: 2 problems").level == FAIL
    assert only(about("data sets"), f"{tmp_path}/datasets/streets.toml: ").level == FAIL
    (tmp_path / "protocols" / "second.toml").write_text(
        'base = "paper2019-ade20k"\njudge_config = "upernet_r101_4xb4-160k_ade20k-512x512"\n'
        'judge_checkpoint = "u.pth"\nlabel_mapping = "ade20k-150"\n'
    )
    missing = only(about("weights", "second"), f"checkpoint {tmp_path}/protocols/u.pth: missing")
    assert (missing.level, "correct judge_checkpoint of protocol second" in missing.remedy[0]) == (NOTE, True)
    assert only(about("protocols"), "second@1: ").text == "second@1: 0 of 2 files"


def test_a_package_that_does_not_import_fails(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> object:
        if name == "submitit":
            raise ImportError("No module named 'submitit'")
        return import_module(name)

    monkeypatch.setattr(doctor.importlib, "import_module", broken)
    found = only(about("environment"), "package submitit cannot be imported (No module named 'submitit')")
    assert (found.level, found.remedy) == (FAIL, ("make",))


def test_mmsegmentation_is_tried_where_a_judge_needs_it(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> None:
        raise ImportError("MMCV==2.2.0 is used but incompatible")

    monkeypatch.setattr(mmcv_stand_in, "ensure_mmseg", refused)
    found = only(about("environment"), "mmsegmentation cannot be imported (MMCV==2.2.0 is used but incompatible)")
    assert found.level == FAIL
    assert not any("mmsegmentation imports" in item.text for item in about("environment", "synthetic"))
    assert all(item.level == OK for item in about("environment", "distances"))


def call(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(command_line(), ["doctor", *arguments], env={"COLUMNS": "100"}, catch_exceptions=False)
    return result.exit_code, result.output


def test_the_page(bare: Path) -> None:
    status, text = call("--protocol", "paper2019-coco")
    assert status == 0
    assert "environment\nok    Python 3" in text
    assert "note  deeplabv2-cocostuff164k: missing (judge of COCO-Stuff)\n      → ./run_study.py fetch-w" in text
    assert text.splitlines()[-1].endswith("note")
    put(bare, "inception-tv2019")
    status, text = call("--protocol", "paper2019-coco")
    assert status == 1
    unwrapped = "".join(text.split())  # long paths are broken over lines
    assert f"FAIL{bare / 'inception_v3_google-1a9a5a14.pth'}:sha256is" in unwrapped
    assert ", 1 FAIL" in text


def test_json(bare: Path) -> None:
    status, text = call("--protocol", "distances", "--json")
    rows = json.loads(text)
    assert status == 0
    assert {row["level"] for row in rows} <= {"ok", "note"}
    assert all(set(row) == {"group", "level", "text", "remedy"} for row in rows)
    assert any(row["remedy"] == ["./run_study.py fetch-weights --all-for distances"] for row in rows)
