"""Which class of a judge stands for which label id of a data set; never implicit. Free of torch and numpy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from bench.data import names

if TYPE_CHECKING:
    from bench.evaluation.protocol import Protocol as EvaluationProtocol


class LabelledIds(Protocol):
    """What a mapping needs to know of a data set; a ``Dataset`` is one."""

    @property
    def name(self) -> str: ...

    @property
    def class_names(self) -> tuple[str, ...]:
        """One name for each label id."""

    @property
    def scored_classes(self) -> tuple[int, ...]:
        """Label ids that a mean over classes runs over, ascending."""


@dataclass(frozen=True, kw_only=True)
class LabelMapping:
    """From label ids to judge classes.

    Raises ValueError where a class has no name or another's, or no label id is mapped.
    """

    name: str
    dataset: str
    """Whose label ids it maps."""
    classes: tuple[str, ...]
    """Names of the judge's classes, in the order of its outputs."""
    class_of: tuple[int | None, ...]
    """By label id: the judge class that stands for it, or None where its pixels count as unlabelled."""
    source: str

    def __post_init__(self) -> None:
        outside = sorted({k for k in self.class_of if k is not None and not 0 <= k < len(self.classes)})
        if outside:
            raise ValueError(
                f"label mapping {self.name}: classes {outside} have no name; the judge has 0 to {len(self.classes) - 1}"
            )
        twice = sorted({name for name in self.classes if self.classes.count(name) > 1})
        if twice:
            raise ValueError(
                f"label mapping {self.name}: {', '.join(map(repr, twice))} more than once; give every class a name of "
                "its own, scores of classes go by names"
            )
        if all(k is None for k in self.class_of):
            raise ValueError(f"label mapping {self.name}: no label id has a judge class, so nothing could be scored")

    def check(self, dataset: LabelledIds) -> LabelMapping:
        """The mapping itself, if it fits the data set's label ids.

        Raises ValueError where the number of ids differs, or for another data set whose classes have other names.
        """
        ids = len(dataset.class_names)
        if ids != len(self.class_of):
            raise ValueError(
                f"label mapping {self.name} maps {len(self.class_of)} label ids of {self.dataset}, but data set "
                f"{dataset.name} has {ids}; {_REMEDY}"
            )
        if dataset.name == self.dataset or not self.dataset:
            return self
        differing = [
            f"id {label}: {dataset.class_names[label]!r} is {self.classes[k]!r} in the mapping"
            for label, k in enumerate(self.class_of)
            if k is not None and dataset.class_names[label].casefold() != self.classes[k].casefold()
        ]
        if differing:
            more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
            raise ValueError(
                f"label mapping {self.name} is for the label ids of {self.dataset}; those of {dataset.name} mean other "
                f"classes ({'; '.join(differing[:3])}{more}); {_REMEDY}"
            )
        return self

    def check_judge(self, judge: str, classes: int, class_names: tuple[str, ...] = ()) -> None:
        """Raises ValueError where a judge has more or fewer classes than the mapping names, or another order.

        ``class_names``: as the judge's own files give them, () where they do not. A name that is only spelled another
        way is no problem; one that the mapping has in another place is.
        """
        if classes != len(self.classes):
            raise ValueError(
                f"judge {judge} has {classes} classes, label mapping {self.name} names {len(self.classes)}; {_REMEDY}"
            )
        place = {name.casefold(): k for k, name in enumerate(self.classes)}
        moved = [
            f"class {k} is {name!r} there, {self.classes[k]!r} in the mapping"
            for k, name in enumerate(class_names)
            if place.get(name.casefold(), k) != k
        ]
        if moved:
            told = "; ".join(moved[:3]) + (f"; and {len(moved) - 3} more" if len(moved) > 3 else "")
            raise ValueError(
                f"judge {judge} has its classes in another order than label mapping {self.name} ({told}); {_REMEDY}"
            )


