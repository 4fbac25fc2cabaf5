"""Comparing the objects of an exported detector with those of mmdet's own ``predict``."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.config import ConfigDict
from torch import Tensor

from ..compat.patching import temporarily
from ..models.channels import input_channels
from .outputs import DetectorOutputs
from .verify import Difference

APART = 0.05  # pixels, of the same object
NEAR = 1.0  # pixels, within which an object is taken for the same
UNMATCHED = 0.02  # a tie in NMS may be resolved either way


def verify_objects(
    path: Path, outputs: DetectorOutputs, sizes: Sequence[tuple[int, int]]
) -> list[Difference]:
    """Compare a file with mmdet on random images of some sizes, in batches of 1, 2, 3, ...

    Both with a score threshold of 0: in noise there are no objects with a good score.
    """
    session = session_without_threshold(path)
    channels = input_channels(outputs.model)
    differences = []
    with all_scores(outputs):
        for batch, size in enumerate(sizes, 1):
            image = torch.randn(batch, channels, *size)
            expected = predict(outputs, image)
            found = dict(
                zip(outputs.names, session.run(None, {'image': image.numpy()}), strict=True)
            )
            differences += compare_objects(expected, found, tuple(image.shape))
    return differences


def session_without_threshold(path: Path) -> Any:
    """A session of a file whose score threshold is set to 0."""
    import onnx  # of the extra `export`
    import onnxruntime

    model = onnx.load(path)
    for one in model.graph.initializer:
        if one.name.endswith('score_threshold'):
            one.CopyFrom(onnx.numpy_helper.from_array(np.zeros((), np.float32), one.name))
    providers = ['CPUExecutionProvider']
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=providers)


def all_scores(outputs: DetectorOutputs) -> AbstractContextManager:
    """Context manager under which mmdet's model keeps objects of any score."""
    head = (outputs.dense if outputs.region is None else outputs.region).head
    return temporarily(head, test_cfg=ConfigDict(dict(head.test_cfg) | dict(score_thr=0.0)))


@torch.no_grad()
def predict(outputs: DetectorOutputs, image: Tensor) -> list[Any]:
    """What mmdet predicts for a batch (B, C, H, W), an ``InstanceData`` for each image."""
    from mmdet.structures import DetDataSample

    size = tuple(image.shape[2:])
    about = dict(img_shape=size, ori_shape=size, scale_factor=(1.0, 1.0))
    divisor = getattr(outputs.model.data_preprocessor, 'pad_size_divisor', 1)
    image = F.pad(image, (0, -size[1] % divisor, 0, -size[0] % divisor))
    samples = [DetDataSample(metainfo=about) for _ in image]
    return [one.pred_instances for one in outputs.model.predict(image, samples)]


def compare_objects(
    expected: Sequence[Any], found: dict[str, np.ndarray], shape: tuple[int, ...]
) -> list[Difference]:
    """How far the objects of a file are from mmdet's, an ``InstanceData`` for each image.

    ``objects`` is how many only one side has; ``boxes`` and ``scores`` are of the others.
    """
    alone = total = 0
    boxes, scores = [0.0], [0.0]
    for number, mine in enumerate(expected):
        is_its = found['image_index'] == number
        theirs = {key: found[key][is_its] for key in ('boxes', 'scores', 'labels')}
        apart = np.abs(mine.bboxes.numpy()[:, None] - theirs['boxes'][None]).max(-1)
        worse = np.abs(mine.scores.numpy()[:, None] - theirs['scores'][None])
        other = mine.labels.numpy()[:, None] != theirs['labels'][None]
        same = (apart < NEAR) & (worse < 1e-3) & ~other
        alone += int((~same.any(1)).sum() + (~same.any(0)).sum())
        total += sum(same.shape)
        if same.any():
            nearest = np.where(same, apart, np.inf).argmin(1)
            rows = same.any(1).nonzero()[0]
            boxes += apart[rows, nearest[rows]].tolist()
            scores += worse[rows, nearest[rows]].tolist()
    edge = float(max(shape[2:]))
    best = max([float(one.scores.max()) for one in expected if len(one.scores)], default=1.0)
    return [
        Difference('objects', shape, float(total), float(alone), UNMATCHED),
        Difference('boxes', shape, edge, max(boxes), APART / edge),
        Difference('scores', shape, best, max(scores)),
    ]
