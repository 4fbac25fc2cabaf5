"""Random ground truth for random images, to train a model of any of the tasks."""

import numpy as np
import torch
from mmengine.structures import BaseDataElement, InstanceData, PixelData

from ..tasks import CLASSIFICATION, DETECTION, Task

OBJECTS = 8  # an image; COCO has 7.3
CLASSES = 2  # every config has so many


def add_target(task: Task, sample: BaseDataElement, size: tuple[int, int], number: int) -> None:
    """Give a sample boxes and masks of objects, a label map, or a label; others for each number."""
    random = np.random.default_rng(number)
    if task is DETECTION:
        sample.gt_instances = _objects(size, random)
    elif task is CLASSIFICATION:
        sample.set_gt_label(int(random.integers(CLASSES)))
    else:
        labels = torch.from_numpy(random.integers(CLASSES, size=(1, *size)))
        sample.gt_sem_seg = PixelData(data=labels)


def _objects(size: tuple[int, int], random: np.random.Generator) -> InstanceData:
    """Boxes of a quarter of the edges up to half of them, with full masks."""
    from mmdet.structures.mask import BitmapMasks

    edges = np.array(size)
    extents = (edges * random.uniform(0.25, 0.5, (OBJECTS, 2))).astype(int).clip(1)
    corners = (random.uniform(size=(OBJECTS, 2)) * (edges - extents)).astype(int)
    masks = np.zeros((OBJECTS, *size), np.uint8)
    for mask, (top, left), (height, width) in zip(masks, corners, extents, strict=True):
        mask[top : top + height, left : left + width] = 1
    boxes = np.concatenate([corners[:, ::-1], (corners + extents)[:, ::-1]], 1)
    return InstanceData(
        bboxes=torch.from_numpy(boxes.astype(np.float32)),
        labels=torch.from_numpy(random.integers(CLASSES, size=OBJECTS)),
        masks=BitmapMasks(masks, *size),
    )
