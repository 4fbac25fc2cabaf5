"""Other papers' backbones in three detectors and three segmentors, as VMINet is tried."""

from copy import deepcopy
from functools import cache

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from drop_in.folders import config_root, find_config
from drop_in.preparation import prepare
from drop_in.rules import nested_dicts, swap_backbones
from drop_in.trial import Trial
from vminet_mm.analysis.complexity import quiet

pytestmark = pytest.mark.slow

FOLDERS = [
    *(('mmdet', name) for name in ('fcos', 'mask_rcnn', 'retinanet')),
    *(('mmseg', name) for name in ('pspnet', 'segformer', 'upernet')),
]
WIDTH = 16  # of heads
DEPTHS = (1, 1, 1, 1)
# with the channels of VMINet-Ti, so that what reads its maps reads theirs
HIERARCHICAL = {
    'EfficientVMamba': dict(base_channels=24, depths=DEPTHS),
    'LVT': dict(
        channels=(24, 48, 96, 192),
        depths=DEPTHS,
        num_heads=(2, 2, 4, 8),
        mlp_ratios=(2, 2, 2, 2),
        reductions=(8, 4, 2, 1),
    ),
    'VMamba': dict(base_channels=24, depths=DEPTHS, state_size=1, scan_ratio=1.0),
}
COLUMNAR = {
    'LocalVim': dict(embed_dims=192, num_layers=4),
    'PlainMamba': dict(embed_dims=192, num_layers=4, num_convs=1, conv_layers=(0,)),
    'Vim': dict(embed_dims=192, num_layers=4),
}


@cache
def swapped(library: str, folder: str) -> Config:
    """The config of a folder with VMINet-Ti in it."""
    folder = config_root(library) / folder
    _, cfg = find_config(folder)
    with DefaultScope.overwrite_default_scope(cfg.default_scope), quiet():
        prepare(cfg.model, folder.parents[1])
        swap_backbones(cfg.model, 'ti')
    return cfg


def shrink(model: dict) -> None:
    """Leave the heads few channels and few regions: they are not what is tried."""
    for node in nested_dicts(model):
        kind = str(node.get('type'))
        if kind.endswith('Head') and 'channels' in node:
            node['channels'] = WIDTH
        if kind.endswith('Sampler') and 'num' in node:
            node['num'] = WIDTH
        for key in ('fc_out_channels', 'conv_out_channels', 'max_per_img'):
            if key in node:
                node[key] = WIDTH


def tried(cfg: Config, library: str) -> str:
    """The backbone's class; a loss, gradient or prediction that is wrong is a TrialError."""
    torch.manual_seed(0)
    shrink(cfg.model)
    with DefaultScope.overwrite_default_scope(cfg.default_scope), quiet():
        trial = Trial(cfg, library)
        trial.learn()
        trial.predict()
    return type(trial.model.backbone).__name__


@pytest.mark.parametrize('name', HIERARCHICAL)
@pytest.mark.parametrize(('library', 'folder'), FOLDERS)
def test_in_the_place_of_vminet(library: str, folder: str, name: str) -> None:
    cfg = deepcopy(swapped(library, folder))
    outputs = cfg.model.backbone.out_indices
    cfg.model.backbone = dict(type=name, arch=HIERARCHICAL[name], out_indices=outputs)
    assert tried(cfg, library) == name


@pytest.mark.parametrize('name', COLUMNAR)
@pytest.mark.parametrize(('library', 'folder'), FOLDERS)
def test_with_a_pyramid(library: str, folder: str, name: str) -> None:
    """Detectors have ViTDet's pyramid of the last map, segmentors BEiT's of four."""
    cfg = deepcopy(swapped(library, folder))
    model, width = cfg.model, COLUMNAR[name]['embed_dims']
    outputs = (0, 1, 2, 3) if library == 'mmseg' else (3,)
    model.backbone = dict(type=name, arch=COLUMNAR[name], img_size=64, out_indices=outputs)
    if library == 'mmseg':
        model.neck = dict(type='Feature2Pyramid', embed_dim=width, norm_cfg=dict(type='BN'))
        for head in (model.decode_head, model.get('auxiliary_head')):
            if head:
                is_list = isinstance(head.in_channels, list)
                head.in_channels = [width] * len(head.in_channels) if is_list else width
    else:  # levels from the FPN's stride on
        scales = (4, 2, 1, 0.5)[model.neck.get('start_level', 0) :]
        outs = model.neck.num_outs
        model.neck = dict(type='SimpleFeaturePyramid', in_channels=width, scale_factors=scales)
        model.neck.num_outs = outs
    assert tried(cfg, library) == name
