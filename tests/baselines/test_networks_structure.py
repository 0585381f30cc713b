"""What the golden numbers do not cover: local enhancer, the two conditionings, released names, errors."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from baselines.concat import ConcatResBlock
from baselines.pix2pixhd import LocalEnhancer, ResidualBlock
from baselines.settings import ConcatDecoderSettings, Conditioning, LocalEnhancerSettings, Pix2pixHDSettings
from spade_core.label_spec import LabelSpec
from spade_core.labels import LabelMap
from spade_core.normalization import SPADE
from spade_core.released import load_released_state_dict, to_released_state_dict
from tests.spade_core.golden import golden, label_map

SPEC = LabelSpec(classes=6, instance_edges=True)
SMALL = Pix2pixHDSettings(width=4, down=2, blocks=2, norm="instance", spectral_norm=False)
PLUS_PLUS = Pix2pixHDSettings(width=4, down=2, blocks=2, norm="sync_batch", spectral_norm=True)
LOCAL = LocalEnhancerSettings(global_generator=SMALL, width=2, blocks=2)


def conditioned(conditioning: Conditioning) -> Pix2pixHDSettings:
    return Pix2pixHDSettings(
        width=4, down=2, blocks=2, norm="sync_batch", spectral_norm=True, conditioning=conditioning, hidden=8
    )


def batch(height: int = 32, width: int = 48) -> LabelMap:
    return label_map(2, height, width, 6, 1, spec=SPEC)


@pytest.mark.parametrize(
    "settings",
    [SMALL, PLUS_PLUS, conditioned("spade"), conditioned("concat"), LOCAL],
    ids=["pix2pixHD", "pix2pixHD++", "w/ SPADE", "w/ Concat", "local"],
)
def test_written_and_read_again_the_network_is_the_same(settings: Pix2pixHDSettings | LocalEnhancerSettings) -> None:
    torch.manual_seed(0)
    generator, twin = (settings.build(SPEC, (32, 48)).eval() for _ in range(2))
    load_released_state_dict(twin, to_released_state_dict(generator))
    with torch.no_grad():
        output = generator(batch())
        assert torch.equal(twin(batch()), output)
    assert output.shape == (2, 3, 32, 48)
    assert output.abs().max() <= 1


@pytest.mark.parametrize(("name", "norm"), [("pix2pixhd_spectralsync", "sync_batch"), ("nvidia_pix2pixhd_global", "")])
def test_released_names(name: str, norm: str) -> None:
    case = golden("networks")[name]
    settings = Pix2pixHDSettings(width=8, norm="sync_batch" if norm else "instance", spectral_norm=bool(norm))
    with torch.device("meta"):
        generator = settings.build(LabelSpec(classes=11), (64, 64))
    written = to_released_state_dict(generator)
    assert list(written) == list(case["keys"])


def test_local_enhancer_has_nvidias_names() -> None:
    with torch.device("meta"):
        local = LocalEnhancerSettings().build(LabelSpec(classes=35, instance_edges=True), (512, 1024))
    shapes = {key: tuple(value.shape) for key, value in to_released_state_dict(local).items()}
    expected = {
        "model.1.weight": (64, 36, 7, 7),
        "model.34.weight": (128, 64, 3, 3),
        "model1_1.1.weight": (32, 36, 7, 7),
        "model1_1.4.weight": (64, 32, 3, 3),
        "model1_2.0.conv_block.1.weight": (64, 64, 3, 3),
        "model1_2.2.conv_block.5.bias": (64,),
        "model1_2.3.weight": (64, 32, 3, 3),
        "model1_2.7.weight": (3, 32, 7, 7),
    }
    assert {key: shapes[key] for key in expected} == expected
    assert "model.38.weight" not in shapes
    assert len(shapes) == 2 * (1 + 4 + 18 + 4) + 2 * (2 + 6 + 1 + 1)


def test_local_enhancer_adds_the_global_features_of_the_averaged_map() -> None:
    torch.manual_seed(0)
    local = LOCAL.build(SPEC, (32, 48))
    assert isinstance(local, LocalEnhancer)
    generator = SMALL.build(SPEC, (16, 24))
    local.load_global_generator(generator)
    seen: list[torch.Tensor] = []
    local.blocks[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    maps = batch()
    one_hot = maps.one_hot((32, 48))
    local(maps)
    half = nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)(one_hot)
    expected = local.down(local.stem(one_hot, maps), maps) + generator.trunk(half, maps)
    torch.testing.assert_close(seen[0], expected)
    with pytest.raises(ValueError, match="built with other settings"):
        local.load_global_generator(PLUS_PLUS.build(SPEC, (16, 24)))


def test_concat_block_shows_the_map_to_every_convolution() -> None:
    torch.manual_seed(0)
    block = ConcatResBlock(4, 2, SPEC.channels, norm="instance", spectral_norm=False)
    maps, x = batch(8, 8), torch.randn(2, 4, 8, 8)
    one_hot = maps.one_hot((8, 8))
    assert block.conv_s is not None

    def normed(y: torch.Tensor) -> torch.Tensor:
        return F.instance_norm(y)

    first = block.conv_0(torch.cat([F.leaky_relu(normed(x), 0.2), one_hot], dim=1))
    second = block.conv_1(torch.cat([F.leaky_relu(normed(first), 0.2), one_hot], dim=1))
    shortcut = block.conv_s(torch.cat([normed(x), one_hot], dim=1))
    torch.testing.assert_close(block(x, maps), shortcut + second)


def test_concat_decoder_has_every_size() -> None:
    for upsampling, size in (("normal", 32), ("more", 64), ("most", 128)):
        settings = ConcatDecoderSettings(width=2, upsampling=upsampling)  # type: ignore[arg-type]
        generator = settings.build(SPEC, (size, size)).eval()
        assert generator(batch(size, size)).shape == (2, 3, size, size)


def test_conditionings_show_the_label_map_where_they_say() -> None:
    with_spade = conditioned("spade").build(SPEC, (32, 48))
    assert sum(isinstance(m, SPADE) for m in with_spade.modules()) == 1 + 2 + 4 + 2
    with_concat = conditioned("concat").build(SPEC, (32, 48))
    blocks = [m for m in with_concat.modules() if isinstance(m, ResidualBlock)]
    assert [(b.conv_0.conv.in_channels, b.conv_1.conv.in_channels) for b in blocks] == [(16 + 7, 16)] * 2


def test_errors_are_explained() -> None:
    with pytest.raises(ValueError, match=r"30 x 48 pixels.*2 halvings.*multiples of 2\*\*2 = 4"):
        SMALL.build(SPEC, (30, 48))
    with pytest.raises(ValueError, match="3 halvings"):
        LOCAL.build(SPEC, (36, 48))
    with pytest.raises(ValueError, match="takes no z"):
        SMALL.build(SPEC, (32, 48))(batch(), torch.zeros(2, 4))
    with pytest.raises(ValueError, match="must be twice as wide"):
        LocalEnhancerSettings(global_generator=SMALL, width=4)
    with pytest.raises(ValueError, match="conditioning is 'spade'; the local enhancer has only 'input'"):
        LocalEnhancerSettings(global_generator=conditioned("spade"), width=2)
    with pytest.raises(ValueError, match="Pix2pixHDSettings: down is 0; .*norm is 'none'; allowed are 'sync_batch'"):
        Pix2pixHDSettings(down=0, norm="none", spectral_norm=True)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="ConcatDecoderSettings: upsampling is 'all'; allowed are 'normal', 'more'"):
        ConcatDecoderSettings(upsampling="all")  # type: ignore[arg-type]
