"""Estimates of memory and disk, and what is refused because of them."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from baselines.building import build_networks
from baselines.registry import get_variant
from baselines.steps import build_step
from bench.data.registry import dataset_spec
from bench.launching import resources
from bench.launching.memory import StepMemory, _Storages, step_memory
from bench.launching.profile import ClusterProfile
from bench.launching.resources import DoesNotFitError, Need, check_fit, check_ranks, estimate, free_gib, training_need
from bench.plan import Action, Verb, study_jobs
from bench.run_spec import DatasetRef, RunSpec, Training
from bench.store import Store
from bench.training.checkpoint import checkpoint_path, save_checkpoint
from bench.training.distributed import Ranks
from bench.training.ema import MovingAverage
from tests.reporting.conftest import make_study
from tests.tiny import small, small_recipe, tiny_run

MIB = 2**20
SYNTHETIC = dataset_spec("synthetic").spec
STUDY = make_study(rows=(("SPADE decoder", "spade-decoder", None), ("pix2pixHD", "pix2pixhd", None)), seeds=(0, 1))
ACTIONS = [Action(verb=Verb.SUBMIT, job=job, reason="") for job in study_jobs(STUDY)]
TRAININGS = [action for action in ACTIONS if action.job.kind == "train"]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPADE_BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_what_lives_at_once_is_counted_to_the_byte() -> None:
    """One layer of 1 MiB weights on an input of 1 MiB: known by hand."""
    with torch.device("meta"):
        layer = nn.Linear(512, 512, bias=False)
        inputs = torch.empty(512, 512)
        storages = _Storages()
        storages.track(layer.weight)
        storages.track(inputs)
        assert storages.bytes == 2 * MIB
        with storages:
            hidden = layer(inputs)
            assert storages.bytes == 3 * MIB
            view = hidden.t()[:3]
            assert storages.bytes == 3 * MIB
            loss = torch.relu(hidden).sum()
            assert storages.bytes == 4 * MIB + 4
            loss.backward()
        assert layer.weight.grad is not None
        # weights, inputs, hidden and the gradients of weights and hidden; the saved output of relu has gone by then
        assert 5 * MIB < storages.peak < 5 * MIB + 100
        del loss, hidden, view
    assert storages.bytes == 3 * MIB  # the weights, their gradient, the inputs


def test_memory_grows_with_the_images() -> None:
    run = tiny_run(side_px=32)
    by_images = [step_memory(run, SYNTHETIC, images) for images in (8, 16, 24)]
    first, second = by_images[1].peak - by_images[0].peak, by_images[2].peak - by_images[1].peak
    assert first > 0
    assert second == pytest.approx(first, rel=0.05)
    assert {memory.lasting for memory in by_images} == {by_images[0].lasting}


@pytest.mark.parametrize("name", ["concat-decoder", "crn", "pix2pixhd", "pix2pixhd-pp-spade"])
def test_every_kind_of_network_can_be_estimated(name: str) -> None:
    variant = small(get_variant(name))
    run = replace(
        tiny_run(side_px=64), variant=name, generator=variant.generator, recipe=small_recipe(variant.recipe())
    )
    memory = step_memory(run, SYNTHETIC, 2)
    assert memory.peak > memory.lasting > 3 * memory.gradients  # weights and the two moments of Adam
    assert training_need(run, 2).gpu_gib is not None


def test_the_papers_other_discriminators_take_more_memory() -> None:
    """As the paper says of residual ones and of SPADE inside; the discriminator outweighs the generator here."""

    def peak(kind: str) -> int:
        run = tiny_run(side_px=64)
        assert run.recipe.discriminator is not None
        chosen = replace(run.recipe.discriminator, kind=kind, width=32)  # type: ignore[arg-type]
        return step_memory(replace(run, recipe=replace(run.recipe, discriminator=chosen)), SYNTHETIC, 4).peak

    patch = peak("patch")
    assert peak("resnet") > 1.2 * patch
    assert peak("spade") > 1.05 * patch


def test_the_size_of_a_checkpoint_is_that_of_the_file(tmp_path: Path) -> None:
    run = tiny_run(ema_halflife_images=100, generator={"width": 16}, side_px=32)
    networks = build_networks(run.generator, run.recipe, SYNTHETIC, run.dataset.size, 0)
    work = build_step(run.recipe, networks, None)
    for optimizer in work.optimizers.values():
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
    average = MovingAverage(networks.generator, halflife_images=100, batch_images=4)
    save_checkpoint(tmp_path, run_id=run.run_id, step=1, work=work, average=average, ranks=Ranks())
    size = checkpoint_path(tmp_path, 1).stat().st_size
    assert step_memory(run, SYNTHETIC, 2).checkpoint == pytest.approx(size, rel=0.1)


def paper(name: str, **training: object) -> RunSpec:
    """A run at the paper's size on COCO-Stuff: batch 32 at 256 px."""
    variant = get_variant(name)
    ref = DatasetRef(name="coco_stuff", size=(256, 256), manifest="0", val_images=5000)
    fields = {"steps": 1, "batch_images": 32, "norm_group_images": 32, **training}
    return RunSpec(
        variant=name,
        generator=variant.generator,
        recipe=variant.recipe(),
        dataset=ref,
        training=Training(**fields),  # type: ignore[arg-type]
        seed=0,
    )


