"""The operator of non-maximum suppression, by hand, and what of a config ONNX cannot do."""

import pytest
import torch

from vminet_mm.errors import ConfigError
from vminet_mm.export.detectors.nms import DROPPED, apart, extents, iou_threshold
from vminet_mm.export.detectors.nms import non_max_suppression as suppress

BOXES = torch.tensor(
    [[0.0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30], [0, 0, 10, 4]]
)  # IoU of the first with the second 0.9, with the last 0.4


def test_rows_are_sorted_and_limited() -> None:
    scores = torch.tensor([[[0.5, 0.9, 0.7, 0.6]]])
    assert suppress(BOXES[None], scores, 9, 0.5).tolist() == [[0, 0, 1], [0, 0, 2], [0, 0, 3]]
    assert suppress(BOXES[None], scores, 9, 0.4).tolist() == [[0, 0, 1], [0, 0, 2]]
    assert suppress(BOXES[None], scores, 1, 0.5).tolist() == [[0, 0, 1]]


def test_images_and_classes_are_apart() -> None:
    scores = torch.tensor([[[0.5, 0.9, DROPPED, DROPPED], [0.8, 0.1, DROPPED, 0.0]]])
    kept = suppress(BOXES.expand(2, -1, -1), torch.cat([scores, scores.flip(1)]), 9, 0.5)
    assert kept.tolist() == [
        [0, 0, 1],
        [0, 1, 0],
        [0, 1, 3],
        [1, 0, 0],
        [1, 0, 3],
        [1, 1, 1],
    ]
    assert suppress(BOXES[None], torch.full((1, 1, 4), DROPPED), 9, 0.5).shape == (0, 3)


def test_groups_are_moved() -> None:
    scores = torch.tensor([[0.1, 0.2, DROPPED, 0.3]])
    extent = extents(BOXES[None], scores)
    assert extent.tolist() == [10.0]
    moved = apart(BOXES[None], torch.tensor([[0, 1, 0, 2]]), extent[:, None])
    assert moved[0, 1].tolist() == [11, 11, 21, 20] and moved[0, 3].tolist() == [22, 22, 32, 26]


@pytest.mark.parametrize(
    ('nms', 'reason'),
    [
        (dict(type='soft_nms', iou_threshold=0.5), 'rcnn.nms: ONNX has no NMS of type .soft_nms'),
        (dict(type='nms', iou_threshold=0.5, class_agnostic=True), 'with class_agnostic'),
        (None, "no NMS of type 'None'"),
    ],
)
def test_what_onnx_lacks(nms: dict | None, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        iou_threshold(nms, 'rcnn.nms')
    assert iou_threshold(dict(type='nms', iou_threshold=0.6, split_thr=9), 'rcnn.nms') == 0.6
