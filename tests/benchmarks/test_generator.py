"""The forward pass of the generator: fields, the reference is dense and equal, other people's generators."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from bench.benchmarks.generator import GeneratorBenchmark, benchmark_generator
from bench.benchmarks.maps import noise_maps, synthetic_maps
from bench.benchmarks.reference import DenseGenerator, DenseSPADE
from bench.benchmarks.third_party import load_third_party
from bench.benchmarks.timing import Stopwatch
from bench.cli.benchmark_page import page
from spade_core.label_spec import LabelSpec
from spade_core.label_windows import LabelWindows
from spade_core.settings import SpadeSettings

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "dense_spade.py"
SPEC = LabelSpec(classes=11, dont_care=True, instance_edges=True)
SMALL = GeneratorBenchmark(settings=SpadeSettings(width=4, hidden=8), repeats=1)
OTHER = """
import torch
class Net(torch.nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.layer = torch.nn.Conv2d(channels, 3, 1)
    def forward(self, segmap):
        return self.layer(segmap)
def build(channels, size):
    return Net(channels)
"""


@pytest.mark.parametrize("training", [False, True], ids=["eval", "training"])
def test_the_fields_of_the_result(training: bool, tmp_path: Path) -> None:
    file = tmp_path / "other.py"
    file.write_text(OTHER, encoding="utf-8")
    what = replace(SMALL, training=training, third_party=file, plain=True, profile=not training, repeats=2)
    lines: list[str] = []
    result = benchmark_generator(what, synthetic_maps(SPEC, (64, 64), 2), Stopwatch(), lines.append)
    assert result["reference_s"] > 0
    assert result["ratio"] == result["reference_s"] / result["fast_s"]
    assert result["ratio_least"] <= result["ratio_most"]
    assert result["max_abs_diff"] <= 1e-4
    assert result["image_std"] > 0.01, "images of one colour would be equal whatever is computed"
    assert result["third_party_s"] > 0
    assert result["plain_s"] > 0
    assert list(result["distinct"]) == ["64x64", "32x32", "16x16", "8x8", "4x4", "2x2"]
    for shares in result["distinct"].values():
        assert 0 < shares["windows_percent"] <= shares["patches_percent"] <= shares["patches_percent_most"] <= 100
    assert len(result["batches"]) == 2
    assert len(lines) == 2
    assert result["environment"]["clock"] == "wall"
    assert ("profile" in result) != training
    json.dumps(result)
    printed = page(result)
    assert f"{result['ratio']:.2f} times as fast" in printed
    assert "third party's generator" in printed


def test_the_reference_convolves_the_one_hot_map_and_looks_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three convolutions of each SPADE layer are called, and no distinct window is looked for."""
    reference = DenseGenerator(SMALL.settings, SPEC, (64, 64)).eval()
    layers = [module for module in reference.modules() if isinstance(module, DenseSPADE)]
    called: list[nn.Module] = []
    for layer in layers:
        for part in (layer.mlp_shared[0], layer.mlp_gamma, layer.mlp_beta):
            part.register_forward_hook(lambda module, *_: called.append(module))

    def refuse(*arguments: Any, **named: Any) -> None:
        raise AssertionError("the reference looked for distinct windows")

    batch = synthetic_maps(SPEC, (64, 64), 1).batch(0, 1, torch.device("cpu"))
    monkeypatch.setattr(LabelWindows, "__init__", refuse)
    with torch.no_grad():
        reference(batch)
    assert len(layers) == 18
    assert len(called) == 3 * len(layers)


def test_the_reference_starts_from_the_label_map_alone() -> None:
    with pytest.raises(ValueError, match="source is 'z'"):
        DenseGenerator(SpadeSettings(source="z"), SPEC, (64, 64))


def test_the_example_of_a_third_party_is_the_same_architecture() -> None:
    """Parameters of the same sizes, and as many convolutions of the same work: what is timed is comparable."""
    namespace: dict[str, Any] = {"__name__": "example"}
    exec(compile(EXAMPLE.read_text(encoding="utf-8"), str(EXAMPLE), "exec"), namespace)
    for upsampling, doublings in (("normal", 5), ("more", 6)):
        settings = SpadeSettings(width=4, upsampling=upsampling)  # type: ignore[arg-type]
        theirs = namespace["Generator"](SPEC.channels, width=4, doublings=doublings).eval()
        ours = DenseGenerator(settings, SPEC, (64, 64)).eval()
        sizes = [sorted(parameter.numel() for parameter in network.parameters()) for network in (theirs, ours)]
        assert sizes[0] == sizes[1]
        one_hot = torch.zeros(1, SPEC.channels, 64, 64)
        work = []
        for _network, image in ((theirs, theirs), (ours, ours.from_one_hot)):
            with torch.no_grad(), FlopCounterMode(display=False) as counter:
                assert image(one_hot).shape == (1, 3, 64, 64)
            work.append(counter.get_total_flops())
        assert work[0] == pytest.approx(work[1], rel=1e-3)


def test_noise_takes_the_dense_way_and_stays_equal() -> None:
    result = benchmark_generator(SMALL, noise_maps(SPEC, (64, 64), 1), Stopwatch())
    assert result["max_abs_diff"] <= 1e-4
    assert result["distinct"]["64x64"]["patches_percent"] > 99


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no such file"),
        ("x = 1\n", r"defines no function build\(channels, size\)"),
        ("def build(channels, size):\n    return 3\n", "build returned int; it must return an nn.Module"),
    ],
)
def test_files_that_are_no_generator_are_named(content: str | None, message: str, tmp_path: Path) -> None:
    file = tmp_path / "theirs.py"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=message) as raised:
        load_third_party(file, 3, (64, 64))
    assert str(file) in str(raised.value)


def test_a_file_of_another_kind_is_named(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    file.write_bytes(b"\x00")
    with pytest.raises(ValueError, match="not a Python file"):
        load_third_party(file, 3, (64, 64))


def test_numbers_below_one_are_refused_together() -> None:
    with pytest.raises(ValueError, match="batch_images is 0; it must be at least 1; repeats is 0"):
        GeneratorBenchmark(settings=SpadeSettings(), batch_images=0, repeats=0)