def test_the_papers_runs_fit_the_papers_gpus() -> None:
    """Batch 32 on eight GPUs of 32 GB trained the published weights; one GPU needs several times as much as one of
    eight. A checkpoint holds weights and Adam's moments of some 100 million parameters."""
    eight = training_need(paper("spade-decoder"), 8)
    one = training_need(paper("spade-decoder"), 1)
    assert eight.gpu_gib is not None
    assert one.gpu_gib is not None
    assert 3 < eight.gpu_gib < 32 * 10**9 / 2**30
    assert one.gpu_gib > 2 * eight.gpu_gib
    assert 1.0 < eight.checkpoint_gib < 1.4
    assert eight.disk_gib == one.disk_gib == pytest.approx(3 * eight.checkpoint_gib + 0.6, abs=0.1)


def test_what_is_added_to_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradient buckets on several ranks, fragmentation, the fixed part; bf16 shrinks what does not last."""
    gib = 2**30
    heard: list[int] = []

    def step(run: RunSpec, spec: object, part_images: int) -> StepMemory:
        heard.append(part_images)
        return StepMemory(peak=11 * gib, lasting=gib, gradients=gib // 2, checkpoint=gib)

    monkeypatch.setattr("bench.launching.memory.step_memory", step)
    run = tiny_run(batch_images=32, keep_checkpoints=2)
    assert training_need(run, 1).gpu_gib == pytest.approx(11 * 1.1 + 1.5)
    assert training_need(run, 4).gpu_gib == pytest.approx(11.5 * 1.1 + 1.5)
    assert training_need(tiny_run(batch_images=32, precision="bf16"), 1).gpu_gib == pytest.approx(7 * 1.1 + 1.5)
    split = tiny_run(batch_images=32, accumulate=4, selection="best", eval_every_steps=1, keep_checkpoints=2)
    assert training_need(split, 4).disk_gib == pytest.approx(4.0, abs=0.01)  # two kept, the best, the one being written
    assert heard == [32, 8, 2]  # images of one rank in one part; bf16 is no other architecture


def test_architectures_are_worked_out_once_and_kept(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[tuple[int, int]] = []
    worked_out = StepMemory(peak=2, lasting=1, gradients=1, checkpoint=1)
    monkeypatch.setattr("bench.launching.memory.step_memory", lambda *_: worked_out)
    needs = estimate(TRAININGS, 1, lambda done, of: heard.append((done, of)))
    assert needs.keys() == {action.job.key for action in TRAININGS}
    assert heard == [(0, 4), (1, 4), (4, 4)]  # two seeds of one row are alike
    assert len(list((own_cache / "step_memory").iterdir())) == 2
    monkeypatch.setattr("bench.launching.memory.step_memory", lambda *_: pytest.fail("worked out again"))
    assert estimate(TRAININGS, 1) == needs


def test_what_cannot_be_estimated_says_why_and_is_not_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fails(*_: object) -> None:
        raise NotImplementedError("aten::strange: no meta kernel\nsecond line")

    monkeypatch.setattr("bench.launching.memory.step_memory", fails)
    needs = estimate(TRAININGS, 1)
    assert {need.gpu_gib for need in needs.values()} == {None}
    assert needs[TRAININGS[0].job.key].why_not == "aten::strange: no meta kernel"
    check_fit(TRAININGS, needs, ClusterProfile(name="p", gpu_memory_gib=1), Store(tmp_path))


def test_runs_that_do_not_fit_are_refused_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_need, large_need = Need(gpu_gib=10.0, disk_gib=1.0), Need(gpu_gib=40.06, disk_gib=1.0)
    needs = {action.job.key: large_need if index else small_need for index, action in enumerate(TRAININGS)}
    profile = ClusterProfile(name="lab", gpu_memory_gib=24)
    with pytest.raises(DoesNotFitError, match=r"the GPUs of profile lab have 24 GiB \(gpu_memory_gib\)") as raised:
        check_fit(TRAININGS, needs, profile, Store(tmp_path / "s"))
    assert "train pix2pixHD on synthetic, seed 0: about 40.1 GiB on each GPU" in str(raised.value)
    assert "train SPADE decoder on synthetic, seed 0" not in str(raised.value)
    assert "use more ranks (--nodes, --gpus-per-node" in str(raised.value)
    check_fit(TRAININGS, needs, replace(profile, gpu_memory_gib=None), Store(tmp_path / "s"))
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(resources.shutil, "disk_usage", lambda path: usage(0, 0, 2**31))
    with pytest.raises(DoesNotFitError, match=r"2 GiB are free there, and these runs leave up to 4 GiB.*make room"):
        check_fit(TRAININGS, needs, replace(profile, gpu_memory_gib=None), Store(tmp_path / "s"))


def test_free_space_is_told_of_folders_that_are_not_there_yet(tmp_path: Path) -> None:
    assert free_gib(tmp_path / "not" / "yet") == pytest.approx(free_gib(tmp_path), rel=0.1)


def test_ranks_must_share_the_batch_and_keep_the_batch_statistics() -> None:
    check_ranks(ACTIONS, 8)
    check_ranks([replace(action, verb=Verb.SKIP) for action in ACTIONS], 3)
    with pytest.raises(
        DoesNotFitError, match=r"(?s)do not fit 3 ranks.*batch 8 in 1 part\(s\) cannot be shared by 3 ranks"
    ):
        check_ranks(ACTIONS, 3)
    row = STUDY.rows[0]
    plain = replace(row, variant=row.variant.scaled(norm="batch"))
    study = replace(STUDY, rows=(plain,), ranks=2)
    actions = [Action(verb=Verb.SUBMIT, job=job, reason="") for job in study_jobs(study)]
    check_ranks(actions, 2)
    with pytest.raises(
        DoesNotFitError, match=r"its batch statistics are over 4 images \(the study's ranks\), with 4 ranks"
    ):
        check_ranks(actions, 4)


def test_long_lists_are_shortened() -> None:
    many = make_study(rows=(("row", "spade-decoder", None),), seeds=tuple(range(50)))
    actions = [Action(verb=Verb.SUBMIT, job=job, reason="") for job in study_jobs(many)]
    with pytest.raises(DoesNotFitError, match="and 30 more") as raised:
        check_ranks(actions, 3)
    assert len(str(raised.value).splitlines()) == 22
