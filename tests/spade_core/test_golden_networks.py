"""The networks compute what the released ones compute, read through the released key names."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from spade_core.label_spec import LabelSpec
from spade_core.settings import DiscriminatorSettings, EncoderSettings, SpadeSettings
from tests.spade_core.golden import assert_matches, fill, golden, image, label_map, labels, load_filled

TOLERANCE = 1e-4
SPEC = LabelSpec(classes=10, dont_care=True)
CASES = golden("networks")

GENERATORS = {
    "spade_64": (SpadeSettings(width=8), 7),
    "spade_vae": (SpadeSettings(width=8, source="z"), 10),
    "spade_instance_norm": (SpadeSettings(width=8, norm="instance"), 11),
    "spade_1x1": (SpadeSettings(width=8, kernel=1), 13),
}


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_fill_and_labels_follow_the_readme() -> None:
    values = fill("G.fc.weight", (128, 11, 3, 3))
    np.testing.assert_allclose(values.flat[:3], [-0.13107791543, -0.07862791419, 0.11585977674], atol=1e-11)
    assert values.astype(np.float64).sum() == pytest.approx(-1.75026255, abs=1e-8)
    ids, instances = labels(2, 64, 64, 11, 7)
    assert (int(ids.sum()), int(instances.sum())) == (41510, 44309)


@pytest.mark.parametrize("name", GENERATORS)
def test_generator_equals_the_released_one(name: str) -> None:
    settings, seed = GENERATORS[name]
    case = CASES[name]
    generator = settings.build(SPEC, (64, 64))
    load_filled(generator, case["keys"], "G.")
    assert parameters(generator) == case["params"]
    z = None
    if settings.source == "z":
        z = torch.from_numpy(np.random.RandomState(11).standard_normal((2, 256)).astype(np.float32))
    batch = label_map(2, 64, 64, 11, seed, spec=SPEC)
    with torch.no_grad():
        assert_matches(generator.eval()(batch, z), case["eval"], TOLERANCE)
        assert_matches(generator.train()(batch, z), case["train"], TOLERANCE)


def test_discriminator_equals_the_released_one() -> None:
    case = CASES["disc"]
    discriminator = DiscriminatorSettings(width=8).build(SPEC)
    load_filled(discriminator, case["keys"], "D.")
    assert parameters(discriminator) == case["params"]
    one_hot = label_map(2, 64, 64, 11, 16, spec=SPEC).one_hot((64, 64))
    outputs = discriminator(torch.cat([one_hot, image(2, 64, 64, 17)], dim=1))
    assert [len(scale) for scale in outputs] == [len(scale) for scale in case["feat"]]
    for scale, expected in zip(outputs, case["feat"], strict=True):
        for feature, record in zip(scale, expected, strict=True):
            assert_matches(feature, record, TOLERANCE)


def test_encoder_equals_the_released_one() -> None:
    case = CASES["encoder"]
    encoder = EncoderSettings(width=8).build()
    load_filled(encoder, case["keys"], "E.")
    encoder.eval()
    with torch.no_grad():
        mu, logvar = encoder(image(2, 256, 256, 18))
        resized, _ = encoder(image(2, 128, 128, 19))
    assert_matches(mu, case["mu"], TOLERANCE)
    assert_matches(logvar, case["logvar"], TOLERANCE)
    assert_matches(resized, case["mu_from_128"], TOLERANCE)
