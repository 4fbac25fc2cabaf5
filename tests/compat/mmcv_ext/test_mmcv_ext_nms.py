"""nms, batched_nms, soft_nms and nms_match through mmcv.ops."""

import math

import numpy as np
import pytest
import torch
from mmcv.ops import batched_nms, nms, nms_match, soft_nms


def overlap(a, b, offset=0):
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]) + offset)
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]) + offset)
    areas = [(box[2] - box[0] + offset) * (box[3] - box[1] + offset) for box in (a, b)]
    return width * height / (sum(areas) - width * height)


def slow_nms(boxes, scores, threshold, offset=0):
    keep = []
    for i in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        if all(overlap(boxes[i], boxes[j], offset) <= threshold for j in keep):
            keep.append(i)
    return keep


def slow_soft_nms(boxes, scores, threshold, sigma, min_score, method, offset):
    scores, left, picked = list(scores), list(range(len(boxes))), []
    while left:
        best = max(left, key=lambda i: scores[i])
        left.remove(best)
        picked.append((best, scores[best]))
        for i in left:
            iou = overlap(boxes[best], boxes[i], offset)
            if method == 'gaussian':
                scores[i] *= math.exp(-iou * iou / sigma)
            elif iou >= threshold:
                scores[i] *= 1 - iou if method == 'linear' else 0
        left = [i for i in left if scores[i] >= min_score]
    return picked


def random_boxes(count, device='cpu', dtype=torch.float32):
    corner = torch.randint(0, 40, (count, 2))
    boxes = torch.cat([corner, corner + torch.randint(1, 30, (count, 2))], dim=1)
    scores = torch.randperm(count) / 128 + 1 / 256  # no ties, exact in half precision
    return boxes.to(device, dtype), scores.to(device, dtype)


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('threshold', [0.1, 0.5, 0.9])
def test_nms_equals_definition(device, dtype, threshold, offset):
    boxes, scores = random_boxes(100, device, dtype)
    dets, keep = nms(boxes, scores, threshold, offset=offset)
    assert keep.dtype == torch.long
    assert keep.tolist() == slow_nms(boxes.tolist(), scores.tolist(), threshold, offset)
    assert torch.equal(dets, torch.cat([boxes, scores[:, None]], 1)[keep])


def test_nms_offset_counts_pixels(device):
    # widths 2 and 2, shared 1: IoU 1/3; as pixel indices 3 and 3, shared 2: IoU 1/2 (heights alike)
    boxes = torch.tensor([[0.0, 0, 2, 9], [1, 0, 3, 9]], device=device)
    scores = torch.tensor([0.4, 0.6], device=device)
    assert nms(boxes, scores, 0.4, offset=0)[1].tolist() == [1, 0]
    assert nms(boxes, scores, 0.4, offset=1)[1].tolist() == [1]
    # an IoU equal to the threshold is kept
    assert nms(boxes, scores, 0.5, offset=1)[1].tolist() == [1, 0]


def test_nms_example_of_mmcv_on_numpy():
    boxes = np.array(
        [
            [49.1, 32.4, 51.0, 35.9],
            [49.3, 32.9, 51.0, 35.3],
            [49.2, 31.8, 51.0, 35.4],
            [35.1, 11.5, 39.1, 15.7],
            [35.6, 11.8, 39.3, 14.2],
            [35.3, 11.5, 39.9, 14.5],
            [35.2, 11.7, 39.7, 15.7],
        ],
        dtype=np.float32,
    )
    scores = np.array([0.9, 0.9, 0.5, 0.5, 0.5, 0.4, 0.3], dtype=np.float32)
    dets, keep = nms(boxes, scores, 0.6)
    assert isinstance(dets, np.ndarray)
    assert dets.shape == (3, 5)
    assert keep.tolist() == [0, 3, 4]  # box 5 has IoU 0.59 with 3, but 0.64 with 4


def test_nms_score_threshold_and_max_num(device):
    boxes, scores = random_boxes(60, device)
    keep = nms(boxes, scores, 0.5, score_threshold=0.2)[1].tolist()
    whole = nms(boxes, scores, 0.5)[1].tolist()
    assert keep == [i for i in whole if scores[i] > 0.2]
    assert nms(boxes, scores, 0.5, max_num=4)[1].tolist() == whole[:4]


@pytest.mark.parametrize('function', [nms, soft_nms])
def test_few_boxes(device, dtype, function):
    dets, keep = function(
        torch.zeros(0, 4, device=device, dtype=dtype),
        torch.zeros(0, device=device, dtype=dtype),
        0.5,
    )
    assert dets.shape == (0, 5)
    assert keep.shape == (0,)
    assert keep.dtype == torch.long
    box = torch.tensor([[1.0, 2, 3, 4]], device=device, dtype=dtype)
    dets, keep = function(box, torch.tensor([0.5], device=device, dtype=dtype), 0.5)
    assert dets.tolist() == [[1, 2, 3, 4, 0.5]]
    assert keep.tolist() == [0]


def test_nms_keeps_boxes_without_area(device):
    boxes = torch.tensor([[3.0, 3, 3, 3], [3, 3, 3, 3], [0, 0, 9, 9]], device=device)
    scores = torch.tensor([0.9, 0.8, 0.7], device=device)
    assert nms(boxes, scores, 0.5)[1].tolist() == [0, 1, 2]


