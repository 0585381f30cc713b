"""The networks of SIMS: the published parameter counts, shapes, what they refuse."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from torch import nn

from baselines.sims.canvas import IDENTITY, source_pixels
from baselines.sims.losses import (
    COLOUR_WEIGHT,
    Perceptual,
    perceptual_loss,
    placement_losses,
    synthesis_losses,
)
from baselines.sims.matching import Moments, changed, matching_map, moments
from baselines.sims.networks import (
    OrderingNetwork,
    SynthesisNetwork,
    TransformationNetwork,
    initialize,
    placed_means,
    transformed,
)
from baselines.sims.settings import OrderingSettings, SynthesisSettings, TransformationSettings

FACTS = Path(__file__).resolve().parents[1] / "facts"
PUBLISHED = {
    "SIMS synthesis 256x512": 55671319,
    "SIMS synthesis 512x1024": 56138903,
    "SIMS ordering network": 15267476,
    "SIMS transformation network": 14734086,
}


def parameters(network: nn.Module) -> int:
    return sum(each.numel() for each in network.parameters())


def test_the_parameter_counts_are_the_published_ones() -> None:
    with torch.device("meta"):
        counts = {
            "SIMS synthesis 256x512": parameters(SynthesisNetwork(SynthesisSettings())),
            "SIMS synthesis 512x1024": parameters(SynthesisNetwork(SynthesisSettings(size=(512, 1024)))),
            "SIMS ordering network": parameters(OrderingNetwork(OrderingSettings())),
            "SIMS transformation network": parameters(TransformationNetwork(TransformationSettings())),
        }
    assert counts == PUBLISHED


def test_the_counts_of_the_facts_are_those() -> None:
    with (FACTS / "baseline_counts.csv").open(newline="") as stream:
        rows = {row["network"]: int(row["params"]) for row in csv.DictReader(stream)}
    assert {name: rows[name] for name in PUBLISHED} == PUBLISHED


@pytest.mark.parametrize("size", [(16, 64), (64, 32), (512, 512)])
def test_the_synthesis_network_works_at_any_aspect(size: tuple[int, int]) -> None:
    network = SynthesisNetwork(SynthesisSettings(classes=5, width=2, size=size))
    initialize(network, 0)
    with torch.no_grad():
        image, logits = network(torch.rand(2, 5, *size), torch.zeros(2, 3, *size), torch.zeros(2, 1, *size))
    assert image.shape == (2, 3, *size)
    assert logits.shape == (2, 5, *size)
    assert image.std() > 0


def test_wrong_sizes_are_refused_with_the_remedy() -> None:
    with pytest.raises(ValueError, match=r"size is 64x72; .* multiples of 16"):
        SynthesisSettings(size=(64, 72))
    with pytest.raises(ValueError, match=r"OrderingSettings.classes is 1; it must be at least 2"):
        OrderingSettings(classes=1)
    with pytest.raises(ValueError, match=r"TransformationSettings.width is 0; it must be at least 1"):
        TransformationSettings(width=0)
    network = SynthesisNetwork(SynthesisSettings(classes=3, width=1, size=(16, 16)))
    with pytest.raises(ValueError, match=r"made for \(16, 16\) .* the input has \(32, 32\)"):
        network(torch.zeros(1, 3, 32, 32), torch.zeros(1, 3, 32, 32), torch.zeros(1, 1, 32, 32))


def test_an_untrained_transformation_matches_the_moments_of_segment_and_region() -> None:
    network = TransformationNetwork(TransformationSettings(classes=3, width=2))
    initialize(network, 1)
    segment, region = torch.zeros(2, 1, 1, 32, 64)
    segment[..., 8:16, 10:20] = 1
    region[..., 4:20, 30:50] = 1  # twice the size
    wanted = torch.cat([torch.zeros(1, 2, 32, 64), region], 1)
    theta = network(torch.rand(1, 3, 32, 64) * segment, segment, wanted)
    torch.testing.assert_close(theta, torch.tensor([[[0.5, 0.0, -0.65625], [0.0, 0.5, -0.125]]]), atol=1e-5, rtol=0)
    assert ((transformed(segment, theta) > 0.5) != region.bool()).sum() < 0.1 * region.sum()
    still = network(torch.rand(1, 3, 32, 64) * segment, segment, torch.cat([segment, torch.zeros(1, 2, 32, 64)], 1))
    torch.testing.assert_close(still, torch.tensor(IDENTITY, dtype=torch.float32)[None], atol=1e-6, rtol=0)


def test_the_matching_map_of_boxes_is_exact_down_to_a_pixel() -> None:
    """Four px onto one, one onto four: a pixel's own extent is in the spread."""
    wide, narrow = torch.zeros(2, 1, 1, 16, 32)
    wide[..., 4:8, 8:12] = 1
    narrow[..., 2:3, 20:21] = 1
    for segment, region, scale in ((wide, narrow, 4.0), (narrow, wide, 0.25)):
        theta = matching_map(moments(segment), moments(region))[0]
        torch.testing.assert_close(theta[:, :2], scale * torch.eye(2), atol=1e-4, rtol=0)


