"""What README.md and docs/ say can be typed, exists, and is what the tool answers. Nothing here runs a command."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image

from baselines.registry import get_variant
from bench.cli import command_line
from bench.data.dataset import DatasetError
from bench.data.dataset_files import read_dataset_file
from bench.data.registry import ENTRIES, dataset_spec
from bench.evaluation.label_mappings import MAPPING_NAMES
from bench.evaluation.metric_table import METRICS
from bench.evaluation.protocol_files import read_protocol_file
from bench.evaluation.protocols import BUILTIN
from bench.evaluation.weights import list_weights
from tests.data import trees

ROOT = Path(__file__).resolve().parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
IDS = [page.relative_to(ROOT).as_posix() for page in PAGES]
EXAMPLES = ("streets", "my-judge", "my-layer")
"""Names that the pages invent for the reader's own things."""
PLACEHOLDERS = ("NAME", "DIR", "FILE", "RUN", "URL", "STUDY", "DATASET", "D", "P")
PROTOCOLS = {protocol.name for protocol in BUILTIN}
DATASETS = {entry.name for entry in ENTRIES}
WEIGHTS = {item.name for item in list_weights()}
METRIC_NAME = re.compile(r"(?:FID|KID|FD|KD|precision|recall|LPIPS|accu)@[a-z][\w-]*")
PROTOCOL_NAME = re.compile(r"(?:paper2019|followups|fullsize|judge-check|mmseg|gan-compression)-[\w*-]*")

Page = pytest.mark.parametrize("page", PAGES, ids=IDS)


@cache
def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


@cache
def fenced(page: Path) -> tuple[str, ...]:
    """The lines of the code blocks."""
    lines, inside = [], False
    for line in text_of(page).splitlines():
        if line.startswith("```"):
            inside = not inside
        elif inside:
            lines.append(line)
    return tuple(lines)


@cache
def spans(page: Path) -> tuple[str, ...]:
    """What stands in single backticks outside code blocks, line breaks as spaces."""
    prose = re.sub(r"^```.*?^```", "", text_of(page), flags=re.DOTALL | re.MULTILINE)
    return tuple(" ".join(found.split()) for found in re.findall(r"`([^`]+)`", prose))


def commands(page: Path) -> Iterator[list[str]]:
    """The words after ``run_study.py`` of every command of a page; of ``a|b|c`` one command for each."""
    for line in (*fenced(page), *spans(page)):
        for found in re.finditer(r"run_study\.py\s+([^;#()`]*)", line):
            told = re.split(r" && |\s{3,}|, then |: ", found[1])[0].replace("[--json]", "--json")
            words = [word for word in shlex.split(told) if word != "..."]
            choices = next((word.split("|") for word in words if re.fullmatch(r"\w+(\|\w+)+", word)), [""])
            yield from ([choice if "|" in word else word for word in words] for choice in choices)


@cache
def verbs() -> dict[str, Any]:
    return dict(typer.main.get_command(command_line()).commands)  # type: ignore[attr-defined]


def options_of(verb: str) -> set[str]:
    command = verbs()[verb]
    nested = getattr(command, "commands", {}).values()
    return {name for one in (command, *nested) for param in one.params for name in (*param.opts, *param.secondary_opts)}


def parsed(words: list[str]) -> dict[str, Any]:
    """The values of a command's parameters; raises what the command line raises for a wrong one."""
    command, arguments = verbs()[words[0]], words[1:]
    if hasattr(command, "commands"):
        command, arguments = command.commands[arguments[0]], arguments[1:]
    values: dict[str, Any] = command.make_context(words[0], arguments).params
    return values


@Page
def test_every_command_can_be_typed_as_it_stands(page: Path) -> None:
    for words in commands(page):
        if not words or words == ["--help"]:
            continue
        assert words[0] in verbs(), words
        if "--help" in words or "-h" in words:
            continue
        try:
            values = parsed(words)
        except Exception as error:  # whatever the command line would say
            pytest.fail(f"{' '.join(words)}: {error}")
        check_names(words, values)


def check_names(words: list[str], values: dict[str, Any]) -> None:
    """Data sets, variants, protocols and weights files of a command exist."""

    def known(value: str | None, names: set[str]) -> bool:
        return value is None or value in names or value in (*EXAMPLES, *PLACEHOLDERS)

    assert known(values.get("dataset"), DATASETS), words
    assert known(values.get("protocol"), PROTOCOLS), words
    for option, names in (("all_for", PROTOCOLS), ("names", WEIGHTS)):
        for value in values.get(option) or ():
            assert known(value, names), words
    variants = values.get("variant") or ()
    for variant in (variants,) if isinstance(variants, str) else variants:
        # what is imported may have any name: it is a system from elsewhere
        if words[0] != "import-images" and variant not in (*EXAMPLES, *PLACEHOLDERS):
            get_variant(variant)


@Page
def test_options_in_passing_exist(page: Path) -> None:
    everywhere = {"--help", *(option for verb in verbs() for option in options_of(verb))}
    for span in spans(page):
        verb = span.split()[0].strip(".,")
        given = re.findall(r"(?<!\S)--[a-z][a-z-]*", span)
        if "run_study.py" in span or not given or verb in ("conda", "torchrun", "python3"):
            continue
        allowed = options_of(verb) if verb in verbs() else everywhere
        assert set(given) <= allowed, span


@Page
def test_links_and_pictures_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if target.startswith(("http://", "https://")):
            continue
        file, _, anchor = target.partition("#")
        place = (page.parent / file).resolve() if file else page
        assert place.exists(), target
        if anchor:
            assert anchor in anchors(place), target


