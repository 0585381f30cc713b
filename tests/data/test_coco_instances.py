"""Instance maps of COCO-Stuff: what is drawn, by whom, again after a stop, and what is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from bench.data.dataset import DatasetError
from bench.data.journal import locked
from bench.data.layouts.coco_instances import InstanceMaps, draw_instances, write_instance_maps
from bench.data.layouts.coco_polygons import open_polygons, write_polygons
from spade_core.labels import instance_edges
from tests.data import trees

REPOSITORY = Path(__file__).resolve().parents[2]


def inside(corners: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels strictly inside the polygon, by counting crossings of a ray to the right; an independent slow path."""
    rows, columns = np.mgrid[: size[0], : size[1]].astype(float)
    crossings = np.zeros(size, int)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, 0), strict=True):
        spans = (y0 > rows) != (y1 > rows)
        if y0 != y1:
            crossings += spans & (columns < (x1 - x0) * (rows - y0) / (y1 - y0) + x0)
    return crossings % 2 == 1


def read(path: Path) -> NDArray[Any]:
    return np.asarray(Image.open(path))


def drawn(root: Path, split: str = "train", **settings: Any) -> InstanceMaps:
    return write_instance_maps(root, split, root / "instance_maps" / split, **{"processes": 1, **settings})


def test_polygons_are_drawn_one_pixel_up_and_left_over_a_copy_of_the_labels() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(90, 182, (40, 50)).astype(np.uint8)
    before = labels.copy()
    polygons = [(n, rng.uniform(3, 37, (5, 2)) + 0.013) for n in range(4)]
    expected = labels.astype(int)
    for number, corners in polygons:
        expected[inside(corners - 1, (40, 50))] = number
    instances = draw_instances(labels, polygons)
    np.testing.assert_array_equal(instances, expected)
    np.testing.assert_array_equal(labels, before)
    assert instances.dtype == np.uint8


def test_numbers_do_not_start_again_and_nothing_leaves_the_image() -> None:
    labels = np.full((20, 20), 182, np.uint8)
    square = np.array([[4.2, 4.2], [9.2, 4.2], [9.2, 9.2], [4.2, 9.2]])
    instances = draw_instances(labels, [(255, square), (256, square + 8), (300, square - 6)])
    assert instances.dtype == np.uint16
    assert set(np.unique(instances)) == {182, 255, 256, 300}
    assert not (instances[-1] == 300).any()
    assert not (instances[:, -1] == 300).any()


def test_the_map_has_an_edge_between_two_things_of_a_class() -> None:
    import torch

    labels = np.full((16, 16), 0, np.uint8)
    left = np.array([[0.5, 0.5], [8.5, 0.5], [8.5, 16.5], [0.5, 16.5]])
    right = left + np.array([8.0, 0.0])
    instances = draw_instances(labels, [(1, left), (2, right)])
    edges = instance_edges(torch.from_numpy(instances.astype(np.int64))[None])
    assert edges[0].sum() == 32
    assert not instance_edges(torch.from_numpy(labels.astype(np.int64))[None]).any()


def test_every_map_is_drawn_from_the_json_and_crowds_are_left_out(tmp_path: Path) -> None:
    root = trees.write_coco_download(tmp_path)
    seen: list[tuple[int, int]] = []
    done = drawn(root, progress=lambda *counts: seen.append(counts))
    assert (done.drawn, done.kept, done.largest) == (4, 0, 3)
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    listed = json.loads((root / "annotations" / "instances_train2017.json").read_text())
    assert any(item["iscrowd"] for item in listed["annotations"])
    for image in listed["images"]:
        stem = Path(image["file_name"]).stem
        expected = read(root / "stuffthingmaps_trainval2017" / "train2017" / f"{stem}.png").astype(int)
        mine = [item for item in listed["annotations"] if item["image_id"] == image["id"] and not item["iscrowd"]]
        for number, item in enumerate(mine):  # in the order of the json
            expected[inside(np.reshape(item["segmentation"][0], (-1, 2)) - 1, expected.shape)] = number
        instances = read(done.folder / f"{stem}.png")
        np.testing.assert_array_equal(instances, expected)
        assert set(range(len(mine))) <= set(np.unique(instances).tolist())


