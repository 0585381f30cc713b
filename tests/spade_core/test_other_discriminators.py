"""Residual discriminators and SPADE inside: shapes, what they see, and that batches do not see one another."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from spade_core.discriminators import Conditioned
from spade_core.label_spec import LabelSpec
from spade_core.labels import LabelMap
from spade_core.normalization import SPADE
from spade_core.plain import plain_formulation
from spade_core.settings import DiscriminatorSettings
from tests.spade_core.golden import image, label_map

SPEC = LabelSpec(classes=5, instance_edges=True)
KINDS = ("resnet", "spade")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def built(kind: str, **changes: Any) -> Any:
    settings = DiscriminatorSettings(**{"kind": kind, "width": 8, "hidden": 4, **changes})
    return settings.build(SPEC).double().eval()


def pair(seed: int = 1, batches: int = 1) -> Conditioned:
    images = torch.cat([image(2, 64, 64, seed + number).double() for number in range(batches)])
    return Conditioned(label_map=label_map(2, 64, 64, 5, seed, spec=SPEC), images=images)


def shapes(features: list[list[Tensor]]) -> list[list[tuple[int, ...]]]:
    return [[tuple(layer.shape[1:]) for layer in scale] for scale in features]


def test_channels_and_strides_are_those_of_the_patch_discriminator() -> None:
    patch, spade, resnet = (shapes(built(kind)(pair())) for kind in ("patch", "spade", "resnet"))
    assert spade == patch
    assert [[layer[0] for layer in scale] for scale in resnet] == [[layer[0] for layer in scale] for scale in patch]
    assert resnet[0] == [(8, 32, 32), (16, 16, 16), (32, 8, 8), (64, 8, 8), (1, 8, 8)]
    assert [layer[1] for layer in resnet[1]] == [16, 8, 4, 4, 4]
    deeper = shapes(built("resnet", layers=5, scales=1)(pair()))
    assert deeper[0][-1] == (1, 4, 4)


@pytest.mark.parametrize("kind", KINDS)
def test_fake_and_real_in_one_batch_are_judged_as_by_themselves(kind: str) -> None:
    discriminator, both = built(kind), pair(batches=2)
    together = discriminator(both)
    for number in range(2):
        alone = discriminator(Conditioned(label_map=both.label_map, images=both.images[2 * number : 2 * number + 2]))
        for ours, theirs in zip(together, alone, strict=True):
            for layer, expected in zip(ours, theirs, strict=True):
                torch.testing.assert_close(layer[2 * number : 2 * number + 2], expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_the_plain_formulation_is_the_same(kind: str) -> None:
    discriminator = built(kind)
    found = discriminator(pair())
    with plain_formulation():
        plain = discriminator(pair())
    for ours, theirs in zip(sum(found, []), sum(plain, []), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_another_map_is_another_judgement_at_every_scale(kind: str) -> None:
    discriminator, images = built(kind), image(2, 64, 64, 3).double()
    maps = [LabelMap(torch.full((2, 64, 64), label), torch.zeros(2, 64, 64), SPEC) for label in (0, 1)]
    one, other = (discriminator(Conditioned(label_map=item, images=images)) for item in maps)
    for ours, theirs in zip(one, other, strict=True):
        assert not torch.allclose(ours[-1], theirs[-1])


def test_the_residual_block_by_hand() -> None:
    discriminator, given = built("resnet", scales=1, spectral_norm=False), pair()
    judge = discriminator.discriminators[0]
    x = torch.cat([given.label_map.one_hot((64, 64), torch.float64), given.images], dim=1)
    for number, block in enumerate(judge.blocks):
        residual = x if number == 0 else F.leaky_relu(x, 0.2)
        residual = block.conv_1(F.leaky_relu(block.conv_0(residual), 0.2))
        x = residual + block.conv_s(x)
        x = F.avg_pool2d(x, 2) if number < 3 else x
        torch.testing.assert_close(discriminator(given)[0][number], x, rtol=1e-9, atol=1e-9)


def test_spade_stands_where_the_instance_norms_stood() -> None:
    norms = [module for module in built("spade").modules() if isinstance(module, SPADE)]
    assert [norm.layer.channels for norm in norms] == [16, 32, 64, 16, 32, 64]
    assert {norm.mlp_shared[0].in_channels for norm in norms} == {SPEC.channels}
    with pytest.raises(ValueError, match="kind is 'vit'; allowed are 'patch', 'resnet', 'spade'"):
        DiscriminatorSettings(kind="vit")  # type: ignore[arg-type]
