"""Multi-scale deformable attention through mmcv.ops."""

import pytest
import torch
from mmcv.ops.multi_scale_deform_attn import (
    MultiScaleDeformableAttnFunction,
    multi_scale_deformable_attn_pytorch,
)
from mmcv_ext_reference import assert_close, assert_same_gradients, leaves, zero_padded

SHAPES = torch.tensor([[4, 3], [1, 2]])
STARTS = torch.tensor([0, 12])


def inputs():
    """Two images, 3 heads of 2 channels, 5 queries, 2 levels, 4 points; some points outside."""
    value = torch.randn(2, 14, 3, 2)
    location = torch.rand(2, 5, 3, 2, 4, 2) * 1.6 - 0.3
    weight = torch.rand(2, 5, 3, 2, 4)
    return value, location, weight


def slow_attention(value, location, weight):
    batch, queries, heads, levels, points = weight.shape
    outputs = []
    for b in range(batch):
        for q in range(queries):
            for m in range(heads):
                total = 0
                for level in range(levels):
                    height, width = SHAPES[level].tolist()
                    start = int(STARTS[level])
                    plane = value[b, start : start + height * width, m]
                    plane = plane.T.reshape(-1, height, width)
                    for p in range(points):
                        x, y = location[b, q, m, level, p]
                        sample = zero_padded(plane, y * height - 0.5, x * width - 0.5)
                        total = total + sample * weight[b, q, m, level, p]
                outputs.append(total)
    return torch.stack(outputs).view(batch, queries, -1)


def test_attention_equals_definition(device, dtype):
    ours, references = leaves(device, dtype, *inputs())
    value, location, weight = ours
    output = MultiScaleDeformableAttnFunction.apply(
        value, SHAPES.to(device), STARTS.to(device), location, weight, 64
    )
    assert output.shape == (2, 5, 6)
    assert_same_gradients(output, slow_attention(*references), ours, references, dtype)


def test_attention_equals_mmcvs_python(device):
    value, location, weight = (tensor.to(device) for tensor in inputs())
    output = MultiScaleDeformableAttnFunction.apply(
        value, SHAPES.to(device), STARTS.to(device), location, weight, 2
    )
    wanted = multi_scale_deformable_attn_pytorch(value, SHAPES.to(device), location, weight)
    assert_close(output, wanted.cpu().double())


def test_attention_by_hand(device):
    # One level of 2x2, one query: the center of pixel (y=0, x=1), and the middle of all four.
    value = torch.tensor([1.0, 2, 3, 6], device=device).view(1, 4, 1, 1)
    location = torch.tensor([[0.75, 0.25], [0.5, 0.5]], device=device).view(1, 1, 1, 1, 2, 2)
    weight = torch.tensor([1.0, 10], device=device).view(1, 1, 1, 1, 2)
    shapes, start = torch.tensor([[2, 2]], device=device), torch.tensor([0], device=device)
    output = MultiScaleDeformableAttnFunction.apply(value, shapes, start, location, weight, 1)
    assert output.item() == pytest.approx(2 + 10 * 3)


def test_attention_without_queries(device):
    value, location, weight = (tensor.to(device) for tensor in inputs())
    output = MultiScaleDeformableAttnFunction.apply(
        value, SHAPES.to(device), STARTS.to(device), location[:, :0], weight[:, :0], 64
    )
    assert output.shape == (2, 0, 6)
