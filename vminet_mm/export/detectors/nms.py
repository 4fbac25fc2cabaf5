"""Class-wise non-maximum suppression of a batch, as one operator of ONNX.

The operator is defined here with the semantics of ONNX, since torchvision's knows neither batches
nor a limit of the number, and torch has no name for the sizes of its result.
"""

from typing import Any

import torch
import torchvision
from torch import Tensor

from ...errors import ConfigError

DROPPED = -1.0  # score of a candidate that must not win
WORTHLESS = -0.5  # between it and the lowest real score


@torch.library.custom_op('vminet_mm::non_max_suppression', mutates_args=())
def non_max_suppression(
    boxes: Tensor, scores: Tensor, max_output: int, iou_threshold: float
) -> Tensor:
    """ONNX's NonMaxSuppression of boxes (B, N, 4) with scores (B, C, N).

    Candidates whose score is below 0 are left out; of each image and class at most ``max_output``
    are kept, whose IoU with those kept before is not above the threshold. Returns (M, 3) int64,
    rows of image, class and box, sorted by these and by falling score.
    """
    rows = []
    for image, classes in enumerate(scores):
        for label, values in enumerate(classes):
            (index,) = (values > WORTHLESS).nonzero(as_tuple=True)
            threshold = torch.tensor(iou_threshold, dtype=torch.float32).item()
            kept = torchvision.ops.nms(boxes[image, index], values[index], threshold)
            index = index[kept[:max_output]]
            owner = torch.tensor([image, label], device=index.device).expand(len(index), 2)
            rows.append(torch.cat([owner, index[:, None]], dim=1))
    return torch.cat(rows)


@non_max_suppression.register_fake
def _(boxes: Tensor, scores: Tensor, max_output: int, iou_threshold: float) -> Tensor:
    """Shapes alone, for a trace."""
    number = torch.library.get_ctx().new_dynamic_size()
    return boxes.new_empty((number, 3), dtype=torch.int64)


def onnx_translation() -> dict[Any, Any]:
    """How :func:`torch.onnx.export` writes the operator, for its ``custom_translation_table``."""
    from onnxscript import opset18 as op  # of the extra `export`

    def write(boxes: Any, scores: Any, max_output: int, iou_threshold: float) -> Any:
        """The operator of ONNX in its place."""
        limit = op.Constant(value_ints=[max_output])
        overlap = op.Constant(value_floats=[iou_threshold])
        minimum = op.Constant(value_floats=[WORTHLESS])
        return op.NonMaxSuppression(boxes, scores, limit, overlap, minimum)

    return {torch.ops.vminet_mm.non_max_suppression.default: write}


def iou_threshold(nms: dict | None, part: str) -> float:
    """The threshold of a config's ``nms``, if it is of the kind that ONNX has; ``part`` says whose.

    Raises:
        ConfigError: If it is of another kind.
    """
    asked = dict(nms or {})
    kind = str(asked.pop('type', None))
    threshold = asked.pop('iou_threshold', None)
    asked.pop('split_thr', None)  # the same result, computed class by class
    if kind != 'nms' or threshold is None or asked:
        extra = f' with {", ".join(asked)}' if asked else ''
        raise ConfigError(
            f"{part}: ONNX has no NMS of type {kind!r}{extra}; export with dict(type='nms', "
            'iou_threshold=...) by --cfg-options, or --outputs maps for backbone and neck alone'
        )
    return float(threshold)


def apart(boxes: Tensor, groups: Tensor, extent: Tensor) -> Tensor:
    """Boxes (..., N, 4) moved so that those of different groups (..., N) do not overlap.

    By as much as mmcv moves them; the extent is from :func:`extents`.
    """
    return boxes + (groups.to(boxes) * (extent + 1))[..., None]


def extents(boxes: Tensor, scores: Tensor) -> Tensor:
    """The largest coordinate of the candidates of each image, (B,).

    Of boxes (B, N, 4) with scores (B, N), :data:`DROPPED` of those that do not count.
    """
    return torch.where((scores > WORTHLESS)[..., None], boxes, 0.0).flatten(1).amax(1)
