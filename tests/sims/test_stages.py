"""The stages of SIMS on the synthetic scenes: what they make, what they skip, how they go on, what they say."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bench.data.dataset import Sample
from bench.sims.arranging import arrange
from bench.sims.bank import build_bank, open_bank
from bench.sims.composing import compose, read_canvas
from bench.sims.learning import METRICS_FILE, NETWORK_FILE, Learning, device_of, learn
from bench.sims.ordering import train_order
from bench.sims.retrieval import query_segments, read_retrieved, retrieve
from bench.sims.stage import Stage, StageError, in_parts, read_record, run_stage
from bench.sims.supervision import Supervision
from bench.sims.synthesis import synthesize, train_synthesis
from bench.sims.transforming import train_transformation, transform
from bench.sims.workspace import Choice, Workspace

TRAIN, VAL = Choice(split="train"), Choice(split="val")
BRIEF = Learning(steps=4, save_every_steps=2, log_every_steps=1)


def synthetic(folder: Path, **changes: Any) -> Workspace:
    made = Workspace(folder=folder, dataset="synthetic", root=None, size=(64, 64), min_area_px=1500, images=(8, 3))
    made = replace(made, **changes)
    folder.mkdir(parents=True, exist_ok=True)
    made.write()
    return made


@pytest.fixture(scope="module")
def banked(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with a memory bank; tests that write more than their own stages take a copy."""
    workspace = synthetic(tmp_path_factory.mktemp("sims"))
    build_bank(workspace, workers=1)
    return workspace


@pytest.fixture
def own(banked: Workspace, tmp_path: Path) -> Workspace:
    shutil.copytree(banked.folder, tmp_path / "work")
    return replace(banked, folder=tmp_path / "work")


def test_the_bank_holds_the_segments_of_the_training_pictures(banked: Workspace) -> None:
    bank, record = open_bank(banked)
    train = banked.open("train")
    segments = [query_segments(banked, train, index) for index in range(8)]
    assert len(bank) == sum(map(len, segments)) == sum(record.notes["segments_of_class"].values())
    numbers = np.flatnonzero(bank.image_of == 5)
    assert bank.class_of[numbers].tolist() == segments[5].classes.tolist()
    for number, mask in zip(numbers, segments[5].masks, strict=True):
        assert (bank.mask(int(number)) == mask).all()
        assert bank.areas[number] == mask.sum()
    assert (bank.image(5) == train.load(5).image).all()
    assert (bank.class_map(7) == train.load(7).labels).all()


