"""Predictions for one image, for each of the three tasks."""

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
from pycocotools import mask as rle

from ..errors import InputError
from ..tasks import CLASSIFICATION, DETECTION, SEGMENTATION
from .drawing import draw_label_map, draw_objects, draw_scores, object_texts
from .sources import Frame

SCORE_THR = 0.3  # of objects that are listed and drawn
TOP = 5  # classes of a classifier that are listed and drawn


@dataclass
class Prediction:
    """What a model predicts for one image.

    Attributes:
        frame: The image, (H, W, 3) BGR uint8, and where it comes from.
        sample: The prediction as mmdet, mmseg or mmpretrain gives it, on the CPU.
        classes: The names of the classes.
        colors: (C, 3) RGB from 0 to 255, one for each class.
    """

    frame: Frame
    sample: Any
    classes: tuple[str, ...]
    colors: np.ndarray
    task: ClassVar[str] = ''

    @property
    def image(self) -> np.ndarray:
        """The image, (H, W, 3) BGR uint8."""
        return self.frame.image

    def to_dict(self, score_thr: float = SCORE_THR) -> dict:
        """The prediction in plain values for JSON, with the objects from a score on.

        ``file``, ``frame`` of a video, ``width``, ``height`` and what the task adds.
        """
        height, width = self.image.shape[:2]
        source = {'file': self.frame.file}
        if self.frame.index is not None:
            source['frame'] = self.frame.index
        return {**source, 'width': width, 'height': height, **self.contents(score_thr)}

    def contents(self, score_thr: float) -> dict:
        """What the task adds to :meth:`to_dict`."""
        raise NotImplementedError

    def draw(self, score_thr: float = SCORE_THR) -> np.ndarray:
        """Draw the prediction.

        Args:
            score_thr: The minimum score of an object to be drawn.

        Returns:
            np.ndarray: (H', W', 3) BGR uint8. A small image is enlarged, see
            :func:`vminet_mm.inference.drawing.enlarge`.
        """
        raise NotImplementedError

    def save(self, path: str | PathLike, score_thr: float = SCORE_THR) -> Path:
        """Draw the prediction into a file in the format of its suffix; its folder is made."""
        return write_image(path, self.draw(score_thr))

    def _bgr(self, labels: np.ndarray) -> np.ndarray:
        """The colors of classes in the order of OpenCV."""
        return self.colors[labels][:, ::-1]


class Detection(Prediction):
    """Objects, of a detector of mmdet; with masks if it predicts them."""

    task = DETECTION.name

    def contents(self, score_thr: float) -> dict:
        """``objects``: label, class, score, box (left, top, right, bottom) and mask (RLE)."""
        boxes, scores, labels, masks = self._objects(score_thr)
        objects = [
            dict(label=label, **{'class': self.classes[label]}, score=score, box=box)
            for label, score, box in zip(
                labels.tolist(), scores.tolist(), boxes.tolist(), strict=True
            )
        ]
        if masks is not None:
            for one, mask in zip(objects, encode_masks(masks), strict=True):
                one['mask'] = mask
        return {'objects': objects}

    def coco(self, image_id: int) -> dict:
        """All objects as mmdet's ``CocoMetric`` takes them, whatever their scores."""
        boxes, scores, labels, masks = self._objects(0.0)
        objects = dict(img_id=image_id, bboxes=boxes, scores=scores, labels=labels)
        return objects if masks is None else objects | dict(masks=encode_masks(masks))

    def draw(self, score_thr: float = SCORE_THR) -> np.ndarray:
        """Draw boxes, masks, classes and scores."""
        boxes, scores, labels, masks = self._objects(score_thr)
        texts = object_texts(labels, self.classes, scores)
        return draw_objects(self.image, boxes, masks, texts, self._bgr(labels))

    def _objects(self, score_thr: float) -> tuple[np.ndarray, ...]:
        """Boxes (N, 4), scores (N,), labels (N,) and masks (N, H, W) or None, best first."""
        found = self.sample.pred_instances
        scores = found.scores.numpy()
        order = np.argsort(-scores, kind='stable')
        order = order[scores[order] >= score_thr]
        boxes = getattr(found.bboxes, 'tensor', found.bboxes).numpy()
        masks = found.masks.numpy()[order].astype(bool) if 'masks' in found else None
        return boxes[order], scores[order], found.labels.numpy()[order], masks


