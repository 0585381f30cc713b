"""Trainings that leave pictures out, and ones that begin from another system's network."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from baselines.sims.canvas import IDENTITY
from baselines.sims.networks import TransformationNetwork, initialize
from baselines.sims.ordering import boundaries
from baselines.sims.segments import find_segments
from baselines.sims.settings import TransformationSettings
from bench.sims import arranging, fronts, ordering
from bench.sims.arranging import arrange, read_order
from bench.sims.bank import Bank, build_bank, open_bank
from bench.sims.composing import compose
from bench.sims.learning import NETWORK_FILE, Learning
from bench.sims.ordering import Heard, read_heard, train_order
from bench.sims.retrieval import query_segments, retrieve
from bench.sims.stage import RECORD, Record, StageError
from bench.sims.transforming import (
    NETWORK_FOLDER,
    begin_from,
    best_place,
    train_transformation,
    training_pair,
    transform,
)
from bench.sims.workspace import Choice, Workspace
from tests.sims.leave_out import overlap

BRIEF = Learning(steps=2)


def test_no_pair_is_made_with_a_picture_left_out(banked: Workspace) -> None:
    bank, _ = open_bank(banked)
    sky = banked.classes.names.index("sky")
    number = int(bank.of_class(sky)[bank.image_of[bank.of_class(sky)] == 0][0])
    shown = {bank.image(index).tobytes(): index for index in range(6)}

    def seen(left_out: list[int]) -> set[int]:
        found = set()
        for seed in range(60):
            pair = training_pair(bank, number, np.random.default_rng(seed), np.array(left_out))
            if pair.other[0].tobytes() in shown:
                found.add(shown[pair.other[0].tobytes()])
        return found

    others = seen([])
    assert others - {0}
    assert not seen(sorted(others - {0})) & (others - {0})


def test_networks_that_leave_pictures_out_are_others_and_ids_are_checked(banked: Workspace) -> None:
    ids = open_bank(banked)[0].ids
    whole, _ = train_order(banked, BRIEF, width=2, device="cpu")
    less, made = train_order(banked, BRIEF, width=2, leave_out=ids[:3], device="cpu")
    assert made
    assert less.notes["pairs"] < whole.notes["pairs"]
    assert less.settings["leave_out"] == sorted(ids[:3])
    for train in (train_order, train_transformation):
        with pytest.raises(StageError, match=r"--leave-out nobody: no training picture has this id; the 6 ids are"):
            train(banked, BRIEF, width=2, leave_out=["nobody"], device="cpu")
        with pytest.raises(StageError, match=r"--leave-out names all 6 training pictures; leave some"):
            train(banked, BRIEF, width=2, leave_out=ids, device="cpu")


def test_a_network_begins_from_one_that_knows_other_classes(banked: Workspace, tmp_path: Path) -> None:
    record, _ = train_transformation(banked, BRIEF, width=2, device="cpu")
    known = torch.load(record.folder / NETWORK_FILE, weights_only=True)
    network = TransformationNetwork(TransformationSettings(classes=20, width=2))
    initialize(network, 1)
    begin_from(network, record)
    first = network.state_dict()["features.groups.0.0.weight"]
    assert first.shape[1] == 24
    assert torch.equal(first[:, :4], known["features.groups.0.0.weight"][:, :4])
    torch.testing.assert_close(first[:, 23], known["features.groups.0.0.weight"][:, 4:].mean(1))
    assert torch.equal(network.affine.weight, known["affine.weight"])
    wider = TransformationNetwork(TransformationSettings(classes=20, width=3))
    with pytest.raises(StageError, match=rf"{NETWORK_FOLDER}: has width 2, the network to train 3"):
        begin_from(wider, record)
    other = Workspace(folder=tmp_path, dataset="synthetic", root=None, size=(64, 64), min_area_px=1500, images=(4, 2))
    build_bank(other, workers=1)
    begun, _ = train_transformation(other, BRIEF, width=2, start=banked.folder, device="cpu")
    assert begun.inputs["start"] == record.content


def test_the_placed_segment_never_covers_its_region_worse_than_the_first_where_it_was(banked: Workspace) -> None:
    bank, _ = open_bank(banked)
    network = TransformationNetwork(TransformationSettings(classes=banked.classes.count, width=2))
    cpu = torch.device("cpu")
    number = int(np.argmax(bank.areas))
    label = int(bank.class_of[number])
    found = np.array([*[n for n in bank.of_class(label).tolist() if n != number][:3], -1])
    region = bank.mask(number)
    order = [found[k] for k in np.argsort([-overlap(bank.mask(int(n)), IDENTITY, region) for n in found[:3]])]
    with torch.no_grad():
        network.affine.bias.copy_(torch.tensor([0.0, 0.0, 100.0, 0.0, 0.0, 100.0]))
    still = best_place(bank, np.array([*order, -1]), region, label, network.eval(), cpu)
    assert still.chosen == 0, "a network that moves all of them out of the picture leaves the first"
    assert (still.theta == IDENTITY).all()
    wild = 0
    for seed in range(12):
        with torch.no_grad():
            network.affine.bias.copy_(torch.from_numpy(np.random.default_rng(seed).normal(0, (0.3, 4.0)[seed % 2], 6)))
        placed = best_place(bank, np.array([*order, -1]), region, label, network, cpu)
        wild += bool((placed.theta != IDENTITY).any())
        before, after = (
            overlap(bank.mask(int(order[n])), theta, region)
            for n, theta in ((0, IDENTITY), (placed.chosen, placed.theta))
        )
        assert after >= before
    assert 0 < wild < 12, "some of them were moved, some were left where they were"


def test_what_the_ordering_network_was_not_told_about_the_larger_goes_behind(
    banked: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network that was told of no pair of classes says nothing; one told of a pair is asked about that pair."""
    shutil.copytree(banked.folder, tmp_path / "here")
    here = replace(banked, folder=tmp_path / "here")
    monkeypatch.setattr(ordering, "LEAST_DRAWS", 0)
    monkeypatch.setattr(ordering, "held_back", lambda _: np.zeros(0, np.int64))
    record, _ = train_order(here, BRIEF, width=2, source="layers", device="cpu")
    classes = here.classes
    touching = Counter[tuple[int, int]]()
    for index in range(6):
        queried = find_segments(open_bank(here)[0].class_map(index), here.rule)
        for each in boundaries(queried.component_map(classes.thin)):
            one, other = sorted(queried.classes[[each.first, each.second]].tolist())
            touching[one, other] += one != other
    assert record.notes["pairs"] > touching.total(), "segments too small to be asked for are learned from too"
    told = read_heard(record.folder).told
    assert len(told) == record.notes["pairs_of_classes"] > 0
    layer_of = {number: place for place, layer in enumerate(classes.layers) for number in layer}
    top = {classes.names.index(name) for name in ("tree", "building", "car")}
    assert all(layer_of[one] != layer_of[other] or {one, other} <= top for one, other in told)

    def order(told: set[tuple[int, int]], margin: float = 0.0) -> tuple[list[int], int]:
        monkeypatch.setattr(arranging, "read_heard", lambda _: Heard(told=frozenset(told), margin=margin))
        made, _ = arrange(here, Choice(split="train"), device="cpu", again=True)
        unsure.append(made.notes["neighbours_left_to_size"])
        return read_order(here, Choice(split="train"))[0].tolist(), made.notes["neighbours_judged"]

    unsure: list[int] = []
    silent, judged = order(set())
    assert judged == 0
    dataset, start = here.open("train"), 0
    for index in range(len(dataset)):
        areas = query_segments(here, dataset, index).masks.sum((1, 2))
        ordered = silent[start : start + len(areas)]
        assert areas[ordered].tolist() == sorted(areas.tolist(), reverse=True)
        start += len(areas)
    (pair, count), *_ = touching.most_common()
    assert order({pair})[1] == count < touching.total()
    heard, judged = order(set(touching))
    assert judged == touching.total()
    assert heard != silent
    assert set(unsure) == {0}
    assert order(set(touching), 100.0) == (silent, 0), "what the network does not judge clearly is left to the sizes"
    assert unsure[-1] == touching.total()


