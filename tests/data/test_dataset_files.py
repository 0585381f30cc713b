"""Data sets described in files: what they become, what the listing shows, and every complaint about them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.data.dataset import AugmentationRule, DatasetError
from bench.data.opening import dataset_ref, open_split
from bench.data.registry import ENTRIES, class_names, dataset_names, dataset_spec, entries, palette
from bench.doctor import FAIL, _data

REPOSITORY = Path(__file__).resolve().parents[2]
SHORT = 'title = "Streets"\nclasses = ["road", "house", "sky"]\nsize_px = [16, 32]\n'
FULL = (
    SHORT
    + """
dont_care_value = 255
ignore_ids = [2]
scored_classes = [1, 0]
instances = true
upsampling = "more"
flip = false
load_scale = 1.25
palette = [[128, 64, 128], [70, 70, 70], [70, 130, 180]]
"""
)


@pytest.fixture
def described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for data set files, and a cache of manifests."""
    folder = tmp_path / "described"
    folder.mkdir()
    monkeypatch.setenv("SPADE_BENCH_DATASETS", str(folder))
    monkeypatch.setenv("SPADE_BENCH_CACHE", str(tmp_path / "cache"))
    return folder


def write_pairs(root: Path, *, values: tuple[int, ...], instances: bool) -> Path:
    rng = np.random.default_rng(3)
    for split, count in (("train", 3), ("val", 2)):
        for number in range(count):
            arrays = {
                "img": rng.integers(0, 256, (16, 32, 3), dtype=np.uint8),
                "label": rng.choice(np.array(values, np.uint8), (16, 32)),
                "inst": rng.integers(0, 40000, (16, 32)).astype(np.uint16),
            }
            for kind in ("img", "label", "inst") if instances else ("img", "label"):
                (root / f"{split}_{kind}").mkdir(parents=True, exist_ok=True)
                Image.fromarray(arrays[kind]).save(root / f"{split}_{kind}" / f"street{number}.png")
    return root


def complaint(path: Path, text: str) -> list[str]:
    """What is said about the file, line by line."""
    path.write_text(text)
    with pytest.raises(DatasetError, match=rf"{path.name}: \d+ problems?\n") as error:
        dataset_spec(path.stem)
    return [line.removeprefix("  - ") for line in str(error.value).splitlines()[1:]]


