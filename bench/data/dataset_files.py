"""Data sets that users describe in files: ``NAME.toml`` says what the values in a paired folder mean."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.data.dataset import AugmentationRule, DatasetError, check_size
from bench.data.entry import DatasetEntry, root_variable
from bench.data.files import Layout
from bench.data.layouts.released import Released
from bench.data.layouts.templates import Templates
from bench.data.palettes import Colour
from bench.data.registry import ENTRIES
from spade_core.label_spec import LabelSpec

_ROOT = Path(__file__).resolve().parents[2]
_FOLDER_VARIABLE = "SPADE_BENCH_DATASETS"
_NAME = re.compile(r"[a-z][a-z0-9_-]*")
_DONT_CARE_NAME = "don't care"
_MOST_CLASSES = 65535  # label files hold at most 16 bits, and don't care may need one id


def datasets_folder() -> Path:
    """Where data set files are looked for: $SPADE_BENCH_DATASETS, else ``datasets/`` in the project's root."""
    given = os.environ.get(_FOLDER_VARIABLE)
    return Path(given).expanduser().resolve() if given else _ROOT / "datasets"


def dataset_files() -> dict[str, Path]:
    """The data set files by name, in the order of the names; none of them is opened.

    Raises DatasetError listing every name that is not allowed or is taken, and a folder that was named but is absent.
    """
    folder = datasets_folder()
    if not folder.is_dir():
        if os.environ.get(_FOLDER_VARIABLE):
            raise DatasetError(
                f"{folder} (from {_FOLDER_VARIABLE}) is not a folder; it should hold data set files NAME.toml, "
                "or leave the variable unset"
            )
        return {}
    files: dict[str, Path] = {}
    problems: list[str] = []
    taken = {entry.root_variable: f"the built-in data set {entry.name!r}" for entry in ENTRIES}
    for path in sorted(folder.glob("*.toml")):
        if path.name.startswith("."):
            continue
        variable = root_variable(path.stem)
        if not _NAME.fullmatch(path.stem):
            problems.append(
                f"{path}: {path.stem!r} cannot be a data set's name; start with a letter a to z and go on with "
                "letters, digits, '-' and '_'; rename the file"
            )
        elif variable in taken:
            problems.append(f"{path}: {taken[variable]} has this name or this variable ({variable}); rename the file")
        else:
            taken[variable] = str(path)
            files[path.stem] = path
    if problems:
        raise DatasetError("\n".join(problems))
    return files


def read_dataset_files() -> tuple[tuple[DatasetEntry, ...], tuple[str, ...]]:
    """The described data sets in the order of their names, and what is wrong with the files that are not among them."""
    try:
        files = dataset_files()
    except DatasetError as error:
        return (), (str(error),)
    entries, problems = [], []
    for path in files.values():
        try:
            entries.append(read_dataset_file(path))
        except DatasetError as error:
            problems.append(str(error))
    return tuple(entries), tuple(problems)


def read_dataset_file(path: Path) -> DatasetEntry:
    """The data set that ``path`` describes (keys: docs/datasets/own_pairs.md).

    Label ids are the positions in ``classes``; with ``dont_care_value`` there is one id more, ``classes``, which no
    score counts. Raises DatasetError naming the file and everything that is wrong with it.
    """
    import tomllib

    try:
        with path.open("rb") as file:
            table = tomllib.load(file)
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: not readable as TOML ({error}); correct the file") from None
    fitting, problems = _fitting(table)
    problems += _contradictions(fitting)
    if problems:
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        raise DatasetError(f"{path}: {count}\n" + "\n".join(f"  - {problem}" for problem in problems))
    return _entry(path, fitting)


def judged_hash(entry: DatasetEntry, content_hash: str) -> str:
    """``content_hash`` of the validation files, with the ids that the data set file lets count.

    Scores depend on them: a changed description must not pass for what a score was made on.
    """
    return hashlib.sha256(f"{content_hash} {entry.ignore_ids} {entry.scored_classes}".encode()).hexdigest()


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _list_of(fits: Callable[[Any], bool], *, least: int = 1) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and len(value) >= least and all(fits(item) for item in value)


def _truth(value: Any) -> bool:
    return isinstance(value, bool)


