"""CRN: parameter counts, sizes, what its loss is made of, its perceptual networks, the balance of its terms."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.batch import Batch
from baselines.building import build_networks
from baselines.crn import features
from baselines.crn.features import CaffeVGG19, PerceptualFeatures, load_caffe_vgg19, load_efficientnet_lite0
from baselines.crn.loss import TermBalance, class_distances, mostly_the_best
from baselines.crn.network import CrnGenerator, module_sizes
from baselines.recipe import CODE, CRN, CRN_SUBSTITUTE, Recipe
from baselines.settings import CrnSettings
from baselines.steps import build_step
from bench.evaluation.weights import require_weights
from spade_core.label_spec import LabelSpec
from spade_core.labels import LabelMap
from tests.spade_core.golden import image, labels

FACTS = Path(__file__).parents[1] / "facts" / "baseline_counts.csv"
SPEC = LabelSpec(classes=4, dont_care=True, instance_edges=True)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def counted() -> list[tuple[str, int, int, int, int]]:
    """(network, height, images, label ids, parameters) of every CRN in the table of facts."""
    found = []
    with FACTS.open(encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            if match := re.match(r"CRN (\d+)p(?:, (\d) images?)?", row["network"]):
                ids = int(row["setting"].split()[0])
                found.append((row["network"], int(match[1]), int(match[2] or 1), ids, int(row["params"])))
    return found


def test_parameter_counts_are_those_of_the_released_code() -> None:
    rows = counted()
    assert len(rows) == 8
    for name, height, images, ids, params in rows:
        with torch.device("meta"):
            network = CrnSettings(images=images).build(LabelSpec(classes=ids), (height, 2 * height))
        assert sum(parameter.numel() for parameter in network.parameters()) == params, name


def test_modules_start_at_4_px_height_whatever_the_aspect() -> None:
    assert module_sizes((256, 512))[:2] == [(4, 8), (8, 16)]
    assert module_sizes((256, 256))[-1] == (256, 256)
    assert module_sizes((64, 20)) == [(4, 1), (8, 2), (16, 5), (32, 10), (64, 20)]
    assert module_sizes((100, 150)) == [(6, 9), (12, 19), (25, 38), (50, 75), (100, 150)]
    with pytest.raises(ValueError, match="an image of 3 x 8 pixels .* is lower than CRN's first module"):
        module_sizes((3, 8))
    with pytest.raises(ValueError, match="CRN was published with at most 9 modules"):
        CrnSettings(width=4).build(SPEC, (2048, 8))


def network_and_map(images: int = 3, size: tuple[int, int] = (20, 28)) -> tuple[CrnGenerator, LabelMap]:
    torch.manual_seed(0)
    ids, instances = labels(2, *size, SPEC.ids, 5)
    return CrnSettings(width=8, images=images).build(SPEC, size).double(), LabelMap(ids, instances, SPEC)


def test_the_first_image_is_the_one_to_look_at_clipped() -> None:
    network, label_map = network_and_map()
    with torch.no_grad():
        network.to_rgb.weight.mul_(20)
        every = network(label_map, every_image=True)
        assert every.shape == (2, 3, 3, 20, 28)
        assert every.abs().max() > 1
        assert torch.equal(network(label_map), every[:, 0].clamp(-1, 1))
    with pytest.raises(ValueError, match="takes no z"):
        network(label_map, torch.zeros(2, 8))
    with pytest.raises(ValueError, match=r"has 3 modules, for images of 20 x 28 .*a map of 64 x 64 needs 5"):
        network(LabelMap(torch.zeros(1, 64, 64, dtype=torch.int64), torch.zeros(1, 64, 64), SPEC))


def test_the_network_is_the_papers_computed_by_hand() -> None:
    """Area-averaged map, align_corners upsampling, layer norm over height, width and channels; no instance edges."""
    network, label_map = network_and_map(images=1, size=(8, 12))
    one_hot = F.one_hot(label_map.labels, SPEC.ids).permute(0, 3, 1, 2).double()
    x: Tensor | None = None
    for module in network.refinement:
        size = (4, 6) if x is None else (8, 12)
        seen = F.avg_pool2d(one_hot, 2) if x is None else one_hot
        if x is not None:
            seen = torch.cat([F.interpolate(x, size, mode="bilinear", align_corners=True), seen], 1)
        x = seen
        for number in range(2):
            norm = getattr(module, f"norm_{number}")
            x = F.conv2d(x, getattr(module, f"conv_{number}").weight, padding=1)
            mean, var = x.mean((1, 2, 3), keepdim=True), x.var((1, 2, 3), keepdim=True, correction=0)
            x = (x - mean) / (var + 1e-12).sqrt() * norm.weight[:, None, None] + norm.bias[:, None, None]
            x = torch.where(x > 0, x, 0.2 * x)
    assert x is not None
    expected = F.conv2d(x, network.to_rgb.weight, network.to_rgb.bias)
    torch.testing.assert_close(network(label_map, every_image=True)[:, 0], expected, rtol=1e-12, atol=1e-12)


def test_the_loss_takes_the_best_image_for_each_class() -> None:
    """By loops over images, maps and classes, as the paper writes it."""
    torch.manual_seed(1)
    n, k, ids, size = 2, 3, 4, (6, 8)
    masks = F.one_hot(torch.randint(0, ids, (n, *size)), ids).permute(0, 3, 1, 2).double()
    pairs = [(torch.randn(n * k, c, *s).double(), torch.randn(n, c, *s).double()) for c, s in ((3, size), (5, (3, 4)))]
    scales = torch.tensor([1.0, 2.5]).double()
    shares = [masks, F.avg_pool2d(masks, 2)]
    expected = torch.zeros(2).double()
    for i in range(n):
        for c in range(ids):
            errors = torch.stack(
                [
                    torch.stack([(share[i, c] * (d[i * k + j] - r[i]).abs().mean(0)).mean() for j in range(k)])
                    for (d, r), share in zip(pairs, shares, strict=True)
                ]
            )
            best = (errors * scales[:, None]).sum(0).argmin()
            expected += (0.999 * errors[:, best] + 0.001 * errors.mean(1)) / n
    distances = torch.stack([class_distances(drawn, real, masks) for drawn, real in pairs])
    weighted, terms = mostly_the_best(distances, scales)
    torch.testing.assert_close(terms, expected)
    torch.testing.assert_close(weighted, expected * scales)
    one = class_distances(pairs[0][0][::k], pairs[0][1], masks)[None]
    torch.testing.assert_close(mostly_the_best(one, scales[:1])[0][0], F.l1_loss(pairs[0][0][::k], pairs[0][1]))


def test_distances_are_summed_in_float32_whatever_the_features_are() -> None:
    torch.manual_seed(3)
    masks = F.one_hot(torch.randint(0, 3, (1, 32, 32)), 3).permute(0, 3, 1, 2).float()
    drawn, real = torch.randn(2, 4, 32, 32), torch.randn(1, 4, 32, 32)
    expected = class_distances(drawn, real, masks)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = class_distances(drawn, real, masks)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected)


def test_terms_are_divided_by_their_mean_over_the_epoch_agreed() -> None:
    balance, again = TermBalance(2, after_epochs=2), TermBalance(2, after_epochs=2)
    for epoch, terms in ((1, [9.0, 9.0]), (2, [1.0, 4.0]), (2, [3.0, 8.0]), (3, [7.0, 7.0]), (4, [5.0, 5.0])):
        balance.begin_step(epoch)
        assert balance.divisors((1.0, 0.5)).tolist() == ([1.0, 0.5] if epoch <= 2 else [2.0, 6.0])
        balance.count(torch.tensor(terms), epoch)
        again.load_state_dict(balance.state_dict())
        balance = again  # what goes on is what was saved
    skipping = TermBalance(1, after_epochs=100)
    for epoch in (97, 99, 101):  # an epoch shorter than a batch
        skipping.begin_step(epoch)
        skipping.count(torch.tensor([float(epoch)]), epoch)
    assert skipping.divisors((1.0,)).tolist() == [99.0]
    with pytest.raises(ValueError, match="the state is of 2 loss terms, this step has 1"):
        skipping.load_state_dict(balance.state_dict())


@pytest.fixture
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """VGG19 with a 16th of its channels."""
    narrow = tuple((block, count, channels // 16) for block, count, channels in features._BLOCKS)
    monkeypatch.setattr(features, "_BLOCKS", narrow)


def filled() -> CaffeVGG19:
    torch.manual_seed(2)
    network = CaffeVGG19()
    for parameter in network.parameters():
        parameter.data.normal_(0, 0.05)
    return network


def matlab_file(path: Path, network: CaffeVGG19, *, older: bool = False, skip: str = "") -> Path:
    """A file as MatConvNet writes it: a cell array of structures, filters (3, 3, C_in, C_out)."""
    from scipy.io import savemat

    cells = []
    for name, convolution in network.convolutions.items():
        if name == skip:
            continue
        assert isinstance(convolution, nn.Conv2d)
        assert convolution.bias is not None
        filters, bias = convolution.weight.permute(2, 3, 1, 0).numpy(), convolution.bias.numpy()
        bias = bias[None] if older else bias[:, None]
        held = np.empty(2, object)
        held[:] = [filters, bias]
        values = {"filters": filters, "biases": bias} if older else {"weights": held[None]}
        cells += [{"name": name, "type": "conv", **values}, {"name": name.replace("conv", "relu"), "type": "relu"}]
    array = np.empty((1, len(cells)), object)
    array[0] = cells
    savemat(path, {"layers": array, "meta": {"classes": "none"}})
    return path


def test_vgg_has_the_shapes_of_vgg19() -> None:
    from torchvision.models import vgg19

    with torch.device("meta"):
        theirs = [layer for layer in vgg19(weights=None).features if isinstance(layer, nn.Conv2d)][:14]
        ours = list(CaffeVGG19().convolutions.values())
    assert [layer.weight.shape for layer in ours] == [layer.weight.shape for layer in theirs]


@pytest.mark.usefixtures("_narrow")
@pytest.mark.parametrize("older", [False, True])
def test_matconvnets_file_is_read_in_both_its_forms(older: bool, tmp_path: Path) -> None:
    network = filled()
    loaded = load_caffe_vgg19(matlab_file(tmp_path / "vgg.mat", network, older=older))
    for name, value in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


@pytest.mark.usefixtures("_narrow")
def test_an_unfit_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="none.mat, and there is no such file"):
        load_caffe_vgg19(tmp_path / "none.mat")
    lacking = matlab_file(tmp_path / "lacking.mat", filled(), skip="conv3_2")
    with pytest.raises(ValueError, match=r"(?s)lacking.mat: not MatConvNet's VGG19:.*missing: conv3_2"):
        load_caffe_vgg19(lacking)
    other = tmp_path / "other.mat"
    other.write_bytes(b"<html>" * 100)
    with pytest.raises(ValueError, match=r"other.mat: cannot be read as a MATLAB file"):
        load_caffe_vgg19(other)


@pytest.mark.usefixtures("_narrow")
def test_caffes_vgg_takes_values_of_255_less_the_mean_and_pools_by_averages() -> None:
    network = filled().double()
    real = image(1, 18, 22, 3).double()
    mean = torch.tensor([123.68, 116.779, 103.939]).double()[:, None, None]
    x = (real + 1) / 2 * 255 - mean.float().double()
    expected = []
    for block, count in ((1, 2), (2, 2), (3, 4), (4, 4), (5, 2)):
        if block > 1:
            x = averaged_as_tensorflow(x)
        for number in range(1, count + 1):
            layer = network.convolutions[f"conv{block}_{number}"]
            x = F.relu(F.conv2d(x, layer.weight, layer.bias, padding=1))  # type: ignore[arg-type]
            if number == 2:
                expected.append(x)
    for ours, theirs in zip(network(real), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
    assert network.divisors_at(256) == (1.0, 1.6, 2.3, 1.8, 2.8, 0.08)
    assert network.divisors_at(512) == network.divisors_at(1024) == (1.0, 2.6, 4.8, 3.7, 5.6, 0.15)


def averaged_as_tensorflow(x: Tensor) -> Tensor:
    """2 x 2 means; a last odd row or column by itself, without the padding."""
    height, width = x.shape[2:]
    ones = torch.ones_like(x)
    padding = (0, width % 2, 0, height % 2)
    return F.avg_pool2d(F.pad(x, padding), 2) / F.avg_pool2d(F.pad(ones, padding), 2)


class Halves(PerceptualFeatures):
    """Means of 2 x 2 pixels, in place of a network."""

    layers = ("halves",)
    divisors = ((2047, (1.0, 0.5)),)

    def forward(self, images: Tensor) -> list[Tensor]:
        return [F.avg_pool2d(images, 2)]


def trained(
    perceptual: PerceptualFeatures, recipe: Recipe, images: int, steps: int, px: int = 16
) -> list[dict[str, float]]:
    settings = CrnSettings(width=8, images=images)
    networks = build_networks(settings, recipe, SPEC, (px, px), 0)
    work = build_step(recipe, networks, perceptual)
    ids, instances = labels(2, px, px, SPEC.ids, 5)
    batch = Batch(spec=SPEC, labels=ids, instances=instances, images=image(2, px, px, 4))
    found = []
    for number in range(steps):
        work.epoch = number // 10 + 1
        found.append({name: value.item() for name, value in work([batch]).items()})
    return found


def test_the_step_learns_and_balances_its_terms_after_the_epoch_agreed() -> None:
    losses = trained(Halves(), replace(CRN, balance_after_epochs=3, learning_rate_generator=3e-3), 2, 32)
    assert list(losses[0]) == ["generator/pixel", "generator/perceptual"]
    assert losses[29]["generator/pixel"] < 0.8 * losses[0]["generator/pixel"]
    for value in losses[30].values():
        assert value == pytest.approx(1.0, abs=0.2)  # each by its own mean over the third epoch


def test_the_substitute_is_a_network_that_saw_photographs() -> None:
    network = load_efficientnet_lite0(require_weights("efficientnet-lite0"))
    found = network(image(1, 64, 48, 2))
    assert [tuple(item.shape[1:]) for item in found] == [
        *((16, 32, 24), (24, 16, 12), (40, 8, 6), (112, 4, 3), (320, 2, 1)),
    ]
    first = trained(network, CRN_SUBSTITUTE, 2, 1, px=32)[0]
    assert 0 < first["generator/perceptual"] < float("inf")
    with pytest.raises(ValueError, match="images of 16 x 32 pixels .* are too small for efficientnet-lite0"):
        network(torch.zeros(1, 3, 16, 32))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: replace(CRN, perceptual_network="vgg19"), "step 'crn' compares features of 'vgg19-caffe' or"),
        (lambda: replace(CODE, perceptual_network="vgg19-caffe"), "step 'shared' compares features of 'vgg19'"),
        (lambda: replace(CODE, balance_after_epochs=3), "balance_after_epochs is for step 'crn'"),
        (lambda: replace(CRN, balance_after_epochs=0), "balance_after_epochs is 0; it must be at least 1, or None"),
        (lambda: replace(CRN, discriminator=CODE.discriminator), "has neither a discriminator nor an image encoder"),
        (lambda: CrnSettings(images=0), "images is 0; it must be at least 1"),
    ],
)
def test_what_does_not_go_together_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
