"""Configuration as JSON and back, and what an identity depends on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import pytest

from baselines.recipe import CODE, Recipe, Schedule
from bench.plain import content_hash, from_plain, semantic, to_plain
from bench.run_spec import DatasetRef, RunSpec, Training
from tests.tiny import tiny_run


@dataclass(frozen=True, kw_only=True)
class Inner:
    width: int
    rate: float = 1.0
    kind: Literal["a", "b"] = "a"


@dataclass(frozen=True, kw_only=True)
class Outer:
    inner: Inner
    other: Inner | None = None
    size: tuple[int, int] = (1, 2)
    many: tuple[Inner, ...] = ()
    by_name: Mapping[str, Inner] = field(default_factory=dict)
    where: Path | None = field(default=None, metadata={"semantic": False})


EVERYTHING = Outer(
    inner=Inner(width=3, rate=0.1),
    other=Inner(width=4),
    many=(Inner(width=1), Inner(width=2)),
    by_name={"x": Inner(width=7, kind="b")},
    where=Path("/data"),
)


def test_written_and_read_again_it_is_the_same() -> None:
    for value in (EVERYTHING, Outer(inner=Inner(width=1))):
        assert from_plain(Outer, json.loads(json.dumps(to_plain(value)))) == value


def test_a_field_that_came_later_counts_only_where_it_is_not_its_default() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Before:
        width: int

    @dataclass(frozen=True, kw_only=True)
    class After:
        width: int
        depth: int = field(default=1, metadata={"semantic": "unless default"})

    assert content_hash(After(width=3)) == content_hash(Before(width=3))
    assert content_hash(After(width=3, depth=2)) != content_hash(Before(width=3))


def test_integers_become_floats_where_floats_are_meant() -> None:
    found = from_plain(Inner, {"width": 3, "rate": 2})
    assert isinstance(found.rate, float)
    assert isinstance(found.width, int)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"inner": {"width": 1, "depth": 2}}, "file.json.inner: unknown field depth; known are: width, rate, kind"),
        ({"inner": {}}, "file.json.inner: missing field width"),
        ({"innr": {"width": 1}}, "file.json: unknown field innr; known are: inner, other"),
        ({"inner": 3}, "file.json.inner: expected the fields of Inner, found 3"),
        ({"inner": {"width": 1}, "many": [{}]}, r"file.json.many\[0\]: missing field width"),
        ({"inner": {"width": 1}, "by_name": {"x": {}}}, r"file.json.by_name\[x\]: missing field width"),
    ],
)
def test_what_does_not_fit_is_named_with_its_place(data: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_plain(Outer, data, "file.json")


def test_what_json_cannot_hold_is_refused() -> None:
    with pytest.raises(TypeError, match="cannot write a set as JSON"):
        to_plain({"a": {1, 2}})
    with pytest.raises(ValueError, match="not JSON compliant"):
        content_hash(Inner(width=1, rate=float("nan")))


def test_only_semantic_fields_change_the_hash() -> None:
    assert content_hash(EVERYTHING) == content_hash(replace(EVERYTHING, where=Path("/elsewhere")))
    assert "where" not in semantic(EVERYTHING)
    for changes in ({"size": (1, 3)}, {"other": None}, {"inner": Inner(width=3, rate=0.2)}, {"many": ()}):
        assert content_hash(EVERYTHING) != content_hash(replace(EVERYTHING, **changes)), changes


def test_the_order_of_a_mapping_does_not_matter() -> None:
    one, two = Inner(width=1), Inner(width=2)
    first = Outer(inner=one, by_name={"x": one, "y": two})
    assert content_hash(first) == content_hash(Outer(inner=one, by_name={"y": two, "x": one}))


BASE = tiny_run()


def with_parts(run: RunSpec, part: str, **changes: Any) -> RunSpec:
    return replace(run, **{part: replace(getattr(run, part), **changes)})


@pytest.mark.parametrize(
    ("part", "changes"),
    [
        ("dataset", {"root": "/elsewhere"}),
        ("dataset", {"val_manifest": "x"}),
        ("dataset", {"val_images": 2}),
        ("training", {"save_every_steps": 7, "log_every_steps": 7, "sample_every_steps": 7, "keep_checkpoints": 7}),
        ("training", {"loader_workers": 3}),
        ("training", {"eval_every_steps": 3}),
        ("recipe", {"name": "other", "sources": {}, "batch_images": 1, "schedules": {}}),
    ],
)
def test_what_changes_no_weight_is_not_in_a_runs_identity(part: str, changes: dict[str, Any]) -> None:
    assert with_parts(BASE, part, **changes).run_id == BASE.run_id


@pytest.mark.parametrize(
    ("part", "changes"),
    [
        ("dataset", {"manifest": "other"}),
        ("dataset", {"size": (64, 32)}),
        ("dataset", {"train_images": 8}),
        ("training", {"steps": 5}),
        ("training", {"batch_images": 8}),
        ("training", {"accumulate": 2}),
        ("training", {"norm_group_images": 2}),
        ("training", {"precision": "bf16"}),
        ("training", {"tf32": True}),
        ("training", {"ema_halflife_images": 10}),
        ("recipe", {"beta2": 0.5}),
        ("recipe", {"initialization": "glorot"}),
        ("generator", {"width": 5}),
    ],
)
def test_what_changes_the_weights_is_in_a_runs_identity(part: str, changes: dict[str, Any]) -> None:
    assert with_parts(BASE, part, **changes).run_id != BASE.run_id
    assert replace(BASE, seed=9).run_id != BASE.run_id


def test_the_schedule_counts_exactly_where_the_run_follows_it() -> None:
    schedules = ({"synthetic": Schedule(epochs=2)}, {"synthetic": Schedule(epochs=3)})
    constant = [with_parts(BASE, "recipe", schedules=schedule).run_id for schedule in schedules]
    decaying = [with_parts(with_parts(BASE, "recipe", schedules=s), "training", decay=True).run_id for s in schedules]
    assert constant[0] == constant[1] == BASE.run_id
    assert len({*decaying, BASE.run_id}) == 3


@pytest.mark.parametrize("name", ["spade-decoder-encoder", "pix2pixhd", "pix2pixhd-local-enhancer", "concat-decoder"])
def test_a_run_is_read_back_from_its_file(name: str) -> None:
    run = tiny_run(name)
    assert RunSpec.from_json(json.loads(json.dumps(run.to_json()))) == run
    assert run.name.startswith(f"{name}-synthetic-")
    assert run.name.endswith(f"seed3-{run.run_id}")


def test_an_edited_run_file_is_noticed() -> None:
    data = BASE.to_json()
    data["seed"] = 4
    with pytest.raises(ValueError, match=f"run.json: the stored run_id is {BASE.run_id} but its fields give"):
        RunSpec.from_json(data)


def test_recipes_survive_json() -> None:
    assert from_plain(Recipe, json.loads(json.dumps(to_plain(CODE)))) == CODE


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": (4, 64)}, "data set 'synthetic': size 4x64 px; both sides must be at least 8"),
        ({"train_images": 0}, "data set 'synthetic': train_images is 0; it must be at least 1, or None"),
    ],
)
def test_a_data_reference_is_validated(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DatasetRef(**{"name": "synthetic", "size": (64, 64), "manifest": "", **changes})


def test_training_is_written_whole() -> None:
    assert set(to_plain(Training(steps=1, batch_images=1))) == set(Training.__dataclass_fields__)