_REMEDY = (
    "name a protocol whose mapping fits, or give your own in a protocol file (judge_classes and class_of; "
    "docs/evaluation.md)"
)
UNUSED_COCO_IDS = (11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90)
"""Label ids of COCO-Stuff that name a class but occur in no image."""
CITYSCAPES_TRAIN_IDS: Mapping[int, int] = {
    label: train_id
    for train_id, label in enumerate((7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33))
}
"""Label id to train id of the 19 evaluation classes of Cityscapes."""


def _coco_182() -> LabelMapping:
    return LabelMapping(
        name="coco-182",
        dataset="coco_stuff",
        classes=names.coco_stuff()[:182],
        class_of=(*range(182), None),
        source="deeplab-pytorch libs/datasets/cocostuff.py: a label id is a class; 255 (182 here) is ignored",
    )


def _coco_171() -> LabelMapping:
    used = [label for label in range(182) if label not in UNUSED_COCO_IDS]
    class_of = {label: k for k, label in enumerate(used)}
    return LabelMapping(
        name="coco-171",
        dataset="coco_stuff",
        classes=tuple(names.coco_stuff()[label] for label in used),
        class_of=tuple(class_of.get(label) for label in range(183)),
        source="mmsegmentation tools/dataset_converters/coco_stuff164k.py: the 11 ids that never occur are left out",
    )


def _ade20k_150() -> LabelMapping:
    return LabelMapping(
        name="ade20k-150",
        dataset="ade20k",
        classes=names.ade20k()[1:],
        class_of=(None, *range(150)),
        source="semantic-segmentation-pytorch dataset.py: label - 1; 0 (unknown) is ignored",
    )


def _cityscapes_19() -> LabelMapping:
    return LabelMapping(
        name="cityscapes-19",
        dataset="cityscapes",
        classes=tuple(names.cityscapes()[label] for label in CITYSCAPES_TRAIN_IDS),
        class_of=tuple(CITYSCAPES_TRAIN_IDS.get(label) for label in range(len(names.cityscapes()))),
        source="cityscapesScripts helpers/labels.py: train ids; the other ids are ignored",
    )


_BUILDERS: Mapping[str, Callable[[], LabelMapping]] = {
    "coco-182": _coco_182,
    "coco-171": _coco_171,
    "ade20k-150": _ade20k_150,
    "cityscapes-19": _cityscapes_19,
}
SCORED_CLASSES = "scored-classes"
"""The mapping that follows from a data set itself: its scored classes, in order, are the judge's."""
OWN = "own"
"""The mapping that a protocol carries itself."""
MAPPING_NAMES: tuple[str, ...] = (*_BUILDERS, SCORED_CLASSES, OWN)


def get_mapping(name: str) -> LabelMapping:
    """The mapping of that name. Raises ValueError that lists the known ones; two names need more than a name."""
    if name not in _BUILDERS:
        raise ValueError(f"no label mapping is called {name!r}; known are: {', '.join(_BUILDERS)}")
    return _BUILDERS[name]()


def scored_classes(dataset: LabelledIds) -> LabelMapping:
    """The mapping for a judge that was trained on the scored classes of ``dataset``, in their order."""
    place = {label: k for k, label in enumerate(dataset.scored_classes)}
    return LabelMapping(
        name=SCORED_CLASSES,
        dataset=dataset.name,
        classes=tuple(dataset.class_names[label] for label in dataset.scored_classes),
        class_of=tuple(place.get(label) for label in range(len(dataset.class_names))),
        source=f"the scored classes of data set {dataset.name}, in the order of their ids",
    )


def mapping_for(protocol: EvaluationProtocol, dataset: LabelledIds) -> LabelMapping:
    """The mapping by which ``protocol`` judges ``dataset``.

    Raises ValueError where the protocol has no judge or the mapping does not fit the data set's label ids.
    """
    if not protocol.judge:
        raise ValueError(f"protocol {protocol.key} has no judge, so it maps no label ids")
    if protocol.label_mapping == SCORED_CLASSES:
        return scored_classes(dataset)
    if protocol.label_mapping == OWN:
        assert protocol.own_labels is not None
        return protocol.own_labels.check(dataset)
    return get_mapping(protocol.label_mapping).check(dataset)
