"""Drawings of the labels of an image, in the style of predictions."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from .drawing import draw_label_map, draw_objects, object_texts

IGNORED_COLOR = (255, 255, 255)


def draw_ground_truth(
    image: np.ndarray,
    sample: Any,
    classes: Sequence[str],
    colors: np.ndarray,
    label_size: tuple[int, int] | None = None,
) -> np.ndarray | None:
    """Draw the objects or the label map of an image.

    Args:
        image: (H, W, 3) BGR uint8.
        sample: A data sample of mmdet or mmseg.
        classes: C names of classes.
        colors: (C, 3) RGB from 0 to 255.
        label_size: Height and width of the image that boxes and masks count in, (H, W) if not
            given. A label map may have any size.

    Returns:
        np.ndarray: BGR uint8, see :func:`vminet_mm.inference.drawing.enlarge` for its size. None
        where the sample has neither.
    """
    if 'bboxes' in sample.get('gt_instances', ()):
        return _draw_instances(image, sample, classes, colors, label_size or image.shape[:2])
    if 'gt_sem_seg' in sample:
        labels = sample.gt_sem_seg.data.squeeze(0).cpu().numpy()
        labels = _resize(labels.astype(np.uint16), image)
        return draw_label_map(image, labels, classes, colors[:, ::-1])
    return None


def _draw_instances(
    image: np.ndarray,
    sample: Any,
    classes: Sequence[str],
    colors: np.ndarray,
    label_size: tuple[int, int],
) -> np.ndarray:
    """Boxes and masks; what is ignored, such as crowds, by white boxes."""
    objects, ignored = sample.gt_instances, sample.get('ignored_instances', ())
    labels = objects.labels.cpu().numpy().astype(int)
    boxes, texts, own = [_boxes(objects)], object_texts(labels, classes), colors[labels]
    masks = None
    if 'masks' in objects:
        arrays = objects.masks.to_ndarray().astype(np.uint8)
        masks = [_resize(mask, image) > 0 for mask in arrays]
    if 'bboxes' in ignored:
        boxes.append(_boxes(ignored))
        count = len(boxes[1])
        texts = [*texts, *['ignored'] * count]
        own = np.concatenate((own, np.full((count, 3), IGNORED_COLOR, own.dtype)))
        if masks is not None:
            masks += [np.zeros(image.shape[:2], bool)] * count
    scale = [image.shape[1] / label_size[1], image.shape[0] / label_size[0]] * 2
    return draw_objects(image, np.concatenate(boxes) * scale, masks, texts, own[:, ::-1])


def _boxes(instances: Any) -> np.ndarray:
    """Boxes (N, 4): left, top, right, bottom."""
    boxes = instances.bboxes
    return getattr(boxes, 'tensor', boxes).cpu().numpy().reshape(-1, 4)


def _resize(labels: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Labels or a mask, (H, W), in the size of an image."""
    if labels.shape == image.shape[:2]:
        return labels
    return cv2.resize(labels, image.shape[1::-1], interpolation=cv2.INTER_NEAREST)