def test_several_processes_draw_the_same_maps(tmp_path: Path) -> None:
    one, three = (trees.write_coco_download(tmp_path / name, pairs={"train": 70}) for name in ("one", "three"))
    drawn(one)
    done = drawn(three, processes=3)
    assert done.drawn == 70
    for path in (one / "instance_maps" / "train").iterdir():
        assert path.read_bytes() == (three / "instance_maps" / "train" / path.name).read_bytes()
    left = sorted(os.listdir(three / "instance_maps"))
    assert left == [".polygons-train.lock", "train"], "the index of the polygons goes at the end"


def test_what_is_drawn_stays_and_the_json_is_not_needed_for_it(tmp_path: Path) -> None:
    root = trees.write_coco_download(tmp_path)
    drawn(root)
    kept = root / "instance_maps" / "train" / "000000005009.png"
    kept.write_bytes(b"mine")
    other = root / "instance_maps" / "train" / "000000005016.png"
    content = other.read_bytes()
    other.write_bytes(b"")  # what a machine that lost its power may leave
    done = drawn(root)
    assert (done.drawn, done.kept) == (1, 3)
    assert (kept.read_bytes(), other.read_bytes()) == (b"mine", content)
    (root / "annotations" / "instances_train2017.json").unlink()
    assert drawn(root).kept == 4


