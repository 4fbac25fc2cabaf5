"""Heads that predict boxes at every cell: RPN, RetinaNet, FCOS, ATSS and GFL, with open sizes.

The convolutions, the priors and the coding of boxes are mmdet's own objects. What is written here
is what mmdet does with their results one image at a time and with sizes that depend on the data.
"""

import warnings
from collections.abc import Sequence
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ...errors import ConfigError
from ...tasks import DETECTION
from .nms import DROPPED, apart, extents, iou_threshold, non_max_suppression


class Found(NamedTuple):
    """Boxes of a batch of images.

    Attributes:
        image: (N,) int64, which image each is of.
        boxes: (N, 4), x1, y1, x2, y2 in pixels of the padded image.
        scores: (N,).
        labels: (N,) int64.
    """

    image: Tensor
    boxes: Tensor
    scores: Tensor
    labels: Tensor


class Candidates(NamedTuple):
    """The best cells of one level, (B, N, ...) each; groups are classes or, of an RPN, levels."""

    priors: Tensor
    deltas: Tensor
    scores: Tensor
    groups: Tensor


def require_kind(part: nn.Module, name: str, module: ModuleType, known: Sequence[str]) -> None:
    """Raise ConfigError unless a part of a detector is of a class of a module that is exported."""
    if type(part) not in [getattr(module, kind) for kind in known]:
        raise ConfigError(
            f'{name}: a {type(part).__name__} cannot be exported, only {", ".join(known)}. '
            '--outputs maps exports backbone and neck'
        )


def decode(coder: Any, priors: Tensor, deltas: Tensor, size: Tensor) -> Tensor:
    """Boxes (B, N, C * 4) of priors, (B, N, 4) boxes or (B, N, 2) points, by a box coder of mmdet.

    They are clipped to the size (2,), height and width of the image, if the coder clips.
    """
    with warnings.catch_warnings():  # mmdet would rather be given single images
        warnings.simplefilter('ignore')
        boxes = coder.decode(priors, deltas)
    if not coder.clip_border:
        return boxes
    corners = boxes.unflatten(-1, (-1, 2))
    return torch.minimum(corners.clamp(min=0), size.flip(0)).flatten(-2)


class DenseHead(nn.Module):
    """A dense head from maps to boxes, as its ``predict`` does.

    Args:
        head (nn.Module): An RPN, RetinaNet, FCOS, ATSS or GFL head of mmdet, with a ``test_cfg``.
        part (str): Its name in the model, for errors.

    Raises:
        ConfigError: If it is of another kind, or its NMS is.
    """

    def __init__(self, head: nn.Module, part: str) -> None:
        from mmdet.models import dense_heads as kinds  # not needed by the other tasks

        super().__init__()
        require_kind(head, part, kinds, DETECTION.heads['dense'])
        if getattr(head.loss_cls, 'custom_cls_channels', False) or head.prior_generator is None:
            raise ConfigError(f'{part}: scores of {type(head.loss_cls).__name__} are not exported')
        self.head, self.cfg = head, head.test_cfg
        self.is_rpn = isinstance(head, kinds.RPNHead)
        self.has_integral = isinstance(head, kinds.GFLHead)
        self.iou_threshold = iou_threshold(self.cfg.get('nms'), f'{part}.test_cfg.nms')
        # a buffer, so that it has a name in the file
        minimum = 0.0 if self.is_rpn else float(self.cfg.get('score_thr', 0.0))
        self.register_buffer('score_threshold', torch.tensor(minimum))

    def forward(self, maps: tuple[Tensor, ...], size: Tensor) -> Found:
        """The boxes of each image, by falling score, from the maps (B, C, h, w) of the neck.

        ``size`` (2,) is height and width of the images less their padding.
        """
        outs = self.head(maps)
        sizes = [tuple(x.shape[-2:]) for x in outs[0]]
        priors = self.head.prior_generator.grid_priors(sizes, device='cpu')
        levels = [
            self._best(level, *parts) for level, parts in enumerate(zip(priors, *outs, strict=True))
        ]
        best = Candidates(*(torch.cat(parts, dim=1) for parts in zip(*levels, strict=True)))
        boxes = decode(self.head.bbox_coder, best.priors, best.deltas, size)
        scores = self._without_small(boxes, best.scores)
        shifted = apart(boxes, best.groups, extents(boxes, scores)[:, None])
        limit = self.cfg.max_per_img
        kept = non_max_suppression(shifted, scores[:, None], limit, self.iou_threshold)
        image, index = kept[:, 0], kept[:, 2]
        labels = best.groups[image, index]
        labels = torch.zeros_like(labels) if self.is_rpn else labels
        return Found(image, boxes[image, index], scores[image, index], labels)

    def _best(
        self,
        level: int,
        priors: Tensor,
        logits: Tensor,
        deltas: Tensor,
        factors: Tensor | None = None,
    ) -> Candidates:
        """Up to ``nms_pre`` candidates of one level, those of the largest scores."""
        head, channels = self.head, self.head.cls_out_channels
        logits = logits.permute(0, 2, 3, 1).flatten(1).unflatten(1, (-1, channels))
        scores = logits.sigmoid() if head.use_sigmoid_cls else logits.softmax(-1)[..., :-1]
        classes = scores.shape[-1]
        scores = scores.flatten(1)
        scores, chosen = scores.topk(torch.sym_min(self.cfg.nms_pre, scores.shape[1]), dim=1)
        cell, label = chosen // classes, chosen % classes
        cells = logits.shape[1]
        if not self.is_rpn:
            scores = torch.where(scores > self.score_threshold, scores, DROPPED)
        if factors is not None:
            factors = factors.permute(0, 2, 3, 1).flatten(1).sigmoid().gather(1, cell)
            scores = torch.where(scores > DROPPED, scores * factors, scores)
        deltas = deltas.permute(0, 2, 3, 1).flatten(1).unflatten(1, (cells, -1))
        deltas = deltas.gather(1, cell[..., None].expand(-1, -1, deltas.shape[-1]))
        priors = priors[cell]
        if self.has_integral:
            stride = head.prior_generator.strides[level][0]
            shape = deltas.shape[:2]
            deltas = head.integral(deltas.flatten(0, 1)).unflatten(0, shape) * stride
            priors = (priors[..., :2] + priors[..., 2:]) / 2
        groups = torch.full_like(label, level) if self.is_rpn else label
        return Candidates(priors, deltas, scores, groups)

    def _without_small(self, boxes: Tensor, scores: Tensor) -> Tensor:
        """The scores (B, N), without those of boxes that are not larger than ``min_bbox_size``."""
        minimum = self.cfg.get('min_bbox_size', -1)
        if minimum < 0:
            return scores
        is_large = (boxes[..., 2:] - boxes[..., :2] > minimum).all(-1)
        return torch.where(is_large, scores, DROPPED)
