"""From a variant and its recipe to initialised networks."""

from __future__ import annotations

import torch

from baselines.recipe import Recipe
from baselines.steps import Networks
from baselines.variant import GeneratorSettings
from spade_core.initialization import initialize
from spade_core.label_spec import LabelSpec


def build_networks(
    generator: GeneratorSettings, recipe: Recipe, spec: LabelSpec, size: tuple[int, int], seed: int
) -> Networks:
    """Generator, discriminator and encoder on the CPU, initialised as the recipe says, from ``seed`` alone.

    The state of torch's random generator is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        networks = Networks(
            generator=generator.build(spec, size),
            discriminator=recipe.discriminator.build(spec) if recipe.discriminator is not None else None,
            encoder=recipe.encoder.build() if recipe.encoder is not None else None,
        )
        for network in networks.named().values():
            initialize(network, recipe.initialization)
    return networks


def count_parameters(settings: GeneratorSettings, spec: LabelSpec, size: tuple[int, int]) -> int:
    """Trainable numbers of the generator alone, as the paper counts them; no memory is taken for them."""
    with torch.device("meta"):
        network = settings.build(spec, size)
    return sum(parameter.numel() for parameter in network.parameters())
