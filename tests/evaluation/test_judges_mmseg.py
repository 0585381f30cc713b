"""Any network of mmsegmentation as a judge: it labels as mmsegmentation does, and what cannot be built is told."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bench.evaluation.judges.checkpoint import CheckpointError
from bench.evaluation.judges.mmcv_stand_in import ensure_mmseg
from bench.evaluation.judges.mmseg_judge import ConfigError, build_mmseg_judge, find_config
from bench.evaluation.judges.registry import UnavailableError, build_judge
from bench.evaluation.protocol import MmsegJudge
from bench.evaluation.protocols import get_protocol, list_protocols
from bench.evaluation.weights import file_sha256

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:mmseg")

CPU = torch.device("cpu")
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
WHOLE = "dict(mode='whole')"
SLIDE = "dict(mode='slide', crop_size=(48, 48), stride=(32, 32))"
CONFIG = """
norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(type='SegDataPreProcessor', mean={mean}, std={std}, bgr_to_rgb=True, pad_val=0,
                           seg_pad_val=255{preprocessor}),
    pretrained='open-mmlab://resnet18_v1c',
    backbone=dict(type='ResNetV1c', depth=18, base_channels=8, stem_channels=8, norm_cfg=norm_cfg,
                  strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4)),
    decode_head=dict(type='FCNHead', in_channels=64, in_index=3, channels=8, num_convs=1, concat_input=False,
                     num_classes={classes}, norm_cfg=norm_cfg),
    auxiliary_head=dict(type='FCNHead', in_channels=32, in_index=2, channels=8, num_convs=1, concat_input=False,
                        num_classes={classes}, norm_cfg=norm_cfg),
    test_cfg={test_cfg})
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(96, 64), keep_ratio={keep_ratio}),
    dict(type='LoadAnnotations', reduce_zero_label=True),
    dict(type='PackSegInputs'),
]
test_dataloader = dict(dataset=dict(type='ADE20KDataset', pipeline=test_pipeline))
default_scope = 'mmseg'
"""


def written_config(folder: Path, **settings: Any) -> Path:
    given = {"mean": MEAN, "std": STD, "classes": 150, "test_cfg": WHOLE, "keep_ratio": True, "preprocessor": ""}
    path = folder / "small_fcn.py"
    path.write_text(CONFIG.format(**(given | settings)))
    return path


@cache
def reference_model(path: Path) -> Any:
    """The network as mmsegmentation itself builds it, with first weights that make it choose many classes."""
    ensure_mmseg()
    from mmengine.model import revert_sync_batchnorm
    from mmseg.apis import init_model

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = revert_sync_batchnorm(init_model(str(path), device="cpu"))
        torch.nn.init.normal_(model.decode_head.conv_seg.weight)
    return model


def written_checkpoint(path: Path, config: Path, **more: Any) -> Path:
    torch.save({"state_dict": reference_model(config).state_dict(), **more}, path)
    return path


@pytest.fixture
def image() -> Any:
    """A patchwork of colours, so that a network with first weights sees many classes."""
    colours = np.random.default_rng(0).integers(0, 256, (6, 10, 3)).astype(np.uint8)
    return colours.repeat(10, axis=0).repeat(10, axis=1)


@pytest.mark.parametrize(
    "settings", [{}, {"test_cfg": SLIDE}, {"keep_ratio": False}, {"preprocessor": ", test_cfg=dict(size_divisor=32)"}]
)
def test_it_labels_as_mmsegmentation_does(settings: dict[str, Any], image: Any, tmp_path: Path) -> None:
    config = written_config(tmp_path, **settings)
    judge = build_mmseg_judge(config, written_checkpoint(tmp_path / "file.pth", config), CPU)
    from mmseg.apis import inference_model

    found = judge.label(image, (60, 100))
    expected = inference_model(reference_model(config), image[..., ::-1].copy()).pred_sem_seg.data[0].numpy()
    assert found.dtype == np.int64
    assert np.array_equal(found, expected)
    assert len(np.unique(found)) > 3
    assert (judge.name, judge.classes, judge.sha256) == ("small_fcn", 150, file_sha256(tmp_path / "file.pth"))


def test_at_another_size_the_logits_are_resized_there(image: Any, tmp_path: Path) -> None:
    """Worked out without its pipeline: the image has the resized size already."""
    config = written_config(tmp_path)
    judge = build_mmseg_judge(config, written_checkpoint(tmp_path / "file.pth", config), CPU)
    image = image[:58, :96]
    x = torch.from_numpy(image.transpose(2, 0, 1).astype(np.float32))[None]
    x = (x - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    model = reference_model(config)
    with torch.no_grad():
        logits = F.interpolate(model.decode_head(model.backbone(x)), size=(58, 96), mode="bilinear")
        expected = F.interpolate(logits, size=(131, 77), mode="bilinear").argmax(1)[0].numpy()
    assert np.array_equal(judge.label(image, (131, 77)), expected)


def test_a_config_by_name_with_the_classes_of_its_data(image: Any, tmp_path: Path) -> None:
    from bench.evaluation.judges.mmseg_judge import _build_model, _read_config

    path = find_config("segformer_mit-b0_8xb2-160k_ade20k-512x512")
    assert path.parent.name == "segformer"
    torch.save(_build_model(_read_config(path), path).state_dict(), tmp_path / "file.pth")
    judge = build_mmseg_judge(path.stem, tmp_path / "file.pth", CPU)
    assert len(judge.class_names) == judge.classes == 150
    assert judge.class_names[0] == "wall"
    assert "bed" in judge.class_names
    labels = judge.label(image[:32, :32], (32, 32))
    assert labels.shape == (32, 32)
    assert 0 <= labels.min() <= labels.max() < 150


class Harmful:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_a_trainers_checkpoint_is_read_without_running_what_is_in_it(image: Any, tmp_path: Path) -> None:
    """As mmengine's Runner writes them: histories, numpy scalars; `weights_only` alone refuses these."""
    config = written_config(tmp_path)
    plain = build_mmseg_judge(config, written_checkpoint(tmp_path / "plain.pth", config), CPU)
    from mmengine.logging import HistoryBuffer

    more = {
        "meta": {"dataset_meta": {"classes": tuple(f"class {k}" for k in range(150))}, "seed": np.int64(3)},
        "message_hub": {"log_scalars": {"loss": HistoryBuffer([1.0, 0.5], [1, 1])}, "harm": Harmful(tmp_path / "harm")},
        "optimizer": {"state": {0: {"momentum_buffer": torch.zeros(2)}}, "dtype": torch.float16},
        "param_schedulers": [{"lr": np.float64(0.1), "range": np.arange(3)}],
    }
    path = written_checkpoint(tmp_path / "runner.pth", config, **more)
    with pytest.raises(Exception, match="Weights only load failed"):
        torch.load(path, weights_only=True)
    judge = build_mmseg_judge(config, path, CPU)
    assert not (tmp_path / "harm").exists()
    assert judge.class_names[149] == "class 149"
    assert np.array_equal(judge.label(image, (60, 100)), plain.label(image, (60, 100)))


