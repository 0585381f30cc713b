"""`fetch-weights` and `list weights` as they are typed, against a server of this machine."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.cli import command_line
from bench.evaluation import weights
from bench.evaluation.weights import get_weights
from bench.evaluation.weights_table import WeightsFile
from tests.data.trees import write_released
from tests.evaluation.weights_server import Server, serving
from tests.reporting.test_judged import evaluation

ROOT = Path(__file__).resolve().parents[1]
CONTENT = b"PK\x03\x04" + b"weights" * 30_000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(CONTENT) as found:
        yield found


@pytest.fixture
def folder(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A weights folder of the user's, a server that has two files of the table, and no compute job."""
    for name in ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SPADE_BENCH_WEIGHTS", str(tmp_path / "mine"))
    monkeypatch.setenv("SPADE_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    known = {
        "inception-fid": {"sha256_prefix": DIGEST[:8]},
        "vgg19": {"sha256": DIGEST, "sha256_prefix": None},
        "deeplabv2-cocostuff164k": {},
    }

    def served(entry: WeightsFile) -> WeightsFile:
        if entry.name not in known:
            return entry
        return replace(entry, address=server.address, about_mib=None, **known[entry.name])  # type: ignore[arg-type]

    monkeypatch.setattr(weights, "WEIGHTS", tuple(served(entry) for entry in weights.WEIGHTS))
    return tmp_path / "mine"


def call(*arguments: str, verb: str = "fetch-weights") -> tuple[int, str]:
    words = verb.split()
    result = CliRunner().invoke(command_line(), [*words, *arguments], env={"COLUMNS": "100"}, catch_exceptions=False)
    return result.exit_code, result.output


def test_a_file_is_fetched_and_found(folder: Path, server: Server) -> None:
    status, text = call("vgg19", "inception-fid", "deeplabv2-cocostuff164k")
    assert status == 0
    assert (folder / "vgg19-dcbb9e9d.pth").read_bytes() == CONTENT
    assert "vgg19: perceptual loss of the recipes" in text
    assert "  licence BSD-3-Clause (torchvision)" in text
    assert "100 % of 0.2 MiB" in text
    assert "sha256 is as published" in text
    assert f"sha256 begins with {DIGEST[:8]}, as its name says; the whole is recorded" in text
    assert "sha256 is not published: recorded, so that a later change is noticed" in text
    asked = len(server.asked)
    status, text = call("vgg19")
    assert (status, len(server.asked)) == (0, asked)
    assert f"vgg19: there already: {folder / 'vgg19-dcbb9e9d.pth'}" in text


def test_all_that_a_protocol_needs_as_far_as_it_can_be_had(folder: Path) -> None:
    status, text = call("--all-for", "fullsize-cityscapes", "--all-for", "distances", "--dry-run")
    assert status == 1
    assert "drn-d-105-cityscapes: cannot be fetched from here\n  get it in a browser from http://go.yf.io" in text
    assert f"to {folder / 'pt_inception-2015-12-05-6726825d.pth'} (dry run: not fetched)" in text
    assert "1 of " in text.splitlines()[-1]
    assert "not there: drn-d-105-cityscapes" in text.splitlines()[-1]
    assert not folder.exists()


def test_one_failure_leaves_the_others(folder: Path, server: Server) -> None:
    server.statuses = [404]
    status, text = call("vgg19", "inception-fid")
    assert status == 1
    assert "\nvgg19: not fetched\n  http://127.0.0.1:" in text
    assert text.count("the server answers 404 Not Found") == 1
    assert "there now: " in text
    assert text.splitlines()[-1] == "1 of 2 not there: vgg19"


