"""Files of the released code: names, shapes, old spectral norm, and what is said when a file does not fit."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from spade_core.label_spec import LabelSpec
from spade_core.released import ReleasedStateDictError, load_released_state_dict, to_released_state_dict
from spade_core.settings import DiscriminatorSettings, EncoderSettings, SpadeSettings
from spade_core.spectral_norm import SpectralNormConvolution
from tests.spade_core.golden import facts, golden, image, label_map

SPECS = {
    "coco": LabelSpec(classes=182, dont_care=True, instance_edges=True),
    "ade20k": LabelSpec(classes=150, dont_care=True),
    "cityscapes": LabelSpec(classes=35, instance_edges=True),
}
SPEC = LabelSpec(classes=10, dont_care=True)


def networks(dataset: str) -> dict[str, nn.Module]:
    spec = SPECS[dataset]
    upsampling = "more" if dataset == "cityscapes" else "normal"
    size = (256, 512) if dataset == "cityscapes" else (256, 256)
    return {
        "latest_net_G.pth": SpadeSettings(upsampling=upsampling).build(spec, size),
        "latest_net_D.pth": DiscriminatorSettings().build(spec),
        "latest_net_E.pth": EncoderSettings().build(),
    }


def small_networks() -> list[nn.Module]:
    return [
        SpadeSettings(width=2, hidden=4).build(SPEC, (64, 64)),
        SpadeSettings(width=2, hidden=4, upsampling="most", spectral_norm=False).build(SPEC, (128, 128)),
        DiscriminatorSettings(width=4, scales=3, layers=5).build(SPEC),
        DiscriminatorSettings(width=4, spectral_norm=False).build(SPEC),
        EncoderSettings(width=2, z_dim=4).build(),
    ]


def changed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: value + 1 for key, value in state.items()}


def discriminator_input() -> Tensor:
    return torch.cat([label_map(2, 64, 64, 11, 1, spec=SPEC).one_hot((64, 64)), image(2, 64, 64, 2)], dim=1)


@pytest.mark.parametrize("dataset", SPECS)
def test_names_and_shapes_are_those_of_the_released_files(dataset: str) -> None:
    with torch.device("meta"):
        modules = networks(dataset)
    for file, module in modules.items():
        expected = {
            row["key"]: tuple(int(n) for n in row["shape"].split("x") if n.isdigit())
            for row in facts("checkpoint_keys")
            if row["dataset"] == dataset and row["file"] == file
        }
        assert expected
        assert {key: tuple(value.shape) for key, value in to_released_state_dict(module).items()} == expected


@pytest.mark.parametrize("index", range(len(small_networks())))
def test_writing_and_reading_gives_the_same_network(index: int) -> None:
    module = small_networks()[index]
    twin = small_networks()[index]
    load_released_state_dict(twin, to_released_state_dict(module))
    for (key, value), other in zip(module.state_dict().items(), twin.state_dict().values(), strict=True):
        assert torch.equal(value, other), key


def test_a_wrapped_models_prefix_is_dropped() -> None:
    module = EncoderSettings(width=2, z_dim=4).build()
    state = changed(to_released_state_dict(module))
    load_released_state_dict(module, {f"module.{key}": value for key, value in state.items()})
    assert all(torch.equal(value, state[key]) for key, value in to_released_state_dict(module).items())


def test_pix2pixhds_discriminator_counts_its_scales_from_the_smallest() -> None:
    module = DiscriminatorSettings(width=8, spectral_norm=False).build(LabelSpec(classes=10, instance_edges=True))
    shapes = golden("train_steps")["pix2pixhd_global"]["keys_discriminator"]
    state = to_released_state_dict(module)
    assert {key: list(value.shape) for key, value in state.items()} == shapes
    assert torch.equal(state["scale1_layer0.0.bias"], module.discriminators[0].layers[0].conv.bias)
    load_released_state_dict(module, {key: torch.full_like(v, float(key[5])) for key, v in state.items()})
    assert [d.layers[4].conv.bias.item() for d in module.discriminators] == [1.0, 0.0]


@pytest.mark.parametrize("with_weight", [True, False], ids=["with weight", "without weight"])
def test_files_without_v_give_the_same_output(with_weight: bool) -> None:
    """torch 0.4.1 wrote weight_orig, weight_u and the normalized weight, and evaluated with the latter."""
    torch.manual_seed(0)
    module = DiscriminatorSettings(width=4).build(SPEC)
    if not with_weight:  # then u and v have to be at their fixed point, as after training
        for layer in module.modules():
            if isinstance(layer, SpectralNormConvolution):
                for _ in range(300):
                    layer.normalized_weight()
    module.eval()
    old = to_released_state_dict(module)
    for key in [key for key in old if key.endswith("weight_v")]:
        v = old.pop(key)
        orig, u = old[key[:-1] + "orig"], old[key[:-1] + "u"]
        if with_weight:
            old[key[:-2]] = orig / torch.dot(u, torch.mv(orig.flatten(1), v))
    twin = DiscriminatorSettings(width=4).build(SPEC).eval()
    load_released_state_dict(twin, old)
    x = discriminator_input()
    for scale, expected in zip(twin(x), module(x), strict=True):
        for feature, other in zip(scale, expected, strict=True):
            torch.testing.assert_close(feature, other, rtol=1e-4, atol=1e-5)


def test_old_statistics_of_instance_norms_are_passed_over() -> None:
    module = DiscriminatorSettings(width=4, spectral_norm=False).build(SPEC)
    state = to_released_state_dict(module)
    state |= {"scale0_layer1.1.running_mean": torch.zeros(8), "scale0_layer1.1.running_var": torch.ones(8)}
    load_released_state_dict(module, state)
    with pytest.raises(ReleasedStateDictError, match=r"1 problems.*\n  unexpected: scale0_layer0\.1\.running_mean"):
        load_released_state_dict(module, state | {"scale0_layer0.1.running_mean": torch.zeros(4)})


def test_everything_that_is_wrong_is_listed_and_nothing_is_loaded() -> None:
    module = EncoderSettings(width=2, z_dim=4).build()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    state = changed(to_released_state_dict(module))
    state["fc_mu.weight"] = state["fc_mu.weight"][:2]
    del state["fc_mu.bias"], state["layer3.0.weight_orig"]
    state["layer9.bias"] = torch.zeros(1)
    with pytest.raises(ReleasedStateDictError, match="does not fit ImageEncoder") as caught:
        load_released_state_dict(module, state)
    lines = str(caught.value).splitlines()[1:]
    assert [line.strip() for line in lines] == [
        "missing: layer3.0.weight_orig (8, 4, 3, 3)",
        "missing: fc_mu.bias (4,)",
        "unexpected: layer9.bias",
        "shape: fc_mu.weight is (2, 256), expected (4, 256)",
    ]
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())


def test_networks_and_formats_without_released_names_are_refused() -> None:
    with pytest.raises(TypeError, match="Linear has no released format"):
        load_released_state_dict(nn.Linear(2, 2), {})
    with pytest.raises(
        ValueError,
        match="no format 'tf'; it has MultiscaleDiscriminator of SPADE, MultiscaleDiscriminator of pix2pixHD",
    ):
        to_released_state_dict(DiscriminatorSettings(width=4).build(SPEC), "tf")
