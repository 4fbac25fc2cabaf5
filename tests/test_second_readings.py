"""Configs that read the paper otherwise: each differs from ours in what docs/recipe.md says."""

import re
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, TRANSFORMS, DefaultScope
from shipped_configs import CONFIG_DIR, EPOCH, learning_rates, load
from timm.scheduler import CosineLRScheduler
from torch import nn

AUTHORS = CONFIG_DIR / 'cls/vminet-xs_3xb256-310e-authors_in1k.py'
CLASSIFIER = CONFIG_DIR / 'cls/vminet-xs_3xb128-300e_in1k.py'
VIMS = CONFIG_DIR / 'upernet/upernet_vminet-xs_4xb8-60k_ade20k-512x512.py'
SEGMENTOR = CONFIG_DIR / 'upernet/upernet_vminet-xs_8xb2-160k_ade20k-512x512.py'
INTERPOLATIONS = ('bilinear', 'bicubic')


def changed_keys(path: Path, base: Path) -> set[str]:
    """The top-level keys in which two configs differ."""
    cfg, other = load(path), load(base)
    return {key for key in {*cfg, *other} - {'work_dir'} if cfg.get(key) != other.get(key)}


def test_milestones_9_and_11() -> None:
    rates = learning_rates(load(CONFIG_DIR / 'mask_rcnn/mask-rcnn_vminet-xs_sfp_1x-m9-11_coco.py'))
    by_epoch = [rates[(epoch + 1) * EPOCH - 1] for epoch in range(12)]
    assert by_epoch == pytest.approx([1e-4] * 9 + [1e-5] * 2 + [1e-6])


def test_what_the_authors_script_changes() -> None:
    settings = {'optim_wrapper', 'param_scheduler', 'train_cfg', 'train_dataloader'}
    variables = {'crops', 'operation', 'train_pipeline'}
    assert changed_keys(AUTHORS, CLASSIFIER) == {*settings, *variables, 'auto_scale_lr'}
    cfg, ours = load(AUTHORS), load(CLASSIFIER)
    # README: --nproc_per_node=3 -b 256 --lr 1e-3 --weight-decay 0.025 --drop-path 0.
    assert (ours.optim_wrapper.optimizer.pop('lr'), cfg.optim_wrapper.optimizer.pop('lr')) == (
        5e-4,
        1e-3,
    )
    assert cfg.optim_wrapper == ours.optim_wrapper
    assert cfg.optim_wrapper.optimizer.weight_decay == 0.025
    assert (cfg.train_dataloader.batch_size, cfg.auto_scale_lr.base_batch_size) == (256, 768)
    assert (cfg.train_cfg.pop('max_epochs'), ours.train_cfg.pop('max_epochs')) == (310, 300)
    assert cfg.train_cfg == ours.train_cfg
    assert cfg.model.backbone.get('drop_path_rate', 0.0) == 0
    assert cfg.train_dataloader.pop('drop_last') is True  # as timm's loader
    for one in (cfg, ours):
        del one.train_dataloader['batch_size'], one.train_dataloader.dataset['pipeline']
    assert cfg.train_dataloader == ours.train_dataloader


def test_rates_of_the_authors_are_those_of_timms_scheduler() -> None:
    cfg = load(AUTHORS)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 1e-3)
    timms = CosineLRScheduler(
        optimizer, t_initial=300, lr_min=1e-5, warmup_t=5, warmup_lr_init=1e-6
    )
    expected = []
    for epoch in range(310):
        timms.step(epoch)
        expected.append(optimizer.param_groups[0]['lr'])
    assert expected[0] == 1e-6 and expected[300:] == [1e-5] * 10
    rates = learning_rates(cfg)
    assert len(rates) == 310 * EPOCH
    assert rates[::EPOCH] == rates[EPOCH - 1 :: EPOCH]  # one rate an epoch
    found = rates[::EPOCH]
    # the cosine counts in the warm-up as well: less than 0.05 % at its end
    assert found[:5] == pytest.approx(expected[:5], rel=5e-4)
    assert found[5:] == pytest.approx(expected[5:], rel=5e-6)


def test_crops_and_operations_of_the_authors() -> None:
    pipeline = load(AUTHORS).train_dataloader.dataset.pipeline
    ours = load(CLASSIFIER).train_dataloader.dataset.pipeline
    loading, crop, flip, first, second, *rest = pipeline
    assert [loading, flip, *rest] == [ours[0], ours[2], *ours[4:]]
    assert [dict(c, interpolation='bicubic') for (c,) in crop.transforms] == [ours[1]] * 2
    assert [c.interpolation for (c,) in crop.transforms] == list(INTERPOLATIONS)
    assert first == second
    expected = dict(ours[3], num_policies=1)
    for (operation,), name in zip(first.transforms, INTERPOLATIONS, strict=True):
        assert operation.hparams.interpolation == name
        hparams = dict(operation.hparams, interpolation='bicubic')
        assert dict(operation, hparams=hparams) == expected