def test_a_bank_made_in_two_goes_is_the_same(own: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = read_record(own.place("bank"), "bank")
    (own.place("bank") / "stage.json").unlink()
    shutil.rmtree(own.place("bank") / "shard-00000000")
    record, made = build_bank(own, workers=1)
    assert made
    assert record.content == whole.content
    assert build_bank(own, workers=1)[1] is False, "nothing changed"


def test_other_settings_make_another_bank_and_later_stages_say_so(own: Workspace) -> None:
    retrieve(own, VAL)
    stricter = replace(own, min_area_px=6000)
    with pytest.raises(StageError, match=r"settings changed since the bank was made; run .*sims bank"):
        retrieve(stricter, VAL)
    before = len(open_bank(own)[0])
    _, made = build_bank(stricter, workers=1)
    assert made
    assert len(open_bank(stricter)[0]) < before
    assert retrieve(stricter, VAL)[1] is True
    with pytest.raises(StageError, match=r"no segment of 8 pictures has .* px or more; lower --min-area"):
        build_bank(replace(own, min_area_px=10**7), workers=1)


def test_retrieval_is_brute_force_and_never_finds_the_own_picture(own: Workspace) -> None:
    bank, _ = open_bank(own)
    train = own.open("train")
    retrieve(own, TRAIN)
    found, _ = read_retrieved(own, TRAIN)
    for query in range(0, len(found.map_of), 3):
        index = int(found.map_of[query])
        place = int(np.flatnonzero(found.of_map(index) == query)[0])
        mask = query_segments(own, train, index).masks[place]
        allowed = np.flatnonzero((bank.class_of == found.class_of[query]) & (bank.image_of != index))
        exact = np.array([(mask & bank.mask(n)).sum() / (mask | bank.mask(n)).sum() for n in allowed.tolist()])
        wanted = allowed[np.lexsort((allowed, -exact))][:10]
        assert found.found[query][: len(wanted)].tolist() == wanted.tolist()
        assert (found.found[query][len(wanted) :] == -1).all()


def test_random_retrieval_stays_in_the_class_and_depends_on_the_seed(own: Workspace) -> None:
    bank, _ = open_bank(own)
    choice = replace(TRAIN, random_retrieval=True)
    retrieve(own, choice)
    one, _ = read_retrieved(own, choice)
    there = one.found >= 0
    assert (bank.class_of[one.found] == one.class_of[:, None])[there].all()
    assert (bank.image_of[one.found] != one.map_of[:, None])[there].all()
    assert retrieve(own, choice, seed=1)[1] is True
    other, _ = read_retrieved(own, choice)
    assert (one.found != other.found).any()


def test_canvases_are_not_made_of_parts_that_do_not_belong_together(own: Workspace) -> None:
    choice = Choice(split="train", random_retrieval=True, identity=True, random_order=True)
    retrieve(own, choice)
    transform(own, choice)
    arrange(own, choice)
    retrieve(own, choice, seed=1)
    again = (
        r"another retrieval than .* has now; run .*sims transform --split train --random-retrieval --identity` again"
    )
    with pytest.raises(StageError, match=again):
        compose(own, choice)


def test_the_whole_system_makes_images_that_are_skipped_until_something_changes(own: Workspace) -> None:
    retrieve(own, VAL)
    train_transformation(own, BRIEF, width=2, device="cpu")
    transform(own, VAL, device="cpu")
    supervised, _ = train_order(own, BRIEF, width=2, device="cpu")
    assert "segments of other pictures" in supervised.notes["supervision"]
    arrange(own, VAL, device="cpu")
    composed, _ = compose(own, VAL)
    assert 0 < composed.notes["label_agreement"] <= composed.notes["covered"] <= 100
    train_synthesis(own, BRIEF, width=2, perceptual="none", device="cpu")
    record, made = synthesize(own, VAL, device="cpu")
    assert made
    val = own.open("val")
    names = sorted(path.name for path in record.folder.glob("*.png"))
    assert names == [f"{val.sample_id(index)}.png" for index in range(3)]
    with Image.open(record.folder / names[0]) as opened:
        assert (opened.mode, opened.size) == ("RGB", (64, 64))
    assert synthesize(own, VAL, device="cpu")[1] is False
    (record.folder / names[0]).unlink()
    assert synthesize(own, VAL, device="cpu")[1] is True, "a file that is gone is made again"
    compose(own, VAL, seed=1)
    assert synthesize(own, VAL, device="cpu")[1] is True, "its canvases changed"


def test_the_evaluator_takes_the_images(own: Workspace, tmp_path: Path) -> None:
    from bench.evaluation.image_folder import open_image_folder

    for choice in (VAL,):
        retrieve(own, choice)
        transform(own, replace(choice, identity=True))
        arrange(own, replace(choice, random_order=True))
    choice = Choice(split="val", identity=True, random_order=True)
    compose(own, choice)
    train_synthesis(own, BRIEF, width=2, perceptual="none", device="cpu")
    record, _ = synthesize(own, choice, device="cpu")
    assert record.folder.name == "val-identity-random-order"
    assert len(open_image_folder(record.folder, own.open("val"), 3).files) == 3


def test_canvases_are_pictures_with_their_mask_as_alpha(own: Workspace) -> None:
    choice = Choice(split="train", identity=True, random_order=True)
    retrieve(own, choice)
    transform(own, choice)
    arrange(own, choice)
    record, _ = compose(own, choice)
    colours, mask = read_canvas(record.folder, own.open("train"), 0)
    assert mask.any()
    assert (colours[~mask] == 0).all()
    place = record.folder / f"{own.open('train').sample_id(0)}.png"
    place.write_bytes(b"no picture")
    with pytest.raises(StageError, match=r"cannot be read .*; run .*sims compose --again"):
        read_canvas(record.folder, own.open("train"), 0)


@pytest.mark.parametrize(
    ("stage", "told"),
    [
        (lambda w: transform(w, VAL), r"nothing finished there; run `./run_study.py sims retrieve --split val` first"),
        (lambda w: arrange(w, VAL), r"run `./run_study.py sims train-order` first"),
        (lambda w: synthesize(w, VAL), r"run `./run_study.py sims compose --split val` first"),
        (lambda w: compose(w, replace(VAL, random_retrieval=True)), r"sims retrieve --split val --random-retrieval"),
    ],
)
def test_a_stage_names_the_one_before_it(own: Workspace, stage: Any, told: str) -> None:
    with pytest.raises(StageError, match=told):
        stage(own)


def test_a_workspace_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"no SIMS workspace .*sims bank --dataset NAME --work"):
        Workspace.read(tmp_path)
    (tmp_path / "workspace.json").write_text('{"dataset": "synthetic"}')
    with pytest.raises(StageError, match=r"workspace.json: not the description of a SIMS workspace"):
        Workspace.read(tmp_path)
    made = synthetic(tmp_path)
    assert Workspace.read(tmp_path) == made


