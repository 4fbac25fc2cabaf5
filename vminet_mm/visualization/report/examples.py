"""The quality of a prediction for one image, and a drawing of it beside the ground truth.

An image's score is one number from 0 to 1, to rank images of a validation set by.
"""

import base64
from dataclasses import dataclass, field

import cv2
import numpy as np
import torch
from mmengine.structures import BaseDataElement
from numpy.typing import ArrayLike

from ...inference import Prediction
from ...inference.drawing import enlarge
from ...inference.ground_truth import draw_ground_truth
from ...inference.predictions import SCORE_THR, TOP
from ...tasks import CLASSIFICATION, DETECTION, SEGMENTATION

IGNORED = 255  # label of pixels that do not count
MIN_IOU = 0.5  # of a detection and the object that it found
JPEG_LENGTH = 560  # pixels of the longer side of a picture in the page
JPEG_QUALITY = 82
MEASURES = {
    DETECTION.scope: f'boxes with a score of at least {SCORE_THR}, matched to objects of their '
    f'class from an IoU of {MIN_IOU}: mean IoU of the matches times their F1',
    SEGMENTATION.scope: "mean IoU of the classes in the image's ground truth or prediction",
    CLASSIFICATION.scope: 'probability of the true class',
}
MANY_CLASSES = 'mean probability of what is true of each class: that it is there, or is not'


@dataclass(frozen=True)
class Bar:
    """A class and its probability, from 0 to 1."""

    name: str
    fraction: float
    is_true: bool


@dataclass(frozen=True)
class Example:
    """An image for the page.

    Attributes:
        name: The name of its file.
        score: From 0 to 1.
        remark: What is right and wrong.
        pictures: The title of each drawing, and a ``data:`` URL with it.
        classes: What is painted in the pictures, each with its color in CSS.
        bars: Of a classifier the most probable classes.
    """

    name: str
    score: float
    remark: str
    pictures: list[tuple[str, str]]
    classes: list[tuple[str, str]] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)


@dataclass(frozen=True)
class Match:
    """The detections of an image against its objects.

    Attributes:
        ious: The IoUs of the detections that found an object.
        false: How many detections found none, nor lie in a crowd.
        missed: How many objects were not found.
    """

    ious: list[float]
    false: int
    missed: int

    @property
    def score(self) -> float:
        """Mean IoU of the matches times F1, which is their panoptic quality; 1 of nothing at all.

        Source: Kirillov et al., Panoptic Segmentation (CVPR 2019), of boxes in place of segments.
        """
        weight = len(self.ious) + (self.false + self.missed) / 2
        return sum(self.ious) / weight if weight else 1.0


def score_sample(
    scope: str, sample: BaseDataElement, info: dict, tells_many: bool = False
) -> float:
    """How good a prediction is, from 0 to 1, see :data:`MEASURES`."""
    if scope == DETECTION.scope:
        return match_objects(sample, info).score
    if scope == SEGMENTATION.scope:
        return label_map_iou(sample.pred_sem_seg.data[0], sample.gt_sem_seg.data[0])
    is_true = torch.zeros_like(sample.pred_score, dtype=torch.bool)
    is_true[sample.gt_label] = True
    if tells_many:
        return float(torch.where(is_true, sample.pred_score, 1 - sample.pred_score).mean())
    return float(sample.pred_score[is_true].sum())


def label_map_iou(predicted: torch.Tensor, ground_truth: torch.Tensor) -> float:
    """Mean IoU of the classes that occur in either label map, (H, W) both; 1 if none does."""
    from mmseg.evaluation import IoUMetric  # not needed by the other tasks

    number = int(max(predicted.max(), ground_truth.max())) + 1
    both, union, *_ = IoUMetric.intersect_and_union(predicted, ground_truth, number, IGNORED)
    occurs = union > 0
    return float((both[occurs] / union[occurs]).mean()) if occurs.any() else 1.0


