"""Labels of an image are where they belong, and quiet where words would hide them."""

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData, PixelData
from mmpretrain.structures import DataSample
from mmseg.structures import SegDataSample

from vminet_mm.inference.drawing import OPACITY
from vminet_mm.inference.ground_truth import draw_ground_truth

RED, GREEN = (255, 0, 0), (0, 255, 0)  # RGB
COLORS = np.array([RED, GREEN], dtype=np.float32)
IMAGE = np.full((480, 640, 3), 100, np.uint8)


def instances(boxes: list, labels: list) -> InstanceData:
    return InstanceData(bboxes=torch.tensor(boxes).float(), labels=torch.tensor(labels))


def at(picture: np.ndarray, x: int, y: int) -> list[int]:
    """RGB of a pixel."""
    return picture[y, x, ::-1].tolist()


@pytest.mark.parametrize('factor', [1, 2])
def test_boxes_masks_and_crowds(factor: int) -> None:
    """Labels may count in an image of another size."""
    mask = np.zeros((1, 480 // factor, 640 // factor), np.uint8)
    mask[:, 100 // factor : 200 // factor, 100 // factor : 200 // factor] = 1
    objects = instances([[v / factor for v in (100, 100, 300, 300)]], [1])
    objects.masks = BitmapMasks(mask, *mask.shape[1:])
    sample = DetDataSample(gt_instances=objects)
    sample.ignored_instances = instances([[v / factor for v in (400, 100, 500, 200)]], [0])
    picture = draw_ground_truth(IMAGE, sample, ['a', 'b'], COLORS, mask.shape[1:])
    assert at(picture, 250, 100) == at(picture, 299, 250) == list(GREEN)
    inside = (1 - OPACITY) * 100 + OPACITY * np.array(GREEN)
    np.testing.assert_allclose(at(picture, 150, 150), inside, atol=1)
    assert at(picture, 250, 250) == [100, 100, 100] == at(picture, 450, 150)
    assert at(picture, 450, 100) == [255, 255, 255]  # ignored
    assert (IMAGE == 100).all()


def test_an_image_without_objects() -> None:
    sample = DetDataSample(gt_instances=instances(np.zeros((0, 4)).tolist(), []))
    assert (draw_ground_truth(IMAGE, sample, ['a', 'b'], COLORS) == IMAGE).all()


@pytest.mark.parametrize('size', [(480, 640), (48, 64)])
def test_label_map(size: tuple[int, int]) -> None:
    labels = torch.full((1, *size), 255)
    labels[:, :, : size[1] // 2] = 1
    sample = SegDataSample(gt_sem_seg=PixelData(data=labels))
    picture = draw_ground_truth(IMAGE, sample, ['a', 'b'], COLORS)
    np.testing.assert_allclose(at(picture, 50, 50), (55, 169, 55), atol=1)
    assert at(picture, 600, 50) == [100, 100, 100]
    assert (picture == GREEN[::-1]).all(2).sum() > 50  # below the name


@pytest.mark.parametrize(
    'sample',
    [DetDataSample(), DetDataSample(gt_instances=InstanceData()), DataSample().set_gt_label(1)],
    ids=['nothing', 'no boxes', 'a class'],
)
def test_nothing_to_draw(sample: object) -> None:
    assert draw_ground_truth(IMAGE, sample, ['a', 'b'], COLORS) is None