class _Killed(Exception):
    """Stands for a kill at a moment of our choice."""


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = torch.load(folder / NETWORK_FILE, weights_only=True)
    return found


def test_a_killed_training_goes_on_to_the_same_bits(own: Workspace, tmp_path: Path) -> None:
    learning = Learning(steps=5, save_every_steps=2, log_every_steps=2)
    whole, _ = train_synthesis(own, learning, width=2, perceptual="none", device="cpu")
    wanted, lines = _weights(whole.folder), (whole.folder / METRICS_FILE).read_text()
    calls = 0

    def kill(done: int, of: int, what: str) -> None:
        nonlocal calls
        calls += 1
        if done == 3:
            raise _Killed("at this moment")

    arguments: dict[str, Any] = {"width": 2, "perceptual": "none", "device": "cpu"}
    with pytest.raises(_Killed, match="at this moment"):
        train_synthesis(own, learning, **arguments, again=True, progress=kill)
    assert calls == 3
    record, made = train_synthesis(own, learning, **arguments, progress=lambda *_: None)
    assert made
    assert all(torch.equal(value, wanted[name]) for name, value in _weights(record.folder).items())
    assert (record.folder / METRICS_FILE).read_text() == lines
    longer, _ = train_synthesis(own, replace(learning, steps=7), **arguments)
    steps = [json.loads(line)["step"] for line in (longer.folder / METRICS_FILE).read_text().splitlines()]
    assert steps == [2, 4, 5, 6, 7], "more steps go on from the last ones"


def test_a_loss_that_is_not_finite_stops_the_training(tmp_path: Path) -> None:
    network = torch.nn.Linear(1, 1)

    def losses(step: int) -> dict[str, torch.Tensor]:
        return {"sum": network.weight.sum() * (float("nan") if step == 1 else 1.0)}

    with pytest.raises(ArithmeticError, match=r"the loss sum is not finite at step 2"):
        learn(tmp_path, network, losses, Learning(steps=3), identity="x", device=torch.device("cpu"))


