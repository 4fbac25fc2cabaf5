"""Tiny models of the three tasks with weights that all matter, as config and checkpoint."""

from dataclasses import dataclass
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import MODELS as REGISTRY
from mmengine.registry import DefaultScope
from torch import nn

from vminet_mm.engine import load_config
from vminet_mm.export import Export
from vminet_mm.models import VMISA

CONFIGS = Path(__file__).parents[2] / 'configs'
# one block has more tokens than channels, the other fewer
TINY = dict(base_channels=4, expansion=2, depths=(1, 0, 0, 1))
CLASSES = ('circle', 'cross', 'ring', 'square', 'triangle')
CHANNELS = [4, 8, 16, 32]
SFP = dict(
    type='SimpleFeaturePyramid',
    in_channels=32,
    out_channels=64,
    scale_factors=(4, 1),
    num_outs=3,
)
CLASSIFIER = ('cls/vminet-ti_mini.py', {'head.in_channels': 32})
SEGMENTOR = (
    'upernet/upernet_vminet-ti_mini.py',
    {
        'decode_head.in_channels': CHANNELS,
        'decode_head.channels': 8,
        'auxiliary_head.in_channels': 16,
    },
)
DETECTOR = 'mask_rcnn/mask-rcnn_vminet-ti_fpn_mini.py'
# two levels, quicker to trace than four, show as well whether each box is taken from its own
STRIDES = [16, 32]
LEVELS = dict(featmap_strides=STRIDES)
WHOLE = {
    'backbone.out_indices': (2, 3),
    'neck.in_channels': CHANNELS[2:],
    'neck.num_outs': 2,
    'rpn_head.anchor_generator.strides': STRIDES,
    'roi_head.bbox_roi_extractor': LEVELS,
    'roi_head.mask_roi_extractor': LEVELS,
}
MAPS = ('fpn', 'sfp')  # detectors of which backbone and neck are exported
MODELS = dict(
    classifier=CLASSIFIER,
    segmentor=SEGMENTOR,
    fpn=(DETECTOR, {'neck.in_channels': CHANNELS}),
    detector=(DETECTOR, WHOLE),
    sfp=(DETECTOR, {'neck': dict(_delete_=True, **SFP), 'backbone.out_indices': (3,)}),
)


@dataclass
class Exported:
    """An exported model and what it was made of."""

    name: str
    cfg: Config
    checkpoint: str
    done: Export


def tiny_config(name: str, **options: object) -> Config:
    """A mini config with a tiny arch, and options of the backbone."""
    path, changes = MODELS[name]
    changes = changes | {'backbone.arch': dict(_delete_=True, **TINY)}
    changes |= {f'backbone.{key}': value for key, value in options.items()}
    return load_config(CONFIGS / path, {f'model.{key}': v for key, v in changes.items()})


def trained(cfg: Config, path: Path, **meta: object) -> str:
    """Save a checkpoint of random weights; returns its path."""
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = REGISTRY.build(cfg.model)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
        elif isinstance(module, VMISA):
            nn.init.normal_(module.alpha, 0.1, 0.03)
            nn.init.uniform_(module.beta, 0.5, 1.5)
    torch.save(dict(state_dict=model.state_dict(), meta=meta), path)
    return str(path)