@pytest.mark.parametrize('split_thr', [10000, 10])
def test_batched_nms_by_class(device, split_thr):
    boxes, scores = random_boxes(80, device)
    labels = torch.arange(80, device=device) % 3
    config = dict(type='nms', iou_threshold=0.4, split_thr=split_thr)
    dets, keep = batched_nms(boxes, scores, labels, config)
    wanted = []
    for label in range(3):
        inside = (labels == label).nonzero()[:, 0]
        part = slow_nms(boxes[inside].tolist(), scores[inside].tolist(), 0.4)
        wanted += inside[part].tolist()
    wanted.sort(key=lambda i: -scores[i])
    assert keep.tolist() == wanted
    assert torch.equal(dets, torch.cat([boxes, scores[:, None]], 1)[keep])


def test_batched_nms_class_agnostic_and_none(device):
    boxes, scores = random_boxes(50, device)
    labels = torch.arange(50, device=device) % 2
    keep = batched_nms(boxes, scores, labels, dict(iou_threshold=0.3, class_agnostic=True))[1]
    assert keep.tolist() == slow_nms(boxes.tolist(), scores.tolist(), 0.3)
    assert batched_nms(boxes, scores, labels, None)[1].tolist() == scores.argsort().flip(0).tolist()


def test_batched_soft_nms(device):
    boxes, scores = random_boxes(30, device)
    labels = torch.zeros(30, dtype=torch.long, device=device)
    config = dict(type='soft_nms', iou_threshold=0.3, min_score=0.05)
    dets, keep = batched_nms(boxes, scores, labels, config)
    picked = slow_soft_nms(boxes.tolist(), scores.tolist(), 0.3, 0.5, 0.05, 'linear', 0)
    assert keep.tolist() == [i for i, _ in picked]
    torch.testing.assert_close(dets[:, 4].cpu(), torch.tensor([score for _, score in picked]))


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('method', ['naive', 'linear', 'gaussian'])
def test_soft_nms_equals_definition(device, method, offset):
    boxes, scores = random_boxes(60, device)
    dets, keep = soft_nms(boxes, scores, 0.3, 0.5, 0.01, method, offset)
    picked = slow_soft_nms(boxes.tolist(), scores.tolist(), 0.3, 0.5, 0.01, method, offset)
    assert keep.tolist() == [i for i, _ in picked]
    assert len(keep) < 60
    assert torch.equal(dets[:, :4], boxes[keep])
    torch.testing.assert_close(dets[:, 4].cpu(), torch.tensor([score for _, score in picked]))


def test_soft_nms_by_hand(device, dtype):
    # IoU of the first two is 1/2, the third is apart
    boxes = torch.tensor([[0.0, 0, 2, 4], [0, 0, 2, 2], [8, 8, 9, 9]], device=device, dtype=dtype)
    scores = torch.tensor([0.75, 0.5, 0.375], device=device, dtype=dtype)
    dets, keep = soft_nms(boxes, scores, 0.5, method='linear')
    assert keep.tolist() == [0, 2, 1]
    assert dets[:, 4].tolist() == [0.75, 0.375, 0.25]
    assert dets.dtype == dtype
    assert soft_nms(boxes, scores, 0.5, method='naive')[1].tolist() == [0, 2]


def test_soft_nms_equal_scores_win_in_the_order_of_mmcv():
    # Box 1 goes in the first round and the last one takes its place, so that it comes before 2.
    boxes = np.array([[0, 0, 4, 4], [0, 0, 4, 4], [9, 0, 12, 4], [20, 0, 24, 4]], dtype=np.float32)
    scores = np.array([0.9, 0.5, 0.5, 0.5], dtype=np.float32)
    assert soft_nms(boxes, scores, 0.5, method='naive')[1].tolist() == [0, 3, 2]
    # Two go: the last takes the first gap, the one before it the second.
    boxes, scores = boxes[[0, 0, 0, 2, 3]], scores[[0, 1, 1, 1, 1]]
    assert soft_nms(boxes, scores, 0.5, method='naive')[1].tolist() == [0, 4, 3]


def test_soft_nms_keeps_boxes_without_area():
    # mmcv's own example
    boxes = np.array([[4, 3, 5, 3], [4, 3, 5, 4]] + [[3, 1, 3, 1]] * 4, dtype=np.float32)
    scores = np.array([0.9, 0.9, 0.5, 0.5, 0.4, 0.0], dtype=np.float32)
    dets, keep = soft_nms(boxes, scores, 0.6, sigma=0.5)
    assert keep.tolist() == [0, 1, 2, 3, 4]
    assert np.allclose(dets[:, 4], scores[:5])
    dets, keep = soft_nms(boxes, scores, method='gaussian')
    assert sorted(keep.tolist()) == [0, 1, 2, 3, 4]
    assert np.allclose(dets[:, 4], scores[keep])  # no NaN where 0 is divided by 0


@pytest.mark.parametrize('as_numpy', [False, True])
def test_nms_match_groups(device, as_numpy):
    boxes, scores = random_boxes(70, device)
    dets = torch.cat([boxes, scores[:, None]], 1)
    groups = nms_match(dets.cpu().numpy() if as_numpy else dets, 0.4)
    left = sorted(range(70), key=lambda i: -scores[i])
    for group in groups:
        best = left[0]
        wanted = [i for i in left if i == best or overlap(boxes[best], boxes[i]) >= 0.4]
        assert group.tolist() == wanted
        left = [i for i in left if i not in wanted]
    assert left == []


def test_nms_match_threshold_is_inclusive(device):
    dets = torch.tensor([[0.0, 0, 2, 2, 0.4], [0, 0, 2, 4, 0.6]], device=device)
    assert [group.tolist() for group in nms_match(dets, 0.5)] == [[1, 0]]
    assert nms_match(dets[:0], 0.5) == []
    assert [group.tolist() for group in nms_match(dets[:1], 0.5)] == [[0]]
