"""Non-maximum suppression: plain, soft, and with the suppressed boxes grouped."""

import torch
import torchvision
from torch import Tensor

from .common import op, upcast

_NAIVE, _LINEAR, _GAUSSIAN = 0, 1, 2


@op
def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int = 0) -> Tensor:
    """Indices of the kept boxes (N, 4), x1, y1, x2, y2, by falling score (N,).

    A box goes if its IoU with a kept box is above the threshold. The offset is 1 if coordinates are
    pixel indices, so that a width is x2 - x1 + 1.
    """
    boxes, scores = upcast(boxes, scores)
    if offset:
        boxes = torch.cat([boxes[:, :2], boxes[:, 2:] + offset], dim=1)
    # torchvision compares float32 IoUs with a double: 0.1 would be above 0.1. mmcv's is a float32.
    threshold = torch.tensor(iou_threshold, dtype=boxes.dtype).item()
    return torchvision.ops.nms(boxes, scores, threshold)


@op
def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Soft-NMS: lower the scores of overlapping boxes. Returns the M kept indices.

    The first M rows of dets (N, 5) receive boxes (N, 4) and new scores. Naive (method 0) and linear
    decay (1) begin at the IoU threshold, inclusive; sigma is the width of the Gaussian decay (2).
    Boxes that fall below min_score are dropped. For offset see `nms`.
    """
    index = torch.arange(len(boxes), device=boxes.device)
    boxes, scores = upcast(boxes, scores)
    rows = torch.cat([boxes, scores[:, None]], dim=1)
    count, i = len(rows), 0
    while i < count:
        best = i + int(rows[i:count, 4].argmax())
        for data in (rows, index):
            data[[i, best]] = data[[best, i]]
        rest = rows[i + 1 : count]
        overlap = _iou(rows[i, :4], rest[:, :4], offset)
        rest[:, 4] *= _decay(overlap, iou_threshold, sigma, method)
        dropped = rest[:, 4] < min_score
        left = len(rest) - int(dropped.sum())
        for data in (rest, index[i + 1 : count]):
            _close_gaps(data, dropped, left)
        i, count = i + 1, i + 1 + left
    dets[:count] = rows[:count].to(dets)
    return index[:count]


@op
def nms_match(dets: Tensor, iou_threshold: float) -> list[list[int]]:
    """Groups of indices: each kept box, then the boxes that it suppressed, by falling score.

    dets (N, 5) are boxes and scores. A box joins a group if its IoU is the threshold or above.
    (`nms` wants above.)
    """
    (dets,) = upcast(dets)
    order = dets[:, 4].sort(descending=True, stable=True).indices
    groups = []
    while len(order):
        matched = _iou(dets[order[0], :4], dets[order, :4], 0) >= iou_threshold
        matched[0] = True  # also where the box has no area
        groups.append(order[matched].tolist())
        order = order[~matched]
    return groups


def _iou(box: Tensor, boxes: Tensor, offset: int) -> Tensor:
    """IoU of one box (4,) with boxes (N, 4); 0 where the union is empty."""
    sides = torch.minimum(box[2:], boxes[:, 2:]) - torch.maximum(box[:2], boxes[:, :2]) + offset
    shared = sides.clamp(min=0).prod(dim=1)
    union = (box[2:] - box[:2] + offset).prod() - shared
    union = union + (boxes[:, 2:] - boxes[:, :2] + offset).prod(dim=1)
    return torch.where(union == 0, 0, shared / union)


def _decay(overlap: Tensor, iou_threshold: float, sigma: float, method: int) -> Tensor:
    if method == _GAUSSIAN:
        return torch.exp(-(overlap**2) / sigma)
    decayed = 1 - overlap if method == _LINEAR else torch.zeros_like(overlap)
    return torch.where(overlap >= iou_threshold, decayed, 1)


def _close_gaps(data: Tensor, dropped: Tensor, left: int) -> None:
    """Move the last survivors of `data` into the gaps, front gap first.

    mmcv's order, in place of a sort or a mask, because it decides which of two equal scores wins.
    """
    gaps = dropped[:left].nonzero()[:, 0]
    movers = left + (~dropped[left:]).nonzero()[:, 0].flip(0)
    data[gaps] = data[movers]