def _colour(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(_whole(part) and 0 <= part <= 255 for part in value)


def _pattern(value: Any) -> bool:
    """Whether the text is a folder below the root with ``{split}`` in it, and ``/*`` at the end alone."""
    if not _text(value) or value.count("{split}") != value.count("{") or "{split}" not in value:
        return False
    inner = value.removesuffix("/*")
    return "*" not in inner and not inner.startswith("/") and ".." not in inner.split("/")


def _ending(value: Any) -> bool:
    return _text(value) and "/" not in value


_ENDING_MEANING = "the end of the file names that partners do not share, without extension, such as '_leftImg8bit'"


@dataclass(frozen=True, kw_only=True)
class _Key:
    """A key of a data set file."""

    fits: Callable[[Any], bool]
    meaning: str
    required: bool = False


_KEYS: Mapping[str, _Key] = {
    "title": _Key(fits=_text, meaning="a text", required=True),
    "classes": _Key(
        fits=lambda value: _whole(value) or _list_of(_text)(value),
        meaning="the number of classes, or the list of their names in the order of the ids",
        required=True,
    ),
    "size_px": _Key(
        fits=lambda value: _list_of(_whole)(value) and len(value) == 2,
        meaning="[height, width] in pixels, whole numbers",
        required=True,
    ),
    "dont_care_value": _Key(fits=_whole, meaning="the whole number that marks unlabelled pixels in the label files"),
    "ignore_ids": _Key(fits=_list_of(_whole, least=0), meaning="a list of label ids that no score counts"),
    "scored_classes": _Key(
        fits=_list_of(_whole), meaning="the label ids that a mean over classes runs over, at least one"
    ),
    "instances": _Key(
        fits=lambda value: _truth(value) or _pattern(value),
        meaning="true (there are {train,val}_inst folders), false, or the folder's pattern, such as 'inst/{split}'",
    ),
    "images": _Key(
        fits=_pattern,
        meaning="the folder of the images below the root, with {split} where the split's name stands and '/*' at the "
        "end where they lie one folder deeper, such as 'images/{split}'",
    ),
    "labels": _Key(fits=_pattern, meaning="the folder of the label maps, a pattern such as 'annotations/{split}'"),
    "image_ending": _Key(fits=_ending, meaning=_ENDING_MEANING),
    "label_ending": _Key(fits=_ending, meaning=_ENDING_MEANING),
    "instance_ending": _Key(fits=_ending, meaning=_ENDING_MEANING),
    "splits": _Key(
        fits=lambda value: (
            isinstance(value, dict)
            and set(value) <= {"train", "val"}
            and all(_text(name) and "/" not in name for name in value.values())
        ),
        meaning="the names of the splits in the folders, such as { train = 'training', val = 'validation' }",
    ),
    "upsampling": _Key(fits=lambda value: value in ("normal", "more"), meaning="'normal' or 'more'"),
    "flip": _Key(fits=_truth, meaning="true or false"),
    "load_scale": _Key(
        fits=lambda value: _whole(value) or isinstance(value, float), meaning="a number from 1.0 (no crop) to 4.0"
    ),
    "palette": _Key(fits=_list_of(_colour), meaning="a list of colours [r, g, b], whole numbers from 0 to 255"),
}


def _fitting(table: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The pairs of ``table`` that are of the right kind, and what is wrong with the others."""
    problems = [f"{key}: unknown key; allowed are {', '.join(_KEYS)}" for key in table if key not in _KEYS]
    fitting = {}
    for name, key in _KEYS.items():
        if name not in table:
            if key.required:
                problems.append(f"{name}: missing; give {key.meaning}")
        elif key.fits(table[name]):
            fitting[name] = table[name]
        else:
            problems.append(f"{name}: is {table[name]!r}; it must be {key.meaning}")
    return fitting, problems


def _contradictions(given: Mapping[str, Any]) -> list[str]:
    """What is wrong with values that are each of the right kind."""
    problems = []
    for name, check in (
        ("size_px", lambda value: check_size((value[0], value[1]))),
        ("load_scale", lambda value: AugmentationRule(load_scale=value)),
    ):
        try:
            if name in given:
                check(given[name])
        except ValueError as error:
            problems.append(f"{name}: {error}")
    problems += _place_problems(given)
    if "classes" not in given:
        return problems
    classes = _count(given)
    if not 1 <= classes <= _MOST_CLASSES:
        return [*problems, f"classes: is {classes}; it must be from 1 to {_MOST_CLASSES}"]
    names = _names(given)
    twice = sorted({name for name in names if names.count(name) > 1}) if isinstance(given["classes"], list) else []
    if twice:
        note = f" ({_DONT_CARE_NAME!r} is the name of dont_care_value)" if _DONT_CARE_NAME in twice else ""
        problems.append(f"classes: {', '.join(map(repr, twice))} more than once; give every id a name of its own{note}")
    if "palette" in given and len(given["palette"]) != classes:
        problems.append(f"palette: {len(given['palette'])} colours for {classes} classes; give one for each class")
    value = given.get("dont_care_value")
    if value is not None and not classes <= value <= _MOST_CLASSES:
        what = "is also a class" if 0 <= value < classes else "is out of range"
        problems.append(
            f"dont_care_value: {value} {what}; it must be from {classes} to {_MOST_CLASSES} "
            "(for a class that should not count use ignore_ids)"
        )
    return problems + _id_problems(given, classes)


def _place_problems(given: Mapping[str, Any]) -> list[str]:
    """What is wrong with the keys that say where the files are."""
    problems = []
    named = [key for key in ("images", "labels") if key in given]
    if len(named) == 1:
        problems.append(f"{named[0]}: images and labels go together; give both, or neither for {{train,val}}_img")
    if not named:
        alone = [key for key in ("image_ending", "label_ending", "instance_ending", "splits") if key in given]
        alone += ["instances"] if isinstance(given.get("instances"), str) else []
        problems += [
            f"{key}: means something with images and labels alone; give them, or leave it out" for key in alone
        ]
    elif given.get("instances") is True:
        problems.append("instances: is true, but images and labels name folders; name theirs, such as 'inst/{split}'")
    if "instance_ending" in given and not given.get("instances"):
        problems.append("instance_ending: there are no instances; give the pattern of their folder, or leave it out")
    return problems


def _layout(given: Mapping[str, Any]) -> Layout:
    instances = given.get("instances", False)
    if "images" not in given:
        return Released(has_instances=bool(instances))
    return Templates(
        images=given["images"],
        labels=given["labels"],
        instances=instances or None,
        image_ending=given.get("image_ending", ""),
        label_ending=given.get("label_ending", ""),
        instance_ending=given.get("instance_ending", ""),
        splits=tuple(sorted(given.get("splits", {}).items())),
    )


def _id_problems(given: Mapping[str, Any], classes: int) -> list[str]:
    """What is wrong with ``ignore_ids`` and ``scored_classes``."""
    ids = classes + int("dont_care_value" in given)
    problems = []
    for name in ("ignore_ids", "scored_classes"):
        outside = [i for i in given.get(name, ()) if not 0 <= i < ids]
        if outside:
            problems.append(f"{name}: {outside} are no label ids; those are 0 to {ids - 1}")
    ignored = set(_ignored(given, classes))
    both = sorted(ignored & set(given.get("scored_classes", ())))
    if both:
        problems.append(f"scored_classes: {both} are ignored (ignore_ids, don't care); a label is scored or ignored")
    if ignored >= set(range(ids)):
        problems.append("ignore_ids: they leave no class to score; leave some out")
    return problems


def _count(given: Mapping[str, Any]) -> int:
    classes = given["classes"]
    return len(classes) if isinstance(classes, list) else int(classes)


def _names(given: Mapping[str, Any]) -> tuple[str, ...]:
    classes = given["classes"]
    names = classes if isinstance(classes, list) else [f"class {i}" for i in range(classes)]
    return (*(name.strip() for name in names), *([_DONT_CARE_NAME] if "dont_care_value" in given else []))


def _ignored(given: Mapping[str, Any], classes: int) -> tuple[int, ...]:
    return tuple(sorted({*given.get("ignore_ids", ()), *([classes] if "dont_care_value" in given else [])}))


def _entry(path: Path, given: Mapping[str, Any]) -> DatasetEntry:
    """The data set of a description without problems."""
    classes, dont_care = _count(given), "dont_care_value" in given
    colours: tuple[Colour, ...] | None = None
    if "palette" in given:
        colours = (*((r, g, b) for r, g, b in given["palette"]), *([(40, 40, 40)] if dont_care else []))
    scored = given.get("scored_classes")
    instances = bool(given.get("instances", False))
    return DatasetEntry(
        name=path.stem,
        title=given["title"].strip(),
        spec=LabelSpec(classes=classes, dont_care=dont_care, instance_edges=instances),
        size_px=(given["size_px"][0], given["size_px"][1]),
        upsampling=given.get("upsampling", "normal"),
        augmentation_rule=AugmentationRule(
            flip=given.get("flip", True), load_scale=float(given.get("load_scale", 1.0))
        ),
        class_names=_names(given),
        colours=colours,
        dont_care_value=given.get("dont_care_value"),
        ignore_ids=_ignored(given, classes),
        scored_classes=tuple(sorted(set(scored))) if scored is not None else None,
        has_instances=instances,
        layouts=(_layout(given),),
        note=f"described in {path}",
        described_in=path,
    )