def test_a_network_of_another_method_is_not_taken(banked: Workspace, tmp_path: Path) -> None:
    shutil.copytree(banked.folder, tmp_path / "older")
    older, own = replace(banked, folder=tmp_path / "older"), Choice(split="train")
    retrieve(older, own)
    for train, folder in ((train_transformation, NETWORK_FOLDER), (train_order, ordering.NETWORK_FOLDER)):
        record, _ = train(older, BRIEF, width=2, device="cpu")
        data = json.loads((record.folder / RECORD).read_text())
        data["settings"].pop("method")
        (older.place(folder) / RECORD).write_text(json.dumps(data))
    told = r"method of its training is 'an earlier one', .* sims train-{} --work .*older` again"
    with pytest.raises(StageError, match=told.format("transform")):
        train_transformation(banked, BRIEF, width=2, start=older.folder, device="cpu")
    with pytest.raises(StageError, match=told.format("transform")):
        transform(older, own, device="cpu")
    with pytest.raises(StageError, match=told.format("order")):
        arrange(older, own, device="cpu")


def test_canvases_are_not_made_with_what_an_earlier_network_said(banked: Workspace, tmp_path: Path) -> None:
    shutil.copytree(banked.folder, tmp_path / "here")
    here, own = replace(banked, folder=tmp_path / "here"), Choice(split="train")
    retrieve(here, own)
    for train, apply in ((train_transformation, transform), (train_order, arrange)):
        train(here, BRIEF, width=2, device="cpu")
        apply(here, own, device="cpu")
    assert compose(here, own)[1]
    longer = replace(BRIEF, steps=3)
    train_order(here, longer, width=2, device="cpu")
    with pytest.raises(StageError, match=r"another network than .*ordering-network has now; run .*sims order --split"):
        compose(here, own)
    arrange(here, own, device="cpu")
    train_transformation(here, longer, width=2, device="cpu")
    with pytest.raises(StageError, match=r"another network than .*transformation-network .*sims transform --split"):
        compose(here, own)


