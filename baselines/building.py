"""From a variant and its recipe to initialised networks."""

from __future__ import annotations

import torch

from baselines.recipe import Recipe
from baselines.steps import Networks
from baselines.variant import GeneratorSettings
from spade_core.initialization import initialize
from spade_core.label_spec import LabelSpec
from spade_core.labels import LabelMap
from spade_core.plain import plain_formulation


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


def count_multiply_adds(settings: GeneratorSettings, spec: LabelSpec, size: tuple[int, int]) -> int:
    """Multiplications with their additions, of the generator for one image of ``size`` = (height, width) px.

    Of its convolutions and matrix products as written down, every convolution at every pixel of the one-hot map:
    what other papers count, not what the faster formulation of SPADE computes. Nothing is computed and no memory is
    taken. Raises whatever a network raises that cannot be run without data.
    """
    from torch.utils.flop_counter import FlopCounterMode

    z_dim = getattr(settings, "z_dim", None) if getattr(settings, "source", "") == "z" else None
    with torch.device("meta"), plain_formulation(), torch.no_grad():
        network = settings.build(spec, size).eval()
        ids = torch.zeros((1, *size), dtype=torch.int64)
        label_map = LabelMap(ids, ids if spec.instance_edges else None, spec, check=False)
        z = torch.zeros(1, z_dim) if z_dim is not None else None
        with FlopCounterMode(display=False) as counter:
            network(label_map, z)
    return int(counter.get_total_flops()) // 2