def test_a_harmful_file_alone_is_refused_and_not_run(tmp_path: Path) -> None:
    torch.save(Harmful(tmp_path / "harm"), tmp_path / "bad.pth")
    torch.save({"state_dict": Harmful(tmp_path / "harm")}, tmp_path / "bad2.pth", _use_new_zipfile_serialization=False)
    for name in ("bad.pth", "bad2.pth"):
        with pytest.raises(CheckpointError, match=f"{name}: "):
            build_mmseg_judge(written_config(tmp_path), tmp_path / name, CPU)
    assert not (tmp_path / "harm").exists()


def drop(state: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in state.items() if key != "decode_head.conv_seg.bias"}


def add(state: dict[str, Any]) -> dict[str, Any]:
    return {**state, "neck.weight": torch.zeros(1)}


@pytest.mark.parametrize(
    ("change", "words"),
    [(drop, "1 missing: decode_head.conv_seg.bias"), (add, "1 unexpected: neck.weight")],
)
def test_checkpoints_of_another_network_are_refused(
    change: Callable[[dict[str, Any]], dict[str, Any]], words: str, tmp_path: Path
) -> None:
    config = written_config(tmp_path)
    torch.save({"state_dict": change(reference_model(config).state_dict())}, tmp_path / "file.pth")
    with pytest.raises(CheckpointError, match=f"file.pth: not a checkpoint of this network(.|\n)*{words}"):
        build_mmseg_judge(config, tmp_path / "file.pth", CPU)


