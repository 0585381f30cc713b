"""Files of judges: the published forms are read, every other file is refused with one telling error."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from bench.data.synthetic import SyntheticScenes
from bench.evaluation.judge_test import DEEPLAB_V2_TEST, DRN_TEST, UPERNET_CSAIL_TEST
from bench.evaluation.judges.checkpoint import CheckpointError, as_published, load_strictly, read_tensors
from bench.evaluation.judges.mmcv_stand_in import CompiledOperatorError, ensure_mmseg
from bench.evaluation.judges.pipeline import label_image
from bench.evaluation.judges.registry import UnavailableError, build_judge, list_judges
from bench.evaluation.judges.synthetic import load_synthetic_judge
from bench.evaluation.protocols import get_protocol, list_protocols
from bench.evaluation.weights import get_weights
from tests.evaluation.judge_files import DEEPLAB, DRN, UPERNET, Published, Tensors, hollow, save

CPU = torch.device("cpu")
TESTS = {DEEPLAB.judge: DEEPLAB_V2_TEST, UPERNET.judge: UPERNET_CSAIL_TEST, DRN.judge: DRN_TEST}


def build(published: Published, files: list[Path]) -> nn.Module:
    from bench.evaluation.judges.published import build_published

    return build_published(published.judge, TESTS[published.judge], files)


def written(published: Published, folder: Path, **changes: Tensors) -> list[Path]:
    """The judge's hollow files; ``changes`` are added to or replace tensors of the first, None takes one away."""
    contents = hollow(published)
    contents[0] = {key: value for key, value in (contents[0] | changes).items() if value is not None}
    return [save(content, folder / f"{number}.pth") for number, content in enumerate(contents)]


@pytest.mark.parametrize("published", [DEEPLAB, UPERNET, DRN], ids=lambda item: item.judge)
def test_the_key_map_is_one_to_one(published: Published, tmp_path: Path) -> None:
    """The network's own keys, turned into the file's, are the published list, less what is named as dropped."""
    from bench.evaluation.judges.published import NETWORKS

    network = build(published, written(published, tmp_path))
    form = NETWORKS[published.judge]
    given = {part + key for part, content in zip(form.parts, hollow(published), strict=True) for key in content}
    back = as_published(network, form.file_key)
    assert len(back) == len(network.state_dict())
    assert set(back) == {key for key in given if not form.dropped(key)}
    assert published is UPERNET or set(back) == given


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("zipped", [False, True])
def test_the_layouts_that_torch_users_publish(wrap: bool, prefix: str, zipped: bool, tmp_path: Path) -> None:
    source, network = nn.Linear(3, 2), nn.Linear(3, 2)
    content: Any = {prefix + key: value for key, value in source.state_dict().items()}
    content = {"state_dict": content, "epoch": 50, "arch": "linear"} if wrap else content
    torch.save(content, tmp_path / "file.pth", _use_new_zipfile_serialization=zipped)
    load_strictly(network, read_tensors(tmp_path / "file.pth"), source="file.pth")
    assert torch.equal(network.weight, source.weight)


def test_files_without_counters_are_read(tmp_path: Path) -> None:
    """Files from before torch 0.4.1 have no num_batches_tracked."""
    content = {key: value for key, value in hollow(DRN)[0].items() if "num_batches" not in key}
    build(DRN, [save(content, tmp_path / "old.pth")])


def test_building_a_judge_draws_no_random_number(tmp_path: Path) -> None:
    files = written(DRN, tmp_path)
    before = torch.random.get_rng_state()
    network = build(DRN, files)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not network.training
    assert not any(value.requires_grad for value in network.parameters())


def test_a_file_of_another_network_is_told_in_one_error(tmp_path: Path) -> None:
    changes: dict[str, Any] = {
        "seg.weight": torch.zeros(21, 512, 1, 1),
        "seg.bias": torch.zeros(21),
        "extra.weight": torch.zeros(1),
        "base.0.0.weight": None,
        "base.1.0.weight": torch.zeros(16, 16, 3, 3, dtype=torch.int64),
    }
    (path,) = written(DRN, tmp_path, **changes)
    with pytest.raises(CheckpointError, match="not a checkpoint of this network") as caught:
        build(DRN, [path])
    told = str(caught.value)
    assert told.startswith(str(path))
    for words in (
        "1 missing: base.0.0.weight",
        "1 unexpected: extra.weight",
        "2 of another shape: seg.weight (21, 512, 1, 1) (expected (19, 512, 1, 1)), seg.bias (21,) (expected (19,))",
        "1 not floating point: base.1.0.weight",
    ):
        assert words in told


def test_long_lists_of_keys_are_shortened(tmp_path: Path) -> None:
    files = written(UPERNET, tmp_path)
    with pytest.raises(CheckpointError, match=r"missing: encoder\.conv1\.weight, .* and \d+ more") as caught:
        build(UPERNET, files[::-1])
    assert str(files[1]) in str(caught.value)
    assert len(str(caught.value)) < 2500


