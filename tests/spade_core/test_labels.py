from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from spade_core.label_spec import LabelSpec
from spade_core.labels import LabelMap, check_label_ids, instance_edges
from tests.spade_core.golden import labels

SPEC = LabelSpec(classes=4, dont_care=True)
WITH_EDGES = LabelSpec(classes=11, instance_edges=True)


def full_map(ids: torch.Tensor, instances: torch.Tensor, channels: int) -> torch.Tensor:
    one_hot = F.one_hot(ids.long(), channels).permute(0, 3, 1, 2).float()
    return torch.cat([one_hot, instance_edges(instances).unsqueeze(1).float()], dim=1)


def test_ids_out_of_range_are_listed_with_their_pixels() -> None:
    ids = torch.tensor([[[0, 4, 255], [255, 255, 7]]], dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"7 \(1 pixels\), 255 \(3 pixels\); allowed are 0 to 4 \(don't care is 4\)"):
        check_label_ids(ids, SPEC)
    with pytest.raises(ValueError, match=r"-1 \(1 pixels\); allowed are 0 to 10 \(no id stands for don't care\)"):
        check_label_ids(torch.tensor([[[-1, 3]]]), WITH_EDGES)
    with pytest.raises(ValueError, match="and 3 more ids"):
        check_label_ids(torch.arange(5, 18).view(1, 1, 13), SPEC)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.int64])
def test_ids_in_range_pass_in_any_integer_type(dtype: torch.dtype) -> None:
    check_label_ids(torch.tensor([[[0, 4]]], dtype=dtype), SPEC)


def test_shape_and_type_are_checked() -> None:
    with pytest.raises(ValueError, match=r"shape \(N, H, W\).*this one has \(2, 2\)"):
        check_label_ids(torch.zeros(2, 2, dtype=torch.long), SPEC)
    with pytest.raises(ValueError, match="holds integer ids; this one has the type torch.float32"):
        check_label_ids(torch.zeros(1, 2, 2), SPEC)
    with pytest.raises(ValueError, match=r"none of them 0; this one has \(0, 2, 2\)"):
        check_label_ids(torch.zeros(0, 2, 2, dtype=torch.long), SPEC)


def test_instances_are_asked_for() -> None:
    ids = torch.zeros(1, 2, 3, dtype=torch.long)
    with pytest.raises(ValueError, match=r"no instance ids were given; pass instances of shape \(1, 2, 3\)"):
        LabelMap(ids, None, WITH_EDGES)
    with pytest.raises(ValueError, match=r"differ in shape: \(1, 2, 3\) and \(1, 3, 2\)"):
        LabelMap(ids, ids.transpose(1, 2), WITH_EDGES)
    assert LabelMap(ids, None, SPEC).one_hot((2, 3)).shape == (1, 5, 2, 3)


def test_edges_are_where_a_neighbour_differs() -> None:
    instances = torch.tensor([[[1, 1, 1, 1], [1, 1, 9, 1], [1, 1, 1, 1]]])
    expected = torch.tensor([[[0, 0, 1, 0], [0, 1, 1, 1], [0, 0, 1, 0]]], dtype=torch.bool)
    assert torch.equal(instance_edges(instances), expected)


@pytest.mark.parametrize("size", [(20, 28), (10, 14), (7, 9), (3, 5), (33, 50), (1, 1)])
def test_other_sizes_equal_nearest_interpolation_of_the_full_map(size: tuple[int, int]) -> None:
    ids, instances = labels(2, 20, 28, 11, 3)
    label_map = LabelMap(ids.to(torch.uint8), instances, WITH_EDGES)
    expected = F.interpolate(full_map(ids, instances, 11), size=size, mode="nearest")
    assert torch.equal(label_map.one_hot(size), expected)
    assert torch.equal(label_map.labels_at(size), expected[:, :-1].argmax(1))


def test_layers_of_one_size_share_the_map() -> None:
    label_map = LabelMap(torch.zeros(1, 8, 8, dtype=torch.long), None, SPEC)
    assert label_map.one_hot((4, 4)) is label_map.one_hot((4, 4))
    assert label_map.one_hot((4, 4), torch.float64).dtype == torch.float64
    assert label_map.one_hot((4, 4), torch.bfloat16).dtype == torch.bfloat16


def test_more_than_256_ids_survive_resizing() -> None:
    spec = LabelSpec(classes=70_000)
    ids = torch.tensor([[[69_999, 3], [257, 65_537]]])
    assert torch.equal(LabelMap(ids, None, spec).labels_at((4, 4))[:, ::2, ::2], ids)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_wrong_id_on_a_gpu_is_an_error_and_no_device_assert() -> None:
    ids = torch.full((1, 4, 4), 5, device="cuda")
    with pytest.raises(ValueError, match=r"label ids out of range: 5 \(16 pixels\)"):
        LabelMap(ids, None, SPEC)
    assert torch.ones(3, device="cuda").sum().item() == 3