def test_a_short_file_opens_a_folder_without_instances(
    described: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (described / "my-streets.toml").write_text(SHORT)
    entry = dataset_spec("my-streets")
    assert (entry.title, entry.spec.ids, entry.spec.channels, entry.upsampling) == ("Streets", 3, 3, "normal")
    assert (entry.augmentation_rule, entry.ignore_ids, entry.scored_classes) == (AugmentationRule(flip=True), (), None)
    monkeypatch.setenv(
        "SPADE_BENCH_DATA_MY_STREETS", str(write_pairs(tmp_path / "pairs", values=(0, 1, 2), instances=False))
    )
    dataset = entry.open(split="val")
    assert (len(dataset), dataset.size, dataset.scored_classes) == (2, (16, 32), (0, 1, 2))
    assert dataset.class_names == ("road", "house", "sky")
    assert len({tuple(colour) for colour in dataset.palette.tolist()}) == 3
    sample = dataset.load(1)
    assert sample.instances is None
    np.testing.assert_array_equal(sample.labels, np.asarray(Image.open(tmp_path / "pairs/val_label/street1.png")))


def test_a_full_file_opens_a_folder_with_instances(described: Path, tmp_path: Path) -> None:
    (described / "streets.toml").write_text(FULL)
    entry = dataset_spec("streets")
    assert (entry.spec.ids, entry.spec.channels, entry.upsampling) == (4, 5, "more")
    assert entry.augmentation_rule == AugmentationRule(flip=False, load_scale=1.25)
    assert class_names(entry) == ("road", "house", "sky", "don't care")
    assert palette(entry)[:3] == ((128, 64, 128), (70, 70, 70), (70, 130, 180))
    root = write_pairs(tmp_path / "pairs", values=(0, 1, 2, 255), instances=True)
    dataset = entry.open(split="train", root=root)
    assert (dataset.ignore_ids, dataset.scored_classes) == ((2, 3), (0, 1))
    sample = dataset.load(0)
    stored = np.asarray(Image.open(root / "train_label" / "street0.png"))
    np.testing.assert_array_equal(sample.labels, np.where(stored == 255, 3, stored))
    assert sample.instances is not None
    np.testing.assert_array_equal(sample.instances, np.asarray(Image.open(root / "train_inst" / "street0.png")))


def test_a_number_of_classes_names_them_by_id(described: Path) -> None:
    (described / "many.toml").write_text('title = "Many"\nclasses = 300\nsize_px = [64, 64]\nignore_ids = [0, 299]')
    entry = dataset_spec("many")
    assert class_names(entry)[::299] == ("class 0", "class 299")
    assert palette(entry)[0] == palette(entry)[299] != palette(entry)[1]


def test_scores_belong_to_the_ids_that_counted(described: Path, tmp_path: Path) -> None:
    root = write_pairs(tmp_path / "pairs", values=(0, 1, 2), instances=False)
    file = described / "streets.toml"
    file.write_text(SHORT)
    before = dataset_ref("streets", root=root)
    assert len(open_split(before, "val")) == 2
    for line in ("ignore_ids = [0]", "scored_classes = [1, 2]"):
        file.write_text(SHORT + line)
        after = dataset_ref("streets", root=root)
        assert (after.manifest, after.val_manifest == before.val_manifest) == (before.manifest, False)
        assert len(open_split(before, "train")) == 3
        with pytest.raises(DatasetError, match=r"'streets', split val: .* not those that the run was defined on"):
            open_split(before, "val")
    file.write_text(SHORT.replace("Streets", "The same streets"))
    assert dataset_ref("streets", root=root) == before


def test_all_problems_of_a_file_are_named_at_once(described: Path) -> None:
    text = """
    title = 5
    classes = ["road", "house", "road"]
    colours = "red"
    dont_care_value = 2
    ignore_ids = [7]
    scored_classes = [3, 0]
    instances = 1
    size_px = [30, 32]
    upsampling = "most"
    flip = "yes"
    load_scale = 0.5
    palette = [[1, 2, 3]]
    """
    expected = (
        "colours: unknown key; allowed are title, classes, size_px, dont_care_value",
        "title: is 5; it must be a text",
        "instances: is 1; it must be true",
        "upsampling: is 'most'; it must be 'normal' or 'more'",
        "flip: is 'yes'; it must be true or false",
        "size_px: size is 30 x 32 (height x width, pixels); both must be positive multiples of 8",
        "load_scale: AugmentationRule.load_scale is 0.5; it must be from 1.0",
        "classes: 'road' more than once; give every id a name of its own",
        "palette: 1 colours for 3 classes; give one for each class",
        "dont_care_value: 2 is also a class; it must be from 3 to 65535",
        "ignore_ids: [7] are no label ids; those are 0 to 3",
        "scored_classes: [3] are ignored",
    )
    found = complaint(described / "wrong.toml", text)
    assert [line[: len(start)] for line, start in zip(found, expected, strict=True)] == list(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["title: missing", "classes: missing", "size_px: missing"]),
        (SHORT.replace('["road", "house", "sky"]', "0"), ["classes: is 0; it must be from 1 to 65535"]),
        (SHORT.replace('["road", "house", "sky"]', "true"), ["classes: is True; it must be the number of classes, or"]),
        (SHORT.replace('"sky"', "3"), ["classes: is ['road', 'house', 3]; it must be the number of classes, or"]),
        (SHORT.replace("[16, 32]", "[16]"), ["size_px: is [16]; it must be [height, width] in pixels"]),
        (SHORT + "palette = [[1, 2, 300]]", ["palette: is [[1, 2, 300]]; it must be a list of colours"]),
        (SHORT + "ignore_ids = [0, 1, 2]", ["ignore_ids: they leave no class to score"]),
        (SHORT + "scored_classes = []", ["scored_classes: is []; it must be the label ids"]),
        (SHORT.replace("sky", "don't care") + "dont_care_value = 9", ['classes: "don\'t care" more than once']),
        (SHORT + "dont_care_value = -1", ["dont_care_value: -1 is out of range"]),
        (SHORT + "load_scale = nan", ["load_scale: AugmentationRule.load_scale is nan"]),
    ],
)
def test_each_problem_says_what_is_allowed(described: Path, text: str, expected: list[str]) -> None:
    found = complaint(described / "wrong.toml", text)
    assert [line[: len(start)] for line, start in zip(found, expected, strict=True)] == expected


