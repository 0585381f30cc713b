"""The fast networks compute what the plain formulation computes, forward and backward, whatever the label map."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from bench.benchmarks.reference import DenseGenerator
from spade_core import normalization
from spade_core.blocks import SpadeResBlock
from spade_core.costs import Layer, rates_of, tables_are_faster
from spade_core.discriminators import Conditioned
from spade_core.label_layers import convolved_map, convolved_with_map
from spade_core.label_spec import LabelSpec
from spade_core.labels import LabelMap
from spade_core.normalization import SPADE
from spade_core.settings import DiscriminatorSettings, NormKind, SpadeSettings, Upsampling
from spade_core.spectral_norm import conv2d
from spade_core.windows import Frame
from tests.spade_core.golden import image, label_map
from tests.spade_core.maps import label_maps, same_again

CLOSE = {"rtol": 1e-9, "atol": 1e-11}
SPEC = LabelSpec(classes=11, dont_care=True, instance_edges=True)


@contextmanager
def way(tables: bool) -> Iterator[None]:
    """SPADE goes the one way or the other, whatever the costs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(normalization, "tables_are_faster", lambda *_, **__: tables)
        yield


def gradients(output: Tensor, inputs: list[Tensor], seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(output.shape, dtype=output.dtype, generator=generator)
    return list(torch.autograd.grad((output * weight).sum(), inputs))


def assert_equal_but_for_rounding(ours: list[Tensor], theirs: list[Tensor]) -> None:
    """Relative to the largest of all, since some gradients are mathematically zero."""
    scale = max(float(value.abs().max()) for value in theirs)
    for mine, expected in zip(ours, theirs, strict=True):
        assert (mine - expected).abs().max() <= 1e-10 * scale


@settings(max_examples=120, deadline=None)
@given(
    maps=label_maps(),
    kernel=st.sampled_from([1, 3, 5]),
    tables=st.booleans(),
    norm=st.sampled_from(["sync_batch", "batch", "instance"]),
    training=st.booleans(),
    slope=st.sampled_from([1.0, 0.2, 0.0]),
)
def test_spade_equals_its_plain_formulation(
    maps: LabelMap, kernel: int, tables: bool, norm: NormKind, training: bool, slope: float
) -> None:
    height, width = maps.size
    values = height * width if norm == "instance" else len(maps) * height * width
    assume(values > 1 or (norm != "instance" and not training))  # a single value cannot be normalized
    torch.manual_seed(0)
    layer = SPADE(3, maps.spec.channels, norm, kernel, 4).double().train(training)
    twin = copy.deepcopy(layer)
    x = torch.randn(len(maps), 3, height, width, dtype=torch.float64, requires_grad=True)
    with way(tables):
        ours = layer(x, maps, slope=slope)
        gamma, beta = layer.modulation(maps, maps.size)
    theirs = F.leaky_relu(twin.at_every_pixel(x, maps), slope)
    torch.testing.assert_close(ours, theirs, **CLOSE)
    assert_equal_but_for_rounding(gradients(ours, [x, *layer.parameters()]), gradients(theirs, [x, *twin.parameters()]))
    for name, value in layer.named_buffers():
        torch.testing.assert_close(value, twin.get_buffer(name), **CLOSE)
    hidden = twin.mlp_shared(maps.one_hot(maps.size, torch.float64))
    torch.testing.assert_close((gamma, beta), (twin.mlp_gamma(hidden), twin.mlp_beta(hidden)), **CLOSE)


@pytest.mark.parametrize("tables", [True, False], ids=["tables", "every pixel"])
@pytest.mark.parametrize(
    ("upsampling", "size", "kernel", "norm", "spectral"),
    [
        ("normal", (64, 96), 3, "sync_batch", True),
        ("normal", (96, 64), 5, "batch", False),
        ("more", (64, 128), 1, "sync_batch", True),
        ("normal", (64, 64), 3, "instance", True),
        ("most", (128, 128), 3, "sync_batch", True),
    ],
)
def test_the_generator_equals_the_released_order_of_operations(
    tables: bool, upsampling: Upsampling, size: tuple[int, int], kernel: int, norm: NormKind, spectral: bool
) -> None:
    torch.manual_seed(0)
    options = SpadeSettings(width=4, hidden=6, upsampling=upsampling, kernel=kernel, norm=norm, spectral_norm=spectral)
    fast = options.build(SPEC, size).train()
    dense = DenseGenerator(options, SPEC, size).train()
    dense.load_state_dict(fast.state_dict(), strict=True)
    batch = label_map(2, *size, SPEC.ids, 5, spec=SPEC)
    with way(tables):
        for network in (fast, dense):  # a first step in float32, which moves statistics and power iterations
            network(batch)
        with torch.no_grad():
            assert (fast.eval()(batch) - dense.eval()(batch)).abs().max() < 1e-4
        for network in (fast, dense):
            network.train().double()
        ours, theirs = fast(batch), dense(batch)
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)  # buffers have the rounding of float32
        assert (ours - theirs).abs().max() < 1e-5
        dense.load_state_dict(fast.state_dict(), strict=True)
        ours, theirs = fast(batch), dense(batch)
        torch.testing.assert_close(ours, theirs, **CLOSE)
        assert_equal_but_for_rounding(
            gradients(ours, list(fast.parameters())),
            gradients(theirs, [dense.get_parameter(name) for name, _ in fast.named_parameters()]),
        )
    for name, value in fast.named_buffers():
        torch.testing.assert_close(value, dense.get_buffer(name), **CLOSE)