def test_other_numbers_of_classes_are_refused(tmp_path: Path) -> None:
    config = written_config(tmp_path)
    path = written_checkpoint(tmp_path / "file.pth", config, meta={"CLASSES": ("wall", "sky")})
    with pytest.raises(CheckpointError, match="names 2 classes, the network of .*small_fcn.py has 150"):
        build_mmseg_judge(config, path, CPU)
    other = written_config(tmp_path, classes=19)
    with pytest.raises(CheckpointError, match=r"conv_seg.weight \(150, 8, 1, 1\) \(expected \(19, 8, 1, 1\)\)"):
        build_mmseg_judge(other, path, CPU)
    with pytest.raises(CheckpointError, match="no.pth: there is no such checkpoint"):
        build_mmseg_judge(config, tmp_path / "no.pth", CPU)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1", "has no model"),
        ("1 / 0", "cannot be read as a config"),
        ("model = dict(type='NoSuchNetwork')", "cannot be built here"),
        ("model = dict(type='EncoderDecoder', backbone=dict(type='mmpretrain.X'))", "is part of mmpretrain"),
        (
            "custom_imports = dict(imports='no_such_package', allow_failed_imports=False)",
            "imports what is not installed",
        ),
    ],
)
def test_configs_that_cannot_be_used_are_told(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "config.py"
    path.write_text(text)
    with pytest.raises(ConfigError, match=f"config.py: .*{words}"):
        build_mmseg_judge(path, tmp_path / "none.pth", CPU)


def test_a_config_without_a_test_pipeline_is_told(tmp_path: Path) -> None:
    config = written_config(tmp_path)
    checkpoint = written_checkpoint(tmp_path / "file.pth", config)
    bare = tmp_path / "bare.py"
    bare.write_text(config.read_text().replace("test_pipeline = ", "other = ").replace("pipeline=test_pipeline", ""))
    with pytest.raises(ConfigError, match="bare.py: has no test_pipeline"):
        build_mmseg_judge(bare, checkpoint, CPU)
    bare.write_text(config.read_text().replace("LoadImageFromFile", "LoadMultipleRSImageFromFile"))
    with pytest.raises(ConfigError, match="begins with LoadMultipleRSImageFromFile, expected LoadImageFromFile"):
        build_mmseg_judge(bare, checkpoint, CPU)


@pytest.mark.parametrize(
    ("name", "package", "words"),
    [
        ("convnext-tiny_upernet_8xb2-amp-160k_ade20k-512x512", "mmpretrain", "mmpretrain.models"),
        ("maskformer_r50-d32_8xb2-160k_ade20k-512x512", "mmdet", "is part of mmdet, which is not installed"),
        ("psanet_r50-d8_4xb4-80k_ade20k-512x512", "mmcv._ext", r"compiled operators \(PSAMask\)"),
    ],
)
def test_published_configs_that_need_more_are_told(name: str, package: str, words: str, tmp_path: Path) -> None:
    if package != "mmcv._ext" and importlib.util.find_spec(package) is not None:
        pytest.skip(f"{package} is installed")
    with pytest.raises(ConfigError, match=words):
        build_mmseg_judge(name, tmp_path / "none.pth", CPU)


def test_unknown_names_are_told_with_those_alike() -> None:
    ensure_mmseg()
    with pytest.raises(ConfigError, match="no config of mmsegmentation is called .* alike are: .*upernet_r101"):
        find_config("upernet_r101_ade20k-512x512")
    with pytest.raises(ConfigError, match="no/such.py: there is no such config file"):
        find_config("no/such.py")


def test_a_protocol_with_a_second_judge(image: Any, tmp_path: Path) -> None:
    config = written_config(tmp_path)
    checkpoint = written_checkpoint(tmp_path / "file.pth", config)
    second = MmsegJudge(config_name="small_fcn", config_file=str(config), checkpoint=str(checkpoint))
    protocol = replace(get_protocol("mmseg-ade20k"), mmseg=second, judge_weights=())
    assert build_judge(protocol, CPU).label(image, (60, 100)).shape == (60, 100)
    checkpoint.unlink()
    with pytest.raises(UnavailableError, match="file.pth is missing"):
        build_judge(protocol, CPU)


def test_the_built_in_second_judges_name_configs_that_exist() -> None:
    ensure_mmseg()
    named = [protocol.mmseg for protocol in list_protocols() if protocol.mmseg is not None]
    assert len(named) >= 3
    for second in named:
        assert find_config(second.config).stem == second.config_name