def anchors(page: Path) -> set[str]:
    """The names of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", text_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@Page
def test_names_in_backticks_exist(page: Path) -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "bench").rglob("*.py"))
    for span in spans(page):
        if PROTOCOL_NAME.fullmatch(span) and span not in WEIGHTS:
            start = span.rstrip("*")
            assert any(name == span or ("*" in span and name.startswith(start)) for name in PROTOCOLS), span
        if METRIC_NAME.fullmatch(span):
            assert span in METRICS, span
        if re.fullmatch(r"(?:coco|ade20k|cityscapes)-\d+", span):
            assert span in MAPPING_NAMES, span
        if re.fullmatch(
            r"(?:bench|tests|baselines|spade_core|studies|results|docs)/[\w./-]+\.(?:py|txt|csv|json|md)", span
        ):
            assert (ROOT / span).is_file() or span.startswith("results/store"), span
        for variable in re.findall(r"SPADE_BENCH_[A-Z_0-9]+\b(?!<)", span):
            owner = variable.removeprefix("SPADE_BENCH_DATA_").lower()
            assert variable in sources or owner in (*DATASETS, *EXAMPLES) or variable.endswith("_"), variable


def test_the_table_of_weights_is_whole() -> None:
    told = set(
        re.findall(r"`([a-z0-9-]+)`", "\n".join(re.findall(r"^\| (`.*?) \|", text_of(ROOT / "docs/weights.md"), re.M)))
    )
    assert told == WEIGHTS


def test_the_table_of_data_sets_is_whole() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \|.*?\| (\d*) \| (\d*) \| (\d*) \|", text_of(ROOT / "docs/datasets/README.md"), re.M
    )
    assert {name for name, *_ in rows} == DATASETS
    for name, ids, channels, scored in rows:
        entry = dataset_spec(name)
        in_means = entry.scored_classes or tuple(i for i in range(entry.spec.ids) if i not in entry.ignore_ids)
        assert (entry.spec.ids, entry.spec.channels, len(in_means)) == (int(ids), int(channels), int(scored)), name


def test_the_descriptions_can_be_copied(tmp_path: Path) -> None:
    described, elsewhere = re.findall(r"```toml\n(.*?)```", text_of(ROOT / "docs/datasets/own_pairs.md"), re.DOTALL)
    (tmp_path / "streets.toml").write_text(described)
    assert read_dataset_file(tmp_path / "streets.toml").spec.channels == 5
    (tmp_path / "other.toml").write_text(f'title = "x"\nclasses = 3\nsize_px = [64, 64]\n{elsewhere}')
    assert "images/validation" in " ".join(read_dataset_file(tmp_path / "other.toml").layouts[0].folders(None, "val"))
    (protocol,) = re.findall(r"```toml\n(.*?)```", text_of(ROOT / "docs/evaluation.md"), re.DOTALL)
    (tmp_path / "my-judge.toml").write_text(protocol)
    assert read_protocol_file(tmp_path / "my-judge.toml").dataset == "ade20k"


def renamed_to_train_ids(root: Path, maps: str) -> Path:
    for path in (root / maps).rglob("*.png"):
        if path.stem.endswith("_labelIds") or "2017" in path.parent.name:
            path.rename(path.with_name(f"{path.stem.removesuffix('_labelIds')}_labelTrainIds.png"))
    return root


def coloured(root: Path) -> Path:
    for path in (root / "annotations").rglob("*.png"):
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(path)
    return root


def coarse(root: Path) -> Path:
    (root / "gtCoarse").mkdir(parents=True)
    return root


MISTAKES: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "index_ade20k.mat belongs to": ("ade20k", trees.write_ade_full),
    "label map of mode RGB": ("ade20k", lambda root: coloured(trees.write_ade_challenge(root))),
    "sceneCategories.txt: no such file": ("ade20k_outdoor", lambda root: trees.write_ade_challenge(root, scenes=False)),
    "holds mmsegmentation's": (
        "coco_stuff",
        lambda root: renamed_to_train_ids(trees.write_coco_download(root, labels="annotations/{split}"), "annotations"),
    ),
    "belongs to another task of COCO": (
        "coco_stuff",
        lambda root: trees.write_coco_download(root, labels="stuff_{split}_pixelmaps"),
    ),
    "label 200 (": ("coco_stuff", lambda root: trees.write_released(root, values=(0, 2, 200, 255))),
    "_labelTrainIds files are not read": (
        "cityscapes",
        lambda root: renamed_to_train_ids(trees.write_cityscapes(root), "gtFine"),
    ),
    "label 255 (": ("cityscapes", lambda root: trees.write_released(root, values=(0, 1, 18, 255))),
    "gtCoarse is there": ("cityscapes", coarse),
    "it holds pairs of photographs": ("photographs", trees.write_released),
}


@pytest.mark.parametrize("telling", MISTAKES)
def test_the_messages_of_common_mistakes_are_the_tools(
    telling: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPADE_BENCH_CACHE", str(tmp_path / "cache"))
    name, make = MISTAKES[telling]
    quoted = [line for page in PAGES for line in fenced(page) if telling in line]
    assert quoted, "no page quotes it"
    shutil.rmtree(tmp_path / "tree", ignore_errors=True)
    root = make(tmp_path / "tree")
    with pytest.raises(DatasetError, match=re.escape(telling)) as error:
        dataset_spec(name).open(split="train", root=root)
    answer = without_counts(str(error.value))
    for line in quoted:
        told = without_counts(re.sub(r"/data/\w+(?=[/,])", str(root), line.strip().removeprefix("error: ")))
        place = 0
        for piece in told.split("..."):  # how the pages shorten
            assert piece in answer[place:], f"{line}\nthe tool says\n{answer}"
            place = answer.index(piece, place) + len(piece)


def without_counts(text: str) -> str:
    return re.sub(r"\d+ pixels", "N pixels", text)
