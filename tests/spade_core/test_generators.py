from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from spade_core.blocks import SpadeResBlock
from spade_core.encoder import reparameterize
from spade_core.label_spec import LabelSpec
from spade_core.labels import LabelMap
from spade_core.normalization import SPADE, affine_norm, param_free_norm
from spade_core.settings import DiscriminatorSettings, EncoderSettings, SpadeSettings, Upsampling
from spade_core.sync_batch_norm import SyncBatchNorm2d
from tests.spade_core.golden import image, label_map

SPEC = LabelSpec(classes=5)


def shapes_into_blocks(generator: nn.Module, batch: LabelMap) -> list[tuple[int, ...]]:
    """Channels, height and width of what each block works on, its input doubled where it doubles it."""
    shapes: list[tuple[int, ...]] = []

    def record(_: nn.Module, inputs: tuple[Tensor, LabelMap], options: dict[str, bool]) -> None:
        factor = 2 if options.get("doubled") else 1
        channels, height, width = inputs[0].shape[1:]
        shapes.append((channels, factor * height, factor * width))

    for block in generator.modules():
        if isinstance(block, SpadeResBlock):
            block.register_forward_pre_hook(record, with_kwargs=True)
    generator(batch)
    return shapes


@pytest.mark.parametrize(
    ("upsampling", "size", "expected"),
    [
        ("normal", (32, 64), [(32, 1, 2), (32, 2, 4), (32, 2, 4), (32, 4, 8), (16, 8, 16), (8, 16, 32), (4, 32, 64)]),
        ("more", (64, 64), [(32, 1, 1), (32, 2, 2), (32, 4, 4), (32, 8, 8), (16, 16, 16), (8, 32, 32), (4, 64, 64)]),
        (
            "most",
            (128, 128),
            [(32, 1, 1), (32, 2, 2), (32, 4, 4), (32, 8, 8), (16, 16, 16), (8, 32, 32), (4, 64, 64), (2, 128, 128)],
        ),
    ],
)
def test_sizes_through_the_decoder(
    upsampling: Upsampling, size: tuple[int, int], expected: list[tuple[int, ...]]
) -> None:
    settings = SpadeSettings(width=2, hidden=4, upsampling=upsampling)
    generator = settings.build(SPEC, size).eval()
    batch = label_map(2, *size, 5, 1, spec=SPEC)
    assert shapes_into_blocks(generator, batch) == expected
    output = generator(batch)
    assert output.shape == (2, 3, *size)
    assert output.abs().max() <= 1


def test_the_last_block_of_most_has_half_the_width() -> None:
    generator = SpadeSettings(width=6, hidden=4, upsampling="most").build(SPEC, (128, 128))
    assert generator.conv_img.weight.shape == (3, 3, 3, 3)


def test_sizes_that_do_not_fit_are_explained() -> None:
    settings = SpadeSettings(width=2, hidden=4)
    with pytest.raises(ValueError, match=r"48 x 64 pixels \(height x width\).*5 doublings.*multiples of 2\*\*5 = 32"):
        settings.build(SPEC, (48, 64))
    generator = settings.build(SPEC, (64, 64))
    with pytest.raises(ValueError, match="40 x 40 pixels"):
        generator(label_map(1, 40, 40, 5, 1, spec=SPEC))
    assert generator.eval()(label_map(1, 32, 96, 5, 1, spec=SPEC)).shape == (1, 3, 32, 96)


def test_a_random_start() -> None:
    generator = SpadeSettings(width=2, hidden=4, source="z", z_dim=6).build(SPEC, (32, 64)).eval()
    batch = label_map(2, 32, 64, 5, 1, spec=SPEC)
    z = torch.randn(2, 6)
    assert torch.equal(generator(batch, z), generator(batch, z))
    assert not torch.equal(generator(batch, z), generator(batch, -z))
    torch.manual_seed(3)
    drawn = generator(batch)
    torch.manual_seed(3)
    assert torch.equal(drawn, generator(batch, torch.randn(2, 6)))
    with pytest.raises(ValueError, match=r"z has the shape \(2, 5\); it must be \(2, 6\)"):
        generator(batch, z[:, :5])
    with pytest.raises(ValueError, match=r"built for 32 x 64 pixels.*the label map has 64 x 64"):
        generator(label_map(2, 64, 64, 5, 1, spec=SPEC), z)
    with pytest.raises(ValueError, match="takes no z; build it with source='z'"):
        SpadeSettings(width=2, hidden=4).build(SPEC, (32, 32))(label_map(2, 32, 32, 5, 1, spec=SPEC), z)