def test_a_broken_file_stops_its_own_data_set_and_the_listing(described: Path) -> None:
    (described / "broken.toml").write_text("title = ")
    (described / "latin.toml").write_bytes(b'title = "\xe9"')
    (described / "good.toml").write_text(SHORT)
    assert dataset_spec("good").title == "Streets"
    assert dataset_spec("synthetic") == ENTRIES[0]
    assert dataset_names() == (*(entry.name for entry in ENTRIES), "broken", "good", "latin")
    with pytest.raises(DatasetError, match=r"broken.toml: not readable as TOML \(.*\); correct the file"):
        dataset_spec("broken")
    with pytest.raises(DatasetError, match=r"(?s)broken.toml: not readable.*latin.toml: not readable"):
        entries()


PLACES = """
images = "photos/{split}/*"
labels = "truth/{split}/*"
instances = "truth/{split}/*"
image_ending = "_view"
label_ending = "_ids"
instance_ending = "_things"
splits = { val = "validation" }
"""


def test_the_files_may_lie_in_folders_of_any_name(described: Path, tmp_path: Path) -> None:
    released = write_pairs(tmp_path / "pairs", values=(0, 1, 2), instances=True)
    root = tmp_path / "own"
    for split, name in (("train", "train"), ("val", "validation")):
        for kind, folder, ending in (("img", "photos", "view"), ("label", "truth", "ids"), ("inst", "truth", "things")):
            for number, path in enumerate(sorted((released / f"{split}_{kind}").iterdir())):
                place = root / folder / name / f"part{number % 2}" / f"{path.stem}_{ending}.png"
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(path.read_bytes())
    (described / "streets.toml").write_text(SHORT + "instances = true")
    expected = dataset_spec("streets").open(split="val", root=released)
    (described / "streets.toml").write_text(SHORT + PLACES)
    entry = dataset_spec("streets")
    assert entry.layout.split(", ")[0::3] == ["photos/train/*/*_view.*", "photos/validation/*/*_view.*"]
    dataset = entry.open(split="val", root=root)
    assert (len(dataset), dataset.manifest_hash) == (2, expected.manifest_hash), "places are no part of the identity"
    np.testing.assert_array_equal(dataset.load(1).instances, expected.load(1).instances)  # type: ignore[arg-type]
    assert len(entry.open(split="train", root=root)) == 3
    with pytest.raises(DatasetError, match=r"holds none of its layouts; it should hold\n  - described: photos/"):
        entry.open(split="val", root=released)


def test_folders_without_endings_need_two_keys(described: Path, tmp_path: Path) -> None:
    root = write_pairs(tmp_path / "pairs", values=(0, 1, 2), instances=False)
    (described / "streets.toml").write_text(SHORT + 'images = "{split}_img"\nlabels = "{split}_label"')
    dataset = dataset_spec("streets").open(split="train", root=root)
    assert [dataset.sample_id(i) for i in range(3)] == ["street0", "street1", "street2"]
    assert dataset.load(0).instances is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('images = "a/{split}"', ["images: images and labels go together; give both"]),
        ('labels = "a/{split}"', ["labels: images and labels go together; give both"]),
        (
            'images = "a"\nlabels = "b/{split}"',
            ["images: is 'a'; it must be the folder of the images below", "labels:"],
        ),
        ('images = "/a/{split}"\nlabels = "../{split}"', ["images: is '/a/{split}'", "labels: is '../{split}'"]),
        ('images = "{split}/*/x"\nlabels = "{name}/{split}"', ["images: is", "labels: is '{name}/{split}'"]),
        ('image_ending = "_x"', ["image_ending: means something with images and labels alone"]),
        ('instances = "a/{split}"', ["instances: means something with images and labels alone"]),
        (
            'images = "a/{split}"\nlabels = "b/{split}"\ninstances = true',
            ["instances: is true, but images and labels name folders; name theirs, such as 'inst/{split}'"],
        ),
        (
            'images = "a/{split}"\nlabels = "b/{split}"\ninstance_ending = "_x"',
            ["instance_ending: there are no instances; give the pattern of their folder"],
        ),
        ('splits = { test = "x" }', ["splits: is {'test': 'x'}; it must be the names of the splits in the folders"]),
        ('label_ending = "a/b"', ["label_ending: is 'a/b'; it must be the end of the file names"]),
        (
            "instances = 3",
            ["instances: is 3; it must be true (there are {train,val}_inst folders), false, or the fold"],
        ),
    ],
)
def test_what_is_wrong_with_the_places_is_said(described: Path, text: str, expected: list[str]) -> None:
    found = complaint(described / "wrong.toml", SHORT + text)
    assert [line[: len(start)] for line, start in zip(found, expected, strict=True)] == expected


