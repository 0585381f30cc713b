"""Feature extractors against the packages they stand for, with files in the published formats and no downloads."""

from __future__ import annotations

import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from numpy.typing import NDArray
from PIL import Image
from pytorch_fid import inception
from pytorch_fid.fid_score import get_activations

from bench.evaluation.features import Extractor, build_extractor, resized_in_float
from bench.evaluation.frechet import frechet_distance
from bench.evaluation.judges.checkpoint import CheckpointError
from bench.evaluation.metric_table import EXTRACTORS
from bench.evaluation.weights import MissingWeightsError, require_weights
from tests.evaluation.weights_files import drawn_state, put_weights

CPU = torch.device("cpu")
Images = NDArray[np.uint8]
State = dict[str, torch.Tensor]


def noisy(count: int, height: int, width: int, seed: int = 0) -> Images:
    """Images with large and small structure."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (count, -(-height // 8), -(-width // 8), 3)).repeat(8, axis=1).repeat(8, axis=2)
    fine = random.integers(-40, 41, (count, height, width, 3))
    return np.clip(coarse[:, :height, :width] + fine, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def states() -> dict[str, State]:
    """Drawn weights of pytorch-fid's network and of torchvision's whole classifier."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inception, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(torchvision.models.Inception3, "load_state_dict", lambda *_: None)
        fid = inception.fid_inception_v3()
    whole = torchvision.models.inception_v3(weights=None, aux_logits=True, init_weights=False)
    return {"inception-fid": drawn_state(fid), "inception-tv2019": drawn_state(whole, seed=2)}


@pytest.fixture(scope="module")
def extractors(states: dict[str, State], tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Extractor]]:
    """All extractors; a download would fail."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPADE_BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(urllib.request, "urlopen", refuse)
        for name, state in states.items():
            old = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
            given = old if name == "inception-tv2019" else state
            put_weights(name, given, tmp_path_factory.getbasetemp() / "drawn", patch)
        yield {name: build_extractor(name, CPU) for name in EXTRACTORS}


def refuse(*_: Any, **__: Any) -> None:
    raise AssertionError("a download was tried")


def pytorch_fids(images: Images, folder: Path, network: torch.nn.Module) -> NDArray[np.float64]:
    """Features as pytorch-fid computes them, from PNG files."""
    files = [folder / f"{index}.png" for index in range(len(images))]
    for image, file in zip(images, files, strict=True):
        Image.fromarray(image).save(file)
    found: NDArray[np.float64] = get_activations(files, network, batch_size=len(files), dims=2048, num_workers=0)
    return found


def close(found: NDArray[np.float32], expected: NDArray[Any]) -> None:
    assert np.ptp(expected, axis=0).max() > 0.1, "features must differ between images"
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize("size", [(64, 96), (320, 310)])
def test_tf_is_pytorch_fid(
    extractors: dict[str, Extractor],
    states: dict[str, State],
    size: tuple[int, int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = inception.load_state_dict_from_url
    assert original is torch.hub.load_state_dict_from_url, "the extractor must put the loader back"
    monkeypatch.setattr(inception, "load_state_dict_from_url", lambda *_, **__: states["inception-fid"])
    images = noisy(2, *size)
    close(extractors["tf"](images), pytorch_fids(images, tmp_path, inception.InceptionV3([3])))


@pytest.mark.parametrize("size", [(64, 96), (320, 310)])
def test_tv2019_is_what_pytorch_fid_did_before_its_own_weights(
    extractors: dict[str, Extractor],
    states: dict[str, State],
    size: tuple[int, int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The package still has that path; it is handed the same values as torchvision's present file."""
    hub = tmp_path / "hub" / "checkpoints"
    hub.mkdir(parents=True)
    torch.save(states["inception-tv2019"], hub / "inception_v3_google-0cc3c7bd.pth")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    images = noisy(2, *size, seed=1)
    old = inception.InceptionV3([3], use_fid_inception=False)
    close(extractors["tv2019"](images), pytorch_fids(images, tmp_path, old))


