"""The whole evaluation of real pairs with the published judges: equal counts on any ranks and any batch size.

The judges' files are in the published format, their weights filled by the golden rules: what is proven is the path, not
a score.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bench.data.dataset import Dataset
from bench.data.registry import dataset_spec
from bench.evaluation import evaluator
from bench.evaluation.evaluator import Judgement, evaluate, real_images
from bench.evaluation.judges.registry import build_judge
from bench.evaluation.protocol import Protocol
from bench.evaluation.protocols import get_protocol
from bench.evaluation.weights import get_weights
from tests.evaluation.judge_files import DEEPLAB, DRN, filled, save
from tests.evaluation.test_evaluator import Peers

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("SPADE_BENCH_DATA", ROOT.parent / "shared" / "data"))
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"no real pairs at {DATA} (set SPADE_BENCH_DATA)")


def real_pairs(name: str, folder: Path) -> Path:
    """The folder of the sample, with the Cityscapes training pairs as validation split too (it has no photographs)."""
    if name == "coco_stuff":
        return DATA / "coco_stuff_sample"
    for kind in ("img", "label", "inst"):
        for split in ("train", "val"):
            (folder / f"{split}_{kind}").symlink_to(DATA / "cityscapes_sample" / f"train_{kind}")
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("weights")
    for published in (DEEPLAB, DRN):
        for (name, _, _), tensors in zip(published.files, filled(published), strict=True):
            save(tensors, folder / get_weights(name).filename)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPADE_BENCH_WEIGHTS", str(folder))
        patch.setenv("SPADE_BENCH_CACHE", str(folder / "cache"))
        yield folder


def judged(dataset: Dataset, protocol: Protocol, *, world: int, batch: int, count: int) -> Judgement:
    handed_in: list[object] = []
    found = None
    for rank in reversed(range(world)):
        found = evaluate(
            real_images(dataset, protocol),
            dataset,
            protocol,
            count=count,
            device=torch.device("cpu"),
            peers=Peers(rank, world, handed_in),
            batch_images=batch,
        )
    assert found is not None
    return found


CASES = [("coco_stuff", "paper2019-coco", (128, 128)), ("cityscapes", "paper2019-cityscapes", (128, 256))]


@pytest.mark.parametrize(("name", "protocol", "size"), CASES, ids=["coco", "cityscapes"])
def test_equal_counts_on_1_and_3_ranks_and_batches_of_1_and_4(
    name: str,
    protocol: str,
    size: tuple[int, int],
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chosen = get_protocol(protocol)
    judge = build_judge(chosen, torch.device("cpu"))
    asked = []

    def counting(image: NDArray[np.uint8], at: tuple[int, int]) -> NDArray[np.int64]:
        asked.append(at)
        return judge.label(image, at)

    monkeypatch.setattr(evaluator, "build_judge", lambda *_: replace(judge, label=counting))
    dataset = dataset_spec(name).open(split="val", root=real_pairs(name, tmp_path), size=size)
    count = 5
    first = judged(dataset, chosen, world=1, batch=4, count=count)
    other = judged(dataset, chosen, world=3, batch=1, count=count)
    assert asked == [size] * (2 * count)
    assert first.total is not None
    assert first.per_image is not None
    assert np.array_equal(first.total, other.total)
    assert np.array_equal(first.per_image, other.per_image)
    assert first.scores == other.scores
    assert first.total.sum() == count * size[0] * size[1]
    assert len(set(first.per_image[:, 2])) > 3, "the judge says several classes"
    unlabelled = [label for label, place in enumerate(first.class_of) if place is None]
    assert first.total[unlabelled].sum() > 0, "real maps have unlabelled pixels"


@pytest.mark.slow
@pytest.mark.parametrize(("name", "protocol"), [case[:2] for case in CASES], ids=["coco", "cityscapes"])
def test_the_command_line_on_processes_at_the_papers_size(
    name: str, protocol: str, weights: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "pairs"
    folder.mkdir()
    root = real_pairs(name, folder)
    totals = []
    for ranks, batch in ((1, 1), (1, 4), (3, 1), (3, 4)):
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)] if ranks > 1 else []
        store = tmp_path / f"store-{ranks}-{batch}"
        command = [sys.executable, *launcher, "run_study.py", "evaluate", "--real", "--dataset", name]
        command += ["--root", str(root), "--protocol", protocol, "--batch", str(batch), "--device", "cpu"]
        done = subprocess.run(
            [*command, "--store", str(store)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "ms an image" in done.stdout
        assert "judge   " in done.stdout
        (counts,) = store.glob("evaluations/*/confusion.npz")
        loaded = np.load(counts)
        totals.append((loaded["total"], loaded["per_image"]))
    for total, per_image in totals[1:]:
        assert np.array_equal(total, totals[0][0])
        assert np.array_equal(per_image, totals[0][1])
