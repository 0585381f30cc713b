"""Writes: whole or not at all; what stands in their way is named with its remedy; nothing unfinished is left."""

from __future__ import annotations

import errno
import resource
import tempfile
from pathlib import Path

import pytest
import torch

from bench.atomic import WriteError, explained, guarded, remove_unfinished, write_json, written_beside


def listed(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_that_grows_too_large_leaves_the_old_one_whole(tmp_path: Path) -> None:
    def save(path: Path) -> None:
        with written_beside(path) as temporary, temporary.open("wb") as stream:
            torch.save({"weights": torch.zeros(100_000)}, stream)

    path = tmp_path / "step.pt"
    path.write_bytes(b"the last good one")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
        with pytest.raises(WriteError, match=r"step\.pt: cannot be written, it would be larger") as caught:
            save(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.errno == errno.EFBIG
    assert path.read_bytes() == b"the last good one"
    assert listed(tmp_path) == ["step.pt"]


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, r"no space is left on its disk \(\d+\.\d MiB are free without the unfinished file\); free some"),
        (errno.EDQUOT, "your quota there is used up; free some, or move the store"),
        (errno.EROFS, "its disk is mounted read-only; mount it for writing, or name another store"),
    ],
)
def test_what_the_system_says_is_explained(number: int, message: str, tmp_path: Path) -> None:
    def write(path: Path) -> None:
        with written_beside(path) as temporary:
            temporary.write_text("half")
            raise OSError(number, "as the system says it")

    with pytest.raises(WriteError, match=rf"status\.json: cannot be written, {message}") as caught:
        write(tmp_path / "status.json")
    assert caught.value.errno == number
    assert listed(tmp_path) == []


@pytest.mark.parametrize(("number", "message"), [(errno.EACCES, "you may not write in"), (errno.EROFS, "read-only")])
def test_a_folder_that_refuses_is_explained(
    number: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(**_: object) -> None:
        raise OSError(number, "as the system says it")

    monkeypatch.setattr(tempfile, "mkstemp", refused)
    with pytest.raises(WriteError, match=message):
        write_json(tmp_path / "status.json", {})


def test_other_errors_of_the_block_pass_as_they_are(tmp_path: Path) -> None:
    with pytest.raises(PermissionError, match="somebody else's file"), written_beside(tmp_path / "a"):
        raise PermissionError(errno.EACCES, "somebody else's file")
    with pytest.raises(RuntimeError, match="^of torch$"), explained(tmp_path / "a"):
        raise RuntimeError("of torch")
    assert listed(tmp_path) == []


def test_what_killed_processes_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    left = [tmp_path / ".status.json.x1.part", tmp_path / "checkpoints" / ".step_00000004.pt.ab.part"]
    for path in [*left, tmp_path / "a.part", tmp_path / ".claim-000001"]:
        path.write_text("?")
    assert remove_unfinished(tmp_path) == left
    assert listed(tmp_path) == [".claim-000001", "a.part", "checkpoints"]
    assert remove_unfinished(tmp_path / "nowhere") == []


def test_guards_are_asked_for_their_folder_alone_and_can_be_nested(tmp_path: Path) -> None:
    asked: list[str] = []
    inner = tmp_path / "run"
    with guarded(tmp_path, lambda: asked.append("outer")), guarded(inner, lambda: asked.append("inner")):
        write_json(tmp_path / "a.json", {})
        assert set(asked) == {"outer"}
        write_json(inner / "b.json", {})
        assert set(asked) == {"outer", "inner"}
    asked.clear()
    write_json(inner / "b.json", {})
    assert asked == []
