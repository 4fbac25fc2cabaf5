"""The second stage of Mask R-CNN, Faster R-CNN and Cascade Mask R-CNN, with open sizes."""

import torch
from torch import Tensor, nn

from ...errors import ConfigError
from ...tasks import DETECTION
from .dense import Found, decode, require_kind
from .nms import DROPPED, apart, extents, iou_threshold, non_max_suppression


def region_features(extractor: nn.Module, maps: tuple[Tensor, ...], rois: Tensor) -> Tensor:
    """The features (N, C, h, w) of RoIs (N, 5), image and box, by ONNX's RoiAlign.

    Each is from the map of its level, of the maps (B, C, h, w) of the neck.
    """
    maps = maps[: extractor.num_inputs]
    level = extractor.map_roi_levels(rois, len(maps))
    parts = []
    for number, (layer, x) in enumerate(zip(extractor.roi_layers, maps, strict=True)):
        here = rois[level == number] if len(maps) > 1 else rois
        parts.append(
            torch.ops.torchvision.roi_align(
                x,
                here,
                layer.spatial_scale,
                *layer.output_size,
                layer.sampling_ratio,
                layer.aligned,
            )
        )
    number = torch.arange(level.shape[0])
    order = (level * (level.shape[0] + 1) + number).argsort().argsort()
    return torch.cat(parts)[order]