def test_each_operation_draws_its_interpolation(monkeypatch: pytest.MonkeyPatch) -> None:
    from mmpretrain.datasets.transforms import RandAugment

    steps = load(AUTHORS).train_dataloader.dataset.pipeline[3:5]
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        steps = [TRANSFORMS.build(step) for step in steps]
    used: list[str] = []
    original = RandAugment.transform

    def noted(self: RandAugment, results: dict) -> dict:
        rotation = next(t for t in self.transforms if type(t).__name__ == 'Rotate')
        used.append(rotation.interpolation)
        return original(self, results)

    monkeypatch.setattr(RandAugment, 'transform', noted)
    np.random.seed(0)
    for _ in range(40):
        results = dict(img=np.zeros((9, 7, 3), np.uint8))
        for step in steps:
            results = step(results)
        assert results['img'].shape == (9, 7, 3)
    assert len(used) == 2 * 40
    assert set(zip(used[::2], used[1::2], strict=True)) == set(product(INTERPOLATIONS, repeat=2))


def test_segmentation_by_vims_recipe() -> None:
    assert changed_keys(VIMS, SEGMENTOR) == {
        *('model', 'train_dataloader', 'optim_wrapper', 'param_scheduler', 'train_cfg'),
        *('default_hooks', 'auto_scale_lr', 'max_iters', 'interval'),
    }
    cfg, vims = load(VIMS), load(CONFIG_DIR / 'peers/upernet_vim-ti_4xb8-60k_ade20k-512x512.py')
    for key in ('param_scheduler', 'train_cfg', 'default_hooks', 'auto_scale_lr'):
        assert cfg[key] == vims[key]
    assert cfg.train_dataloader == vims.train_dataloader
    assert cfg.train_dataloader.batch_size * 4 == cfg.auto_scale_lr.base_batch_size == 32
    assert cfg.model.test_cfg == vims.model.test_cfg
    assert cfg.model.backbone.drop_path_rate == vims.model.backbone.drop_path_rate == 0.1
    assert cfg.model.decode_head.channels == cfg.model.decode_head.in_channels[-1] == 384
    rates = learning_rates(cfg)
    assert len(rates) == 60000
    assert rates[1500] == max(rates) == pytest.approx(1e-4)
    assert rates[-1] == pytest.approx(0, abs=1e-8)


def test_rates_of_the_layers_by_vims_recipe() -> None:
    cfg = load(VIMS)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        backbone = MODELS.build(cfg.model.backbone)
        model = nn.ModuleDict(dict(backbone=backbone, decode_head=nn.Conv2d(2, 3, 1)))
        groups = build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
    found = {group['param_name']: group for group in groups}
    for layer, name in {
        0: 'backbone.stem.0.conv.weight',
        1: 'backbone.stages.0.1.attn.query.weight',
        24: 'backbone.stages.3.2.attn.query.weight',
        25: 'decode_head.weight',
    }.items():
        assert found[name]['lr'] == pytest.approx(1e-4 * 0.92 ** (25 - layer)), name
        assert found[name]['weight_decay'] == 0.05
    flat = [name for name in found if name.endswith(('.bias', '.scale', '.beta', 'bn.weight'))]
    assert len(flat) > 100
    assert {found[name]['weight_decay'] for name in flat} == {0}


def rows_of_the_recipe(heading: str) -> list[list[str]]:
    """The rows of the table below a heading of docs/recipe.md, as cells."""
    page = (CONFIG_DIR.parent / 'docs/recipe.md').read_text()
    section = page.split(f'\n## {heading}', 1)[1].split('\n## ')[0]
    lines = [line for line in section.splitlines() if line.startswith('|')][2:]
    return [[cell.strip() for cell in line.strip('|').split(' | ')] for line in lines]


@pytest.mark.parametrize(
    ('heading', 'number'), [('ImageNet-1K', 15), ('COCO', 5), ('ADE20K', 7)], ids=str
)
def test_each_line_of_the_recipe_has_its_source(heading: str, number: int) -> None:
    rows = rows_of_the_recipe(heading)
    assert len(rows) == number
    for name, paper, authors, *_ in rows:
        assert paper == '-' or re.search(r'\((Section \d|Table \d)', paper), name
        assert authors == '-' or re.search(r'README|`[\w/]+\.py`', authors), name