def test_tv2019_takes_both_of_torchvisions_files(
    states: dict[str, State], extractors: dict[str, Extractor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPADE_BENCH_CACHE", str(tmp_path / "cache"))
    path = put_weights("inception-tv2019", states["inception-tv2019"], tmp_path / "weights", monkeypatch)
    images = noisy(2, 64, 64, seed=2)
    close(build_extractor("tv2019", CPU)(images), extractors["tv2019"](images))
    path.rename(path.with_name("inception_v3_google-0cc3c7bd.pth"))
    with pytest.raises(ValueError, match="inception_v3_google-0cc3c7bd.pth: sha256 is [0-9a-f]{64}, expected 0cc3c7bd"):
        require_weights("inception-tv2019")


def bicubic_weights(size: int, side: int) -> NDArray[np.float64]:
    """(side, size): the antialiased bicubic kernel (a = -1/2), stretched when it shrinks an image."""
    scale = size / side
    support = max(1.0, scale)
    centres = (np.arange(side)[:, None] + 0.5) * scale
    x = np.abs(np.arange(size) + 0.5 - centres) / support
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    weights: NDArray[np.float64] = np.where(x < 1, near, np.where(x < 2, far, 0.0))
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(("size", "side"), [((64, 96), 299), ((330, 512), 299), ((256, 256), 224)])
def test_clean_resizing_is_the_formula_unrounded(size: tuple[int, int], side: int) -> None:
    images = noisy(2, *size, seed=3)
    found = resized_in_float(images, side)
    down, across = bicubic_weights(size[0], side), bicubic_weights(size[1], side)
    planes = images.astype(np.float64).transpose(0, 3, 1, 2)
    expected = np.clip(down @ planes @ across.T, 0.0, 255.0).transpose(0, 2, 3, 1)
    assert found.shape == (2, side, side, 3)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=2e-3)
    assert np.abs(found - found.round()).max() > 0.4, "nothing may be rounded"


def test_clean_is_pytorch_fids_network_behind_that_resizing(
    extractors: dict[str, Extractor], states: dict[str, State], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inception, "load_state_dict_from_url", lambda *_, **__: states["inception-fid"])
    images = noisy(2, 400, 500, seed=4)
    network = inception.InceptionV3([3], resize_input=False).eval()
    fed = torch.from_numpy(resized_in_float(images, 299)).permute(0, 3, 1, 2) / 255.0
    with torch.no_grad():
        close(extractors["clean"](images), network(fed)[0][:, :, 0, 0].numpy())
    assert np.abs(extractors["clean"](images) - extractors["tf"](images)).max() > 0.05


def test_efficientnet_lite0_knows_a_cat(extractors: dict[str, Extractor]) -> None:
    """Real weights on a real photograph: its own classifier names what the features show."""
    from efficientnet_lite_pytorch import EfficientNet
    from skimage import data

    photograph = np.ascontiguousarray(data.chelsea())
    network = EfficientNet.from_name("efficientnet-lite0").eval()
    network.load_state_dict(torch.load(require_weights("efficientnet-lite0"), weights_only=True))
    features = torch.from_numpy(extractors["efficientnet-lite0"](photograph[None]))
    planes = [Image.fromarray(photograph[:, :, c].astype(np.float32)).resize((224, 224), 3) for c in range(3)]
    fed = torch.from_numpy(np.stack([np.asarray(plane).clip(0, 255) for plane in planes]))[None]
    with torch.no_grad():
        logits = network._fc(features)
        torch.testing.assert_close(logits, network((fed - 127.0) / 128.0), rtol=1e-4, atol=1e-4)
    assert int(logits.argmax()) == torchvision.models.AlexNet_Weights.IMAGENET1K_V1.meta["categories"].index(
        "Egyptian cat"
    )
    assert float(logits.softmax(1).max()) > 0.7


def test_distances_on_efficientnet_lite0_grow_with_the_damage(extractors: dict[str, Extractor]) -> None:
    """Patches of photographs, real weights: more noise is farther, and another photograph is farther than a little."""
    from skimage import data

    def patches(photograph: Images, count: int = 14) -> Images:
        random = np.random.default_rng(1)
        rows, columns = (random.integers(0, side - 112, count) for side in photograph.shape[:2])
        return np.stack([photograph[y : y + 112, x : x + 112] for y, x in zip(rows, columns, strict=True)])

    real, other = patches(data.chelsea()), patches(data.coffee())
    noise = np.random.default_rng(2).standard_normal(real.shape)
    damaged = [np.clip(real + size * noise, 0, 255).astype(np.uint8) for size in (4, 16, 64)]
    extract = extractors["efficientnet-lite0"]
    of_real = extract(real)
    distances = [frechet_distance(of_real, extract(images)) for images in damaged]
    assert distances[0] > 1e-3 * np.square(of_real).sum(axis=1).mean()
    assert (np.diff(distances) > 0).all()
    assert frechet_distance(of_real, extract(other)) > 2 * distances[0]


@pytest.mark.parametrize("name", list(EXTRACTORS))
def test_features_do_not_depend_on_the_images_beside(extractors: dict[str, Extractor], name: str) -> None:
    images = noisy(3, 64, 96, seed=5)
    together = extractors[name](images)
    assert together.shape == (3, EXTRACTORS[name].dimensions)
    assert together.dtype == np.float32
    apart = np.concatenate([extractors[name](images[:1]), extractors[name](images[1:])])
    assert np.array_equal(apart, together), "on a CPU features are the same to the bit"
    assert np.abs(together[0] - together[1]).max() > 1e-3 * np.abs(together).max()


def test_building_leaves_the_random_state_alone(extractors: dict[str, Extractor]) -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    build_extractor("efficientnet-lite0", CPU)
    assert torch.equal(torch.rand(4), expected)


def test_errors_are_explained(
    extractors: dict[str, Extractor], states: dict[str, State], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="no feature extractor is called 'inception'; known are: tf, tv2019, clean"):
        build_extractor("inception", CPU)
    images = noisy(2, 64, 64)
    for wrong in (images[0], images.astype(np.float32), images[..., :1], images[:0]):
        with pytest.raises(ValueError, match=r"images have shape .* and type .*; expected \(N, H, W, 3\) uint8"):
            extractors["synthetic-judge"](wrong)
    monkeypatch.setenv("SPADE_BENCH_CACHE", str(tmp_path / "cache"))
    state = dict(states["inception-tv2019"])
    state["Mixed_9z.conv.weight"] = state.pop("Mixed_7c.branch_pool.conv.weight")
    path = put_weights("inception-tv2019", state, tmp_path / "weights", monkeypatch)
    with pytest.raises(
        CheckpointError,
        match=rf"(?s){path.name}: not a checkpoint of this network.*1 missing: Mixed_7c.branch_pool.conv.weight"
        r".*1 unexpected: Mixed_9z.conv.weight",
    ):
        build_extractor("tv2019", CPU)
    path.unlink()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "none"))
    with pytest.raises(MissingWeightsError, match=f"weights file {path.name} is missing .*"):
        build_extractor("tv2019", CPU)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(ValueError, match="(?s)need the package efficientnet-lite-pytorch, which is not installed; run"):
        build_extractor("efficientnet-lite0", CPU)
