"""Strides that the heads of a detector are told, beside those of its maps."""

from unittest.mock import Mock

import pytest
import torch
from mmengine.registry import MODELS, DefaultScope
from tiny_configs import tiny_config
from torch import nn

from vminet_mm.engine.levels import require_strides_of_maps
from vminet_mm.errors import ConfigError

SFP = dict(type='SimpleFeaturePyramid', in_channels=32, out_channels=8, num_outs=4)


def detector(backbone: dict, strides: list[int], regions: list[int], **neck: object) -> nn.Module:
    """A tiny Mask R-CNN, whose heads are told strides."""
    model = tiny_config('detection').model
    model.backbone.update(backbone)
    model.neck = neck or model.neck
    model.rpn_head.anchor_generator.strides = strides
    for name in ('bbox_roi_extractor', 'mask_roi_extractor'):
        model.roi_head[name].featmap_strides = regions
    with DefaultScope.overwrite_default_scope('mmdet'):
        return MODELS.build(model)


FITTING = {
    'usual': ({}, [4, 8, 16, 32], [4, 8, 16, 32], {}),
    'small images': (dict(stem_stride=1), [2, 4, 8, 16], [2, 4, 8], {}),
    'two of one stride': (dict(strides=(2, 2, 2, 1)), [4, 8, 16, 16], [4, 8, 16, 16], {}),
    'no powers of two': (dict(stem_stride=3), [6, 12, 24, 48], [6, 12, 24, 48], {}),
    'pyramid of the last map': (dict(out_indices=3), [4, 8, 16, 32], [4, 8, 16, 32], SFP),
    'pyramid of a rounded map': (
        dict(out_indices=3, stem_stride=3, strides=(3, 2, 1, 1)),
        *([9, 18, 36, 72], [9, 18], dict(SFP, scale_factors=(2, 1))),
    ),
    'padding masked': (dict(mask_padding=True), [4, 8, 16, 32], [4, 8, 16, 32], {}),
}


@pytest.mark.parametrize('name', FITTING)
def test_the_same_strides(name: str) -> None:
    backbone, strides, regions, neck = FITTING[name]
    model = detector(backbone, strides, regions, **neck)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    require_strides_of_maps(model)
    assert all(module.training for module in model.neck.modules())  # and statistics are kept
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize(
    ('backbone', 'strides', 'regions', 'text'),
    [
        (dict(stem_stride=1), [4, 8, 16, 32], [2, 4, 8, 16], 'rpn_head.prior_generator'),
        (dict(stem_stride=1), [2, 4, 8, 16], [4, 8, 16, 32], 'roi_head.bbox_roi_extractor'),
        (dict(strides=(2, 2, 2, 1)), [4, 8, 16, 32], [4, 8], r'maps .* have \[4, 8, 16, 16\]'),
        (dict(stem_stride=3), [4, 8, 16, 32], [6, 12], r'have \[6, 12, 23, 43\]'),
        ({}, [4, 8, 16, 32, 64], [4, 8], r'strides \[4, 8, 16, 32, 64\], but'),
    ],
    ids=str,
)
def test_other_strides(backbone: dict, strides: list, regions: list, text: str) -> None:
    model = detector(backbone, strides, regions)
    with pytest.raises(ConfigError, match=text):
        require_strides_of_maps(model)
    assert model.training


def test_models_that_are_left_alone() -> None:
    """Those of other backbones, and those without such heads, are not run."""
    other = nn.Module()
    other.backbone, other.neck = nn.Conv2d(3, 4, 1), Mock()
    other.rpn_head = detector({}, [4, 8, 16, 32], [4]).rpn_head
    segmentor = tiny_config('segmentation')
    with DefaultScope.overwrite_default_scope('mmseg'):
        bare = MODELS.build(segmentor.model)
    bare.neck = Mock()
    for model in (other, bare):
        require_strides_of_maps(model)
        model.neck.assert_not_called()


def test_a_semantic_branch_has_a_map_of_its_own() -> None:
    model = detector({}, [4, 8, 16, 32], [4])
    model.roi_head.semantic_roi_extractor = nn.Module()
    model.roi_head.semantic_roi_extractor.featmap_strides = [8]
    require_strides_of_maps(model)
    model.roi_head.grid_roi_extractor = model.roi_head.semantic_roi_extractor
    del model.roi_head.semantic_roi_extractor
    with pytest.raises(ConfigError, match='grid_roi_extractor'):
        require_strides_of_maps(model)