class RegionHead(nn.Module):
    """A RoI head from maps and proposals to boxes and masks, as its ``predict`` does.

    Args:
        head (nn.Module): A StandardRoIHead or CascadeRoIHead of mmdet.

    Raises:
        ConfigError: If it or one of its parts is of another kind.
    """

    def __init__(self, head: nn.Module) -> None:
        from mmdet.models import roi_heads as kinds  # not needed by the other tasks

        super().__init__()
        require_kind(head, 'roi_head', kinds, DETECTION.heads['region'])
        if head.with_shared_head:
            raise ConfigError(
                'roi_head.shared_head cannot be exported; --outputs maps exports backbone and neck'
            )
        is_cascade = isinstance(head, kinds.CascadeRoIHead)
        self.head = head
        self.boxes = head.bbox_head if is_cascade else nn.ModuleList([head.bbox_head])
        self.box_extractors = _listed(head.bbox_roi_extractor)
        self.masks = _listed(head.mask_head) if head.with_mask else nn.ModuleList()
        self.mask_extractors = _listed(head.mask_roi_extractor) if head.with_mask else self.masks
        for part in self.boxes:
            require_kind(part, 'roi_head.bbox_head', kinds, DETECTION.heads['box'])
            if part.custom_activation or not part.with_reg:
                raise ConfigError(
                    'roi_head.bbox_head: custom scores, or no boxes, are not exported'
                )
        for part in self.masks:
            require_kind(part, 'roi_head.mask_head', kinds, DETECTION.heads['mask'])
        for part in [*self.box_extractors, *self.mask_extractors]:
            require_kind(part, 'a RoI extractor', kinds, ['SingleRoIExtractor'])
            if any(getattr(layer, 'pool_mode', '') != 'avg' for layer in part.roi_layers):
                raise ConfigError('a RoI extractor: only RoIAlign that averages can be exported')
        self.iou_threshold = iou_threshold(head.test_cfg.get('nms'), 'test_cfg.rcnn.nms')
        # a buffer, so that it has a name in the file
        self.register_buffer('score_threshold', torch.tensor(float(head.test_cfg.score_thr)))

    def find(self, maps: tuple[Tensor, ...], proposals: Found, size: Tensor, batch: int) -> Found:
        """The objects among the proposals of the RPN, for a number of images.

        ``size`` (2,) is height and width of the images less their padding.
        """
        owner, boxes, total = proposals.image, proposals.boxes, 0
        for number, (head, extractor) in enumerate(
            zip(self.boxes, self.box_extractors, strict=True)
        ):
            rois = torch.cat([owner[:, None].to(boxes), boxes], dim=1)
            logits, deltas = head(region_features(extractor, maps, rois))
            total = total + logits
            if number < len(self.boxes) - 1:
                boxes = self._refined(head, boxes, logits, deltas, size)
        scores = (total / float(len(self.boxes))).softmax(-1)[:, :-1]
        boxes = decode(head.bbox_coder, boxes[None], deltas[None], size)[0].unflatten(1, (-1, 4))
        boxes = boxes.expand(-1, scores.shape[1], -1)
        return self._best(owner, boxes, scores, batch)

    def _refined(
        self, head: nn.Module, boxes: Tensor, logits: Tensor, deltas: Tensor, size: Tensor
    ) -> Tensor:
        """The boxes (N, 4) of the next stage of a cascade."""
        if not head.reg_class_agnostic:
            label = logits[:, :-1].argmax(1)
            deltas = deltas.unflatten(1, (-1, 4))
            deltas = deltas.gather(1, label[:, None, None].expand(-1, 1, 4))[:, 0]
        return decode(head.bbox_coder, boxes[None], deltas[None], size)[0]

    def _best(self, owner: Tensor, boxes: Tensor, scores: Tensor, batch: int) -> Found:
        """What NMS leaves of the boxes (N, C, 4) with their scores (N, C)."""
        classes, cfg = scores.shape[1], self.head.test_cfg
        boxes, scores = boxes.flatten(0, 1), scores.flatten()
        label = torch.arange(classes).expand(owner.shape[0], -1).flatten()
        owner = owner[:, None].expand(-1, classes).flatten()
        scores = torch.where(scores > self.score_threshold, scores, DROPPED)
        # NMS counts the number of each of its classes: let that be the image
        is_its = torch.arange(batch)[:, None] == owner
        scores_of_image = torch.where(is_its, scores, DROPPED)
        extent = extents(boxes.expand(batch, -1, -1), scores_of_image)
        shifted = apart(boxes, label, extent[owner])
        kept = non_max_suppression(
            shifted[None], scores_of_image[None], cfg.max_per_img, self.iou_threshold
        )
        image, index = kept[:, 1], kept[:, 2]
        return Found(image, boxes[index], scores[index], label[index])

    def shapes(self, maps: tuple[Tensor, ...], found: Found) -> Tensor:
        """The masks of objects within their boxes, (N, 28, 28) probabilities."""
        rois = torch.cat([found.image[:, None].to(found.boxes), found.boxes], dim=1)
        stages = []
        for head, extractor in zip(self.masks, self.mask_extractors, strict=True):
            masks = head(region_features(extractor, maps, rois)).sigmoid()
            if head.class_agnostic:
                stages.append(masks[:, 0])
            else:
                index = found.labels[:, None, None, None].expand(-1, 1, *masks.shape[2:])
                stages.append(masks.gather(1, index)[:, 0])
        return torch.stack(stages).mean(0)


def paste(masks: Tensor, boxes: Tensor, height: int, width: int, threshold: float) -> Tensor:
    """Masks over the whole image, (N, height, width) bool, of masks (N, h, w) within boxes.

    Bilinear interpolation in a box is a product with a matrix for the rows and one for the columns.
    """
    rows = _weights(boxes[:, 1], boxes[:, 3], height, masks.shape[1])
    columns = _weights(boxes[:, 0], boxes[:, 2], width, masks.shape[2])
    return rows @ masks @ columns.mT >= threshold


def _weights(start: Tensor, end: Tensor, pixels: int, cells: int) -> Tensor:
    """How much each cell of a mask counts for each pixel, (N, pixels, cells)."""
    extent = (end - start).clamp(min=1e-6)[:, None]
    position = (torch.arange(pixels) + 0.5 - start[:, None]) / extent * cells - 0.5
    return (1 - (position[..., None] - torch.arange(cells)).abs()).clamp(min=0)


def _listed(part: nn.Module) -> nn.ModuleList:
    """The parts of all stages."""
    return part if isinstance(part, nn.ModuleList) else nn.ModuleList([part])
