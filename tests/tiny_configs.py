"""Tiny models of the three tasks, from the mini configs, with random weights that are not bland."""

from copy import deepcopy
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from vminet_mm.engine import load_config

ROOT = Path(__file__).resolve().parents[1]
ARCH = dict(base_channels=4, expansion=2, depths=(1, 1, 1, 1))
CHANNELS = [4, 8, 16, 32]
ROI = 'model.roi_head'
# the config of each task and what makes it tiny
SETTINGS = dict(
    detection=(
        'configs/mask_rcnn/mask-rcnn_vminet-ti_fpn_mini.py',
        {
            'model.neck': dict(in_channels=CHANNELS, out_channels=8),
            'model.rpn_head': dict(in_channels=8, feat_channels=8),
            f'{ROI}.bbox_roi_extractor.out_channels': 8,
            f'{ROI}.mask_roi_extractor.out_channels': 8,
            f'{ROI}.bbox_head': dict(in_channels=8, fc_out_channels=8),
            f'{ROI}.mask_head': dict(num_convs=1, in_channels=8, conv_out_channels=8),
        },
    ),
    segmentation=(
        'configs/upernet/upernet_vminet-ti_mini.py',
        {
            'model.decode_head': dict(in_channels=CHANNELS, channels=8),
            'model.auxiliary_head': dict(in_channels=16, channels=8),
        },
    ),
    classification=('configs/cls/vminet-ti_mini.py', {'model.head.in_channels': 32}),
)
CLASSES = dict(
    detection=('circle', 'cross', 'ring', 'square', 'triangle'),
    segmentation=('background', 'circle', 'cross', 'ring', 'square', 'triangle'),
    classification=('circle', 'cross', 'ring', 'square', 'triangle'),
)


def tiny_config(task: str) -> Config:
    """The config of a tiny model."""
    path, options = SETTINGS[task]
    cfg = load_config(ROOT / path, deepcopy(options))
    cfg.model.backbone.arch = ARCH
    return cfg


def random_model(cfg: Config) -> nn.Module:
    """The model, with weights such that its predictions differ within and between images."""
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        if cfg.get('data_preprocessor'):
            cfg.model.setdefault('data_preprocessor', cfg.data_preprocessor)
        model = MODELS.build(cfg.model)
    generator = torch.Generator().manual_seed(1)
    for name, module in model.named_modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            fan_in = module.weight[0].numel()
            gain = 0.1 if 'reg' in name else 1.0  # boxes stay near their anchors
            nn.init.normal_(module.weight, std=gain * fan_in**-0.5, generator=generator)
        elif isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
    return model.eval()


def write_model(folder: Path, task: str) -> tuple[str, str]:
    """Write config and checkpoint as a training would; returns their paths."""
    config, checkpoint = folder / f'{task}.py', folder / f'{task}.pth'
    cfg = tiny_config(task)
    cfg.dump(config)
    meta = dict(dataset_meta=dict(classes=CLASSES[task]), cfg=cfg.pretty_text)
    torch.save(dict(state_dict=random_model(cfg).state_dict(), meta=meta), checkpoint)
    return str(config), str(checkpoint)