def test_a_fifth_of_the_pictures_is_held_back_and_none_of_a_single_one() -> None:
    for count, wanted in ((1, 0), (2, 1), (6, 1), (50, 10), (2975, 100)):
        pictures = np.arange(count) * 3
        back = ordering.held_back(pictures)
        assert len(back) == wanted
        assert set(back) <= set(pictures)
        assert (back == ordering.held_back(pictures)).all()


def test_pictures_held_back_are_not_learned_from_and_decide_who_is_heard(
    banked: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network that knows the truth is heard, one that says the opposite never is."""
    shutil.copytree(banked.folder, tmp_path / "here")
    here = replace(banked, folder=tmp_path / "here")
    drawn: set[int] = set()
    example = ordering._example

    def seen(workspace: Workspace, bank: Bank, pair: NDArray[np.int64], *rest: Any) -> Any:
        drawn.add(int(pair[0]))
        return example(workspace, bank, pair, *rest)

    monkeypatch.setattr(ordering, "_example", seen)
    monkeypatch.setattr(ordering, "LEAST_DRAWS", 0)
    monkeypatch.setattr(ordering, "held_back", lambda _: np.array([1, 3, 4]))
    truth: dict[tuple[float, ...], float] = {}
    known = fronts.known_pairs

    def remembered(*arguments: Any) -> Any:
        pairs, weights = known(*arguments)
        for index, one, other, front, *_ in pairs.tolist():
            truth[float(index), one, other] = 1.0 if front == one else -1.0
        return pairs, weights

    monkeypatch.setattr(ordering, "known_pairs", remembered)
    maps = {open_bank(here)[0].class_map(index).tobytes(): float(index) for index in range(6)}

    def record_of(sign: float) -> Record:
        def ahead(_: Any, __: Any, of_map: NDArray[Any], ___: Any, pair: tuple[int, int], *rest: Any) -> float:
            return sign * truth[maps[of_map.tobytes()], pair[0], pair[1]]

        monkeypatch.setattr(ordering, "ahead_by", ahead)
        return train_order(here, replace(BRIEF, steps=60), width=2, device="cpu", again=True)[0]

    knows = record_of(1.0)
    assert drawn
    assert not drawn & {1, 3, 4}
    assert read_heard(knows.folder).margin == 1.0
    counts = knows.notes["of_those"]
    assert counts["network right"] == counts["pairs"] > counts["larger behind right"] > 0
    wrong = record_of(-1.0)
    assert wrong.notes["of_those"]["network right"] == 0
    assert read_heard(wrong.folder).margin == np.inf
    assert wrong.notes["heard_from"] == "never: the pictures held back do not show that it beats the sizes"
