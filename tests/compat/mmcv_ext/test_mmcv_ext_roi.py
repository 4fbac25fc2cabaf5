"""RoIAlign and RoIPool through mmcv.ops."""

import math

import pytest
import torch
from mmcv.ops import RoIAlign, RoIPool, roi_align
from mmcv_ext_reference import assert_close, assert_same_gradients, edge_padded, leaves

SIZE = (3, 2)
ROIS = torch.tensor(
    [
        [0.0, 1.0, 2.0, 9.0, 11.0],
        [1, 0, 0, 21, 13],  # the whole image
        [1, 3.5, 4.25, 5, 5.5],  # less than a pixel a bin
        [0, -6, -8, 3, 4],  # partly outside
        [1, 60, 60, 80, 80],  # all outside
    ]
)


def slow_roi_align(features, rois, scale, ratio, mode, aligned):
    outputs = []
    for image, *box in rois.tolist():
        x1, y1, x2, y2 = (value * scale - (0.5 if aligned else 0) for value in box)
        width, height = x2 - x1, y2 - y1
        if not aligned:
            width, height = max(width, 1), max(height, 1)
        step = height / SIZE[0], width / SIZE[1]
        grid = [ratio if ratio > 0 else math.ceil(s) for s in step]
        for p in range(SIZE[0]):
            for q in range(SIZE[1]):
                samples = [
                    edge_padded(
                        features[int(image)],
                        y1 + step[0] * (p + (i + 0.5) / grid[0]),
                        x1 + step[1] * (q + (j + 0.5) / grid[1]),
                    )
                    for i in range(grid[0])
                    for j in range(grid[1])
                ]
                samples = torch.stack(samples)
                outputs.append(samples.amax(0) if mode == 'max' else samples.mean(0))
    return torch.stack(outputs).view(len(rois), *SIZE, -1).permute(0, 3, 1, 2)


def slow_roi_pool(features, rois, scale):
    outputs = []
    height, width = features.shape[2:]
    for image, x1, y1, x2, y2 in rois.tolist():
        x1, y1, x2, y2 = x1 * scale, y1 * scale, (x2 + 1) * scale, (y2 + 1) * scale
        for p in range(SIZE[0]):
            for q in range(SIZE[1]):
                top = max(math.floor(y1 + p * (y2 - y1) / SIZE[0]), 0)
                end = min(math.ceil(y1 + (p + 1) * (y2 - y1) / SIZE[0]), height)
                left = max(math.floor(x1 + q * (x2 - x1) / SIZE[1]), 0)
                right = min(math.ceil(x1 + (q + 1) * (x2 - x1) / SIZE[1]), width)
                part = features[int(image), :, top : max(end, 0), left : max(right, 0)]
                empty = part.numel() == 0 or x2 <= x1 or y2 <= y1
                zero = features.new_zeros(features.shape[1])
                outputs.append(zero if empty else part.amax((1, 2)))
    return torch.stack(outputs).view(len(rois), *SIZE, -1).permute(0, 3, 1, 2)


@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('ratio', [0, 2])
@pytest.mark.parametrize('mode', ['avg', 'max'])
def test_roi_align_equals_definition(device, dtype, mode, ratio, aligned):
    ours, references = leaves(device, dtype, torch.randn(2, 3, 7, 11))
    layer = RoIAlign(SIZE, 0.5, ratio, pool_mode=mode, aligned=aligned)
    output = layer(ours[0], ROIS.to(ours[0]))
    reference = slow_roi_align(references[0], ROIS, 0.5, ratio, mode, aligned)
    assert_same_gradients(output, reference, ours, references, dtype)


@pytest.mark.parametrize('mode', ['avg', 'max'])
def test_roi_align_by_hand(device, mode):
    features = torch.tensor([[1.0, 2.0], [3.0, 4.0]], device=device)[None, None]
    rois = torch.tensor([[0.0, 0, 0, 1, 1]], device=device)
    # Not aligned, one sample at (0.5, 0.5), between all pixels; aligned, at pixel (0, 0).
    assert roi_align(features, rois, 1, 1.0, 1, mode, False).tolist() == [[[[2.5]]]]
    assert roi_align(features, rois, 1, 1.0, 1, mode, True).tolist() == [[[[1.0]]]]
    # mmcv's own test value: 2x2 bins over the whole, adaptive samples
    output = roi_align(features, rois, 2, 1.0, 2, mode, True)
    wanted = {'avg': [1.0, 1.25, 1.5, 1.75], 'max': [1.0, 1.375, 1.75, 2.125]}[mode]
    assert output.flatten().tolist() == pytest.approx(wanted)