def match_objects(sample: BaseDataElement, info: dict) -> Match:
    """Match detections to objects of their class, the surest detection first.

    All boxes count in pixels of the file. Objects with ``ignore_flag`` are crowds: a detection at
    least half inside of one is not counted.
    """
    from mmdet.structures.bbox import bbox_overlaps  # not needed by the other tasks

    found = sample.pred_instances
    boxes = getattr(found.bboxes, 'tensor', found.bboxes)
    ranked = found.scores.argsort(descending=True)
    sure = ranked[found.scores[ranked] >= SCORE_THR].tolist()
    objects = [one for one in info['instances'] if not one['ignore_flag']]
    crowds = [one for one in info['instances'] if one['ignore_flag']]
    overlaps = bbox_overlaps(boxes, _boxes_of(objects, boxes))
    is_in_crowd = (bbox_overlaps(boxes, _boxes_of(crowds, boxes), 'iof') >= MIN_IOU).any(1)
    free = torch.ones(len(objects), dtype=torch.bool)
    true_labels = torch.tensor([one['bbox_label'] for one in objects], dtype=torch.long)
    ious, false = [], 0
    for k in sure:
        own = torch.where(free & (true_labels == int(found.labels[k])), overlaps[k], 0.0)
        if len(objects) and own.max() >= MIN_IOU:
            ious.append(float(own.max()))
            free[own.argmax()] = False
        elif not is_in_crowd[k]:
            false += 1
    return Match(ious, false, int(free.sum()))


def _boxes_of(objects: list[dict], like: torch.Tensor) -> torch.Tensor:
    return like.new_tensor([one['bbox'] for one in objects]).reshape(-1, 4)


def make_example(score: float, prediction: Prediction, info: dict) -> Example:
    """Draw a prediction beside the ground truth."""
    draw = {
        DETECTION.name: _draw_objects,
        SEGMENTATION.name: _draw_label_maps,
        CLASSIFICATION.name: _draw_class,
    }
    return draw[prediction.task](score, prediction, info)


def _draw_objects(score: float, prediction: Prediction, info: dict) -> Example:
    labels = [one['bbox_label'] for one in info['instances'] if not one['ignore_flag']]
    match = match_objects(prediction.sample, info)
    return Example(
        prediction.frame.file,
        score,
        f'{len(match.ious)} of {len(labels)} objects found, {match.false} false',
        _side_by_side(prediction),
        _legend(prediction, [*labels, *prediction.sample.pred_instances.labels.tolist()]),
    )


def _side_by_side(prediction: Prediction) -> list[tuple[str, str]]:
    """The ground truth, without labels the bare image, and the prediction."""
    image, sample = prediction.image, prediction.sample
    ground_truth = draw_ground_truth(image, sample, prediction.classes, prediction.colors)
    pictures = {
        'ground truth': enlarge(image)[0] if ground_truth is None else ground_truth,
        'prediction': prediction.draw(),
    }
    return [(name, to_jpeg(picture)) for name, picture in pictures.items()]


def _legend(prediction: Prediction, labels: ArrayLike) -> list[tuple[str, str]]:
    """Names and colors of the classes among labels."""
    return [
        (prediction.classes[k], 'rgb({:.0f} {:.0f} {:.0f})'.format(*prediction.colors[k]))
        for k in np.unique(np.asarray(labels, int)).tolist()
        if k < len(prediction.classes)
    ]


def _draw_label_maps(score: float, prediction: Prediction, info: dict) -> Example:
    labels = prediction.sample.gt_sem_seg.data[0].cpu().numpy()
    known = labels != IGNORED
    right = (prediction.label_map == labels)[known].mean() if known.any() else 1.0
    return Example(
        prediction.frame.file,
        score,
        f'{right:.1%} of the pixels right',
        [*_side_by_side(prediction), ('image', to_jpeg(enlarge(prediction.image)[0]))],
        _legend(prediction, np.concatenate((labels, prediction.label_map))),
    )


def _draw_class(score: float, prediction: Prediction, info: dict) -> Example:
    labels = prediction.sample.gt_label.tolist()
    names = [prediction.classes[label].split(',')[0] for label in labels]
    fractions = prediction.sample.pred_score
    bars = [
        Bar(prediction.classes[k].split(',')[0], float(fractions[k]), k in labels)
        for k in fractions.argsort(descending=True)[:TOP].tolist()
    ]
    picture = to_jpeg(enlarge(prediction.image)[0])
    return Example(
        name=prediction.frame.file,
        score=score,
        remark=f'true: {", ".join(names)}',
        pictures=[('image', picture)],
        bars=bars,
    )


def to_jpeg(picture: np.ndarray) -> str:
    """A picture, (H, W, 3) BGR uint8, as a ``data:`` address; a large one is shrunk."""
    scale = JPEG_LENGTH / max(picture.shape[:2])
    if scale < 1:
        size = [max(1, round(side * scale)) for side in picture.shape[1::-1]]
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    content = cv2.imencode('.jpg', picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
    return f'data:image/jpeg;base64,{base64.b64encode(content).decode()}'
