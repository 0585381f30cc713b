"""SPADE's relatives: the reductions of the paper's section 3.1 as mathematics, and the figures at their word."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.conditional import ConditionalDecoder, ConditionalNorm, dominant_label
from baselines.settings import ConditionalDecoderSettings, SpadeLiteralSettings
from spade_core.label_spec import LabelSpec
from spade_core.labels import LabelMap
from spade_core.normalization import SPADE
from spade_core.plain import plain_formulation
from tests.spade_core.golden import label_map

ADE20K = LabelSpec(classes=150, dont_care=True)
SPEC = LabelSpec(classes=5)
CHANNELS, HIDDEN, SIDE = 6, 7, 12


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def uniform(*ids: int) -> LabelMap:
    """One map for each id, of that id alone."""
    return LabelMap(torch.tensor(ids)[:, None, None].expand(-1, SIDE, SIDE).contiguous(), None, SPEC)


def constant_modulation(layer: SPADE, colour: Tensor) -> tuple[Tensor, Tensor]:
    """gamma and beta (N, C) far from any border, of maps that have one ``colour`` (N, K) everywhere."""

    def everywhere(convolution: nn.Module, values: Tensor) -> Tensor:
        assert isinstance(convolution, nn.Conv2d)
        assert convolution.bias is not None
        return values @ convolution.weight.sum((2, 3)).T + convolution.bias

    hidden = F.relu(everywhere(layer.mlp_shared[0], colour))
    return everywhere(layer.mlp_gamma, hidden), everywhere(layer.mlp_beta, hidden)


def as_conditional_norm(layer: SPADE, colours: Tensor, norm: str) -> ConditionalNorm:
    """The norm whose tables are SPADE's modulation by each of the ``colours`` (K, K): one row a class."""
    conditional = ConditionalNorm(CHANNELS, len(colours), norm).double()  # type: ignore[arg-type]
    gamma, beta = constant_modulation(layer, colours)
    with torch.no_grad():
        for part, table in ((conditional.to_gamma, gamma), (conditional.to_beta, beta)):
            part.weight.copy_(table.T)
            part.bias.zero_()
    return conditional


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_spade_with_a_constant_map_is_conditional_batch_norm_borders_excepted(kernel: int) -> None:
    layer = SPADE(CHANNELS, SPEC.channels, "batch", kernel, HIDDEN).double()
    x = torch.randn(3, CHANNELS, SIDE, SIDE, dtype=torch.float64)
    classes = (0, 3, 4)
    conditional = as_conditional_norm(layer, torch.eye(SPEC.ids, dtype=torch.float64), "batch")
    expected = conditional(x, F.one_hot(torch.tensor(classes), SPEC.ids).double())
    difference = (layer(x, uniform(*classes)) - expected).abs()
    reach = 2 * (kernel // 2)
    assert difference[:, :, reach : SIDE - reach, reach : SIDE - reach].max() < 1e-12
    if reach:  # zero padding is no label: a border is seen
        assert difference[:, :, 0].max() > 1e-3


class ImageAsMap:
    """Real images where SPADE expects a one-hot map."""

    def __init__(self, images: Tensor) -> None:
        self.images = images

    def one_hot(self, size: tuple[int, int], dtype: torch.dtype) -> Tensor:
        return F.interpolate(self.images, size=size).to(dtype)


def adain(x: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    """Huang and Belongie, equation 8: x with the mean and deviation (C,) of a style's features in each channel."""
    own_mean = x.mean((2, 3), keepdim=True)
    own_deviation = (x.var((2, 3), keepdim=True, correction=0) + 1e-5).sqrt()
    return deviation[:, None, None] * (x - own_mean) / own_deviation + mean[:, None, None]


def test_spade_with_an_image_and_constant_modulation_is_adain() -> None:
    """N = 1, so the statistics of the batch are those of the image; the style's deviation is 1 + gamma."""
    layer = SPADE(CHANNELS, 3, "batch", 3, HIDDEN).double()
    x, colour = torch.randn(1, CHANNELS, SIDE, SIDE, dtype=torch.float64), torch.rand(1, 3, dtype=torch.float64)
    image = colour[:, :, None, None].expand(-1, -1, SIDE, SIDE)
    with plain_formulation():
        found = layer(x, ImageAsMap(image))
    gamma, beta = constant_modulation(layer, colour)
    expected = adain(x, beta[0], 1 + gamma[0])
    assert (found - expected)[:, :, 2:-2, 2:-2].abs().max() < 1e-12
    two = torch.cat([x, torch.randn_like(x)])  # with N = 2 batch statistics are another thing, instance statistics not
    vectors = torch.eye(2, 3, dtype=torch.float64)
    conditional = ConditionalNorm(CHANNELS, 3, "instance").double()
    for number, one in enumerate(conditional(two, vectors)):
        mean, scale = conditional.to_beta(vectors[number]), 1 + conditional.to_gamma(vectors[number])
        torch.testing.assert_close(one, adain(two[number : number + 1], mean, scale)[0], rtol=1e-12, atol=1e-12)


def test_the_class_of_an_image_is_its_most_frequent_label() -> None:
    ids = torch.tensor([[[1, 1], [4, 2]], [[3, 2], [2, 3]]])
    found = dominant_label(LabelMap(ids, None, SPEC))
    assert found.argmax(1).tolist() == [1, 2]
    assert found.sum(1).tolist() == [1, 1]


def decoder(condition: str, norm: str) -> ConditionalDecoder:
    settings = ConditionalDecoderSettings(condition=condition, norm=norm, width=2, z_dim=6)  # type: ignore[arg-type]
    return settings.build(SPEC, (64, 64)).eval()


def test_style_or_class_condition_every_block() -> None:
    batch = label_map(2, 64, 64, 5, 1, spec=SPEC)
    style, by_class = decoder("style", "instance"), decoder("class", "batch")
    z = torch.randn(2, 6)
    assert torch.equal(style(batch, z), style(batch, z))
    assert not torch.equal(style(batch, z), style(batch, -z))
    with pytest.raises(ValueError, match=r"z has the shape \(2, 5\); it must be \(2, 6\)"):
        style(batch, z[:, :5])
    with pytest.raises(ValueError, match="conditioned by the class of the image and takes no z"):
        by_class(batch, z)
    with pytest.raises(ValueError, match="condition is 'map'; allowed are 'class', 'style'"):
        decoder("map", "batch")
    norms = [module for module in by_class.modules() if isinstance(module, ConditionalNorm)]
    assert len(norms) == 18  # as many as the decoder has SPADE layers
    assert all(norm.to_gamma.in_features == SPEC.ids for norm in norms)


@pytest.mark.parametrize(
    ("settings", "millions", "exact"),
    [
        (SpadeLiteralSettings(source="segmap"), 102.06, 102_063_043),
        (SpadeLiteralSettings(shortcut_kernel=1), 99.31, 99_310_531),
        (SpadeLiteralSettings(), 104.88, 104_881_091),
    ],
    ids=["figure 11", "figure 12", "both"],
)
def test_the_figures_at_their_word_have_other_counts_than_the_paper(
    settings: SpadeLiteralSettings, millions: float, exact: int
) -> None:
    with torch.device("meta"):
        network = settings.build(ADE20K, (256, 256))
    count = sum(parameter.numel() for parameter in network.parameters())
    assert (round(count / 1e6, 2), count) == (millions, exact)
    if settings.source == "z":
        assert network.fc.weight.shape == (16_384, 256)
        assert network.start_size == (4, 4)
