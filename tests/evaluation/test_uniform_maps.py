"""Why normalization washes labels out and SPADE does not: the mathematics of the paper's figure 3, in float64."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

from baselines.registry import get_variant
from bench.evaluation.uniform_maps import (
    Statistics,
    UniformResponse,
    first_normalization,
    respond,
    uniform_maps,
    untrained_generator,
)
from spade_core.label_spec import LabelSpec
from tests.tiny import Z_DIM, small

SPEC = LabelSpec(classes=5, instance_edges=True)
SIZE = (64, 64)
LABELS = (0, 2, 3)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@cache
def response(name: str, statistics: Statistics, seed: int = 0) -> UniformResponse:
    variant = small(get_variant(name))
    z_dim = Z_DIM if getattr(variant.generator, "source", "segmap") == "z" else None
    generator = untrained_generator(variant, SPEC, SIZE, seed)
    return respond(name, generator, LABELS, SPEC, SIZE, statistics=statistics, z_dim=z_dim)


@pytest.mark.parametrize("seed", range(3))
def test_behind_the_first_normalization(seed: int) -> None:
    """Rounding is about 1e-16 of the values, divided by the square root of epsilon, 1e-5: some 1e-14."""
    found = first_normalization(6, (24, 32), seed)
    assert found["reflection padding, instance norm"] < 1e-13
    assert found["reflection padding, batch norm, one label"] < 1e-13
    assert found["zero padding, instance norm"] > 1.0  # the border leaks
    assert found["reflection padding, batch norm, all labels"] > 1.0  # what differs in the batch is not taken away
    assert found["reflection padding, SPADE on instance norm"] > 0.05  # the map is shown again


def test_what_spade_makes_of_constants_is_beta_alone() -> None:
    """Away from the border the normalized features are zero, so the label's beta is all there is."""
    from spade_core.normalization import SPADE

    torch.manual_seed(0)
    layer = SPADE(4, SPEC.channels, "instance", 3, 8).double()
    maps = uniform_maps(LABELS, SPEC, (12, 12))
    constants = torch.randn(len(LABELS), 4, 1, 1, dtype=torch.float64).expand(-1, -1, 12, 12)
    _, beta = layer.modulation(maps, (12, 12))
    torch.testing.assert_close(layer(constants, maps), beta, rtol=0, atol=1e-11)


def test_pix2pixhd_draws_one_image_whatever_the_label() -> None:
    found = response("pix2pixhd", "alone")
    assert (found.distance, found.share, found.told_apart) == (0.0, 0.0, False)
    assert np.abs(found.images).max() > 0
    assert found.share_as_computed > 1e-14  # in floating point rounding errors are left, and grow from norm to norm


def test_batch_norm_washes_out_one_label_and_not_several() -> None:
    assert response("pix2pixhd-pp", "alone").share == 0.0
    assert response("pix2pixhd-pp", "together").share > 0.1


@pytest.mark.parametrize(
    ("name", "statistics"),
    [
        ("spade-decoder", "alone"),
        ("spade-decoder", "together"),
        ("spade-decoder-instance-norm", "alone"),
        ("concat-decoder", "alone"),
        ("crn-single", "alone"),
    ],
)
def test_a_map_that_is_shown_again_is_told_apart(name: str, statistics: Statistics) -> None:
    found = response(name, statistics)
    assert found.share > 0.1
    assert found.share == pytest.approx(found.share_as_computed, rel=1e-6)
    assert found.images.shape == (3, *SIZE, 3)


def test_from_one_random_vector_the_maps_still_differ_by_their_modulation() -> None:
    assert response("spade-decoder-random-input", "alone").told_apart


def test_running_statistics_stay_as_training_left_them() -> None:
    generator = untrained_generator(small(get_variant("pix2pixhd-pp")), SPEC, SIZE, 0)
    before = {key: value.clone() for key, value in generator.state_dict().items()}
    respond("x", generator, LABELS, SPEC, SIZE, statistics="running")
    for key, value in generator.state_dict().items():
        assert torch.equal(value, before[key]), key
    with pytest.raises(ValueError, match=r"labels \[1\]: a distance needs at least two"):
        respond("x", generator, [1], SPEC, SIZE, statistics="running")
    with pytest.raises(ValueError, match="label ids out of range: 7"):
        respond("x", generator, [1, 7], SPEC, SIZE, statistics="running")