@pytest.mark.parametrize("name", ["ade20k", "coco-stuff", "synthetic"])
def test_names_of_built_in_data_sets_are_taken(described: Path, name: str) -> None:
    (described / f"{name}.toml").write_text(SHORT)
    with pytest.raises(DatasetError, match=rf"{name}.toml: the built-in data set '{name.replace('-', '_')}' has this"):
        dataset_spec("cityscapes")


def test_names_that_cannot_be_told_apart_or_typed_are_refused_together(described: Path) -> None:
    for name in ("my-set", "my_set", "My set"):
        (described / f"{name}.toml").write_text(SHORT)
    taken = r"my_set.toml: \S*my-set.toml has this name or this variable \(SPADE_BENCH_DATA_MY_SET\); rename the file"
    with pytest.raises(DatasetError, match=rf"(?s)'My set' cannot be a data set's name.*{taken}"):
        dataset_names()


def test_a_folder_that_was_named_must_exist(described: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPADE_BENCH_DATASETS", str(described / "gone"))
    with pytest.raises(DatasetError, match=r"gone \(from SPADE_BENCH_DATASETS\) is not a folder"):
        dataset_names()


def test_unknown_names_say_where_to_describe_a_data_set(described: Path) -> None:
    (described / "streets.toml").write_text(SHORT)
    with pytest.raises(DatasetError, match=r"choose one of .*photographs, streets, or describe .*described/NAME.toml"):
        dataset_spec("street")


def test_roots_are_absolute(described: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (described / "streets.toml").write_text(SHORT)
    (tmp_path / "pairs").mkdir()
    monkeypatch.chdir(tmp_path)
    assert dataset_spec("streets").resolve_root("pairs") == (tmp_path / "pairs").resolve()


def test_the_doctor_names_broken_files_and_goes_on(described: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (described / "broken.toml").write_text(SHORT + "sizes = 3")
    (described / "streets.toml").write_text(SHORT)
    root = write_pairs(described.parent / "pairs", values=(0, 1, 2), instances=False)
    monkeypatch.setenv("SPADE_BENCH_DATA_STREETS", str(root))
    found = list(_data(None))
    failed = [finding.text for finding in found if finding.level == FAIL]
    assert [text.splitlines()[1].strip()[:20] for text in failed] == ["- sizes: unknown key"]
    assert any(finding.text == f"streets: {root.resolve()} (layout released)" for finding in found)


def test_the_command_line_lists_and_shows_a_described_data_set(described: Path) -> None:
    (described / "streets.toml").write_text(FULL)

    def cli(*arguments: str) -> str:
        command = [sys.executable, "run_study.py", *arguments]
        environment = {**os.environ, "COLUMNS": "200"}
        done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True)
        return done.stdout

    rows = json.loads(cli("list", "datasets", "--json"))
    assert [row["name"] for row in rows] == [*(entry.name for entry in ENTRIES), "streets"]
    assert (rows[-1]["size"], rows[-1]["channels"]) == ("16x32", 5)
    assert rows[-1]["files"] == "train_img, train_label, train_inst, val_img, val_label, val_inst"
    shown = cli("show", "dataset", "streets")
    assert "Label ids (protocol distances has no judge; – is not scored)" in shown
    assert all(f"  {label} {name}" in shown for label, name in enumerate(("road", "house", "sky", "don't care")))
    assert f"described in {described / 'streets.toml'}" in shown
    assert "SPADE_BENCH_DATA_STREETS" in shown


def test_names_are_listed_without_a_parser(described: Path) -> None:
    (described / "streets.toml").write_text(SHORT)
    look = "[name for name in ('tomllib', 'torch', 'numpy', 'PIL') if name in sys.modules]"
    code = f"import sys, bench.data.registry as registry; print(registry.dataset_names()[-1], {look})"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "streets []"
