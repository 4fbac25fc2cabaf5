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
SFP = dict(type='SimpleFeaturePyramid', in_channels=32, out_channels=32, scale_factors=(2, 1))


def tiny_config(name: str, levels: int = 3) -> Config:
    """The model of mmdet's config with VMINet and few channels.

    Args:
        name: In PATHS.
        levels: Maps of the neck, of which it adds the last, and stages of a cascade: 3, or 2, which
            is quicker to trace.
    """
    from mmengine.hub import get_config

    is_sfp = name == 'cascade_sfp'  # two things in one, each of which takes long to trace
    maps = 2 if is_sfp else levels - 1  # of different strides, before the neck adds one

    cfg = Config(dict(model=get_config(f'mmdet::{PATHS[name]}').model))
    model = cfg.model
    indices = (3,) if is_sfp else (2, 3)[:maps]
    depths = [int(stage == indices[-1]) for stage in range(4)]
    arch = dict(base_channels=4, expansion=2, depths=depths)
    model.backbone = dict(type='VMINet', arch=arch, img_size=64, out_indices=indices)
    model.neck.update(in_channels=[16, 32][:maps], out_channels=32, start_level=0, num_outs=levels)
    if is_sfp:
        model.neck = dict(SFP, num_outs=levels)
    _shrink_dense(model.get('rpn_head') or model.bbox_head, STRIDES[:levels])
    if 'roi_head' in model:
        if is_sfp:
            _shorten_cascade(model, levels)
        _shrink_regions(model.roi_head, STRIDES[:maps])
        model.test_cfg.rpn.update(nms_pre=60, max_per_img=40)
        model.test_cfg.rcnn.update(score_thr=0.2, max_per_img=15)
    else:
        model.bbox_head.num_classes = CLASSES
        if name in ('atss', 'fcos', 'gfl'):
            norm = dict(type='GN', num_groups=4, requires_grad=True)
            model.bbox_head.norm_cfg = norm
        model.test_cfg.update(nms_pre=50, score_thr=0.2, max_per_img=20)
    return cfg


def _shorten_cascade(model: Any, stages: int) -> None:
    head = model.roi_head
    weights, heads = head.stage_loss_weights[:stages], head.bbox_head[:stages]
    head.update(num_stages=stages, stage_loss_weights=weights, bbox_head=heads)
    model.train_cfg.rcnn = model.train_cfg.rcnn[:stages]


def _shrink_dense(head: Any, strides: list[int]) -> None:
    head.update(in_channels=32, feat_channels=32)
    if 'stacked_convs' in head:
        head.stacked_convs = 1
    if 'anchor_generator' in head:
        head.anchor_generator.strides = strides
    else:
        head.strides = strides


def _shrink_regions(head: Any, strides: list[int]) -> None:
    heads = head.bbox_head if isinstance(head.bbox_head, list) else [head.bbox_head]
    for one in heads:
        one.update(in_channels=32, fc_out_channels=32, num_classes=CLASSES)
    levels = dict(out_channels=32, featmap_strides=strides, finest_scale=28)
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
