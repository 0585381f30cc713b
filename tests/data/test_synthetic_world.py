"""The embedded world: deterministic, fast, varied, and honest about its classes."""

from __future__ import annotations

import hashlib
import pickle
import re
import time

import numpy as np
import pytest

from bench.data.dataset import DatasetError
from bench.data.synthetic import SyntheticScenes
from bench.data.transforms import draw_augmentation


def scenes(**changes: object) -> SyntheticScenes:
    settings: dict[str, object] = {"split": "train", "size": (64, 64), "images": 400}
    return SyntheticScenes(**{**settings, **changes})  # type: ignore[arg-type]


def digest(dataset: SyntheticScenes, index: int) -> str:
    sample = dataset.load(index)
    assert sample.instances is not None
    return hashlib.sha256(sample.image.tobytes() + sample.labels.tobytes() + sample.instances.tobytes()).hexdigest()


def test_a_scene_depends_on_its_index_alone_and_not_on_the_order_of_calls() -> None:
    forward = [digest(scenes(), i) for i in range(12)]
    dataset = pickle.loads(pickle.dumps(scenes()))
    backward = [digest(dataset, i) for i in reversed(range(12))]
    assert forward == backward[::-1]
    assert len(set(forward)) == 12


def test_seeds_and_splits_have_scenes_of_their_own() -> None:
    drawn = [
        digest(scenes(split=split, seed=seed), i) for split in ("train", "val") for seed in (0, 1) for i in range(6)
    ]
    assert len(set(drawn)) == len(drawn)
    ids = {scenes(split=split, seed=seed).sample_id(3) for split in ("train", "val") for seed in (0, 1)}
    assert len(ids) == 4


def test_manifest_hash_names_the_content() -> None:
    assert scenes().manifest_hash == scenes().manifest_hash
    others = [scenes(seed=1), scenes(split="val"), scenes(images=401), scenes(size=(64, 72))]
    assert len({scenes().manifest_hash, *(other.manifest_hash for other in others)}) == 5


@pytest.mark.parametrize("size", [(64, 64), (32, 96), (96, 32), (8, 8), (128, 256), (256, 256), (40, 72)])
def test_any_size_and_aspect(size: tuple[int, int]) -> None:
    for index in range(6):
        sample = scenes(size=size).load(index)
        assert sample.image.shape == (*size, 3)
        assert sample.image.dtype == np.uint8
        assert sample.labels.shape == size
        assert sample.labels.max() < 12
        assert sample.instances is not None
        assert sample.instances.shape == size


def test_a_scene_is_the_same_scene_at_another_size() -> None:
    small, large = scenes(), scenes(size=(128, 128))
    agreement = [np.mean(small.load(i).labels == large.load(i).labels[::2, ::2]) for i in range(20)]
    assert np.mean(agreement) > 0.93


def test_an_instance_has_one_class_and_things_are_counted() -> None:
    counted = dict.fromkeys(("tree", "building", "car"), 0)
    names = scenes().class_names
    for index in range(60):
        sample = scenes().load(index)
        assert sample.instances is not None
        per_class: dict[int, int] = {}
        for instance in np.unique(sample.instances):
            labels = np.unique(sample.labels[sample.instances == instance])
            assert len(labels) == 1
            per_class[int(labels[0])] = per_class.get(int(labels[0]), 0) + 1
        for name in counted:
            counted[name] += per_class.get(names.index(name), 0) > 1
        assert all(per_class.get(names.index(name), 0) <= 1 for name in ("sky", "sea", "sand", "grass", "road"))
    assert min(counted.values()) >= 5


def test_every_class_occurs_regions_are_large_and_some_maps_have_one_class() -> None:
    dataset = scenes()
    presence, single, uniform = np.zeros(12), 0, []
    for index in range(len(dataset)):
        labels = dataset.load(index).labels
        counts = np.bincount(labels.ravel(), minlength=12)
        presence += counts > 0
        single += int((counts > 0).sum() == 1)
        uniform.append(np.mean(labels[:, 1:] == labels[:, :-1]))
    assert presence.min() >= 0.1 * len(dataset)
    assert 2 <= single <= 0.06 * len(dataset)
    assert np.mean(uniform) > 0.93


def test_flip_mirrors_all_three() -> None:
    dataset = scenes()
    decisions = [draw_augmentation(dataset.augmentation_rule, 0, 0, i) for i in range(20)]
    assert {decision.flip for decision in decisions} == {True, False}
    flip = next(decision for decision in decisions if decision.flip)
    plain, mirrored = dataset.load(5), dataset.load(5, flip)
    assert plain.instances is not None
    assert mirrored.instances is not None
    np.testing.assert_array_equal(plain.image[:, ::-1], mirrored.image)
    np.testing.assert_array_equal(plain.labels[:, ::-1], mirrored.labels)
    np.testing.assert_array_equal(plain.instances[:, ::-1], mirrored.instances)


def test_as_fast_as_a_trainer_eats() -> None:
    """Over 300 scenes per second at 64 px on a free core; the floor leaves room for slow and busy machines."""
    dataset = scenes()
    dataset.load(0)
    started = time.process_time()
    for index in range(60):
        dataset.load(index)
    assert 60 / (time.process_time() - started) > 60


def test_wrong_settings_are_all_named_at_once() -> None:
    with pytest.raises(
        DatasetError, match=r"split is 'test'; choose one of train, val.*images is 0.*seed is -1.*63 x 64"
    ):
        scenes(split="test", images=0, seed=-1, size=(63, 64))


def test_an_index_outside_is_named() -> None:
    with pytest.raises(
        IndexError, match=re.escape("synthetic/train has 400 samples; index 400 is not one of 0 to 399")
    ):
        scenes().load(400)


def test_truth_and_original_are_the_scene_at_its_own_size() -> None:
    dataset = SyntheticScenes(split="val", size=(32, 48), images=3)
    sample = dataset.load(1)
    np.testing.assert_array_equal(dataset.truth(1), sample.labels)
    np.testing.assert_array_equal(dataset.original(1), sample.image)
    assert dataset.native_size(1) == (32, 48)
    with pytest.raises(IndexError, match="has 3 samples; index 3"):
        dataset.native_size(3)