class Harmful:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<!DOCTYPE html><html>quota exceeded</html>", "this file is a web page, not a checkpoint"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "this file is a Git LFS pointer, not"),
        (b"", "this file is empty, not"),
        (b"just some words, no checkpoint", "this file is something else, not"),
    ],
)
def test_other_files_are_refused(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "file.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=f"file.pth: {words}"):
        read_tensors(path)


def test_a_cut_off_file_is_refused(tmp_path: Path) -> None:
    for number, zipped in enumerate((False, True)):
        path = tmp_path / f"{number}.pth"
        torch.save({"weight": torch.zeros(1000)}, path, _use_new_zipfile_serialization=zipped)
        path.write_bytes(path.read_bytes()[:1500])
        with pytest.raises(CheckpointError, match=f"{number}.pth: "):
            read_tensors(path)


@pytest.mark.parametrize("content", [torch.zeros(3), [torch.zeros(3)], {}, {"state_dict": 3}, {"weight": 3.0}])
def test_what_is_no_state_dict_is_refused(content: Any, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "file.pth")
    with pytest.raises(CheckpointError, match="expected a state dict"):
        read_tensors(tmp_path / "file.pth")


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(1), "more": Harmful(tmp_path / "harm")}, tmp_path / "torch.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Harmful(tmp_path / "harm")))
    for name in ("torch.pth", "plain.pth"):
        with pytest.raises(CheckpointError, match=f"{name}: not a checkpoint of tensors alone"):
            read_tensors(tmp_path / name)
    assert not (tmp_path / "harm").exists()


# -- the registry ------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPADE_BENCH_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("SPADE_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "weights"


def test_missing_files_are_a_cells_reason(folder: Path) -> None:
    encoder, decoder = (get_weights(name).filename for name, _, _ in UPERNET.files)
    with pytest.raises(UnavailableError, match=f"{encoder} is missing; weights file {decoder} is missing"):
        build_judge(get_protocol("paper2019-ade20k"), CPU)
    with pytest.raises(
        UnavailableError, match="judge 'clip' is not built into this version; it has: synthetic-judge, "
    ):
        build_judge(replace(get_protocol("paper2019-ade20k"), judge="clip"), CPU)


def test_every_protocol_names_a_judge_that_exists() -> None:
    assert {protocol.judge for protocol in list_protocols() if protocol.judge} <= set(list_judges())


def test_a_judge_names_the_files_it_was_made_of(folder: Path) -> None:
    for (name, _, _), content in zip(UPERNET.files, hollow(UPERNET), strict=True):
        save(content, folder / get_weights(name).filename)
    judge = build_judge(get_protocol("paper2019-ade20k"), CPU)
    assert (judge.name, judge.classes) == ("upernet101-csail", 150)
    assert [len(digest) for digest in judge.sha256.split("+")] == [64, 64]


def test_a_test_procedure_that_the_network_cannot_serve_is_refused(folder: Path) -> None:
    (path,) = written(DRN, folder)
    path.rename(folder / get_weights(DRN.files[0][0]).filename)
    protocol = get_protocol("paper2019-cityscapes")
    with pytest.raises(ValueError, match="drn-d-105 enlarges by 'deconvolution-x8'; the protocol's test.output_resize"):
        build_judge(replace(protocol, test=replace(DRN_TEST, output_resize="bilinear", score_resize="none")), CPU)
    with pytest.raises(ValueError, match="has 1 weights file.s., the protocol names 2"):
        build_judge(replace(protocol, judge_weights=protocol.judge_weights * 2), CPU)


def test_the_synthetic_judge_labels_one_image() -> None:
    judge = build_judge(get_protocol("synthetic"), CPU)
    image = SyntheticScenes(split="val", size=(64, 64), images=1).load(0).image
    with torch.no_grad():
        scaled = torch.from_numpy(image.transpose(2, 0, 1).astype(np.float32) / 127.5 - 1.0)[None]
        expected = load_synthetic_judge()(scaled).argmax(1)[0].numpy()
    assert np.array_equal(judge.label(image, (64, 64)), expected)
    assert judge.label(image, (128, 96)).shape == (128, 96)
    assert judge.classes == 12


@pytest.mark.parametrize("image", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 4), np.uint8), np.zeros((8, 8, 3))])
def test_images_of_another_form_are_refused(image: Any) -> None:
    with pytest.raises(ValueError, match=r"a judge was given .* it takes an RGB image \(H, W, 3\) of uint8"):
        label_image(nn.Identity(), DRN_TEST, image, (8, 8), CPU)


# -- the stand-in for mmcv's compiled operators ------------------------------------------------------------------------


def test_the_stand_in_is_a_module_as_pythons_tools_expect() -> None:
    import importlib.util

    ensure_mmseg()
    module: Any = sys.modules["mmcv._ext"]
    if getattr(module, "__file__", None):
        pytest.skip("a full mmcv is installed")
    # with None for a spec this raises ValueError, and mmengine's Runner cannot start
    assert importlib.util.find_spec("mmcv._ext") is module.__spec__
    assert module.__spec__.name == "mmcv._ext"
    assert not hasattr(module, "__path__")
    with pytest.raises(CompiledOperatorError, match="compiled operator nms, and the installed mmcv-lite has none"):
        module.nms(torch.zeros(1))


def test_the_stand_in_steps_aside_for_a_full_mmcv(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.machinery import ModuleSpec

    ensure_mmseg()
    monkeypatch.delitem(sys.modules, "mmcv._ext")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: ModuleSpec(name, None))
    ensure_mmseg()
    assert "mmcv._ext" not in sys.modules


def test_mmsegmentation_is_imported_only_when_a_judge_is_built() -> None:
    code = (
        "import sys; from bench.evaluation.judges.registry import build_judge; import torch\n"
        "from bench.evaluation.protocols import get_protocol\n"
        "build_judge(get_protocol('synthetic'), torch.device('cpu'))\n"
        "assert not {'mmseg', 'mmengine', 'mmcv', 'cv2'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).resolve().parents[2])


def test_the_models_are_in_mmsegmentations_registry() -> None:
    from bench.evaluation.judges import published
    from bench.evaluation.judges.mmseg_parts import MODELS

    assert published.NETWORKS
    for name in ("CeilPoolResNet", "ASPPSumHead", "MSCEncoderDecoder", "CSAILUPerHead", "DRND", "DeconvolutionHead"):
        assert MODELS.get(name) is not None, name