def test_a_kill_in_the_middle_costs_nothing_but_what_was_not_drawn(tmp_path: Path) -> None:
    root = trees.write_coco_download(tmp_path, pairs={"train": 160})
    code = (
        "import sys, time; from pathlib import Path\n"
        "from bench.data.layouts.coco_instances import write_instance_maps\n"
        "root = Path(sys.argv[1]); out = root / 'instance_maps' / 'train'\n"
        "def slow(done, of):\n    time.sleep(0.02)\n"
        "if __name__ == '__main__':\n    write_instance_maps(root, 'train', out, processes=1, progress=slow)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(root)], cwd=REPOSITORY)
    folder = root / "instance_maps" / "train"
    deadline = time.monotonic() + 60
    while len(list(folder.glob("*.png")) if folder.is_dir() else []) < 40 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    there = {path.name: path.read_bytes() for path in folder.glob("0*.png")}
    assert 40 <= len(there) < 160
    index = root / "instance_maps" / ".polygons-train"
    stamp = (index / "points.npy").stat().st_mtime_ns
    write_polygons(root / "annotations" / "instances_train2017.json", index)
    assert (index / "points.npy").stat().st_mtime_ns == stamp, "the json is not read a second time"
    done = drawn(root)
    assert (done.kept, done.drawn) == (len(there), 160 - len(there))
    assert all((folder / name).read_bytes() == content for name, content in there.items())
    assert not index.exists()


def test_one_process_at_a_time_draws(tmp_path: Path) -> None:
    root = trees.write_coco_download(tmp_path / "coco", pairs={"train": 3, "val": 1})
    waited = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        with locked(root / "instance_maps" / ".polygons-train.lock"):
            second = pool.submit(drawn, root, waiting=waited.set)
            assert waited.wait(timeout=20)
            assert list((root / "instance_maps" / "train").iterdir()) == []
        assert (second.result().drawn, drawn(root).drawn) == (3, 0)


def test_maps_drawn_again_in_the_same_process_are_drawn_from_the_json_as_it_is(tmp_path: Path) -> None:
    root = trees.write_coco_download(tmp_path / "coco", pairs={"train": 1, "val": 1})
    assert drawn(root).largest > 0
    json_path = root / "annotations" / "instances_train2017.json"
    content = json.loads(json_path.read_text())
    crowd = {"id": 1, "image_id": content["images"][0]["id"], "segmentation": {"counts": []}}
    json_path.write_text(json.dumps({**content, "annotations": [crowd]}))
    (path,) = (root / "instance_maps" / "train").iterdir()
    path.unlink()
    assert drawn(root).largest == 0


def test_a_changed_json_is_read_again(tmp_path: Path) -> None:
    root = trees.write_coco_download(tmp_path)
    path = root / "annotations" / "instances_train2017.json"
    write_polygons(path, tmp_path / "index")
    before = len(open_polygons(tmp_path / "index").numbers)
    listed = json.loads(path.read_text())
    listed["annotations"].append({"image_id": listed["images"][0]["id"], "segmentation": [[1, 1, 5, 1, 5, 5]]})
    path.write_text(json.dumps(listed, indent=1))
    write_polygons(path, tmp_path / "index")
    polygons = open_polygons(tmp_path / "index")
    assert len(polygons.numbers) == before + 1
    *_, (number, corners) = polygons.of(Path(listed["images"][0]["file_name"]).stem)
    np.testing.assert_array_equal(corners, [[1, 1], [5, 1], [5, 5]])
    assert number == sum(item["image_id"] == listed["images"][0]["id"] for item in listed["annotations"]) - 2


def test_an_image_without_things_keeps_its_label_map(tmp_path: Path) -> None:
    root = trees.write_coco_download(tmp_path)
    path = root / "annotations" / "instances_train2017.json"
    listed = json.loads(path.read_text())
    gone = listed["images"][1]
    listed["annotations"] = [item for item in listed["annotations"] if item["image_id"] != gone["id"]]
    path.write_text(json.dumps(listed))
    drawn(root)
    name = f"{Path(gone['file_name']).stem}.png"
    labels = root / "stuffthingmaps_trainval2017" / "train2017" / name
    np.testing.assert_array_equal(read(root / "instance_maps" / "train" / name), read(labels))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not readable as COCO's instances json"),
        ('{"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [', "not readable as COCO's instances json"),
        ('{"images": [{"id": 1}], "annotations": []}', r"KeyError: 'file_name'\); download it again"),
        ('[{"image_id": 1}]', "'{' expected at character 0"),
        (
            '{"images": [{"id": 1, "file_name": "a.jpg"}], "info": {}}',
            "has no images or no annotations; take instances_",
        ),
        ('{"annotations": [{"image_id": 1, "segmentation": [[1, 2, "x", 3]]}]}', "TypeError"),
    ],
)
def test_other_files_are_no_instances_json(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "instances_train2017.json"
    path.write_text(text)
    with pytest.raises(DatasetError, match=rf"instances_train2017.json: .*{said}"):
        write_polygons(path, tmp_path / "index")


def test_the_json_of_the_other_split_is_refused(tmp_path: Path) -> None:
    root = trees.write_coco_download(tmp_path)
    annotations = root / "annotations"
    (annotations / "instances_train2017.json").write_text((annotations / "instances_val2017.json").read_text())
    with pytest.raises(DatasetError, match=r"does not list 4 of the 4 images, such as 000000005009.png, .*same split"):
        drawn(root)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_label_map_that_cannot_be_read_is_named(tmp_path: Path, processes: int) -> None:
    root = trees.write_coco_download(tmp_path, pairs={"train": 40})
    labels = sorted((root / "stuffthingmaps_trainval2017" / "train2017").iterdir())
    labels[35].write_bytes(labels[35].read_bytes()[:60])
    with pytest.raises(DatasetError, match=rf"{labels[35].name}: not readable as an image .*; replace the file"):
        drawn(root, processes=processes)
    Image.new("RGB", (8, 8)).save(labels[35])
    with pytest.raises(DatasetError, match=rf"{labels[35].name}: label map of mode RGB; allowed are L and P"):
        drawn(root, processes=processes)


def test_what_the_maps_are_drawn_from_must_be_there(tmp_path: Path) -> None:
    root = trees.write_coco_download(tmp_path, annotations=None)
    with pytest.raises(DatasetError, match="instances_train2017.json, which is not there: unpack http://images.coco"):
        drawn(root)
    with pytest.raises(DatasetError, match=r"no label maps \(stuffthingmaps\) of train2017 to draw instance maps over"):
        drawn(tmp_path / "instance_maps")
