"""How a step treats its parts and its noise, for both kinds of step."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from baselines.batch import Batch
from baselines.building import build_networks
from baselines.registry import get_variant
from baselines.steps import build_step
from baselines.switches import switched
from spade_core.label_spec import LabelSpec
from tests.spade_core.golden import image, labels
from tests.tiny import Z_DIM, small, small_recipe

SPEC = LabelSpec(classes=5, instance_edges=True)


def batch(first: int, last: int) -> Batch:
    """Images ``first`` to ``last - 1`` of four."""
    ids, instances = labels(4, 64, 64, SPEC.ids, 3)
    real = image(4, 64, 64, 4).double()
    return Batch(spec=SPEC, labels=ids[first:last], instances=instances[first:last], images=real[first:last])


def gradients(name: str, parts: list[Batch]) -> dict[str, Tensor]:
    """Of every parameter after one step of a variant without batch statistics and power iterations."""
    variant = small(get_variant(name))
    if name != "pix2pixhd":
        variant = switched(variant, ["no-spectral-norm"]).scaled(norm="instance")
    recipe = small_recipe(variant.recipe())
    networks = build_networks(variant.generator, recipe, SPEC, (64, 64), 0)
    for network in networks.named().values():
        network.double().train()
    build_step(recipe, networks, None)(parts)
    named = [(f"{role}.{key}", p) for role, net in networks.named().items() for key, p in net.named_parameters()]
    return {key: parameter.grad for key, parameter in named if parameter.grad is not None}


@pytest.mark.parametrize("name", ["spade-decoder", "pix2pixhd"])
def test_accumulated_parts_give_the_gradients_of_the_whole_batch(name: str) -> None:
    """The discriminator of the shared step sees the updated generator, whose first Adam step is the sign alone."""
    torch.set_num_threads(1)
    whole = gradients(name, [batch(0, 4)])
    for parts in ([batch(0, 2), batch(2, 4)], [batch(i, i + 1) for i in range(4)]):
        found = gradients(name, parts)
        assert list(found) == list(whole)
        largest = max(value.abs().max().item() for value in whole.values())
        for key, value in whole.items():
            np.testing.assert_allclose(found[key].numpy(), value.numpy(), rtol=1e-6, atol=1e-9 * largest, err_msg=key)


class Listening(nn.Module):
    """A generator that remembers each z."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator
        self.heard: list[Tensor] = []

    def forward(self, label_map: object, z: Tensor) -> Tensor:
        self.heard.append(z.detach())
        made: Tensor = self.generator(label_map, z)
        return made


@pytest.mark.parametrize("name", ["spade-decoder-random-input", "spade-decoder-encoder"])
def test_the_discriminators_step_draws_a_new_z(name: str) -> None:
    torch.set_num_threads(1)
    variant = small(get_variant(name))
    recipe = small_recipe(variant.recipe())
    networks = build_networks(variant.generator, recipe, SPEC, (64, 64), 0)
    generator = Listening(networks.generator)
    drawn = (torch.full((4, Z_DIM), 1.0), torch.full((4, Z_DIM), -2.0))
    given = batch(0, 4)
    work = build_step(recipe, replace(networks, generator=generator), None)
    work([replace(given, images=given.images.float(), noise=drawn)])
    first, second = generator.heard
    if networks.encoder is None:
        assert torch.equal(first, drawn[0])
        assert torch.equal(second, drawn[1])
    else:  # z = mu + exp(logvar / 2) * noise, and the encoder has hardly moved: noise decides the difference
        assert ((first - second) > 1.0).all()
