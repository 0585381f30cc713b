"""LPIPS against the package's own network with the same weights."""

from __future__ import annotations

import urllib.request
from pathlib import Path

import lpips
import numpy as np
import pytest
import torch
import torchvision

from bench.evaluation.judges.checkpoint import CheckpointError
from bench.evaluation.perceptual_similarity import Similarity, build_similarity
from bench.evaluation.weights import MissingWeightsError
from tests.evaluation.test_features import CPU, State, noisy, refuse
from tests.evaluation.weights_files import drawn_state, put_weights


@pytest.fixture(scope="module")
def state() -> State:
    """Drawn weights of AlexNet; the classifier, which LPIPS does not use, is kept small."""
    network = torchvision.models.alexnet(weights=None)
    network.classifier = torch.nn.Sequential(torch.nn.Dropout(), torch.nn.Linear(3, 2))
    return drawn_state(network)


@pytest.fixture
def similarity(state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Similarity:
    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.setenv("SPADE_BENCH_CACHE", str(tmp_path / "cache"))
    put_weights("alexnet", state, tmp_path / "weights", monkeypatch)
    return build_similarity("LPIPS@alex", CPU)


@pytest.mark.filterwarnings("ignore::UserWarning:torchvision")
def test_equals_the_packages_own_network(similarity: Similarity, state: State) -> None:
    real, judged = noisy(3, 64, 96, seed=1), noisy(3, 64, 96, seed=2)
    network = lpips.LPIPS(net="alex", version="0.1", pnet_rand=True, verbose=False)
    layers = [layer for cut in range(1, 6) for layer in getattr(network.net, f"slice{cut}").children()]
    convolutions = [layer for layer in layers if isinstance(layer, torch.nn.Conv2d)]
    published = [key for key in state if key.startswith("features.") and key.endswith("weight")]
    assert len(published) == len(convolutions) == 5
    for layer, key in zip(convolutions, published, strict=True):
        layer.weight.data.copy_(state[key])
        assert layer.bias is not None
        layer.bias.data.copy_(state[key.replace("weight", "bias")])
    with torch.no_grad():
        a, b = (torch.from_numpy(x).permute(0, 3, 1, 2).float() / 127.5 - 1.0 for x in (real, judged))
        expected = network(a, b).flatten().numpy()
    found = similarity(real, judged)
    assert found.shape == (3,)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert expected.min() > 0.01


def test_equal_images_are_at_0_and_worse_copies_are_farther(similarity: Similarity) -> None:
    real = noisy(2, 64, 64, seed=5)
    random = np.random.default_rng(6)
    copies = [
        np.clip(real + random.normal(0.0, noise, real.shape), 0, 255).astype(np.uint8) for noise in (0, 10, 40, 120)
    ]
    found = np.array([similarity(real, copy) for copy in copies])
    assert np.array_equal(found[0], [0.0, 0.0])
    assert (np.diff(found, axis=0) > 0).all()
    np.testing.assert_allclose(similarity(copies[2], real), found[2], rtol=1e-5)


def test_a_pair_does_not_depend_on_the_pairs_beside(similarity: Similarity) -> None:
    real, judged = noisy(3, 48, 64, seed=7), noisy(3, 48, 64, seed=8)
    apart = np.concatenate([similarity(real[:1], judged[:1]), similarity(real[1:], judged[1:])])
    np.testing.assert_allclose(apart, similarity(real, judged), rtol=1e-5)


def test_errors_are_explained(
    similarity: Similarity, state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = noisy(1, 64, 64)
    with pytest.raises(ValueError, match="no perceptual distance is called 'LPIPS@vgg'; known are: LPIPS@alex"):
        build_similarity("LPIPS@vgg", CPU)
    with pytest.raises(ValueError, match=r"real images have shape \(1, 64, 64, 3\), judged ones \(1, 64, 48, 3\)"):
        similarity(images, images[:, :, :48])
    with pytest.raises(ValueError, match=r"type float32; expected \(N, H, W, 3\) uint8"):
        similarity(images, images.astype(np.float32))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="images are 64x30 px; LPIPS@alex needs at least 31 px on each side"):
        similarity(images[:, :30], images[:, :30])
    assert similarity(images[:, :31, :31], images[:, :31, :31]) == [0.0]
    wrong = {key: value for key, value in state.items() if key != "features.3.bias"}
    put_weights("alexnet", wrong, tmp_path / "wrong", monkeypatch)
    with pytest.raises(CheckpointError, match="(?s)not a checkpoint of this network.*1 missing: features.3.bias"):
        build_similarity("LPIPS@alex", CPU)
    monkeypatch.setenv("SPADE_BENCH_WEIGHTS", str(tmp_path / "none"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "none"))
    with pytest.raises(MissingWeightsError, match="weights file alexnet-owt-7be5be79.pth is missing"):
        build_similarity("LPIPS@alex", CPU)