class Segmentation(Prediction):
    """A class for each pixel, of a segmentor of mmseg."""

    task = SEGMENTATION.name

    @property
    def label_map(self) -> np.ndarray:
        """(H, W) indices of classes: uint8, or uint16 of more than 256 classes."""
        kind = np.uint8 if len(self.classes) <= 256 else np.uint16
        return self.sample.pred_sem_seg.data[0].numpy().astype(kind)

    def contents(self, score_thr: float) -> dict:
        """``classes``: label, class, pixels and fraction of the image, the largest first."""
        labels, pixels = np.unique(self.label_map, return_counts=True)
        order = np.argsort(-pixels, kind='stable')
        total = int(pixels.sum())
        return {
            'classes': [
                {'label': label, 'class': self.classes[label], 'pixels': n, 'fraction': n / total}
                for label, n in zip(labels[order].tolist(), pixels[order].tolist(), strict=True)
            ]
        }

    def draw(self, score_thr: float = SCORE_THR) -> np.ndarray:
        """Paint the classes over the image, with their names."""
        colors = self._bgr(np.arange(len(self.classes)))
        return draw_label_map(self.image, self.label_map, self.classes, colors)

    def save_labels(self, path: str | PathLike) -> Path:
        """Write :attr:`label_map` as a PNG file of one channel.

        Raises:
            InputError: If the name is not that of a PNG file.
        """
        if Path(path).suffix.lower() != '.png':
            raise InputError(f'{path}: a label map must be a PNG file')  # JPEG would change it
        return write_image(path, self.label_map)


class Classification(Prediction):
    """A score for each class, of a classifier of mmpretrain."""

    task = CLASSIFICATION.name

    def contents(self, score_thr: float) -> dict:
        """``top``: label, class and score of the five best classes."""
        return {
            'top': [
                {'label': label, 'class': self.classes[label], 'score': score}
                for label, score in self._best()
            ]
        }

    def draw(self, score_thr: float = SCORE_THR) -> np.ndarray:
        """Put the five best classes, and the image's own where it is known, below the image."""
        true = self.sample.gt_label.tolist() if 'gt_label' in self.sample else []
        best = self._best()
        best += [(k, float(self.sample.pred_score[k])) for k in true if k not in dict(best)]
        names = [self.classes[label].split(',')[0] for label, _ in best]
        marks = [label in true for label, _ in best]
        return draw_scores(self.image, names, [score for _, score in best], marks)

    def _best(self) -> list[tuple[int, float]]:
        scores = self.sample.pred_score.numpy()
        order = np.argsort(-scores, kind='stable')[:TOP]
        return list(zip(order.tolist(), scores[order].tolist(), strict=True))


# by default_scope of a config
KINDS = {
    DETECTION.scope: Detection,
    SEGMENTATION.scope: Segmentation,
    CLASSIFICATION.scope: Classification,
}


def encode_masks(masks: np.ndarray) -> list[dict]:
    """COCO's compressed RLE of masks (N, H, W) bool: dicts of ``size`` and ``counts``, a text."""
    # one by one, for those of a large image fill the memory as they are
    encoded = [rle.encode(np.asfortranarray(mask.astype(np.uint8))) for mask in masks]
    return [dict(size=list(one['size']), counts=one['counts'].decode()) for one in encoded]


def write_image(path: str | PathLike, image: np.ndarray) -> Path:
    """Write an image, (H, W, 3) BGR or (H, W), in the format of its suffix; its folder is made.

    Raises:
        InputError: If OpenCV cannot write this format.
        OSError: If the file cannot be written.
    """
    path = Path(path)
    try:
        is_done, content = cv2.imencode(path.suffix, image)
    except cv2.error:
        is_done = False
    if not is_done:
        raise InputError(f'{path}: OpenCV cannot write {path.suffix or "a file without a suffix"}')
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)  # unlike imwrite, it says why it failed
    return path
