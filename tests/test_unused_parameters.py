"""Every parameter of every shipped config gets a gradient: DistributedDataParallel needs no
``find_unused_parameters``."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import PixelData

from vminet_mm import VMINet
from vminet_mm.datasets.config_parts import find_key
from vminet_mm.engine import load_config

CONFIG_DIR = Path(__file__).parents[1] / 'configs'
# of several sizes, which differ in widths and depths alone, the smallest stands for all
SMALLEST = {
    'vminet-s': 'vminet-xs',
    'vminet-b': 'vminet-xs',
    'vim-s': 'vim-ti',
    'local-vim-s': 'local-vim-t',
    'plain-mamba-l2': 'plain-mamba-l1',
}
SIZE = 64, 96


def is_smallest(path: Path) -> bool:
    """Whether no config differs from this one by a smaller size of the model alone."""
    others = {path.name.replace(size, smallest) for size, smallest in SMALLEST.items()}
    return not any(path.with_name(name).exists() for name in others - {path.name})


CONFIGS = sorted(p for p in CONFIG_DIR.glob('[!_]*/*.py') if is_smallest(p))


def batch(cfg: Config) -> dict:
    """Two images with labels for every head, as a data loader gives them."""
    if cfg.default_scope == 'mmdet':
        from mmdet.testing import demo_mm_inputs

        shapes = [[3, *SIZE]] * 2
        number = min(5, *(number for _, number in find_key(cfg.model, 'num_classes')))
        data = demo_mm_inputs(2, shapes, num_items=[3, 2], num_classes=5, with_mask=True)
        for sample in data['data_samples']:
            sample.gt_instances.labels.clamp_(max=number - 1)
        return data
    images = [torch.randint(256, (3, *SIZE), dtype=torch.uint8) for _ in range(2)]
    if cfg.default_scope == 'mmpretrain':
        from mmpretrain.structures import DataSample

        return dict(inputs=images, data_samples=[DataSample().set_gt_label(n) for n in (1, 4)])
    from mmseg.structures import SegDataSample

    samples = [SegDataSample(metainfo=dict(img_shape=SIZE, ori_shape=SIZE)) for _ in images]
    for sample in samples:
        sample.gt_sem_seg = PixelData(data=torch.randint(5, (1, *SIZE)))
    return dict(inputs=images, data_samples=samples)


def shrunk(path: Path) -> Config:
    """The config with few blocks of VMINet and small images; every kind of layer stays."""
    cfg = load_config(path)
    backbone = cfg.model.backbone
    if backbone.type == 'VMINet':
        named = isinstance(backbone.arch, str)
        arch = VMINet.arch_settings[backbone.arch] if named else backbone.arch
        backbone.arch = arch | dict(depths=(1, 1, 2, 1))
    preprocessor = cfg.model.setdefault('data_preprocessor', cfg.get('data_preprocessor'))
    if preprocessor.get('size'):
        preprocessor.size = SIZE
    for _, sampler in find_key(cfg.model, 'sampler'):
        sampler.num = 16  # boxes
    return cfg


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_every_parameter_gets_a_gradient(path: Path) -> None:
    cfg = shrunk(path)
    assert not cfg.get('find_unused_parameters', False)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = MODELS.build(cfg.model).train()
        data = model.data_preprocessor(batch(cfg), training=True)
        model.parse_losses(model(**data, mode='loss'))[0].backward()
    learned = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert len(learned) > 50
    assert [name for name, parameter in learned.items() if parameter.grad is None] == []
