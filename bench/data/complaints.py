"""What is wrong with the files of a split, and what is merely odd, in words that say what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.atomic import written_beside
from bench.data.dataset import DatasetError
from bench.data.looking import ID_MODES, IMAGE_MODES, KINDS, PairFacts, paths_of

if TYPE_CHECKING:
    from bench.data.files import PairFiles
    from bench.data.paired import SplitFiles

SHOWN_PROBLEMS = 40
_SHOWN_DUPLICATES = 5


def pair_problems(files: SplitFiles, pair: PairFiles, facts: PairFacts) -> list[tuple[str, str]]:
    """(kind of problem, what is wrong and what to do) of everything that is wrong with a pair."""
    paths = paths_of(pair)
    problems = [("unreadable", error) for error in facts.errors]
    if pair.id in ("", ".", "..") or "/" in pair.id or "\0" in pair.id:
        problems.append(("id", f"{paths[0]}: its id {pair.id!r} cannot be a file's name; rename the files"))
    for kind, path, file in zip(KINDS, paths, facts.files, strict=False):
        allowed = IMAGE_MODES if kind == "image" else ID_MODES
        if file is not None and file.mode not in allowed:
            words = f"{path}: {kind} of mode {file.mode}; allowed are {', '.join(allowed)}; {_remedy(kind)}"
            problems.append(("mode", words))
    problems += [("label out of range", words) for words in _range_problems(files, paths[1], facts.histogram)]
    image = facts.files[0]
    for path, file in zip(paths[1:], facts.files[1:], strict=True):
        if image is None or file is None or (file.width, file.height) == (image.width, image.height):
            continue
        sizes = f"{file.width} x {file.height} (width x height), but its image {paths[0]} is"
        problems.append(("size", f"{path}: {sizes} {image.width} x {image.height}; they must agree"))
    return problems


def refuse(files: SplitFiles, problems: Sequence[tuple[str, str]], everything: Path) -> None:
    """Raises DatasetError with the problems, if there are any; what is too long to show goes to ``everything``."""
    everything.unlink(missing_ok=True)
    if not problems:
        return
    kinds = Counter(kind for kind, _ in problems)
    count = f"{len(problems):,} problem{'s' if len(problems) > 1 else ''} in its files"
    if len(problems) > 1:
        count += f" ({', '.join(f'{kind} {number:,}' for kind, number in kinds.items())})"
    lines = [f"dataset {files.name!r}, split {files.split!r}: {count}"]
    lines += [f"  - {words}" for _, words in problems[:SHOWN_PROBLEMS]]
    if len(problems) > SHOWN_PROBLEMS:
        with written_beside(everything) as temporary:
            temporary.write_text("".join(f"{words}\n" for _, words in problems), encoding="utf-8")
        lines.append(f"  ... and {len(problems) - SHOWN_PROBLEMS:,} more; all of them are listed in {everything}")
    raise DatasetError("\n".join(lines))


def split_warnings(files: SplitFiles, facts: Sequence[PairFacts]) -> list[str]:
    """What is odd about a split without problems: its number of pairs, equal pictures, turned photographs."""
    warnings = _count_warnings(files.official_pairs, len(facts))
    warnings += _duplicate_warnings(facts)
    turned = [facts.key[0][0] for facts in facts if facts.turned]
    if turned:
        warnings.append(
            f"{len(turned):,} photographs ask to be turned by their EXIF data ({_some(turned)}): they are read as "
            "stored, as in the released code; turn the files if their label maps are upright"
        )
    return warnings


def _count_warnings(official: int | None, count: int) -> list[str]:
    if official is None or count == official:
        return []
    if count < official:
        return [f"{count:,} of {official:,} pairs: incomplete; scores are not comparable with the paper's"]
    return [
        f"{count:,} pairs, {count - official:,} more than the {official:,} of the official split: another set; scores "
        "are not comparable with the paper's"
    ]


def _duplicate_warnings(facts: Iterable[PairFacts]) -> list[str]:
    places: dict[str, list[str]] = {}
    for one in facts:
        places.setdefault(one.picture, []).append(one.key[0][0])
    groups = [group for group in places.values() if len(group) > 1]
    if not groups:
        return []
    repeated = sum(len(group) - 1 for group in groups)
    named = _some([" = ".join(group[:4]) + (" = ..." if len(group) > 4 else "") for group in groups])
    return [f"{repeated:,} pictures are there more than once ({named}); each copy counts in every mean"]


def _some(names: Sequence[str]) -> str:
    more = f"; and {len(names) - _SHOWN_DUPLICATES:,} more" if len(names) > _SHOWN_DUPLICATES else ""
    return "; ".join(names[:_SHOWN_DUPLICATES]) + more


def _remedy(kind: str) -> str:
    return "save it as RGB" if kind == "image" else "save the ids themselves, one channel, not their colours"


def _range_problems(files: SplitFiles, path: Path, histogram: Mapping[int, int]) -> list[str]:
    wrong = [value for value in histogram if not 0 <= value < files.values and value != files.dont_care_value]
    if not wrong:
        return []
    shown = ", ".join(f"{value} ({histogram[value]} pixels)" for value in wrong[:8])
    shown += f" and {len(wrong) - 8} more values" if len(wrong) > 8 else ""
    allowed = f"0 to {files.values - 1}"
    if files.dont_care_value is not None:
        allowed += f", and {files.dont_care_value} for don't care"
    remedy = "correct the file"
    if 255 in wrong and files.dont_care_value is None:
        remedy += " (255 is no id here: of Cityscapes take the labelIds files, not labelTrainIds; in pairs of your own "
        remedy += "it may be don't care: dont_care_value)"
    return [f"{path}: label {shown}; allowed are {allowed}; {remedy}"]