def test_a_change_of_a_map_is_told_in_spreads_of_the_region() -> None:
    """The same change moves a small and a large region by the same share of their sizes; none leaves the map."""
    region = Moments(mean=torch.tensor([[0.3, -0.2], [0.0, 0.5]]), spread=torch.tensor([[0.1, 0.2], [0.4, 0.05]]))
    theta = torch.tensor([[[0.8, 0.1, 0.2], [-0.1, 1.3, 0.4]]]).expand(2, -1, -1)
    assert torch.equal(changed(theta, torch.zeros(2, 2, 3), region), theta)
    change = torch.tensor([[[0.2, -0.3, 0.5], [0.1, 0.0, -1.0]]]).expand(2, -1, -1)
    in_spreads = torch.tensor([1.5, -0.5])
    point = region.mean + region.spread * in_spreads
    moved = point + region.spread * (change[0, :, :2] @ in_spreads + change[0, :, 2])
    found = torch.einsum("nij,nj->ni", changed(theta, change, region), torch.cat([point, torch.ones(2, 1)], 1))
    wanted = torch.einsum("nij,nj->ni", theta, torch.cat([moved, torch.ones(2, 1)], 1))
    torch.testing.assert_close(found, wanted)


def test_both_samplers_move_a_segment_alike() -> None:
    """The whole-pixel sampler of the canvas is torch's nearest one, up to ties."""
    theta = torch.tensor([[[0.83, 0.11, 0.21], [-0.07, 1.19, -0.13]]], dtype=torch.float64)
    values = torch.arange(24.0 * 40, dtype=torch.float64).reshape(1, 1, 24, 40) + 1
    grid = nn.functional.affine_grid(theta, [1, 1, 24, 40], align_corners=False)
    wanted = nn.functional.grid_sample(values, grid, mode="nearest", align_corners=False)[0, 0].numpy()
    source, inside = source_pixels(theta[0].numpy(), (24, 40))
    found = (values.numpy().ravel()[source] * inside).reshape(24, 40)
    assert (found == wanted).mean() > 0.999


def test_the_ordering_network_scores_every_class() -> None:
    network = OrderingNetwork(OrderingSettings(classes=7, width=2))
    initialize(network, 0)
    assert network(torch.rand(3, 6, 32, 64)).shape == (3, 7)


