"""A checkpoint that was damaged is noticed, wherever; a disk that does not answer is not a damaged checkpoint."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.training.checkpoint import (
    DAMAGED,
    checkpoint_path,
    checkpoint_steps,
    load_checkpoint,
    prune_checkpoints,
    state_sha256,
)
from tests.tiny import tiny_run
from tests.training.worker import train_here


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A checkpoint as the trainer writes it."""
    run, root = tiny_run("pix2pixhd", steps=1, save_every_steps=1), tmp_path_factory.mktemp("run")
    train_here(run, root)
    (path,) = root.glob("runs/*/checkpoints/*.pt")
    return path.read_bytes()


@pytest.mark.parametrize("role", ["generator", "discriminator"])
def test_one_flipped_bit_of_a_weight_is_noticed(role: str, checkpoint: bytes, tmp_path: Path) -> None:
    path = tmp_path / "step_00000001.pt"
    path.write_bytes(checkpoint)
    weight = max(load_checkpoint(path)["networks"][role].values(), key=torch.numel)
    place = checkpoint.index(weight.numpy().tobytes()) + weight.nbytes // 2
    damaged = bytearray(checkpoint)
    damaged[place] ^= 16
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match=r"step_00000001\.pt: is damaged: its content does not have the checksum"):
        load_checkpoint(path)


def test_a_file_that_is_cut_off_is_noticed(checkpoint: bytes, tmp_path: Path) -> None:
    path = tmp_path / "step_00000001.pt"
    for size in (0, 10, len(checkpoint) // 2, len(checkpoint) - 1):
        path.write_bytes(checkpoint[:size])
        with pytest.raises(ValueError, match=r"step_00000001\.pt: cannot be read as a checkpoint"):
            load_checkpoint(path)


def test_a_file_without_checksum_is_taken_as_it_is(checkpoint: bytes, tmp_path: Path) -> None:
    path = tmp_path / "step_00000001.pt"
    path.write_bytes(checkpoint)
    state = load_checkpoint(path)
    del state["sha256"]
    torch.save(state, path)
    assert set(load_checkpoint(path)) == set(state)


def test_the_checksum_sees_names_values_and_types() -> None:
    state: dict[str, Any] = {"step": 3, "networks": {"g": {"w": torch.tensor([1.0, 2.0])}}, "list": [torch.tensor(1)]}
    changed = [
        {**state, "step": 4},
        {**state, "networks": {"g": {"v": torch.tensor([1.0, 2.0])}}},
        {**state, "networks": {"g": {"w": torch.tensor([1.0, 2.0 + 2**-22])}}},
        {**state, "networks": {"g": {"w": torch.tensor([1.0, 2.0]).view(torch.int32)}}},
        {**state, "list": [torch.tensor([1])]},
    ]
    sums = {state_sha256(item) for item in (state, *changed)}
    assert len(sums) == 6
    assert state_sha256({**state, "sha256": "whatever"}) == state_sha256(state)


def test_a_disk_that_does_not_answer_is_not_damage(
    checkpoint: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def __enter__(self) -> Broken:
            return self

        def __exit__(self, *_: object) -> None: ...

        def read(self, size: int = -1) -> bytes:
            raise OSError(errno.EIO, "Input/output error")

        readinto = tell = seek = read

    monkeypatch.setattr(Path, "open", lambda *_, **__: Broken())
    with pytest.raises((OSError, RuntimeError), match="Input/output error"):
        load_checkpoint(tmp_path / "step_00000001.pt")


def test_damaged_ones_go_when_enough_newer_ones_are_there(tmp_path: Path) -> None:
    for step in (2, 4, 6):
        checkpoint_path(tmp_path, step).write_text("?")
    for step in (3, 5):
        path = checkpoint_path(tmp_path, step)
        path.with_name(path.name + DAMAGED).write_text("?")
    prune_checkpoints(tmp_path, 2, set())
    assert checkpoint_steps(tmp_path) == [4, 6]
    assert [path.name for path in tmp_path.glob(f"*{DAMAGED}")] == [f"step_00000005.pt{DAMAGED}"]
