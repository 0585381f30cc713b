"""The features that the synthesis network's loss compares are CRN's networks, with CRN's files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from baselines.crn import features
from baselines.sims.losses import perceptual_loss
from bench.evaluation.weights import MissingWeightsError
from bench.sims.perceptual import PERCEPTUAL_NAMES, build_perceptual
from bench.sims.stage import StageError
from tests.baselines.test_crn import filled, matlab_file

CPU = torch.device("cpu")
FILE = "imagenet-vgg-verydeep-19.mat"


def test_names_that_are_none_are_refused() -> None:
    assert PERCEPTUAL_NAMES == ("vgg19-caffe", "efficientnet-lite0", "none")
    with pytest.raises(StageError, match=r"--perceptual is 'vgg'; choose one of vgg19-caffe, efficientnet-lite0, none"):
        build_perceptual("vgg", CPU, height=64)


def test_the_original_is_caffes_vgg19_with_crns_divisors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = tuple((block, count, channels // 16) for block, count, channels in features._BLOCKS)
    monkeypatch.setattr(features, "_BLOCKS", narrow)
    monkeypatch.setenv("SPADE_BENCH_WEIGHTS", str(tmp_path))
    with pytest.raises(MissingWeightsError, match=FILE):
        build_perceptual("vgg19-caffe", CPU, height=256)
    network = filled()
    matlab_file(tmp_path / FILE, network)
    before = torch.get_rng_state()
    compared = build_perceptual("vgg19-caffe", CPU, height=256)
    assert torch.equal(torch.get_rng_state(), before), "building it must not change what a training draws"
    image = torch.rand(1, 3, 32, 32) * 2 - 1
    for ours, theirs in zip(compared.features(image), network(image), strict=True):
        assert torch.equal(ours, theirs)
    assert compared.divisors == (1.0, 1.6, 2.3, 1.8, 2.8, 0.08)
    assert build_perceptual("vgg19-caffe", CPU, height=512).divisors == (1.0, 2.6, 4.8, 3.7, 5.6, 0.15)


def test_the_substitute_compares_five_scales() -> None:
    pytest.importorskip("efficientnet_lite_pytorch", reason="the package of EfficientNet-Lite0 is not installed")
    compared = build_perceptual("efficientnet-lite0", CPU, height=64)
    image = torch.rand(1, 3, 64, 64) * 2 - 1
    assert [64 // feature.shape[2] for feature in compared.features(image)] == [2, 4, 8, 16, 32]
    assert perceptual_loss(image, image, compared) == 0
    moved = image.clone().requires_grad_()
    perceptual_loss(moved, image.flip(3), compared).backward()  # type: ignore[no-untyped-call]
    assert moved.grad is not None
    assert moved.grad.abs().sum() > 0
    with pytest.raises(StageError, match="needs pictures of 32 px or more, not 16; use --perceptual none"):
        build_perceptual("efficientnet-lite0", CPU, height=16)


def test_pixels_alone_have_no_features() -> None:
    compared = build_perceptual("none", CPU, height=64)
    assert compared.features(torch.zeros(1, 3, 8, 8)) == []
    assert perceptual_loss(torch.ones(1, 3, 8, 8), torch.zeros(1, 3, 8, 8), compared) == 127.5
