"""Protocols that users describe in files: ``NAME.toml`` takes a built-in one and changes what it names.

Mostly to judge by another network of mmsegmentation::

    base = "paper2019-ade20k"
    summary = "a second judge for ADE20K"
    judge_config = "upernet_r101_4xb4-160k_ade20k-512x512"   # a name in mmsegmentation, or a path
    judge_checkpoint = "upernet_r101.pth"                    # a path, from this file's folder or a weights folder
    label_mapping = "ade20k-150"
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.evaluation.builtin_protocols import BUILTIN
from bench.evaluation.label_mappings import MAPPING_NAMES, OWN, LabelMapping
from bench.evaluation.metric_table import METRICS
from bench.evaluation.mmseg_configs import config_sha256, find_config
from bench.evaluation.protocol import MmsegJudge, Protocol
from bench.evaluation.protocol_parts import SEGMENTATION, variation
from bench.evaluation.weights import file_sha256, search_folders

_ROOT = Path(__file__).resolve().parents[2]
_FOLDER_VARIABLE = "SPADE_BENCH_PROTOCOLS"
_NAME = re.compile(r"[a-z][a-z0-9_-]*")
_UNLABELLED = -1


class ProtocolFileError(ValueError):
    """A protocol file that cannot be used as it is; the message lists everything that has to be put right."""


def protocols_folder() -> Path:
    """Where protocol files are looked for: $SPADE_BENCH_PROTOCOLS, else ``protocols/`` in the project's root."""
    given = os.environ.get(_FOLDER_VARIABLE)
    return Path(given).expanduser().resolve() if given else _ROOT / "protocols"


def protocol_files() -> dict[str, Path]:
    """The protocol files by name, in the order of the names; none of them is opened.

    Raises ProtocolFileError listing every name that is not allowed or is taken, and a folder that was named but is
    absent.
    """
    folder = protocols_folder()
    if not folder.is_dir():
        if os.environ.get(_FOLDER_VARIABLE):
            raise ProtocolFileError(
                f"{folder} (from {_FOLDER_VARIABLE}) is not a folder; it should hold protocol files NAME.toml, "
                "or leave the variable unset"
            )
        return {}
    files: dict[str, Path] = {}
    problems: list[str] = []
    taken = {protocol.name for protocol in BUILTIN}
    for path in sorted(folder.glob("*.toml")):
        if path.name.startswith("."):
            continue
        if not _NAME.fullmatch(path.stem):
            problems.append(
                f"{path}: {path.stem!r} cannot be a protocol's name; start with a letter a to z and go on with "
                "letters, digits, '-' and '_'; rename the file"
            )
        elif path.stem in taken:
            problems.append(f"{path}: there is a built-in protocol {path.stem!r}; rename the file")
        else:
            files[path.stem] = path
    if problems:
        raise ProtocolFileError("\n".join(problems))
    return files


def read_protocol_files() -> tuple[tuple[Protocol, ...], tuple[str, ...]]:
    """The described protocols in the order of their names, and what is wrong with the files that are not among them."""
    try:
        files = protocol_files()
    except ProtocolFileError as error:
        return (), (str(error),)
    protocols, problems = [], []
    for path in files.values():
        try:
            protocols.append(read_protocol_file(path))
        except ProtocolFileError as error:
            problems.append(str(error))
    return tuple(protocols), tuple(problems)


def read_protocol_file(path: Path) -> Protocol:
    """The protocol ``NAME@1`` that the file ``NAME.toml`` describes (keys: docs/evaluation.md).

    Its identity covers the config with all that it builds on and the checkpoint, by their sha256. A checkpoint that is
    not there is no error: scores then have a reason instead of a value. Raises ProtocolFileError naming the file and
    everything that is wrong with it.
    """
    import tomllib

    try:
        with path.open("rb") as file:
            table = tomllib.load(file)
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ProtocolFileError(f"{path}: not readable as TOML ({error}); correct the file") from None
    given, problems = _fitting(table)
    changes: dict[str, Any] = {}
    for part in (_judge, _labels, _rest):
        found, wrong = part(path, given)
        changes |= found
        problems += wrong
    if problems:
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        raise ProtocolFileError(f"{path}: {count}\n" + "\n".join(f"  - {problem}" for problem in problems))
    base = _base(given["base"])
    assert base is not None
    source = f"the user's protocol file {path}"
    sources = {name: source for name in (*changes, "mmseg", "test") if name not in ("summary", "expected")}
    unsaid = {"image_resize", "label_size", "class_mean"} - base.sources.keys() - sources.keys()
    sources |= dict.fromkeys(sorted(unsaid), f"this project's default, since {path.name} does not say")
    try:
        return variation(base, name=path.stem, version=1, **changes, sources=sources)
    except ValueError as error:
        raise ProtocolFileError(f"{path}: {error}") from None


