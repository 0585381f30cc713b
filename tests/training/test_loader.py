"""A batch is a function of (seed, step): ranks, accumulation and workers share it out and change nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from baselines.batch import Batch
from bench.data.dataset import AugmentationRule
from bench.data.synthetic import SyntheticScenes
from bench.training.distributed import Ranks
from bench.training.loader import StreamSettings, batches, image_tensor, place_of

SCENES = SyntheticScenes(split="train", size=(32, 32), images=12)
SETTINGS = StreamSettings(seed=5, batch_images=8, accumulate=1, z_dim=4)


def steps_of(settings: StreamSettings, ranks: Ranks, **options: Any) -> list[list[Batch]]:
    return list(batches(SCENES, settings, ranks, **{"first_step": 0, "last_step": 3, **options}))


def global_batches(world: int, accumulate: int, workers: int = 0) -> list[dict[str, torch.Tensor]]:
    """The whole batch of each step, put together from the shares of all ranks."""
    settings = replace(SETTINGS, accumulate=accumulate)
    shares = [steps_of(settings, Ranks(rank=rank, world=world), workers=workers) for rank in range(world)]
    whole = []
    for step in zip(*shares, strict=True):
        parts = [step[rank][part] for part in range(accumulate) for rank in range(world)]
        assert {len(part.labels) for part in parts} == {8 // world // accumulate}
        assert all(part.noise is not None for part in parts)
        tensors = {"labels": [p.labels for p in parts], "images": [p.images for p in parts]}
        tensors |= {f"noise {i}": [p.noise[i] for p in parts if p.noise] for i in range(2)}
        tensors |= {"instances": [p.instances for p in parts if p.instances is not None]}
        whole.append({name: torch.cat(values) for name, values in tensors.items()})
    return whole


@pytest.mark.parametrize(("world", "accumulate", "workers"), [(2, 1, 0), (4, 1, 0), (1, 4, 0), (2, 2, 0), (1, 1, 2)])
def test_ranks_accumulation_and_workers_share_the_same_batches(world: int, accumulate: int, workers: int) -> None:
    expected = global_batches(1, 1)
    assert len(expected) == 3
    for ours, theirs in zip(global_batches(world, accumulate, workers), expected, strict=True):
        for name, value in theirs.items():
            assert torch.equal(ours[name], value), name


def test_starting_later_gives_the_later_steps() -> None:
    everything = steps_of(SETTINGS, Ranks())
    later = steps_of(SETTINGS, Ranks(), first_step=1)
    assert len(later) == 2
    for ours, theirs in zip(later, everything[1:], strict=True):
        assert torch.equal(ours[0].images, theirs[0].images)


def test_every_epoch_is_a_permutation_of_its_own() -> None:
    orders = [[place_of(epoch * 12 + offset, 5, 12)[1] for offset in range(12)] for epoch in range(3)]
    assert all(sorted(order) == list(range(12)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    assert place_of(25, 5, 12)[0] == 2
    assert orders[0] != [place_of(offset, 6, 12)[1] for offset in range(12)]


def test_an_image_is_augmented_anew_in_each_epoch() -> None:
    still = replace(SCENES, augmentation_rule=AugmentationRule(flip=False))
    plain = {still.load(index).image.tobytes() for index in range(12)}
    steps = steps_of(replace(SETTINGS, batch_images=12), Ranks(), last_step=4)
    as_bytes = [
        [((image.permute(1, 2, 0) + 1) * 127.5).round().to(torch.uint8).numpy().tobytes() for image in step[0].images]
        for step in steps
    ]
    unflipped = [frozenset(images) & plain for images in as_bytes]
    assert len(set(unflipped)) == 4
    assert all(0 < len(images) < 12 for images in unflipped)


def test_the_first_so_many_images_are_used() -> None:
    first = {SCENES.load(index).labels.tobytes() for index in range(3)}
    first |= {np.ascontiguousarray(SCENES.load(index).labels[:, ::-1]).tobytes() for index in range(3)}
    for step in steps_of(SETTINGS, Ranks(), images=3):
        assert {labels.numpy().astype(np.uint8).tobytes() for labels in step[0].labels} <= first


def test_both_noises_differ_and_follow_the_position_in_the_stream() -> None:
    for step in steps_of(SETTINGS, Ranks()):
        noise = step[0].noise
        assert noise is not None
        assert noise[0].shape == (8, 4)
        assert len(torch.unique(torch.cat(noise), dim=0)) == 16
    assert all(step[0].noise is None for step in steps_of(replace(SETTINGS, z_dim=None), Ranks()))


def test_torchs_random_generator_is_left_alone() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    steps_of(SETTINGS, Ranks(), workers=1)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_batch_that_cannot_be_shared_is_an_error() -> None:
    with pytest.raises(ValueError, match="batch_images=8 cannot be shared by 3 ranks x 2 accumulation parts"):
        steps_of(replace(SETTINGS, accumulate=2), Ranks(world=3))


def test_images_span_minus_one_to_one() -> None:
    picture = np.array([[[0, 51, 255]]], np.uint8)
    torch.testing.assert_close(image_tensor(picture).flatten(), torch.tensor([-1.0, -0.6, 1.0]))
