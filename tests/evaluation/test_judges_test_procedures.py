"""The published test procedures: every field has a source, and what cannot be is refused."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from bench.evaluation import judge_test
from bench.evaluation.judge_test import (
    DEEPLAB_V2_TEST,
    DRN_MULTI_SCALE_TEST,
    DRN_TEST,
    SOURCES,
    UPERNET_CSAIL_BASELINE_TEST,
    UPERNET_CSAIL_SINGLE_TEST,
    UPERNET_CSAIL_TEST,
    JudgeTest,
)
from bench.evaluation.judges.pipeline import label_image, look_sizes, looks, normalised
from tests.evaluation import judge_slow_path as slow

MEAN = (0.5, 0.5, 0.5)


def test_every_constant_has_a_source_for_every_field() -> None:
    constants = {name for name, value in vars(judge_test).items() if isinstance(value, JudgeTest)}
    assert constants == set(SOURCES)
    for name, sources in SOURCES.items():
        assert set(sources) == {field.name for field in fields(JudgeTest)}, name
        assert all(text.strip() for text in sources.values()), name


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"input_order": "GBR"}, "input_order='GBR', allowed are: 'RGB', 'BGR'"),
        ({"input_range": 2}, "input_range=2, allowed are: 1, 255"),
        ({"input_mean": (0.5, 0.5)}, "expected three numbers each"),
        ({"input_std": (1.0, 0.0, 1.0)}, "the latter > 0"),
        ({"short_sides": (0,), "input_resize": "pil-bilinear"}, "expected positive lengths"),
        ({"scales": ()}, "at least one positive factor"),
        ({"flip": True}, "flip=True, crf=False, only False is built"),
        ({"crf": True}, "only False is built"),
        ({"short_sides": (64,), "scales": (0.5,), "input_resize": "pil-bilinear"}, "give one of the two"),
        ({"side_multiple": 32}, "need short_sides"),
        ({"input_resize": "pil-bilinear"}, "input_resize='pil-bilinear' with sizes"),
        ({"scales": (0.5,)}, "input_resize='none' with sizes"),
        ({"scales": (1.0, 0.5), "input_resize": "pil-bilinear"}, "combination='none' of 2 size"),
        ({"combination": "softmax-mean"}, "combination='softmax-mean' of 1 size"),
        (
            {"scales": (1.0, 2.0), "input_resize": "pil-bilinear", "combination": "log-softmax-sum"},
            "combination='log-softmax-sum' of score='softmax'",
        ),
        ({"scales": (0.5,), "input_resize": "tensor-bilinear"}, "go together"),
        ({"output_resize": "deconvolution-x8"}, "score_resize='none' after output_resize='deconvolution-x8'"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match="this test procedure cannot be: ") as caught:
        JudgeTest(**{"input_mean": MEAN, **changes})
    assert words in str(caught.value)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(ValueError, match=r"input_order='X'.*only False is built.*need short_sides"):
        JudgeTest(input_mean=MEAN, input_order="X", crf=True, side_multiple=8)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((256, 256), [(320, 320), (384, 384), (480, 480), (544, 544), (608, 608)]),
        ((480, 640), [(320, 416), (384, 512), (480, 608), (544, 704), (608, 800)]),
        ((300, 900), [(320, 928), (352, 1024), (352, 1024), (352, 1024), (352, 1024)]),
    ],
)
def test_the_sizes_that_upernet_sees(size: tuple[int, int], expected: list[tuple[int, int]]) -> None:
    """Worked out by hand from the published rule; the last image meets the limit of 1000 px."""
    assert look_sizes(size, UPERNET_CSAIL_TEST) == expected
    assert look_sizes(size, UPERNET_CSAIL_SINGLE_TEST) == [expected[2]]


def test_the_sizes_that_drn_sees() -> None:
    assert look_sizes((256, 512), DRN_MULTI_SCALE_TEST) == [
        (256, 512),
        (128, 256),
        (192, 384),
        (320, 640),
        (384, 768),
        (448, 896),
    ]
    assert look_sizes((101, 99), DRN_MULTI_SCALE_TEST)[2] == (75, 74)


def random_image(*size: int) -> Any:
    return np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)


def test_input_order_range_mean_and_deviation() -> None:
    image = random_image(4, 5)
    found = normalised(image, DEEPLAB_V2_TEST)[0].numpy()
    expected = [image[..., 2 - channel].astype(float) - DEEPLAB_V2_TEST.input_mean[channel] for channel in range(3)]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    found = normalised(image, DRN_TEST)[0].numpy()
    expected = [
        (image[..., channel] / 255 - DRN_TEST.input_mean[channel]) / DRN_TEST.input_std[channel] for channel in range(3)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_csails_two_generations_of_input_are_alike_up_to_their_conversion() -> None:
    """The files were converted in 2019 from BGR 0 to 255 to RGB 0 to 1: what both see is the same picture."""
    image = random_image(450, 450)
    old = next(looks(image, replace(UPERNET_CSAIL_BASELINE_TEST, side_multiple=1)))[0]
    new = next(looks(image, replace(UPERNET_CSAIL_SINGLE_TEST, side_multiple=1)))[0]
    rgb = old.flip(0) / 255
    for channel in range(3):
        assert (rgb[channel] - new[channel] * UPERNET_CSAIL_TEST.input_std[channel]).std() < 1e-5


@pytest.mark.parametrize("sizes", [((70, 90), (64, 96)), ((64, 48), (130, 77)), ((40, 90), (31, 60))])
def test_pil_resizing_is_that_of_every_version(sizes: tuple[tuple[int, int], tuple[int, int]]) -> None:
    """Rows first, whatever order the installed Pillow would choose."""
    from bench.evaluation.judges.pipeline import _resized, _resized_scores

    image = random_image(*sizes[0])
    for how, kernel, reach in (("pil-bilinear", slow.triangle, 1.0), ("pil-bicubic", slow.cubic, 2.0)):
        expected = slow.pil_resized(image, sizes[1], kernel, reach)
        assert np.array_equal(_resized(image, sizes[1], how), expected)
        direct = Image.fromarray(image).resize(sizes[1][::-1], Image.Resampling.BILINEAR)
        assert how == "pil-bicubic" or np.abs(np.asarray(direct).astype(int) - expected).max() <= 1
    scores = np.random.default_rng(1).standard_normal((3, *sizes[0])).astype(np.float32)
    assert np.array_equal(_resized_scores(scores, sizes[1]), slow.pil_resized_scores(scores, sizes[1]))


def test_opencv_resizing_does_not_smooth() -> None:
    """A checkerboard of single pixels, halved: PIL's is grey, OpenCV's depends on where it looks."""
    from bench.evaluation.judges.pipeline import _resized

    image = np.zeros((64, 64, 3), np.uint8)
    image[::4, ::4] = 255
    assert _resized(image, (32, 32), "pil-bilinear").max() < _resized(image, (32, 32), "opencv-bilinear").max()
    ramp = np.tile(np.arange(0, 240, 8, dtype=np.uint8)[:, None, None], (1, 30, 3))
    found = _resized(ramp, (45, 30), "opencv-bilinear")[:, 0, 0].astype(float)
    centres = ((np.arange(45) + 0.5) * 30 / 45 - 0.5).clip(0, 29)
    np.testing.assert_allclose(found, centres * 8, atol=1)


class Recorder(torch.nn.Module):
    """A network of five classes that likes none of them better, and remembers how it was called."""

    def __init__(self, enlarged: int) -> None:
        super().__init__()
        self.enlarged, self.seen = enlarged, list[tuple[int, ...]]()

    def forward(self, images: torch.Tensor, mode: str) -> torch.Tensor:
        cudnn = torch.backends.cudnn
        assert (mode, images.dtype, torch.is_grad_enabled()) == ("tensor", torch.float32, False)
        assert (cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic) == (False, False, True)
        self.seen.append(tuple(images.shape))
        height, width = (-(-side // 8) * self.enlarged for side in images.shape[2:])
        return torch.zeros(1, 5, height, width)


@pytest.mark.parametrize(
    ("test", "enlarged", "looked"),
    [
        (DEEPLAB_V2_TEST, 1, [(50, 70)]),
        (UPERNET_CSAIL_TEST, 2, [(320, 448), (384, 544), (480, 640), (544, 736), (608, 864)]),
        (UPERNET_CSAIL_BASELINE_TEST, 2, [(480, 640)]),
        (DRN_TEST, 8, [(50, 70)]),
        (DRN_MULTI_SCALE_TEST, 8, [(50, 70), (25, 35), (37, 52), (62, 87), (75, 105), (87, 122)]),
    ],
)
def test_one_image_at_a_time_and_the_smaller_class_on_a_tie(
    test: JudgeTest, enlarged: int, looked: list[tuple[int, int]]
) -> None:
    network, before = Recorder(enlarged), torch.backends.cudnn.benchmark
    labels = label_image(network, test, random_image(50, 70), (64, 33), torch.device("cpu"))
    assert network.seen == [(1, 3, *size) for size in looked]
    assert labels.shape == (64, 33)
    assert not labels.any()
    assert torch.backends.cudnn.benchmark == before


@pytest.mark.parametrize(("by_ratio", "step"), [(False, 1 / 0.75), (True, 50 / 37)])
def test_the_step_of_a_resized_tensor(by_ratio: bool, step: float) -> None:
    """DeepLabV2's 0.75 of 50 px: 37 px, looked up 1 / 0.75 or 50 / 37 apart."""
    from bench.evaluation.judges.deeplab_v2 import MSCEncoderDecoder

    ramp = torch.arange(50, dtype=torch.float32)[None, None, None].expand(1, 1, 50, 50)
    network: Any = type("Scales", (), {"by_size_ratio": by_ratio})()
    found = MSCEncoderDecoder._scaled(network, ramp, 0.75)
    expected = (torch.arange(37) + 0.5) * step - 0.5
    torch.testing.assert_close(found[0, 0, 5], expected.float(), rtol=1e-5, atol=1e-4)
    whole = F.interpolate(ramp[..., :48, :48], scale_factor=0.75, mode="bilinear")
    torch.testing.assert_close(MSCEncoderDecoder._scaled(network, ramp[..., :48, :48], 0.75), whole)