def test_a_mirror_brings_what_a_browser_would(
    folder: Path, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = replace(get_weights("drn-d-105-cityscapes"), about_mib=None)
    monkeypatch.setattr(weights, "WEIGHTS", tuple(entry if e.name == entry.name else e for e in weights.WEIGHTS))
    mirror = server.address.rpartition("/")[0]
    status, text = call("drn-d-105-cityscapes", "--mirror", mirror, "--to", str(tmp_path / "other"))
    assert status == 0
    assert (tmp_path / "other" / entry.filename).read_bytes() == CONTENT
    assert f"from {mirror}/drn-d-105_ms_cityscapes.pth" in text
    assert f"files are not looked for in {tmp_path / 'other'} yet: export SPADE_BENCH_WEIGHTS=" in text


def test_a_wrong_file_that_is_there_is_not_passed_over(folder: Path) -> None:
    folder.mkdir()
    (folder / "vgg19-dcbb9e9d.pth").write_bytes(b"no")
    status, text = call("vgg19")
    assert status == 1
    assert f"vgg19-dcbb9e9d.pth: sha256 is {hashlib.sha256(b'no').hexdigest()}, expected {DIGEST}" in text


def test_what_needs_no_download_is_said(folder: Path) -> None:
    assert "synthetic-judge: there already" in call("synthetic-judge")[1]


@pytest.mark.parametrize(
    ("arguments", "variables", "words"),
    [
        (["vgg"], {}, "error: no weights file is called 'vgg'; known are: synthetic-judge, vgg19"),
        ([], {}, "error: nothing is named; give names of `list weights`, or --all-for PROTOCOL"),
        (["--all-for", "paper"], {}, "error: no protocol is called 'paper'"),
        (["vgg19", "--timeout", "0"], {}, "error: timeout_s=0.0, attempts=5"),
        (["vgg19", "alexnet", "--mirror", "http://x/y.pth"], {}, "http://x/y.pth is one file, but 2 are asked for"),
        (["vgg19"], {"SLURM_JOB_ID": "7"}, "error: this is a compute job (SLURM_JOB_ID is set), and jobs never downl"),
        (["vgg19"], {"RANK": "0", "WORLD_SIZE": "2"}, "error: this is a compute job (RANK, WORLD_SIZE is set)"),
    ],
)
def test_bad_input(arguments: list[str], variables: dict[str, str], words: str, tmp_path: Path) -> None:
    environment = {**os.environ, **variables, "SPADE_BENCH_WEIGHTS": str(tmp_path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "run_study.py", "fetch-weights", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_page_of_the_table(folder: Path) -> None:
    call("inception-fid")
    status, text = call(verb="list weights")
    assert status == 0
    assert "inception-fid  there\n" in text
    assert f"begins with {DIGEST[:8]} (checked); {DIGEST} recorded on " in " ".join(text.split())
    assert "drn-d-105-cityscapes  missing\n" in text
    assert "  get it   by hand, in a browser; put it into " in text
    assert "  get it   ./run_study.py fetch-weights alexnet\n" in text
    assert "recipe code, recipe paper, recipe pix2pixhd" in text
    assert f"Files are looked for, in this order, in\n  {folder}\n" in text


def test_listing_is_quick() -> None:
    """On a login node: half a second, and as much again for a busy machine."""
    for arguments in (["list", "protocols"], ["list", "weights", "--json"], ["show", "protocol", "paper2019-ade20k"]):
        before = os.times().children_user
        subprocess.run(
            [sys.executable, "run_study.py", *arguments], cwd=ROOT, capture_output=True, check=True, timeout=60
        )
        assert os.times().children_user - before < 1.0, arguments


def test_a_folder_to_carry_away_holds_what_was_elsewhere_too(folder: Path, server: Server, tmp_path: Path) -> None:
    assert call("vgg19")[0] == 0
    asked, carried = len(server.asked), tmp_path / "carried"
    status, text = call("vgg19", "--to", str(carried), "--dry-run")
    assert (status, carried.exists()) == (0, False)
    assert "(dry run: not copied)" in text
    status, text = call("vgg19", "efficientnet-lite0", "--to", str(carried))
    assert (status, len(server.asked)) == (0, asked)
    assert [path.name for path in carried.iterdir()] == ["vgg19-dcbb9e9d.pth"]
    assert (carried / "vgg19-dcbb9e9d.pth").read_bytes() == CONTENT
    assert f"vgg19: copied from {folder / 'vgg19-dcbb9e9d.pth'}" in text
    assert "vgg19: there already" in call("vgg19", "--to", str(carried))[1]


def test_evaluate_makes_no_image_where_no_score_can_be_had(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.launching.judging.judge_checkpoint", lambda *_, **__: pytest.fail("images were made"))
    monkeypatch.setattr("bench.launching.judging.judge_real", lambda *_, **__: pytest.fail("images were read"))
    given = ("--dataset", "coco_stuff", "--root", str(tmp_path), "--store", str(tmp_path / "store"))
    what = r"no score of protocol paper2019-coco@\d can be computed: .* ./run_study.py doctor --protocol paper2019-coco"
    for source in (["--checkpoint", "latest_net_G.pth", "--variant", "spade"], ["--real"]):
        with pytest.raises(ValueError, match=what):
            call(*source, *given, verb="evaluate")
    call("deeplabv2-cocostuff164k")
    with pytest.raises(ValueError, match="no folder|holds none of its layouts"):
        call("--real", *given, verb="evaluate")
    assert not (tmp_path / "store").exists()


def test_a_generator_of_another_width_has_no_row_in_the_paper(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call("deeplabv2-cocostuff164k")
    found = evaluation("coco_stuff", "paper2019-coco@1", {"mIoU": 30.0})
    monkeypatch.setattr("bench.launching.judging.judge_checkpoint", lambda *_, **__: found)
    given = ("--checkpoint", "G.pth", "--variant", "spade", "--no-upper-bound", "--store", str(tmp_path / "store"))
    given += ("--dataset", "coco_stuff", "--root", str(write_released(tmp_path / "pairs")))
    assert "37.4 (Table 1, SPADE (Ours))" in call(*given, verb="evaluate")[1]
    narrow = call(*given, "--width", "32", verb="evaluate")[1]
    assert "30.0 %" in narrow
    assert "Table 1" not in narrow
