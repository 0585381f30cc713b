"""Judging outside a study: released checkpoint files and folders of images."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from baselines.registry import get_variant
from bench.data.opening import dataset_ref, open_split
from bench.evaluation.generate import generate_images
from bench.launching.judging import judge_checkpoint, judge_images
from bench.run_spec import DatasetRef
from bench.store import Store
from spade_core.released import to_released_state_dict


@pytest.fixture(scope="module")
def ref() -> DatasetRef:
    return dataset_ref("synthetic", size=(64, 64), val_images=5)


def released_file(folder: Path, variant: str, ref: DatasetRef) -> tuple[Path, torch.nn.Module]:
    """A generator of width 4 in the released format, and the network itself."""
    torch.manual_seed(5)
    spec = open_split(ref, "val").spec
    generator = get_variant(variant).scaled(width=4).generator.build(spec, ref.size)
    path = folder / "latest_net_G.pth"
    torch.save(to_released_state_dict(generator), path)
    return path, generator.eval()


@pytest.mark.parametrize("variant", ["spade-decoder", "pix2pixhd-pp", "pix2pixhd"])
def test_a_released_checkpoint_file_is_judged(tmp_path: Path, ref: DatasetRef, variant: str) -> None:
    path, generator = released_file(tmp_path, variant, ref)
    store = Store(tmp_path / "store")
    evaluation = judge_checkpoint(store, path, variant, ref, width=4, protocol=None, noise_seed=0, device="cpu")
    assert evaluation is not None
    assert evaluation.spec.subject == "checkpoint:latest_net_G"
    assert evaluation.images == 5
    assert evaluation.scores["mIoU"].value is not None
    dataset = open_split(ref, "val")
    expected = generate_images(generator, dataset, range(5), torch.device("cpu"), z_dim=None, noise_seed=0)
    folder = store.evaluation_folder(evaluation.eval_id) / "generated"
    for index, image in enumerate(expected):
        assert np.array_equal(np.asarray(Image.open(folder / f"{dataset.sample_id(index)}.png")), image)


def test_a_file_of_another_architecture_is_refused_by_name(tmp_path: Path, ref: DatasetRef) -> None:
    path, _ = released_file(tmp_path, "pix2pixhd", ref)
    with pytest.raises(ValueError, match="latest_net_G.pth: cannot be read as a released generator of spade-decoder"):
        judge_checkpoint(
            Store(tmp_path), path, "spade-decoder", ref, width=4, protocol=None, noise_seed=0, device="cpu"
        )
    with pytest.raises(ValueError, match="there is no such checkpoint file"):
        judge_checkpoint(
            Store(tmp_path), tmp_path / "none.pth", "pix2pixhd", ref, width=4, protocol=None, noise_seed=0, device="cpu"
        )


def test_a_folder_of_the_real_images_scores_as_the_real_row(tmp_path: Path, ref: DatasetRef) -> None:
    dataset = open_split(ref, "val")
    folder = tmp_path / "images"
    folder.mkdir()
    for index in range(5):
        Image.fromarray(dataset.load(index).image).save(folder / f"{dataset.sample_id(index)}.png")
    evaluation = judge_images(Store(tmp_path / "store"), folder, ref, protocol="synthetic", device="cpu")
    assert evaluation is not None
    assert evaluation.spec.subject == "external:images"
    distance = evaluation.scores["FD@synthetic-judge"].value
    assert distance == pytest.approx(0.0, abs=1e-8)
    score = evaluation.scores["mIoU"].value
    assert score is not None
    assert score > 50

    shutil.copy(folder / f"{dataset.sample_id(0)}.png", folder / "extra.png")
    (folder / f"{dataset.sample_id(1)}.png").unlink()
    with pytest.raises(ValueError, match=r"(?s)2 problem\(s\).*missing.*extra.png: no sample of that name"):
        judge_images(Store(tmp_path / "store"), folder, ref, protocol=None, device="cpu")
