"""The trainer's other promises: NaN, checkpoints kept, selection, moving average, precision, shares of the batch."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import torch
from torch import nn

from bench.atomic import WriteError
from bench.data.dataset import Sample
from bench.data.synthetic import SyntheticScenes
from bench.run_spec import RunSpec, Training
from bench.store import RunFolder, Store
from bench.training import trainer
from bench.training.checkpoint import checkpoint_path, checkpoint_steps, load_checkpoint, save_checkpoint
from bench.training.distributed import Ranks, pick_device
from bench.training.ema import MovingAverage
from bench.training.logs import DivergedError
from bench.training.trainer import Hooks, best_step
from tests.tiny import splits, tiny_run
from tests.training.worker import train_here


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def folder_of(run: RunSpec, root: Path) -> RunFolder:
    return Store(root).run(run)


def loss_rows(folder: RunFolder) -> list[dict[str, Any]]:
    return [row for row in folder.metrics() if "images_per_s" in row]


def test_nan_stops_with_the_losses_and_the_steps_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tiny_run("pix2pixhd", steps=6, log_every_steps=2)
    original = trainer.build_step

    def build(*arguments: Any) -> Any:
        work = original(*arguments)
        calls = iter(range(1, 100))

        class Poisoned:
            def __getattr__(self, name: str) -> Any:
                return getattr(work, name)

            def __call__(self, parts: Any) -> Any:
                losses = work(parts)
                return losses | {"generator/adversarial": torch.tensor(math.nan)} if next(calls) == 3 else losses

        return Poisoned()

    monkeypatch.setattr(trainer, "build_step", build)
    with pytest.raises(DivergedError, match="between steps 3 and 4: generator/adversarial = nan.*Lower the learning"):
        train_here(run, tmp_path)
    folder = folder_of(run, tmp_path)
    assert checkpoint_steps(folder.checkpoints) == [2]
    assert [row["step"] for row in loss_rows(folder)] == [2]


def test_weights_that_blow_up_stop_a_real_run(tmp_path: Path) -> None:
    run = tiny_run("pix2pixhd", steps=4, recipe={"learning_rate_generator": 1e30})
    with pytest.raises(DivergedError, match="not finite between steps"):
        train_here(run, tmp_path)


def test_the_newest_checkpoints_stay(tmp_path: Path) -> None:
    run = tiny_run("pix2pixhd", steps=5, save_every_steps=1, keep_checkpoints=2)
    train_here(run, tmp_path)
    folder = folder_of(run, tmp_path)
    assert checkpoint_steps(folder.checkpoints) == [4, 5]
    assert sorted(path.name for path in folder.checkpoints.iterdir()) == ["step_00000004.pt", "step_00000005.pt"]


def scored_run(root: Path, values: dict[int, float], **training: Any) -> tuple[RunSpec, RunFolder, list[int]]:
    run = tiny_run(
        "pix2pixhd", steps=6, save_every_steps=3, keep_checkpoints=1, eval_every_steps=2, selection="best", **training
    )
    seen: list[int] = []

    def score(generator: nn.Module, step: int) -> dict[str, float]:
        assert not generator.training
        assert not torch.is_grad_enabled()
        seen.append(step)
        return {"mIoU": values[step]}

    train_here(run, root, Hooks(score=score))
    return run, folder_of(run, root), seen


def test_scores_are_recorded_and_the_best_checkpoint_is_kept(tmp_path: Path) -> None:
    _, folder, seen = scored_run(tmp_path, {2: 30.0, 4: 50.0, 6: 40.0})
    assert seen == [2, 4, 6]
    assert [(row["step"], row["score/mIoU"]) for row in folder.metrics() if "score/mIoU" in row] == [
        (2, 30.0),
        (4, 50.0),
        (6, 40.0),
    ]
    assert checkpoint_steps(folder.checkpoints) == [4, 6]
    assert best_step(folder) == (4, 50.0)
    assert folder.spec().training.selection == "best"


def test_of_equal_scores_the_first_is_the_best(tmp_path: Path) -> None:
    _, folder, _ = scored_run(tmp_path, {2: 30.0, 4: 30.0, 6: 30.0})
    assert best_step(folder) == (2, 30.0)


def test_an_interruption_adds_no_score(tmp_path: Path) -> None:
    run = tiny_run("pix2pixhd", steps=5, eval_every_steps=2)
    seen: list[int] = []

    def score(generator: nn.Module, step: int) -> dict[str, float]:
        seen.append(step)
        return {"mIoU": 1.0}

    asked = iter([False, False, True])
    assert not train_here(run, tmp_path, Hooks(score=score, should_stop=lambda: next(asked)))
    assert train_here(run, tmp_path, Hooks(score=score))
    assert seen == [2, 4, 5]


def test_a_score_is_recorded_with_what_it_was_made_by(tmp_path: Path) -> None:
    run = tiny_run("pix2pixhd", steps=2, eval_every_steps=1)
    hooks = Hooks(score=lambda generator, step: {"mIoU": 1.0}, scored_by={"protocol": "synthetic@2", "images": 64})
    train_here(run, tmp_path, hooks)
    records = Store(tmp_path).run(run).metrics()
    assert [row["protocol"] for row in records if "score/mIoU" in row] == ["synthetic@2"] * 2
    assert not any("protocol" in row for row in records if "score/mIoU" not in row)


def test_selecting_the_best_without_a_score_says_what_is_missing(tmp_path: Path) -> None:
    run = tiny_run("pix2pixhd", steps=2, eval_every_steps=1, selection="best")
    with pytest.raises(ValueError, match="selection is 'best' but no mIoU could be computed for synthetic"):
        train_here(run, tmp_path, Hooks(score=lambda generator, step: {}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, r"Training.steps is 0; it must be at least 1"),
        ({"precision": "fp16"}, r"Training.precision is 'fp16'; allowed are 'float32' and 'bf16'"),
        ({"accumulate": 3}, r"accumulate=3 does not divide batch_images=4"),
        ({"selection": "best"}, r"selection='best' needs eval_every_steps"),
        ({"selection": "worst"}, r"Training.selection is 'worst'; allowed are 'last' and 'best'"),
        ({"ema_halflife_images": 0}, r"Training.ema_halflife_images is 0; it must be at least 1, or None"),
        ({"eval_every_steps": -1}, r"Training.eval_every_steps is -1; it must be at least 1, or None"),
        ({"loader_workers": -1}, r"Training.loader_workers is -1; it must be at least 0"),
    ],
)
def test_training_is_validated(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Training(**{"steps": 1, "batch_images": 4, **changes})


@pytest.mark.parametrize(
    ("variant", "ranks", "normalised", "stated"),
    [("spade-decoder", 1, 4, 8), ("spade-decoder-batch-norm", 2, 2, 4), ("pix2pixhd", 1, None, 4)],
)
def test_another_norm_group_is_another_run(
    variant: str, ranks: int, normalised: int | None, stated: int, tmp_path: Path
) -> None:
    run = tiny_run(variant, norm_group_images=stated)
    with pytest.raises(ValueError, match=f"over {stated} images, but {ranks} ranks .* normalise over {normalised}"):
        train_here(run, tmp_path, ranks=Ranks(world=ranks))
    assert not folder_of(run, tmp_path).exists()


def test_the_norm_group_is_part_of_the_identity() -> None:
    assert tiny_run("spade-decoder").run_id != tiny_run("spade-decoder", norm_group_images=2).run_id
    assert tiny_run("spade-decoder", ranks=1).run_id == tiny_run("spade-decoder", ranks=2).run_id
    one, two = (tiny_run("spade-decoder-batch-norm", ranks=ranks) for ranks in (1, 2))
    assert (one.training.norm_group_images, two.training.norm_group_images) == (4, 2)
    assert one.run_id != two.run_id


def test_bf16_trains_and_is_another_run(tmp_path: Path) -> None:
    runs = {precision: tiny_run(steps=2, precision=precision) for precision in ("float32", "bf16")}
    assert runs["float32"].run_id != runs["bf16"].run_id
    for run in runs.values():
        train_here(run, tmp_path)
    whole, half = (loss_rows(folder_of(run, tmp_path))[0] for run in runs.values())
    for name in (key for key in whole if "/" in key):
        assert half[name] == pytest.approx(whole[name], rel=0.05), name
        assert half[name] != whole[name], name
    state = load_checkpoint(checkpoint_path(folder_of(runs["bf16"], tmp_path).checkpoints, 2))
    floats = [value for value in state["networks"]["generator"].values() if value.is_floating_point()]
    assert {value.dtype for value in floats} == {torch.float32}


def test_moving_average_has_its_halflife() -> None:
    network = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
    nn.init.constant_(network[0].weight, 0.0)
    average = MovingAverage(network, halflife_images=12, batch_images=4)
    nn.init.constant_(network[0].weight, 1.0)
    network[1].running_mean.fill_(7.0)
    for _ in range(3):
        average.update(network)
    assert average.network[0].weight.item() == pytest.approx(0.5, rel=1e-6)
    assert average.network[1].running_mean.item() == 7.0
    assert not any(parameter.requires_grad for parameter in average.network.parameters())
    assert network[0].weight.requires_grad


def test_the_average_of_a_run_is_that_of_its_checkpoints(tmp_path: Path) -> None:
    run = tiny_run("pix2pixhd", steps=3, ema_halflife_images=8, save_every_steps=1, keep_checkpoints=3)
    train_here(run, tmp_path)
    states = [load_checkpoint(checkpoint_path(folder_of(run, tmp_path).checkpoints, step)) for step in (1, 2, 3)]
    keep = 0.5 ** (4 / 8)
    name = next(key for key in states[0]["average"] if key.endswith("weight"))
    for before, after in zip(states, states[1:], strict=False):
        expected = keep * before["average"][name] + (1 - keep) * after["networks"]["generator"][name]
        torch.testing.assert_close(after["average"][name], expected, rtol=1e-5, atol=1e-7)
    assert not torch.equal(states[2]["average"][name], states[2]["networks"]["generator"][name])


def test_rates_follow_the_schedule_by_epochs(tmp_path: Path) -> None:
    from baselines.recipe import Schedule

    schedules = {"synthetic": Schedule(epochs=4, decay_from=2)}
    run = tiny_run("pix2pixhd", images=8, steps=8, decay=True, recipe={"schedules": schedules})
    train_here(run, tmp_path)
    rates = [row["learning_rate"] for row in loss_rows(folder_of(run, tmp_path))]
    assert rates == pytest.approx([2e-4] * 6 + [1e-4] * 2)
    optimizers = load_checkpoint(checkpoint_path(folder_of(run, tmp_path).checkpoints, 8))["optimizers"]
    assert {state["param_groups"][0]["lr"] for state in optimizers.values()} == {1e-4}
    assert run.run_id != tiny_run("pix2pixhd", images=8, steps=8, recipe={"schedules": schedules}).run_id


def test_an_unreadable_newest_checkpoint_falls_back_to_the_one_before(tmp_path: Path) -> None:
    run = tiny_run("pix2pixhd", steps=4)
    train_here(run, tmp_path)
    folder = folder_of(run, tmp_path)
    last = checkpoint_path(folder.checkpoints, 4)
    expected = load_checkpoint(last)["networks"]
    last.write_bytes(last.read_bytes()[:1000])
    with pytest.warns(UserWarning, match=r"step_00000004.pt: cannot be read .*the one of step 2 is taken"):
        assert train_here(run, tmp_path)
    assert re.search("step_00000004.pt: cannot be read .*put aside as .damaged", folder.status().note)
    assert folder.provenance()["notes"] == [folder.status().note]
    again = load_checkpoint(last)["networks"]
    for role in expected:
        assert all(torch.equal(again[role][name], value) for name, value in expected[role].items())
    assert [row["step"] for row in loss_rows(folder)] == [1, 2, 3, 4]


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    run, other = tiny_run("pix2pixhd", steps=2), tiny_run("pix2pixhd", steps=2, seed=4)
    train_here(run, tmp_path)
    folder_of(run, tmp_path).path.rename(folder_of(other, tmp_path).path)
    (folder_of(other, tmp_path).spec_file).unlink()
    with pytest.raises(ValueError, match=f"belongs to run {run.run_id}, not to {other.run_id}"):
        train_here(other, tmp_path)


def test_other_files_are_no_checkpoints(tmp_path: Path) -> None:
    path = tmp_path / "latest_net_G.pth"
    torch.save({"fc.weight": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="latest_net_G.pth: not a checkpoint of a run .*--checkpoint with --variant"):
        load_checkpoint(path)


def test_an_interrupted_write_leaves_the_folder_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tiny_run("pix2pixhd", steps=2, save_every_steps=1)
    train_here(run, tmp_path)
    checkpoints = folder_of(run, tmp_path).checkpoints
    before = {path.name: path.read_bytes() for path in checkpoints.iterdir()}

    def full_disk(state: Any, stream: BinaryIO) -> None:
        stream.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    networks = trainer.build_networks(run.generator, run.recipe, splits(run)[0].spec, run.dataset.size, run.seed)
    work = trainer.build_step(run.recipe, networks, None)
    for step in (2, 3):  # over a file that is there, and a new one
        with pytest.raises(WriteError, match=f"step_0000000{step}.pt: cannot be written, no space is left"):
            save_checkpoint(checkpoints, run_id=run.run_id, step=step, work=work, average=None, ranks=Ranks())
    assert {path.name: path.read_bytes() for path in checkpoints.iterdir()} == before


def test_a_run_leaves_what_its_reader_needs(tmp_path: Path) -> None:
    run = tiny_run("pix2pixhd", steps=4, log_every_steps=2, sample_every_steps=3)
    train_here(run, tmp_path)
    folder = folder_of(run, tmp_path)
    assert folder.spec() == run
    rows = loss_rows(folder)
    assert [row["step"] for row in rows] == [2, 4]
    assert {"generator/adversarial", "discriminator/real", "images_per_s", "memory_mib", "epoch"} <= set(rows[0])
    assert rows[1]["epoch"] == 1.0
    assert sorted(path.name for path in folder.samples.iterdir()) == ["step_00000003.png", "step_00000004.png"]
    assert any(folder.tensorboard.iterdir())
    facts = folder.provenance()
    assert facts["seed"] == run.seed
    assert facts["generator_parameters"] > 0
    assert facts["generator_multiply_adds"] > 0
    assert {"commit", "diff_sha256", "packages", "hardware", "command"} <= set(facts)
    status = folder.status()
    assert (status.state, status.step, status.steps, status.attempt) == ("done", 4, 4, 1)


def test_without_the_vgg_file_a_recipe_that_needs_it_says_where_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPADE_BENCH_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    run = tiny_run("pix2pixhd", recipe={"perceptual_weight": 10.0})
    with pytest.raises(ValueError, match="weights file vgg19-dcbb9e9d.pth is missing"):
        train_here(run, tmp_path)


def test_devices_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto") == torch.device("cpu")
    with pytest.raises(ValueError, match="device is 'tpu'; allowed are auto, cpu and cuda"):
        pick_device("tpu")
    with pytest.raises(ValueError, match="torch sees no GPU"):
        pick_device("cuda")


def test_a_label_out_of_range_is_named_before_anything_is_computed(tmp_path: Path) -> None:
    run = tiny_run("pix2pixhd", steps=1)
    train_split, val_split = splits(run)

    class Wrong(SyntheticScenes):
        def load(self, index: int, augmentation: Any = None) -> Sample:
            sample = super().load(index, augmentation)
            return replace(sample, labels=sample.labels * 0 + 12)

    wrong = Wrong(split="train", size=train_split.size, images=16)
    with pytest.raises(ValueError, match=r"label ids out of range: 12 \(\d+ pixels\); allowed are 0 to 11"):
        trainer.train(run, folder_of(run, tmp_path), wrong, val_split, Ranks())