def test_instance_edges_reach_the_image() -> None:
    spec = LabelSpec(classes=5, instance_edges=True)
    torch.manual_seed(0)
    generator = SpadeSettings(width=2, hidden=4).build(spec, (32, 32)).eval()
    ids = torch.zeros(1, 32, 32, dtype=torch.long)
    instances = torch.zeros_like(ids)
    instances[:, :, 16:] = 1
    flat = generator(LabelMap(ids, torch.zeros_like(ids), spec))
    assert not torch.equal(generator(LabelMap(ids, instances, spec)), flat)


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_spade_modulates_by_the_labels_within_its_reach(kernel: int) -> None:
    """A changed pixel changes gamma and beta as far as two convolutions see, and no farther."""
    torch.manual_seed(0)
    layer = SPADE(2, SPEC.channels, "instance", kernel, 8)
    ids = torch.zeros(1, 15, 15, dtype=torch.long)
    x = torch.randn(1, 2, 15, 15)
    before = layer(x, LabelMap(ids, None, SPEC))
    ids[0, 7, 7] = 1
    differs = (layer(x, LabelMap(ids, None, SPEC)) != before).any(1)[0]
    reach = 2 * (kernel // 2)
    assert differs.any(0).nonzero().flatten().tolist() == list(range(7 - reach, 8 + reach))


def test_spade_is_one_plus_gamma_times_normalized_plus_beta() -> None:
    layer = SPADE(2, SPEC.channels, "batch", 3, 4).double()
    batch = label_map(3, 6, 6, 5, 1, spec=SPEC)
    x = torch.randn(3, 2, 6, 6, dtype=torch.float64)
    gamma, beta = layer.modulation(batch, (6, 6))
    mean = x.mean((0, 2, 3), keepdim=True)
    normalized = (x - mean) / ((x - mean).square().mean((0, 2, 3), keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(layer(x, batch), normalized * (1 + gamma) + beta)


def test_normalizations_by_name() -> None:
    assert isinstance(param_free_norm("sync_batch", 3), SyncBatchNorm2d)
    assert not list(param_free_norm("batch", 3).parameters())
    assert [len(list(affine_norm(kind, 3).parameters())) for kind in ("sync_batch", "batch", "instance")] == [2, 2, 0]
    with pytest.raises(ValueError, match="normalization 'layer' is unknown; allowed are 'sync_batch', 'batch' and"):
        param_free_norm("layer", 3)  # type: ignore[arg-type]


def test_bfloat16_autocast_trains_the_whole_generator() -> None:
    generator = SpadeSettings(width=2, hidden=4).build(SPEC, (32, 32))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        generator(label_map(2, 32, 32, 5, 1, spec=SPEC)).float().square().mean().backward()
    gradients: list[Tensor] = [p.grad for p in generator.parameters() if p.grad is not None]
    assert len(gradients) == len(list(generator.parameters()))
    assert all(torch.isfinite(g).all() for g in gradients)


@pytest.mark.parametrize(
    ("layers", "strides"), [(2, [2, 1, 1]), (4, [2, 2, 2, 1, 1]), (5, [2, 2, 2, 2, 1, 1])], ids=["2", "4", "5"]
)
def test_layers_of_the_discriminator(layers: int, strides: list[int]) -> None:
    discriminator = DiscriminatorSettings(layers=layers, width=128, scales=1).build(SPEC)
    convs = [m for m in discriminator.modules() if isinstance(m, nn.Conv2d)]
    assert [conv.stride[0] for conv in convs] == strides
    assert [conv.out_channels for conv in convs[:-1]] == [min(128 * 2**i, 512) for i in range(layers)]


def test_each_scale_of_the_discriminator_sees_half_the_size() -> None:
    torch.manual_seed(0)
    discriminator = DiscriminatorSettings(width=4, scales=3).build(SPEC).eval()
    x = torch.rand(1, 8, 64, 96)
    outputs = discriminator(x)
    pool = nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)
    for discriminator_, features in zip(discriminator.discriminators, outputs, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(discriminator_(x), features, strict=True))
        x = pool(x)


def test_the_encoder_takes_any_size_and_the_sample_its_moments() -> None:
    encoder = EncoderSettings(width=2, z_dim=3).build().eval()
    mu, logvar = encoder(image(2, 96, 160, 3))
    assert mu.shape == logvar.shape == (2, 3)
    noise = torch.randn(2, 3)
    torch.testing.assert_close(reparameterize(mu, logvar, noise), mu + noise * logvar.exp().sqrt())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SpadeSettings(width=0, kernel=2), "SpadeSettings: width is 0; it must be at least 1; kernel is 2; al"),
        (lambda: SpadeSettings(norm="layer"), "norm is 'layer'; allowed are 'sync_batch', 'batch', 'instance'"),
        (lambda: SpadeSettings(upsampling="most", width=1), "upsampling 'most' halves it once more"),
        (lambda: DiscriminatorSettings(layers=1, scales=0), "scales is 0; .* layers is 1; it must be at least 2"),
        (lambda: EncoderSettings(z_dim=0), "EncoderSettings: z_dim is 0"),
    ],
)
def test_settings_are_checked(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]
