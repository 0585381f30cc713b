"""Generated validation images: the same on any ranks, truncated as released, made once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from bench.evaluation.generate import CHUNK_IMAGES, chunks_of, generate_images, generate_split, noise_for, truncated
from tests.tiny import Z_DIM, splits, tiny_run

CPU = torch.device("cpu")


def test_chunks_cover_every_image_once_and_do_not_depend_on_the_ranks() -> None:
    whole = {tuple(chunk) for chunk in chunks_of(21, 0, 1)}
    assert {len(chunk) for chunk in whole} == {CHUNK_IMAGES, 21 % CHUNK_IMAGES}
    for world in (2, 3, 7):
        shared = [tuple(chunk) for rank in range(world) for chunk in chunks_of(21, rank, world)]
        assert len(shared) == len(whole)
        assert set(shared) == whole


def test_generators_may_want_other_label_ids(tmp_path: Path) -> None:
    run = tiny_run("pix2pixhd")
    scenes = replace(splits(run)[1], images=2)
    generator = run.generator.build(scenes.spec, scenes.size).eval()
    turned = np.roll(np.arange(scenes.spec.ids), 1)

    @dataclass(frozen=True)
    class Renumbered(type(scenes)):  # type: ignore[misc]
        def load(self, index: int, augmentation: object = None) -> object:
            sample = super().load(index)
            return replace(sample, labels=turned[sample.labels])

    names = ("split", "size", "images", "seed")
    other = Renumbered(**{name: getattr(scenes, name) for name in names})
    expected = generate_images(generator, other, range(2), CPU, z_dim=None, noise_seed=0)
    found = generate_images(generator, scenes, range(2), CPU, z_dim=None, noise_seed=0, label_of=turned)
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
    plain = generate_images(generator, scenes, range(2), CPU, z_dim=None, noise_seed=0)
    assert not all(np.array_equal(a, b) for a, b in zip(found, plain, strict=True))


def test_generated_images_do_not_depend_on_the_ranks(tmp_path: Path) -> None:
    run = tiny_run("spade-decoder-random-input")
    scenes = replace(splits(run)[1], images=10)
    torch.manual_seed(0)
    generator = run.generator.build(scenes.spec, scenes.size).train()
    statistics = {key: value.clone() for key, value in generator.state_dict().items()}
    for world in (1, 2):
        for rank in range(world):
            generate_split(
                generator,
                scenes,
                tmp_path / str(world),
                CPU,
                count=10,
                z_dim=Z_DIM,
                noise_seed=3,
                rank=rank,
                world=world,
            )
    names = [f"{scenes.sample_id(index)}.png" for index in range(10)]
    for name in names:
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()
    assert sorted(path.name for path in (tmp_path / "2").iterdir()) == names
    assert generator.training
    assert all(torch.equal(value, statistics[key]) for key, value in generator.state_dict().items())


def test_only_missing_images_are_generated(tmp_path: Path) -> None:
    run = tiny_run("pix2pixhd")
    scenes = replace(splits(run)[1], images=10)
    generator = run.generator.build(scenes.spec, scenes.size)

    def generate() -> dict[str, int]:
        generate_split(generator, scenes, tmp_path, CPU, count=10, z_dim=None, noise_seed=0)
        return {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}

    first = generate()
    (tmp_path / f"{scenes.sample_id(9)}.png").unlink()
    again = generate()
    assert {name for name in first if again[name] != first[name]} == {f"{scenes.sample_id(i)}.png" for i in (8, 9)}


def test_noise_belongs_to_the_sample() -> None:
    assert np.array_equal(noise_for("a", 0, 5), noise_for("a", 0, 5))
    assert not np.array_equal(noise_for("a", 0, 5), noise_for("b", 0, 5))
    assert not np.array_equal(noise_for("a", 0, 5), noise_for("a", 1, 5))


def test_images_are_truncated_as_released() -> None:
    values = torch.tensor([-2.0, -1.0, -0.999, 0.0, 0.9999, 1.0, 2.0]).reshape(1, 1, 1, 7).expand(1, 3, 1, 7)
    assert truncated(values)[0, 0, :, 0].tolist() == [0, 0, 0, 127, 254, 255, 255]
