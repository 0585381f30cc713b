"""Label mappings against the tables of torchvision and mmsegmentation."""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace

import pytest

from bench.data.registry import ENTRIES, dataset_spec
from bench.evaluation.label_mappings import (
    MAPPING_NAMES,
    OWN,
    SCORED_CLASSES,
    UNUSED_COCO_IDS,
    LabelMapping,
    get_mapping,
    mapping_for,
)
from bench.evaluation.mmseg_configs import installed_configs
from bench.evaluation.protocols import get_protocol, list_protocols

NAMED = [name for name in MAPPING_NAMES if name not in (SCORED_CLASSES, OWN)]


@dataclass(frozen=True, kw_only=True)
class Ids:
    """As much of a data set as a mapping looks at."""

    name: str
    class_names: tuple[str, ...]
    scored_classes: tuple[int, ...]


def ids_of(name: str) -> Ids:
    entry = dataset_spec(name)
    every = tuple(i for i in range(entry.spec.ids) if i not in entry.ignore_ids)
    return Ids(name=name, class_names=entry.class_names, scored_classes=entry.scored_classes or every)


def metainfo_classes(dataset: str) -> list[str]:
    """The class names of a data set of mmsegmentation, read without importing it."""
    tree = ast.parse((installed_configs().parents[1] / "datasets" / f"{dataset}.py").read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg == "classes"]
    return [str(name).strip() for name in ast.literal_eval(calls[0].value)]


def test_coco_171_is_mmsegmentations_table() -> None:
    source = installed_configs().parent / "tools" / "dataset_converters" / "coco_stuff164k.py"
    tables = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in ast.parse(source.read_text()).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and isinstance(node.value, ast.Dict)
    }
    table = dict(tables["clsID_to_trID"])
    assert table.pop(255) == 255
    ours = get_mapping("coco-171")
    assert {label: k for label, k in enumerate(ours.class_of) if k is not None} == table
    assert [label for label in range(182) if ours.class_of[label] is None] == list(UNUSED_COCO_IDS)
    assert len(ours.classes) == 171


def test_names_are_mmsegmentations() -> None:
    def plain(name: str) -> str:
        return name.replace("-", " ").replace(",", "").casefold()

    theirs = metainfo_classes("coco_stuff")
    assert [plain(name) for name in get_mapping("coco-171").classes] == [plain(name) for name in theirs]
    assert [plain(name) for name in get_mapping("cityscapes-19").classes] == [
        plain(name) for name in metainfo_classes("cityscapes")
    ]
    ade = zip(get_mapping("ade20k-150").classes, metainfo_classes("ade"), strict=True)
    assert [(ours, theirs) for ours, theirs in ade if plain(ours) != plain(theirs)] == []


def test_cityscapes_19_is_torchvisions_table() -> None:
    from torchvision.datasets import Cityscapes

    ours = get_mapping("cityscapes-19")
    for entry in Cityscapes.classes:
        if entry.id < 0:
            continue
        expected = entry.train_id if 0 <= entry.train_id < 19 else None
        assert ours.class_of[entry.id] == expected, entry.name
        if expected is not None:
            assert ours.classes[expected] == entry.name
    assert ours.class_of[34] is None


def test_the_paper_judges_see_labels_as_their_code_does() -> None:
    coco, ade20k = get_mapping("coco-182"), get_mapping("ade20k-150")
    assert coco.class_of == (*range(182), None)
    assert (ade20k.class_of[0], ade20k.class_of[1], ade20k.class_of[150]) == (None, 0, 149)
    assert (ade20k.classes[0], ade20k.classes[149]) == ("wall", "flag")


@pytest.mark.parametrize("name", NAMED)
def test_every_mapping_fits_its_data_set(name: str) -> None:
    mapping = get_mapping(name)
    ids = ids_of(mapping.dataset)
    assert mapping.check(ids) is mapping
    mapped = [label for label, k in enumerate(mapping.class_of) if k is not None]
    assert set(mapped) <= set(ids.scored_classes)
    for label, k in enumerate(mapping.class_of):
        assert k is None or mapping.classes[k] == ids.class_names[label]
    assert sorted({k for k in mapping.class_of if k is not None}) == list(range(len(mapping.classes)))
    assert mapping.source


@pytest.mark.parametrize("protocol", list_protocols(), ids=lambda item: item.key)
def test_every_protocol_maps_its_data_set(protocol) -> None:  # type: ignore[no-untyped-def]
    if protocol.judge and any(entry.name == protocol.dataset for entry in ENTRIES):
        mapping = mapping_for(protocol, ids_of(protocol.dataset))
        assert len(mapping.class_of) == dataset_spec(protocol.dataset).spec.ids


def test_scored_classes_follow_from_the_data_set() -> None:
    streets = Ids(name="streets", class_names=("road", "house", "sky", "don't care"), scored_classes=(0, 2))
    protocol = replace(get_protocol("synthetic"), name="x", dataset="streets")
    mapping = mapping_for(protocol, streets)
    assert (mapping.classes, mapping.class_of) == (("road", "sky"), (0, None, 1, None))


def test_a_mapping_is_refused_where_ids_mean_something_else() -> None:
    coco = get_mapping("coco-182")
    names = coco.check(ids_of("coco_stuff")).classes
    same = Ids(name="my_coco", class_names=(*names, "don't care"), scored_classes=(0,))
    assert coco.check(same) is coco
    other = Ids(name="my_coco", class_names=("man", *names[1:], "don't care"), scored_classes=(0,))
    with pytest.raises(
        ValueError, match=r"for the label ids of coco_stuff; those of my_coco mean other.*id 0: 'man' is"
    ):
        coco.check(other)
    with pytest.raises(ValueError, match=r"maps 183 label ids of coco_stuff, but data set cityscapes has 35"):
        mapping_for(get_protocol("paper2019-coco"), ids_of("cityscapes"))


def test_a_judge_with_other_classes_is_refused() -> None:
    coco = get_mapping("coco-171")
    coco.check_judge("deeplab", 171)
    coco.check_judge("deeplab", 171, tuple(name.upper() for name in coco.classes))
    coco.check_judge("deeplab", 171, ("a person", *coco.classes[1:]))  # spelled another way, in its place
    with pytest.raises(ValueError, match="judge deeplab has 182 classes, label mapping coco-171 names 171; name a pro"):
        coco.check_judge("deeplab", 182)
    first, second, *rest = coco.classes
    with pytest.raises(
        ValueError, match=r"another order .*\(class 0 is 'bicycle' there, 'person' in the mapping; class"
    ):
        coco.check_judge("deeplab", 171, (second, first, *rest))
    with pytest.raises(ValueError, match="in the mapping; and 168 more"):
        coco.check_judge("deeplab", 171, (*coco.classes[1:], first))


def test_mappings_are_checked() -> None:
    with pytest.raises(ValueError, match="'a' more than once; give every class a name of its own"):
        LabelMapping(name="x", dataset="y", classes=("a", "b", "a"), class_of=(0, 2), source="z")
    with pytest.raises(ValueError, match=r"classes \[2\] have no name; the judge has 0 to 1"):
        LabelMapping(name="x", dataset="y", classes=("a", "b"), class_of=(0, 2), source="z")
    with pytest.raises(ValueError, match="no label id has a judge class"):
        LabelMapping(name="x", dataset="y", classes=("a",), class_of=(None,), source="z")
    with pytest.raises(ValueError, match="no label mapping is called 'voc'; known are: coco-182, coco-171"):
        get_mapping("voc")