def test_a_killed_stage_loses_one_part_at_most(tmp_path: Path) -> None:
    made: list[int] = []

    def part(items: range) -> dict[str, np.ndarray[Any, Any]]:
        made.append(items.start)
        if items.start == 4 and made.count(4) == 1:
            raise _Killed("at this moment")
        return {"value": np.array(items)}

    stage = Stage(name="numbers", folder=tmp_path / "stage", settings={"n": 5}, inputs={})

    def work() -> dict[str, Any]:
        in_parts(stage.folder / "all.npz", 5, part, per=2, what="numbers", progress=lambda *_: None)
        return {"numbers": 5}

    with pytest.raises(_Killed, match="at this moment"):
        run_stage(stage, work)
    with pytest.raises(
        StageError, match=r"it was begun: the same command goes on\); run `./run_study.py sims numbers`"
    ):
        read_record(stage.folder, "numbers")
    record, _ = run_stage(stage, work)
    assert made == [0, 2, 4, 4]
    assert np.load(stage.folder / "all.npz")["value"].tolist() == [0, 1, 2, 3, 4]
    (stage.folder / "all.npz").write_bytes(b"")
    with pytest.raises(StageError, match=r"all.npz missing or of another size than written"):
        read_record(stage.folder, "numbers")
    assert run_stage(stage, work)[0].content == record.content


def _sample(labels: np.ndarray[Any, Any], instances: np.ndarray[Any, Any] | None) -> Sample:
    return Sample(id="town_000001", labels=labels, instances=instances, image=np.zeros((*labels.shape, 3), np.uint8))


def test_the_nearness_of_layers_and_of_disparity(banked: Workspace, tmp_path: Path) -> None:
    classes = banked.classes
    names = list(classes.names)
    labels = np.array([[names.index("sky"), names.index("grass"), names.index("car"), names.index("car")]], np.uint8)
    instances = np.array([[0, 6, 11003, 11007]], np.int32)
    layers = Supervision(source="layers", classes=classes).nearness(_sample(labels, instances))[0]
    assert (np.diff(layers) > 0).all(), "sky, grass, the car painted first, the car painted last"
    Image.fromarray(np.array([[0, 257, 513, 513]], np.uint16)).save(tmp_path / "town_000001_disparity.png")
    read = Supervision(source="disparity", classes=classes, disparity=tmp_path)
    assert np.array_equal(read.nearness(_sample(labels, None))[0], [np.nan, 1.0, 2.0, 2.0], equal_nan=True)
    with pytest.raises(StageError, match=r"nothing for sample other among 1 png files; expected other_disparity.png"):
        read.nearness(replace(_sample(labels, None), id="other"))
    before = read.inputs
    assert Supervision(source="disparity", classes=classes, disparity=tmp_path).inputs == before
    Image.fromarray(np.zeros((1, 4), np.uint8)).save(tmp_path / "town_000001_disparity.png")
    assert Supervision(source="disparity", classes=classes, disparity=tmp_path).inputs != before, "another file"
    assert Supervision(source="canvas", classes=classes).inputs == {}
    with pytest.raises(StageError, match=r"mode L; disparity files are 16-bit grey"):
        Supervision(source="disparity", classes=classes, disparity=tmp_path).nearness(_sample(labels, None))


def test_a_wrong_supervision_is_refused(banked: Workspace, tmp_path: Path) -> None:
    unknown = replace(banked.classes, layers=())
    with pytest.raises(StageError, match=r"--supervision is 'stereo'; choose one of disparity, canvas, layers"):
        Supervision(source="stereo", classes=unknown)  # type: ignore[arg-type]
    with pytest.raises(StageError, match=r"--supervision layers: no layers are stated .* use --supervision canvas"):
        Supervision(source="layers", classes=unknown)
    with pytest.raises(StageError, match=r"--supervision disparity and --disparity DIR belong together"):
        Supervision(source="disparity", classes=unknown)
    with pytest.raises(StageError, match=r"is not a folder; it should hold <sample id>_disparity.png"):
        Supervision(source="disparity", classes=unknown, disparity=tmp_path / "none")


def test_wrong_settings_of_a_training_are_refused() -> None:
    with pytest.raises(ValueError, match=r"--steps is 0; it must be at least 1"):
        Learning(steps=0)
    with pytest.raises(ValueError, match=r"--rate is 2; it must be above 0 and below 1"):
        Learning(steps=1, rate=2)
    with pytest.raises(ValueError, match=r"--device is 'tpu'; choose auto, cpu or cuda"):
        device_of("tpu")