def _judge(path: Path, given: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The judge's fields."""
    config, checkpoint = given.get("judge_config"), given.get("judge_checkpoint")
    if config is None and checkpoint is None:
        return {}, []
    problems = []
    if config is None or checkpoint is None:
        missing = "judge_config" if config is None else "judge_checkpoint"
        problems.append(f"{missing}: missing; judge_config and judge_checkpoint go together")
    if not {"label_mapping", "judge_classes", "class_of"} & set(given):
        names = ", ".join(name for name in MAPPING_NAMES if name != OWN)
        problems.append(
            f"label_mapping: missing; say how label ids become the judge's classes: {names}, or judge_classes and "
            "class_of of your own"
        )
    digest, name, file = "", "", ""
    if config is not None:
        try:
            found = find_config(config, path.parent)
            digest, name = config_sha256(found), found.stem
            file = str(found) if config.endswith(".py") else ""
        except ValueError as error:
            problems.append(f"judge_config: {error}")
    place = _checkpoint(checkpoint, path.parent) if checkpoint is not None else path
    judge = MmsegJudge(
        config_name=name,
        config_file=file,
        config_sha256=digest,
        checkpoint=str(place),
        checkpoint_sha256=file_sha256(place) if place.is_file() else "missing",
    )
    changes = {"judge": "mmseg", "judge_weights": (), "test": None, "mmseg": judge, "paper_accuracy": ""}
    return changes, problems


def _checkpoint(given: str, folder: Path) -> Path:
    """The checkpoint: an absolute path, or one from the protocol file's folder, or from a weights folder."""
    places = [parent / Path(given).expanduser() for parent in (folder, *search_folders())]
    return next((place for place in places if place.is_file()), places[0]).resolve()


def _labels(path: Path, given: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The label mapping's fields."""
    classes, class_of = given.get("judge_classes"), given.get("class_of")
    if (classes is None) != (class_of is None):
        missing = "judge_classes" if classes is None else "class_of"
        return {}, [f"{missing}: missing; judge_classes (names) and class_of (one class for each label id) go together"]
    if classes is None or class_of is None:
        return ({"label_mapping": given["label_mapping"]} if "label_mapping" in given else {}), []
    if "label_mapping" in given:
        return {}, ["label_mapping: given beside class_of; leave one of them out"]
    base = _base(given.get("base", ""))
    dataset = given.get("dataset", base.dataset if base is not None else "")
    try:
        mapping = LabelMapping(
            name=OWN,
            dataset=dataset,
            classes=tuple(classes),
            class_of=tuple(None if k == _UNLABELLED else k for k in class_of),
            source=f"the user's protocol file {path.name}",
        )
    except ValueError as error:
        return {}, [f"class_of: {error}"]
    return {"label_mapping": OWN, "own_labels": mapping}, []


def _rest(path: Path, given: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The fields that are taken over as they are."""
    direct = ("summary", "dataset", "ignored", "class_mean", "image_resize", "label_size", "subject", "expected")
    changes = {name: given[name] for name in direct if name in given}
    base = _base(given.get("base", ""))
    if "metrics" in given:
        changes["metrics"] = tuple(given["metrics"])
        if base is not None and base.paper_accuracy not in changes["metrics"]:
            changes["paper_accuracy"] = ""
    elif base is not None and not base.judge and "judge_config" in given:
        changes["metrics"] = (*SEGMENTATION, *base.metrics)
    if "summary" not in given:
        changes["summary"] = f"{given.get('base', '')} as changed in {path.name}"
    return changes, []


def _base(name: str) -> Protocol | None:
    return next((item for item in BUILTIN if name in (item.name, item.key)), None)


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _list_of(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and bool(value) and all(fits(item) for item in value)


def _one_of(*allowed: str) -> Callable[[Any], bool]:
    return lambda value: value in allowed


@dataclass(frozen=True, kw_only=True)
class _Key:
    """A key of a protocol file."""

    fits: Callable[[Any], bool]
    meaning: str
    required: bool = False


_MAPPINGS = tuple(name for name in MAPPING_NAMES if name != OWN)
_KEYS: Mapping[str, _Key] = {
    "base": _Key(
        fits=lambda value: isinstance(value, str) and _base(value) is not None,
        meaning=f"a built-in protocol: {', '.join(item.name for item in BUILTIN)}",
        required=True,
    ),
    "summary": _Key(fits=_text, meaning="a text"),
    "judge_config": _Key(fits=_text, meaning="a config's name in mmsegmentation, or the path of a config file .py"),
    "judge_checkpoint": _Key(fits=_text, meaning="the path of the checkpoint that belongs to judge_config"),
    "label_mapping": _Key(fits=_one_of(*_MAPPINGS), meaning=f"one of {', '.join(_MAPPINGS)}"),
    "judge_classes": _Key(
        fits=_list_of(_text), meaning="the names of the judge's classes, in the order of its outputs"
    ),
    "class_of": _Key(
        fits=_list_of(lambda value: _whole(value) and value >= _UNLABELLED),
        meaning="for each label id the judge class, a whole number from 0, or -1 for unlabelled",
    ),
    "dataset": _Key(fits=_text, meaning="the name of the data set that is judged"),
    "ignored": _Key(fits=_text, meaning="a text: which pixels count as unlabelled"),
    "class_mean": _Key(fits=_one_of("present", "all", "union"), meaning="'present', 'all' or 'union'"),
    "image_resize": _Key(fits=_one_of("none", "bilinear", "bicubic"), meaning="'none', 'bilinear' or 'bicubic'"),
    "label_size": _Key(fits=_one_of("generated", "native"), meaning="'generated' or 'native'"),
    "subject": _Key(fits=_one_of("any", "real"), meaning="'any' or 'real'"),
    "expected": _Key(
        fits=lambda value: (
            isinstance(value, dict) and all(k in METRICS and isinstance(v, (int, float)) for k, v in value.items())
        ),
        meaning="a table of published scores on real images, such as { mIoU = 45.47 }",
    ),
    "metrics": _Key(
        fits=_list_of(lambda value: isinstance(value, str) and value in METRICS),
        meaning=f"a list of metrics: {', '.join(METRICS)}",
    ),
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