def test_crns_label_weighting_is_the_plain_mean_for_one_image() -> None:
    """Errors weighted by each class's mask and added up, as CRN writes it, against the plain mean."""
    torch.manual_seed(0)
    fake, real = torch.rand(1, 3, 16, 16, dtype=torch.float64), torch.rand(1, 3, 16, 16, dtype=torch.float64)
    classes = nn.functional.one_hot(torch.randint(0, 4, (1, 16, 16)), 4).permute(0, 3, 1, 2).double()

    def features(images: torch.Tensor) -> list[torch.Tensor]:
        return [nn.functional.avg_pool2d(images, 2)]

    weighted = torch.zeros((), dtype=torch.float64)
    for side, by in ((16, 1.0), (8, 0.5)):
        pooled = [nn.functional.avg_pool2d(x, 16 // side) for x in (fake, real, classes)]
        error = (pooled[0] - pooled[1]).abs().mean(1, keepdim=True) * (127.5 if side == 16 else 1.0)
        weighted = weighted + (error * pooled[2]).mean((2, 3)).sum() / by
    plain = perceptual_loss(fake, real, Perceptual(name="pool", features=features, divisors=(1.0, 0.5)))
    torch.testing.assert_close(plain, weighted, rtol=1e-12, atol=0)


def test_the_losses_are_refused_or_weighted() -> None:
    with pytest.raises(ValueError, match=r"Perceptual.divisors is \(1.0, 0.0\)"):
        Perceptual(name="x", features=lambda images: [], divisors=(1.0, 0.0))
    lacking = Perceptual(name="x", features=lambda images: [], divisors=(1.0, 2.0))
    image = torch.zeros(1, 3, 8, 8)
    with pytest.raises(ValueError, match=r"features 'x' gave 0 maps; there are divisors for 1"):
        perceptual_loss(image, image, lacking)
    plain = Perceptual(name="none", features=lambda images: [], divisors=(1.0,))
    ids = torch.zeros(1, 8, 8, dtype=torch.int64)
    terms = synthesis_losses(image, torch.zeros(1, 4, 8, 8), image + 0.2, ids, plain)
    torch.testing.assert_close(terms["perceptual"], torch.tensor(0.2 * 127.5))
    torch.testing.assert_close(terms["semantic"], 10 * torch.tensor(4.0).log())


def test_a_segment_that_vanishes_or_lies_elsewhere_loses_to_one_in_place() -> None:
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., :4] = 1
    segment = 0.5 * mask.expand(1, 3, 8, 8)
    same = placement_losses(segment, mask, segment, mask)
    assert {name: float(value) for name, value in same.items()} == {"masked_l1": 0.0, "apart": 0.0}
    gone = placement_losses(torch.zeros_like(segment), torch.zeros_like(mask), segment, mask)
    assert {name: float(value) for name, value in gone.items()} == {"masked_l1": 0.0, "apart": 1.0}
    half = placement_losses(segment.roll(2, 3), mask.roll(2, 3), segment, mask)
    assert 0.2 < float(half["apart"]) < 0.5
    brighter = placement_losses(segment + 0.25 * mask, mask, segment, mask)
    torch.testing.assert_close(brighter["masked_l1"], torch.tensor(COLOUR_WEIGHT * 0.125))


def test_a_segment_of_other_colours_gains_nothing_by_covering_less() -> None:
    """With the L1 divided by a fixed area, half as much cover was half the loss, and segments fled their regions."""
    wanted = torch.zeros(1, 1, 16, 16)
    wanted[..., 4:12, 4:12] = 1
    half = wanted.clone()
    half[..., 8:] = 0
    colours = torch.ones(1, 3, 16, 16)
    whole = placement_losses(colours * wanted, wanted, -colours * wanted, wanted)
    less = placement_losses(colours * half, half, -colours * wanted, wanted)
    torch.testing.assert_close(less["masked_l1"], whole["masked_l1"])
    assert less["apart"] > whole["apart"]


@pytest.mark.parametrize("shift", [-3, 3])
def test_from_whole_pixels_the_loss_leads_towards_the_region(shift: int) -> None:
    """Bilinear sampling where the map meets whole pixels: the least of the masks' overlap led the same way for both."""
    mask = torch.zeros(1, 1, 32, 64)
    mask[..., 8:20, 20:40] = 1
    theta = torch.eye(2, 3)[None].requires_grad_()
    moved = transformed(mask, theta)
    placement_losses(moved, moved, mask.roll(shift, 3), mask.roll(shift, 3))["apart"].backward()
    assert theta.grad is not None
    assert float(theta.grad[0, 0, 2]) * shift > 0, "descent lowers the shift of the samples for a region further right"


def test_the_pooling_of_the_transformation_network_tells_where_things_are() -> None:
    spot = torch.zeros(1, 6, 4, 8)
    spot[..., 0, 6] = 1
    means = placed_means(spot)[0] * 32
    torch.testing.assert_close(means, torch.tensor([1.0, 0.625, -0.75, 1.0, 0.625, -0.75]))
