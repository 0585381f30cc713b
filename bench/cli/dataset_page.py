"""The page that ``show dataset`` prints: what it is, where its files may lie, and what becomes of every label id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.cli.protocol_page import grid, page_console

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bench.data.conventions import LabelConvention
    from bench.data.entry import DatasetEntry
    from bench.evaluation.label_mappings import LabelMapping

_UNSCORED = "–"


@dataclass(frozen=True, kw_only=True)
class _Ids:
    """What a label mapping asks of a data set, without opening one."""

    name: str
    class_names: tuple[str, ...]
    scored_classes: tuple[int, ...]


def print_dataset(entry: DatasetEntry) -> None:
    """All about a data set on the terminal; at most as wide as it is, 100 columns in a pipe. Opens no file of it."""
    console = page_console()
    width = console.width
    console.print(f"[bold]{entry.name}[/bold]: {entry.title}", highlight=False)
    if entry.note:
        console.print(entry.note, highlight=False, markup=False)
    protocol, mapping = _judged(entry)
    sections: list[tuple[str, RenderableType | None]] = [
        ("What the networks see", _facts(entry, width)),
        ("Where the files may lie", _places(entry, width)),
        ("Preprocessing", _preprocessing(entry, width)),
        ("How generators want the label ids", _conventions(entry, width)),
        (f"Label ids{protocol}", _ids(entry, mapping, width)),
    ]
    for title, body in sections:
        if body is not None:
            console.print(f"\n[bold underline]{title}[/bold underline]", highlight=False)
            console.print(body, highlight=False, markup=False)


def _facts(entry: DatasetEntry, width: int) -> RenderableType:
    height, across = entry.size_px
    spec = entry.spec
    parts = [f"{spec.classes} classes"]
    parts += ["don't care (or unknown)"] if spec.dont_care else []
    parts += ["instance edges"] if spec.instance_edges else []
    rows = [
        ("size", f"{height}x{across} px (height x width); upsampling {entry.upsampling!r}"),
        ("channels", f"{spec.channels}: {' + '.join(parts)}"),
    ]
    if entry.dont_care_value is not None:
        rows.append(("don't care", f"{entry.dont_care_value} in the files becomes id {spec.classes}"))
    if entry.official_pairs:
        rows.append(("pairs", ", ".join(f"{split} {count:,}" for split, count in entry.official_pairs.items())))
    rows += [(f"no {split} split", reason) for split, reason in entry.absent_splits.items()]
    return grid(rows, width=width, styles=("cyan",))


def _places(entry: DatasetEntry, width: int) -> RenderableType:
    from rich.console import Group

    from bench.data.detection import folders_text

    if not entry.needs_root:
        return "none: made by this project"
    rows = []
    for layout in entry.layouts:
        for number, text in enumerate(folders_text(layout, entry.splits)):
            rows.append((layout.name if number == 0 else "", text))
    if entry.described_in is None:
        rows.append(("packed", "packed.json: a copy made by `prepare --pack`"))
    told = f"Name the folder with --root DIR, --data {entry.name}=DIR or {entry.root_variable}; the layout is found."
    return Group(grid(rows, width=width, styles=("cyan",)), told)


def _preprocessing(entry: DatasetEntry, width: int) -> RenderableType:
    from bench.data.preprocessing import PREPROCESSING

    rule = entry.augmentation_rule
    if not entry.needs_root:
        return "drawn at the size that is asked for" + (", mirrored with probability 0.5" if rule.flip else "")
    steps = PREPROCESSING.get(entry.name)
    if steps is None:
        height, across = entry.size_px
        load = f"{round(across * rule.load_scale)}x{round(height * rule.load_scale)}"
        told = f"training: PIL bicubic (ids nearest) to {load}"
        told += f", a random window of {across}x{height}" if rule.load_scale != 1.0 else ""
        told += ", mirrored with probability 0.5" if rule.flip else ""
        return grid([(told + f"; test: to {across}x{height}, nothing else",)], width=width)
    rows = [
        (step.step, step.paper, step.code, "as released" if step.here == step.code else step.here) for step in steps
    ]
    headings = ("step", "the paper", "the released code", "here")
    return grid(rows, width=width, headings=headings, styles=("cyan",), shares=(0, 2, 4, 3))


def _conventions(entry: DatasetEntry, width: int) -> RenderableType:
    rows = []
    for name, convention in entry.label_conventions.items():
        default = " (default)" if name == entry.default_convention and len(entry.label_conventions) > 1 else ""
        rows.append((name + default, _renumbering(convention), convention.source))
    return grid(rows, width=width, styles=("cyan",), shares=(0, 1, 2))


def _renumbering(convention: LabelConvention) -> str:
    """The renumbering as ranges: ``0 to 150, 1-150 to 0-149``."""
    runs: list[list[int]] = []
    for label, given in enumerate(convention.of_label):
        if runs and given - label == runs[-1][2] and label == runs[-1][1] + 1:
            runs[-1][1] = label
        else:
            runs.append([label, label, given - label])
    if len(runs) == 1 and runs[0][2] == 0:
        return "as they are"
    return ", ".join(f"{_range(a, b)} to {_range(a + shift, b + shift)}" for a, b, shift in runs)


def _range(first: int, last: int) -> str:
    return f"{first}" if first == last else f"{first}-{last}"


def _judged(entry: DatasetEntry) -> tuple[str, LabelMapping | None]:
    """The protocol that the data set is judged by unless one is named, in words, and its mapping."""
    from bench.evaluation.label_mappings import mapping_for
    from bench.evaluation.protocols import protocol_for

    try:
        protocol = protocol_for(entry.name)
    except ValueError:
        return f" ({_UNSCORED} is not scored)", None
    if not protocol.judge:
        return f" (protocol {protocol.name} has no judge; {_UNSCORED} is not scored)", None
    scored = entry.scored_classes or tuple(i for i in range(entry.spec.ids) if i not in entry.ignore_ids)
    mapping = mapping_for(protocol, _Ids(name=entry.name, class_names=entry.class_names, scored_classes=scored))
    told = f" → classes of the judge of {protocol.name} (mapping {mapping.name}; {_UNSCORED} counts as unlabelled)"
    return told, mapping


def _ids(entry: DatasetEntry, mapping: LabelMapping | None, width: int) -> RenderableType:
    """Every label id with its name and, after an arrow, the judge's class; in as many columns as there is room for."""
    return _columns([_id_text(entry, label, mapping) for label in range(entry.spec.ids)], width)


def _id_text(entry: DatasetEntry, label: int, mapping: LabelMapping | None) -> str:
    name = entry.class_names[label]
    text = f"{label:>3} {name}"
    if mapping is None:
        return text + (f" → {_UNSCORED}" if label in entry.ignore_ids else "")
    judged = mapping.class_of[label]
    if judged is None:
        return f"{text} → {_UNSCORED}"
    same = mapping.classes[judged].casefold() == name.casefold()
    return f"{text} → {judged}" + ("" if same else f" {mapping.classes[judged]}")


def _columns(texts: Sequence[str], width: int) -> str:
    """The texts in columns that are read downwards."""
    widest = max(len(text) for text in texts) + 2
    rows = -(-len(texts) // max(1, width // widest))
    return "\n".join("".join(f"{text:<{widest}}" for text in texts[row::rows]).rstrip() for row in range(rows))
