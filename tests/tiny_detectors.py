"""Tiny detectors of each kind that is exported whole, with random weights that find objects."""

from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import InstanceData
from torch import Tensor, nn

CLASSES = 3
PATHS = dict(
    mask_rcnn='_base_/models/mask-rcnn_r50_fpn.py',
    faster_rcnn='_base_/models/faster-rcnn_r50_fpn.py',
    cascade_sfp='_base_/models/cascade-mask-rcnn_r50_fpn.py',
    retinanet='_base_/models/retinanet_r50_fpn.py',
    fcos='fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py',
    atss='atss/atss_r50_fpn_1x_coco.py',
    gfl='gfl/gfl_r50_fpn_1x_coco.py',
)
TWO_STAGES = ('mask_rcnn', 'faster_rcnn', 'cascade_sfp')
STRIDES = [16, 32, 64]  # of two maps of the backbone, and one that the neck adds
SFP = dict(
    type='SimpleFeaturePyramid',
    in_channels=32,
    out_channels=32,
    scale_factors=(2, 1),
    num_outs=3,
)


def tiny_config(name: str) -> Config:
    """The model of mmdet's config with VMINet and few channels."""
    from mmengine.hub import get_config

    cfg = Config(dict(model=get_config(f'mmdet::{PATHS[name]}').model))
    model = cfg.model
    arch = dict(base_channels=4, expansion=2, depths=(0, 0, 0, 1))
    model.backbone = dict(type='VMINet', arch=arch, img_size=64, out_indices=(2, 3))
    model.neck.update(in_channels=[16, 32], out_channels=32, start_level=0, num_outs=3)
    if name == 'cascade_sfp':  # two things in one, each of which takes long to trace
        model.neck = SFP
        model.backbone.out_indices = (3,)
    _shrink_dense(model.get('rpn_head') or model.bbox_head)
    if 'roi_head' in model:
        _shrink_regions(model.roi_head)
        model.test_cfg.rpn.update(nms_pre=60, max_per_img=40)
        model.test_cfg.rcnn.update(score_thr=0.2, max_per_img=15)
    else:
        model.bbox_head.num_classes = CLASSES
        if name in ('atss', 'fcos', 'gfl'):
            norm = dict(type='GN', num_groups=4, requires_grad=True)
            model.bbox_head.norm_cfg = norm
        model.test_cfg.update(nms_pre=50, score_thr=0.2, max_per_img=20)
    return cfg


def _shrink_dense(head: Any) -> None:
    head.update(in_channels=32, feat_channels=32)
    if 'stacked_convs' in head:
        head.stacked_convs = 1
    if 'anchor_generator' in head:
        head.anchor_generator.strides = STRIDES
    else:
        head.strides = STRIDES


def _shrink_regions(head: Any) -> None:
    heads = head.bbox_head if isinstance(head.bbox_head, list) else [head.bbox_head]
    for one in heads:
        one.update(in_channels=32, fc_out_channels=32, num_classes=CLASSES)
    levels = dict(out_channels=32, featmap_strides=STRIDES[:2], finest_scale=28)
    head.bbox_roi_extractor.update(levels)
    if 'mask_head' in head:
        head.mask_roi_extractor.update(levels)
        sizes = dict(num_convs=1, in_channels=32, conv_out_channels=16, num_classes=CLASSES)
        head.mask_head.update(sizes)


def build(cfg: Config) -> nn.Module:
    """The model with weights that give scores of all sizes."""
    torch.manual_seed(1)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(cfg.model).eval()
    for name, weight in model.named_parameters():
        if weight.dim() == 4 and 'backbone' not in name:
            nn.init.normal_(weight, std=1.5 / weight[0].numel() ** 0.5)
        elif name.endswith(('fc_cls.weight', 'fc_reg.weight')):
            nn.init.normal_(weight, std=0.5)
        elif name.endswith('.bias') and 'head' in name:
            nn.init.constant_(weight, 0.5 if 'conv_logits' in name else 0.0)
    return model


def predicted(model: nn.Module, image: Tensor) -> list[InstanceData]:
    """What mmdet predicts for a batch without padding, image by image."""
    from mmdet.structures import DetDataSample

    size = tuple(image.shape[2:])
    about = dict(img_shape=size, ori_shape=size, scale_factor=(1.0, 1.0))
    with torch.no_grad():
        samples = model.predict(image, [DetDataSample(metainfo=about) for _ in image])
    return [sample.pred_instances for sample in samples]
