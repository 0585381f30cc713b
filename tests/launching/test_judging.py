"""Judging outside a study: real photographs, folders of images, released checkpoint files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from baselines.registry import get_variant
from bench.data.dataset import Dataset
from bench.data.opening import dataset_ref, open_split, validation_ref
from bench.data.registry import dataset_spec
from bench.evaluation.generate import generate_images
from bench.evaluation.image_folder import ImageFolderError
from bench.evaluation.importing import import_images
from bench.imports import evaluation_of_import
from bench.launching import judging
from bench.launching.judging import Judging, judge_checkpoint, judge_images, judge_imported, judge_real
from bench.plan import evaluation_of
from bench.run_spec import DatasetRef, Training
from bench.store import Store
from bench.study import StudyDataset
from spade_core.released import to_released_state_dict
from tests.data.trees import write_ade_challenge

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def ref() -> DatasetRef:
    return validation_ref("synthetic", size=(64, 64), val_images=5)


@pytest.fixture
def work(tmp_path: Path) -> Judging:
    return Judging(store=Store(tmp_path / "store"), device="cpu")


def released_file(folder: Path, variant: str, ref: DatasetRef) -> tuple[Path, torch.nn.Module]:
    """A generator of width 4 in the released format, and the network itself."""
    torch.manual_seed(5)
    spec = open_split(ref, "val").spec
    generator = get_variant(variant).scaled(width=4).generator.build(spec, ref.size)
    path = folder / "latest_net_G.pth"
    torch.save(to_released_state_dict(generator), path)
    return path, generator.eval()


def image_files(folder: Path, dataset: Dataset, count: int) -> Path:
    folder.mkdir()
    for index in range(count):
        Image.fromarray(dataset.load(index).image).save(folder / f"{dataset.sample_id(index)}.png")
    return folder


@pytest.mark.parametrize("variant", ["spade", "pix2pixhd-pp", "pix2pixhd"])
def test_a_released_checkpoint_file_is_judged(tmp_path: Path, work: Judging, ref: DatasetRef, variant: str) -> None:
    path, generator = released_file(tmp_path, variant, ref)
    found = judge_checkpoint(work, path, variant, ref, width=4, labels=None, protocol=None, noise_seed=0)
    assert found is not None
    assert found.spec.subject == "checkpoint:latest_net_G"
    assert found.selection_note == f"latest_net_G.pth as {get_variant(variant).name}, label ids raw"
    assert found.images == 5
    assert found.scores["mIoU"].value is not None
    dataset = open_split(ref, "val")
    expected = generate_images(generator, dataset, range(5), torch.device("cpu"), z_dim=None, noise_seed=0)
    folder = work.store.evaluation_folder(found.eval_id) / "generated"
    for index, image in enumerate(expected):
        assert np.array_equal(np.asarray(Image.open(folder / f"{dataset.sample_id(index)}.png")), image)


def test_ade20k_checkpoints_have_the_released_labels_unless_another_convention_is_named(
    tmp_path: Path, work: Judging, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPADE_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SPADE_BENCH_WEIGHTS", str(tmp_path))
    write_ade_challenge(tmp_path / "ade")
    ref = validation_ref("ade20k", root=tmp_path / "ade", size=(32, 32))
    path, generator = released_file(tmp_path, "pix2pixhd", ref)
    dataset = open_split(ref, "val")
    images = {}
    for labels in (None, "raw", "shifted"):
        found = judge_checkpoint(work, path, "pix2pixhd", ref, width=4, labels=labels, protocol=None, noise_seed=0)
        assert found is not None
        assert f"label ids {labels or 'raw'}" in found.selection_note
        folder = work.store.evaluation_folder(found.eval_id) / "generated"
        images[labels] = np.asarray(Image.open(folder / f"{dataset.sample_id(0)}.png"))
    assert np.array_equal(images[None], images["raw"])
    assert not np.array_equal(images["raw"], images["shifted"])
    shifted = np.asarray(dataset_spec("ade20k").label_conventions["shifted"].of_label)
    everything = range(len(dataset))  # in the chunks of a whole split: another batch size may differ in last digits
    expected = generate_images(
        generator, dataset, everything, torch.device("cpu"), z_dim=None, noise_seed=0, label_of=shifted
    )
    assert np.array_equal(images["shifted"], expected[0])
    with pytest.raises(ValueError, match="--labels is 'coco'; ade20k has: raw .*; shifted "):
        judge_checkpoint(work, path, "pix2pixhd", ref, width=4, labels="coco", protocol=None, noise_seed=0)


def test_a_file_of_another_architecture_is_refused_by_name(tmp_path: Path, work: Judging, ref: DatasetRef) -> None:
    path, _ = released_file(tmp_path, "pix2pixhd", ref)
    settings = {"width": 4, "labels": None, "protocol": None, "noise_seed": 0}
    with pytest.raises(
        ValueError,
        match=r"latest_net_G.pth: cannot be read as a released generator of spade-decoder for synthetic \(13",
    ):
        judge_checkpoint(work, path, "spade-decoder", ref, **settings)
    with pytest.raises(ValueError, match="there is no such checkpoint file"):
        judge_checkpoint(work, tmp_path / "none.pth", "pix2pixhd", ref, **settings)
    (tmp_path / "page.pth").write_text("<!DOCTYPE html><title>Sign in</title>")
    with pytest.raises(ValueError, match="page.pth: this file is a web page, not a checkpoint; fetch the checkpoint"):
        judge_checkpoint(work, tmp_path / "page.pth", "pix2pixhd", ref, **settings)
    torch.save({"network": print}, tmp_path / "code.pth")
    with pytest.raises(ValueError, match=r"code.pth: not a checkpoint of tensors alone \(it holds print\)"):
        judge_checkpoint(work, tmp_path / "code.pth", "pix2pixhd", ref, **settings)
    assert not (tmp_path / "store").exists()


def test_a_folder_of_the_real_images_scores_as_the_real_row(tmp_path: Path, work: Judging, ref: DatasetRef) -> None:
    folder = image_files(tmp_path / "images", open_split(ref, "val"), 5)
    found, bound = judge_images(work, folder, ref, protocol="synthetic"), judge_real(work, ref, protocol=None)
    assert found is not None
    assert bound is not None
    assert (found.spec.subject, bound.spec.subject) == ("external:images", "real")
    assert found.scores == bound.scores
    assert found.scores["FD@synthetic-judge"].value == pytest.approx(0.0, abs=1e-8)
    assert (found.scores["mIoU"].value or 0) > 50
    counts = np.load(work.store.confusion_file(found.eval_id))
    assert counts["total"].dtype == np.int64
    assert counts["class_of"].tolist() == list(range(12))
    assert counts["per_image"][:, 3].sum() == 5 * 64 * 64


def test_several_ranks_judge_the_images_and_the_upper_bound_and_one_of_them_prints(tmp_path: Path) -> None:
    two = validation_ref("synthetic", size=(64, 64), val_images=2)
    folder = image_files(tmp_path / "images", open_split(two, "val"), 2)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "run_study.py"]
    command += ["evaluate", "--images", str(folder), "--dataset", "synthetic", "--val-images", "2", "--device", "cpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "SPADE_BENCH_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        [*command, "--store", str(tmp_path / "store")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=environment,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("written: ") == 1
    assert "real images" in done.stdout
    assert len(list((tmp_path / "store" / "evaluations").iterdir())) == 2


def test_bad_images_change_nothing(
    tmp_path: Path, work: Judging, ref: DatasetRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = image_files(tmp_path / "images", open_split(ref, "val"), 5)
    next(folder.iterdir()).unlink()
    monkeypatch.setattr("bench.evaluation.evaluator.build_judge", lambda *_: pytest.fail("a network was loaded"))
    with pytest.raises(ImageFolderError, match="1 problem with the 5 images"):
        judge_images(work, folder, ref, protocol=None)
    assert not (tmp_path / "store").exists()


def test_the_real_images_are_judged_once_for_evaluate_and_for_studies(work: Judging, ref: DatasetRef) -> None:
    found = judge_real(work, ref, protocol=None)
    assert found is not None
    whole = dataset_ref("synthetic", size=(64, 64), val_images=5)
    planned = evaluation_of(
        None, StudyDataset(ref=whole, training=Training(steps=1, batch_images=1), protocol="synthetic")
    )
    assert planned.eval_id == found.eval_id


def test_what_was_judged_is_not_judged_again_unless_asked(
    tmp_path: Path, work: Judging, ref: DatasetRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = image_files(tmp_path / "images", open_split(ref, "val"), 5)
    first = judge_images(work, folder, ref, protocol=None)
    monkeypatch.setattr(judging, "judge_and_store", lambda *_, **__: "judged again")
    assert judge_images(work, folder, ref, protocol=None) == first
    again = Judging(store=work.store, device="cpu", again=True)
    assert judge_images(again, folder, ref, protocol=None) == "judged again"
    picture = next(folder.iterdir())
    Image.fromarray(255 - np.asarray(Image.open(picture))).save(picture)
    assert judge_images(work, folder, ref, protocol=None) == "judged again"


def test_protocols_of_real_photographs_judge_nothing_else(tmp_path: Path, work: Judging, ref: DatasetRef) -> None:
    write_ade_challenge(tmp_path / "ade")
    ade = validation_ref("ade20k", root=tmp_path / "ade", size=(32, 32))
    with pytest.raises(ValueError, match=r"judge-check-ade20k@\d judges the real photographs .* use it with --real"):
        judge_images(work, tmp_path, ade, protocol="judge-check-ade20k")


def test_only_the_validation_split_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPADE_BENCH_CACHE", str(tmp_path / "cache"))
    write_ade_challenge(tmp_path / "ade")
    whole = dataset_ref("ade20k", root=tmp_path / "ade", size=(32, 32))
    for kind in ("images", "annotations"):
        (tmp_path / "ade" / kind / "training").rename(tmp_path / f"{kind}-elsewhere")
    alone = validation_ref("ade20k", root=tmp_path / "ade", size=(32, 32))
    assert (alone.val_manifest, alone.manifest) == (whole.val_manifest, "")
    assert len(open_split(alone, "val")) > 0


def test_imported_pictures_are_judged_as_the_same_folder_is(tmp_path: Path, work: Judging, ref: DatasetRef) -> None:
    folder = image_files(tmp_path / "theirs", open_split(ref, "val"), 5)
    imported, _ = import_images(work.store, "SIMS", folder, ref, note="made elsewhere")
    found = judge_imported(work, imported, protocol=None, root=None)
    assert found.spec.subject == "external:SIMS"
    assert found.spec.run_id == imported.sha256[:12]
    assert found.eval_id == evaluation_of_import(imported, None).eval_id
    assert "external" in found.selection_note
    assert "made elsewhere" in found.selection_note
    assert found.scores == judge_images(work, folder, ref, protocol=None).scores