@pytest.mark.parametrize('mode', ['avg', 'max'])
def test_roi_align_without_rois_or_area(device, dtype, mode):
    features = torch.randn(2, 3, 5, 4, device=device, dtype=dtype, requires_grad=True)
    layer = RoIAlign((2, 3), pool_mode=mode)
    empty = layer(features, torch.zeros(0, 5, device=device, dtype=dtype))
    assert empty.shape == (0, 3, 2, 3)
    empty.sum().backward()
    assert not features.grad.any()
    point = torch.tensor([[1.0, 2, 2, 2, 2]], device=device, dtype=dtype)
    output = layer(features, point)
    output.sum().backward()
    assert not output.any()
    assert not features.grad.any()


def test_roi_align_keeps_float32_boxes_beside_half_features(device):
    features = torch.randn(1, 2, 6, 300, device=device)
    rois = torch.tensor([[0.0, 250.3, 1, 280.7, 4]], device=device)  # bfloat16 holds 250, 280
    output = roi_align(features.bfloat16(), rois, (1, 1), 1.0, 2, 'avg', True)
    wanted = roi_align(features.bfloat16().float(), rois, (1, 1), 1.0, 2, 'avg', True)
    assert torch.equal(output, wanted.bfloat16())


def test_roi_align_under_autocast(device):
    features = torch.randn(1, 2, 6, 5, device=device, dtype=torch.bfloat16, requires_grad=True)
    rois = torch.tensor([[0.0, 1, 1, 4, 5]], device=device, dtype=torch.bfloat16)
    with torch.autocast(device.type, dtype=torch.bfloat16):
        output = roi_align(features, rois, (2, 2), 1.0, 0, 'avg', True)
        output.sum().backward()
    assert output.dtype == features.grad.dtype == torch.bfloat16
    # 2x2 bins of equal weight that all lie inside: the gradients add up to one a bin and channel
    assert float(features.grad.float().sum()) == pytest.approx(8, rel=2e-2)


def test_roi_align_of_many_sizes_in_parts(device, monkeypatch):
    features = torch.randn(1, 2, 9, 9, device=device)
    corner = torch.rand(40, 2) * 4
    rois = torch.cat([torch.zeros(40, 1), corner, corner + torch.rand(40, 2) * 5], 1).to(device)
    whole = roi_align(features, rois, SIZE, 1.0, 0, 'max', True)
    monkeypatch.setattr('vminet_mm.compat.mmcv_ext.roi._MAX_SAMPLES', 1)
    assert torch.equal(roi_align(features, rois, SIZE, 1.0, 0, 'max', True), whole)
    wanted = slow_roi_align(features.cpu().double(), rois.cpu(), 1.0, 0, 'max', True)
    assert_close(whole, wanted)


def test_roi_pool_equals_definition(device, dtype):
    # A permutation: no two pixels tie for a maximum, and all are exact in half precision.
    features = torch.randperm(2 * 3 * 7 * 11).view(2, 3, 7, 11) / 4 - 50
    ours, references = leaves(device, dtype, features.clamp(max=200))
    rois = torch.cat([ROIS, torch.tensor([[0.0, 9, 9, 3, 3]])])  # the last one is inverted
    output = RoIPool(SIZE, 0.5)(ours[0], rois.to(ours[0]))
    reference = slow_roi_pool(references[0], rois, 0.5)
    assert not reference[-2:].any()
    assert_same_gradients(output, reference, ours, references, dtype)


def test_roi_pool_by_hand(device):
    features = torch.arange(16.0, device=device).view(1, 1, 4, 4).requires_grad_()
    rois = torch.tensor([[0.0, 0, 0, 2, 2]], device=device)
    # Pixels 0 to 2 in bins of 1.5: both bins of a direction touch pixel 1. Torchvision rounds.
    output = RoIPool(2)(features, rois)
    assert output.flatten().tolist() == [5, 6, 9, 10]
    output.sum().backward()
    assert features.grad.nonzero()[:, 2:].tolist() == [[1, 1], [1, 2], [2, 1], [2, 2]]


def test_roi_pool_tie_goes_to_the_first_pixel(device):
    features = torch.ones(1, 1, 4, 5, device=device, requires_grad=True)
    RoIPool(1)(features, torch.tensor([[0.0, 1, 1, 3, 3]], device=device)).sum().backward()
    assert features.grad.nonzero()[:, 2:].tolist() == [[1, 1]]


def test_roi_pool_without_rois(device, dtype):
    features = torch.randn(2, 3, 5, 4, device=device, dtype=dtype, requires_grad=True)
    output = RoIPool((2, 3))(features, torch.zeros(0, 5, device=device, dtype=dtype))
    assert output.shape == (0, 3, 2, 3)
    output.sum().backward()
    assert not features.grad.any()
