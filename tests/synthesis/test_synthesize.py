"""Images of label maps: which, from which z, kept or made again, how different, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from bench.data.registry import dataset_spec
from bench.evaluation.generate import generate_images, noise_for
from bench.store import Store
from bench.synthesis.diversity import feature_distance, pixel_distance
from bench.synthesis.drawing import NamedStyle, Wish, between, drawings
from bench.synthesis.inputs import InputError, LabelInput, label_inputs, split_inputs
from bench.synthesis.model import Style, Synthesizer, synthesizer_of_checkpoint, synthesizer_of_run
from bench.synthesis.styles import read_styles
from bench.synthesis.synthesize import synthesize
from spade_core.released import to_released_state_dict
from spade_core.settings import EncoderSettings, SpadeSettings
from tests.synthesis.conftest import CPU, write_map
from tests.tiny import Z_DIM, splits, tiny_run


def named(name: str, fill: float) -> NamedStyle:
    style = Style(mean=np.full(Z_DIM, fill, np.float32), deviation=np.full(Z_DIM, 0.5, np.float32))
    return NamedStyle(name=name, source=Path(name), sha256="", style=style, pixels=np.zeros((32, 32, 3), np.uint8))


def pixels(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_the_first_sample_is_what_evaluate_draws(styled: Synthesizer) -> None:
    val = splits(tiny_run("spade-decoder-encoder"))[1]
    (given,) = split_inputs(val, 1)
    (drawn,) = drawings(given.id, Wish(seed=5), Z_DIM)
    assert drawn.z is not None
    ours = styled.render(given.labels, given.instances, drawn.z[None])
    theirs = generate_images(styled.generator, val, [0], CPU, z_dim=Z_DIM, noise_seed=5)
    assert np.array_equal(ours[0], theirs[0])


def test_noise_is_a_function_of_seed_and_name() -> None:
    first = drawings("a", Wish(samples=3, seed=1), Z_DIM)
    assert [one.file for one in first] == ["a_sample00.png", "a_sample01.png", "a_sample02.png"]
    again = drawings("a", Wish(samples=2, seed=1), Z_DIM)
    others = [drawings("b", Wish(seed=1), Z_DIM), drawings("a", Wish(seed=2), Z_DIM), first[1:]]
    assert np.array_equal(first[1].z, again[1].z)  # type: ignore[arg-type]
    assert np.array_equal(first[0].z, noise_for("a", 1, Z_DIM))  # type: ignore[arg-type]
    assert all(not np.array_equal(first[0].z, other[0].z) for other in others)  # type: ignore[arg-type]


def test_a_style_is_its_mean_and_then_draws_around_it() -> None:
    wish = Wish(samples=2, styles=(named("dusk", 2.0), named("noon", -1.0)))
    found = {one.file: one.z for one in drawings("a", wish, Z_DIM)}
    assert list(found) == [f"a_style-{name}_sample0{k}.png" for name in ("dusk", "noon") for k in (0, 1)]
    assert found["a_style-noon_sample00.png"].tolist() == [-1.0] * Z_DIM  # type: ignore[union-attr]
    expected = 2.0 + 0.5 * noise_for("a sample 1", 0, Z_DIM)
    np.testing.assert_allclose(found["a_style-dusk_sample01.png"], expected, rtol=1e-6)  # type: ignore[arg-type]


def test_the_way_between_two_z_keeps_its_length() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 64)).astype(np.float32)
    steps = [between(a, b, share) for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
    np.testing.assert_allclose(steps[0], a, rtol=1e-5)
    np.testing.assert_allclose(steps[-1], b, rtol=1e-5)
    lengths = [np.linalg.norm(step) for step in steps]
    np.testing.assert_allclose(np.diff(lengths), np.diff(lengths)[0], rtol=1e-3, atol=1e-4)
    turns = [np.dot(x, y) / np.linalg.norm(x) / np.linalg.norm(y) for x, y in zip(steps, steps[1:], strict=False)]
    np.testing.assert_allclose(turns, turns[0], rtol=1e-4)
    np.testing.assert_allclose(between(a, 2 * a, 0.5), 1.5 * a, rtol=1e-5)
    assert between(np.zeros(2, np.float32), np.ones(2, np.float32), 0.5).tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    ("wish", "told"),
    [
        ({"samples": 4}, "--samples 4: this model makes one image of a label map, there is no z to vary. .*vae"),
        ({"interpolate": 3}, "--interpolate 3: this model makes one image"),
        ({"styles": (named("dusk", 0.0),)}, "--style: this model makes one image"),
    ],
)
def test_a_model_without_z_refuses_what_needs_one(wish: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        drawings("a", Wish(**wish), None)
    assert [one.file for one in drawings("a", Wish(), None)] == ["a.png"]


@pytest.mark.parametrize(
    ("wish", "told"),
    [
        ({"samples": 0}, "--samples is 0; it must be from 1 to 100"),
        ({"interpolate": 1}, "--interpolate is 1 steps; it must be from 2 to 100"),
        ({"interpolate": 3, "styles": (named("a", 0.0),)}, "from one style to another, and 1 were given"),
        ({"interpolate": 3, "samples": 2}, "--samples 2 means nothing with --interpolate"),
        ({"seed": -1}, "--seed is -1; it must be at least 0"),
    ],
)
def test_a_wish_that_means_nothing_is_refused(wish: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Wish(**wish)


@pytest.fixture
def maps(tmp_path: Path, styled: Synthesizer) -> list[LabelInput]:
    for number in range(2):
        write_map(tmp_path / "maps" / f"map{number}.png", seed=number)
    return label_inputs(tmp_path / "maps", None, styled.entry, styled.size)


def test_files_manifest_contact_and_diversity(
    styled: Synthesizer, maps: list[LabelInput], style_files: list[Path], tmp_path: Path
) -> None:
    wish = Wish(samples=2, styles=read_styles(styled, style_files))
    done = synthesize(styled, maps, wish, tmp_path / "out")
    assert (done.made, done.kept) == (8, 0)
    told = json.loads((tmp_path / "out" / "manifest.json").read_text())
    files = [image["file"] for each in told["maps"] for image in each["images"]]
    assert files[:2] == ["map0_style-dusk_sample00.png", "map0_style-dusk_sample01.png"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*files, "manifest.json"}
    shown = done.contact
    assert (shown.file, shown.names) == (tmp_path / "out" / "contact.png", ("map0", "map1"))
    assert shown.captions == ("dusk", "sample 1", "noon", "sample 1")
    assert [style is not None and style.shape == (32, 32, 3) for style in shown.styles] == [True] * 4
    assert [[path.name for path in line] for line in shown.images] == [files[:4], files[4:]]
    assert [colours.shape for colours in shown.maps] == [(32, 32, 3)] * 2
    assert pixels(tmp_path / "out" / files[0]).shape == (32, 32, 3)
    assert not np.array_equal(pixels(tmp_path / "out" / files[0]), pixels(tmp_path / "out" / files[2]))
    assert told["model"]["run_id"] == tiny_run("spade-decoder-encoder").run_id
    assert told["maps"][0]["instances"] == "end where labels do"
    assert [style["name"] for style in told["styles"]] == ["dusk", "noon"]
    measured = told["diversity"]
    assert (measured["over"], len(measured["maps"])) == ("samples", 4)
    pair = np.stack([pixels(tmp_path / "out" / name) for name in files[:2]])
    assert measured["maps"][0]["values"]["L1@pixels"] == pytest.approx(pixel_distance(pair), abs=1e-6)
    assert "LPIPS@alex" in {**measured["mean"], **measured["missing"]}


def test_what_is_there_is_kept_and_what_changed_is_made_again(
    styled: Synthesizer, maps: list[LabelInput], tmp_path: Path
) -> None:
    out = tmp_path / "out"

    def again(wish: Wish, given: list[LabelInput] = maps) -> tuple[int, int]:
        done = synthesize(styled, given, wish, out, diversity=False)
        return done.made, done.kept

    assert again(Wish()) == (2, 0)
    before = (out / "map0_sample00.png").stat().st_mtime_ns
    assert again(Wish()) == (0, 2)
    assert (out / "map0_sample00.png").stat().st_mtime_ns == before
    (out / "map1_sample00.png").unlink()
    assert again(Wish()) == (1, 1)
    assert again(Wish(seed=1)) == (2, 0)
    assert again(Wish(seed=1), [replace(maps[0], labels=maps[0].labels[::-1]), maps[1]]) == (1, 1)
    damaged = out / "map1_sample00.png"
    damaged.write_bytes(damaged.read_bytes()[:-40])
    assert again(Wish(seed=1), maps[1:]) == (1, 0)


def test_files_of_others_are_not_overwritten(styled: Synthesizer, maps: list[LabelInput], tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "map0_sample00.png")
    with pytest.raises(ValueError, match=r"map0_sample00\.png: was not made by synthesize and would be overwritten"):
        synthesize(styled, maps, Wish(), tmp_path)
    twins = [maps[0], replace(maps[1], id="map0")]
    with pytest.raises(ValueError, match=r"map1\.png and .*map0\.png would both be written as map0_sample00\.png"):
        synthesize(styled, twins, Wish(), tmp_path / "out")


def test_steps_between_two_styles(
    styled: Synthesizer, maps: list[LabelInput], style_files: list[Path], tmp_path: Path
) -> None:
    styles = read_styles(styled, style_files)
    done = synthesize(styled, maps[:1], Wish(styles=styles, interpolate=3), tmp_path / "out")
    assert done.diversity is None
    names = [f"map0_dusk-to-noon_step{number:02d}of03.png" for number in range(3)]
    first, middle, last = (pixels(tmp_path / "out" / name) for name in names)
    alone = synthesize(styled, maps[:1], Wish(styles=styles), tmp_path / "ends")
    assert alone.diversity is not None
    assert alone.diversity.over == "styles"
    for end, name in ((first, "dusk"), (last, "noon")):
        found = pixels(tmp_path / "ends" / f"map0_style-{name}_sample00.png")
        assert np.abs(found.astype(int) - end).max() <= 1
    assert not np.array_equal(middle, first)


def test_distances_of_pairs() -> None:
    images = np.zeros((3, 2, 2, 3), np.uint8)
    images[2] = 255
    assert pixel_distance(images) == pytest.approx(2 / 3)
    assert feature_distance(np.array([[0, 0], [3, 4], [0, 0]], np.float32)) == pytest.approx(10 / 3)
    with pytest.raises(ValueError, match="needs two of them; 1 given"):
        pixel_distance(images[:1])


def test_styles_that_cannot_be(
    styled: Synthesizer, plain: Synthesizer, style_files: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="it has no image encoder, .* train one with --switch vae"):
        read_styles(plain, style_files)
    with pytest.raises(InputError, match=r"--style .*none\.png: there is no such file"):
        read_styles(styled, [tmp_path / "none.png"])
    with pytest.raises(InputError, match="have one name, which names the outputs; rename one"):
        read_styles(styled, [style_files[0], style_files[0]])


def test_another_size_only_where_the_model_has_one(store: Store, plain: Synthesizer) -> None:
    def at(name: str, size: tuple[int, int]) -> Synthesizer:
        return synthesizer_of_run(store, name, device=CPU, step=None, weights="raw", size=size)

    wide = at("spade-decoder-synthetic", (32, 64))
    assert wide.render(np.zeros((32, 64), np.uint8)).shape == (1, 32, 64, 3)
    with pytest.raises(ValueError, match="--size 64x64: .* starts from z, so it has one size, 32x32"):
        at("spade-decoder-encoder", (64, 64))
    with pytest.raises(ValueError, match=r"has no checkpoint of step 3; it has: \[4\]"):
        synthesizer_of_run(store, plain.stem, device=CPU, step=3, weights="raw", size=None)
    with pytest.raises(ValueError, match="holds no moving average; take the raw weights instead"):
        synthesizer_of_run(store, plain.stem, device=CPU, step=None, weights="ema", size=None)
    with pytest.raises(ValueError, match="takes no z"):
        plain.render(np.zeros((32, 32), np.uint8), z=np.zeros((1, 8), np.float32))


def test_released_files_with_an_encoder(tmp_path: Path) -> None:
    """Files in the released format, as `train --use_vae` of the released code writes them, at a small width."""
    entry = dataset_spec("synthetic")
    generator = SpadeSettings(width=2, source="z").build(entry.spec, (64, 64)).eval()
    encoder = EncoderSettings(width=2).build().eval()
    torch.save(to_released_state_dict(generator), tmp_path / "latest_net_G.pth")
    torch.save(to_released_state_dict(encoder), tmp_path / "latest_net_E.pth")

    def opened(variant: str, **options: Any) -> Synthesizer:
        given = {"encoder": tmp_path / "latest_net_E.pth", "width": 2, "convention": None, "size": None, **options}
        return synthesizer_of_checkpoint(tmp_path / "latest_net_G.pth", variant, "synthetic", device=CPU, **given)

    model = opened("spade-vae")
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    style = model.style_of(image)
    with torch.no_grad():
        mean, logvar = encoder(torch.from_numpy(image.transpose(2, 0, 1)[None] / np.float32(127.5) - 1))
    np.testing.assert_allclose(style.mean, mean[0].numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(style.deviation, torch.exp(logvar[0] / 2).numpy(), rtol=1e-5)
    assert model.render(np.zeros((64, 64), np.uint8), z=style.mean[None]).shape == (1, 64, 64, 3)
    with pytest.raises(ValueError, match="spade-decoder starts from the label map and takes no z; give --variant spad"):
        opened("spade")
    with pytest.raises(ValueError, match=r"latest_net_G\.pth: cannot be read as a released image encoder"):
        opened("spade-vae", encoder=tmp_path / "latest_net_G.pth")
    with pytest.raises(
        ValueError, match=r"latest_net_G\.pth: cannot be read as a released generator of spade-decoder-"
    ):
        opened("spade-vae", width=4)
    with pytest.raises(ValueError, match=r"--encoder .*no\.pth: there is no such file"):
        opened("spade-vae", encoder=tmp_path / "no.pth")