@pytest.mark.parametrize("tables", [True, False], ids=["tables", "every pixel"])
def test_equal_input_gives_equal_bits_forward_and_backward(tables: bool) -> None:
    torch.manual_seed(0)
    generator = SpadeSettings(width=4, hidden=8).build(SPEC, (64, 64)).eval()
    batch = label_map(2, 64, 64, SPEC.ids, 5, spec=SPEC)
    with way(tables):
        runs = []
        for maps in (batch, batch, same_again(batch)):
            output = generator(maps)
            runs.append([output.detach(), *gradients(output, list(generator.parameters()))])
    for again in runs[1:]:
        assert all(torch.equal(a, b) for a, b in zip(runs[0], again, strict=True))


def test_a_compiled_block_computes_everything_at_every_pixel() -> None:
    """``fullgraph``: nothing falls out of the graph, so no size in it depends on the data."""
    torch.manual_seed(0)
    block = SpadeResBlock(4, 2, SPEC.channels, SpadeSettings(hidden=4)).eval()
    batch = label_map(1, 8, 8, SPEC.ids, 5, spec=SPEC)
    x = torch.randn(1, 4, 4, 4)
    compiled = torch.compile(block, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x, same_again(batch), doubled=True), block(x, batch, doubled=True))


@pytest.mark.slow
def test_compiled_networks_equal_the_others_forward_and_backward() -> None:
    torch.manual_seed(0)
    generator = SpadeSettings(width=2, hidden=4).build(SPEC, (64, 64)).train()
    batch = label_map(2, 64, 64, SPEC.ids, 5, spec=SPEC)
    twin = copy.deepcopy(generator)
    ours = torch.compile(twin, backend="aot_eager", fullgraph=True)(same_again(batch))
    theirs = generator(batch)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    found, expected = gradients(ours, list(twin.parameters())), gradients(theirs, list(generator.parameters()))
    largest = max(float(value.abs().max()) for value in expected)
    assert all((a - b).abs().max() < 1e-3 * largest for a, b in zip(found, expected, strict=True))
    discriminator = DiscriminatorSettings(width=4).build(SPEC).eval()
    pair = Conditioned(label_map=batch, images=image(2, 64, 64, 3))
    compiled = torch.compile(discriminator, backend="aot_eager", fullgraph=True)(pair)
    for mine, others in zip(compiled, discriminator(pair), strict=True):
        torch.testing.assert_close(mine, others, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_what_never_repeats_is_computed_at_every_pixel_and_what_repeats_once(device: str) -> None:
    layer, rates = Layer(channels=128, hidden=128, kernel=3), rates_of(device)
    pixels = 256 * 256
    assert not tables_are_faster(layer, pixels=pixels, windows=pixels, patches=pixels, rates=rates)
    assert tables_are_faster(layer, pixels=pixels, windows=pixels // 33, patches=pixels // 11, rates=rates)


def test_patches_of_a_map_that_never_repeats_are_not_even_looked_for() -> None:
    spec = LabelSpec(classes=64 * 64)
    maps = LabelMap(torch.randperm(64 * 64).view(1, 64, 64), None, spec)
    layer = SPADE(64, spec.channels, "instance", 3, 128)
    layer(torch.randn(1, 64, 64, 64), maps)
    windows = maps.windows_at((64, 64), Frame(kernel=3, padding=1))
    assert len(windows.windows) == 64 * 64
    assert "patches" not in vars(windows)


@settings(max_examples=60, deadline=None)
@given(
    maps=label_maps(smallest=4),
    kernel=st.sampled_from([1, 3, 4, 7]),
    stride=st.integers(1, 2),
    reflect=st.booleans(),
    spectral=st.booleans(),
    bias=st.booleans(),
    joined=st.booleans(),
)
def test_convolutions_of_the_map_equal_those_of_the_one_hot_map(
    maps: LabelMap, kernel: int, stride: int, reflect: bool, spectral: bool, bias: bool, joined: bool
) -> None:
    torch.manual_seed(0)
    margin = kernel // 2
    reflect = reflect and margin > 0
    channels = maps.spec.channels + (3 if joined else 0)
    convolution = conv2d(
        channels, 5, kernel, stride=stride, padding=0 if reflect else margin, bias=bias, spectral_norm=spectral
    )
    convolution.double().eval()
    x = torch.randn(len(maps), 3, *maps.size, dtype=torch.float64, requires_grad=True)
    one_hot = maps.one_hot(maps.size, torch.float64)
    inputs = list(convolution.parameters())
    pixels = margin if reflect else 0
    if joined:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("spade_core.label_layers._COPY_COST", 0)
            ours = convolved_with_map(convolution, x, maps, reflect=pixels)
        one_hot, inputs = torch.cat([x, one_hot], dim=1), [x, *inputs]
    else:
        ours = convolved_map(convolution, maps, maps.size, reflect=pixels)
    theirs = convolution(F.pad(one_hot, [pixels] * 4, mode="reflect") if reflect else one_hot)
    torch.testing.assert_close(ours, theirs, **CLOSE)
    assert_equal_but_for_rounding(gradients(ours, inputs), gradients(theirs, inputs))


@settings(max_examples=30, deadline=None)
@given(maps=label_maps(smallest=2))
def test_averages_of_the_map_equal_those_of_the_one_hot_map(maps: LabelMap) -> None:
    expected = maps.one_hot(maps.size, torch.float64)
    pool = nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)
    for halvings in (1, 2):
        expected = pool(expected)
        torch.testing.assert_close(maps.averaged(halvings, torch.float64), expected, **CLOSE)


@pytest.mark.parametrize("spectral", [True, False], ids=["spectral", "plain"])
def test_the_discriminator_on_map_and_images_equals_the_one_on_their_channels(spectral: bool) -> None:
    """Two batches of images for one batch of maps, as a step gives them; gradients of images and parameters."""
    torch.manual_seed(0)
    discriminator = DiscriminatorSettings(width=4, scales=3, spectral_norm=spectral).build(SPEC).double().train()
    twin = copy.deepcopy(discriminator)
    maps = label_map(2, 64, 96, SPEC.ids, 5, spec=SPEC)
    images = image(4, 64, 96, 3).double().requires_grad_()
    pair = Conditioned(label_map=maps, images=images)
    ours, theirs = discriminator(pair), twin(pair.joined(torch.float64))
    for mine, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, expected, **CLOSE)
    found, expected_gradients = (
        gradients(torch.cat([layer.flatten() for scale in features for layer in scale]), [images, *net.parameters()])
        for features, net in ((ours, discriminator), (theirs, twin))
    )
    assert_equal_but_for_rounding(found, expected_gradients)
