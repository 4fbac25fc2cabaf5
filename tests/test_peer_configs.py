"""Configs of other papers' backbones have VMINet's recipe, and fit its necks and heads."""

import re
from copy import deepcopy
from functools import cache
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, DefaultScope

from vminet_mm.analysis import count_complexity
from vminet_mm.engine import load_config

CONFIG_DIR = Path(__file__).parents[1] / 'configs'
NAMES = [path.stem for path in sorted((CONFIG_DIR / 'peers').glob('*.py'))]
OWN = [name for name in NAMES if '-60k' in name]  # recipes of the authors
TABLE_2 = (
    *('vim-ti', 'vim-s', 'vmamba-t', 'local-vim-t', 'local-vim-s', 'plain-mamba-l1'),
    *('plain-mamba-l2', 'efficient-vmamba-s', 'lvt'),
)
DENSE = ('vim-ti', 'vim-s', 'vmamba-t', 'efficient-vmamba-s')
CLASSIFIER = r'(?P<model>[a-z0-9-]+)_3xb128-300e_in1k'
DETECTOR = r'mask-rcnn_(?P<model>[a-z0-9-]+)_(?P<neck>fpn|sfp)_1x_coco'
SEGMENTOR = r'upernet_(?P<model>[a-z0-9-]+)_(8xb2-160k|4xb8-60k)_ade20k-512x512'
OURS = {
    CLASSIFIER: 'cls/vminet-xs_3xb128-300e_in1k.py',
    SEGMENTOR: 'upernet/upernet_vminet-xs_8xb2-160k_ade20k-512x512.py',
}
DETECTORS = 'mask_rcnn/mask-rcnn_vminet-xs_{}_1x_coco.py'
of_dense = pytest.mark.parametrize('name', [n for n in NAMES if not n.endswith('in1k')])


@cache
def _read(path: str) -> Config:
    return load_config(CONFIG_DIR / path)


def load(name: str) -> Config:
    return deepcopy(_read(f'peers/{name}.py'))


def ours(name: str) -> Config:
    """The config of VMINet that a peer's inherits."""
    detector = re.fullmatch(DETECTOR, name)
    if detector:
        return deepcopy(_read(DETECTORS.format(detector['neck'])))
    (path,) = (path for pattern, path in OURS.items() if re.fullmatch(pattern, name))
    return deepcopy(_read(path))


def test_there_are_all_models_of_the_tables() -> None:
    found = {
        pattern: sorted(m['model'] for m in (re.fullmatch(pattern, n) for n in NAMES) if m)
        for pattern in (CLASSIFIER, DETECTOR, SEGMENTOR)
    }
    assert found[CLASSIFIER] == sorted(TABLE_2)
    assert found[DETECTOR] == sorted(DENSE)
    assert found[SEGMENTOR] == sorted((*DENSE, 'vim-ti', 'vim-s'))
    assert sum(map(len, found.values())) == len(NAMES)


@pytest.mark.parametrize('name', NAMES)
def test_name_says_which_model(name: str) -> None:
    backbone = load(name).model.backbone
    arch = f'-{backbone.arch}' if 'arch' in backbone else ''
    named = f'_{name}_'.replace('-', '')
    assert f'_{backbone.type.lower()}{arch}_'.replace('-', '') in named


@pytest.mark.parametrize('name', [name for name in NAMES if name not in OWN])
def test_recipe_is_that_of_vminet(name: str) -> None:
    cfg, expected = load(name), ours(name)
    named = dict(model=None, work_dir=None)  # the folder by the config
    assert {**cfg, **named} == {**expected, **named}
    # of the model the widths differ, and what makes a pyramid of one map
    changed = dict(backbone=None, neck=None)
    model, own = ({**c.model, **changed} for c in (cfg, expected))
    for part in ('head', 'decode_head', 'auxiliary_head'):
        for one in (model, own):
            if part in one:
                one[part] = {k: v for k, v in one[part].items() if k != 'in_channels'}
    if name.startswith('lvt_'):
        assert model['head'].pop('type') == 'LVTClsHead' and own['head'].pop('type')
        assert model['head'].pop('init_cfg') is None and own['head'].pop('init_cfg')
    assert model == own
    rates = [c.model.backbone.get('drop_path_rate', 0.0) for c in (cfg, expected)]
    assert rates[0] == rates[1]


@of_dense
def test_maps_fit_neck_and_heads(name: str) -> None:
    cfg = load(name)
    with DefaultScope.overwrite_default_scope(cfg.default_scope), torch.no_grad():
        maps = MODELS.build(cfg.model.backbone).eval()(torch.zeros(1, 3, 64, 96))
        if cfg.model.get('neck'):
            maps = MODELS.build(cfg.model.neck).eval()(maps)
    sizes = [tuple(y.shape[1:]) for y in maps]
    if 'rpn_head' in cfg.model:
        assert sizes == [(256, 16, 24), (256, 8, 12), (256, 4, 6), (256, 2, 3), (256, 1, 2)]
        return
    channels = cfg.model.decode_head.in_channels
    expected = [(c, 16 // 2**i, 24 // 2**i) for i, c in enumerate(channels)]
    assert sizes == expected
    assert cfg.model.auxiliary_head.in_channels == channels[2]


@pytest.mark.parametrize('name', OWN)
def test_recipe_of_vims_authors(name: str) -> None:
    cfg = load(name)
    rate, decay, layer_decay, width = {
        'ti': (2e-4, 0.1, 0.92, 192),
        's': (1e-4, 0.05, 0.95, 384),
    }[cfg.model.backbone.arch]
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.weight_decay) == ('AdamW', rate, decay)
    assert cfg.train_cfg.max_iters == 60000 == cfg.param_scheduler[1].end
    assert 60000 % cfg.train_cfg.val_interval == 0
    assert cfg.train_dataloader.batch_size * 4 == cfg.auto_scale_lr.base_batch_size == 32
    assert cfg.model.decode_head.channels == width
    assert cfg.model.test_cfg == dict(mode='slide', crop_size=(512, 512), stride=(341, 341))
    with DefaultScope.overwrite_default_scope(cfg.default_scope), torch.device('meta'):
        model = MODELS.build(cfg.model)
        groups = build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
    found = {group['param_name']: group for group in groups}
    for layer, names in {
        0: ('backbone.pos_embed', 'backbone.patch_embed.proj.weight'),
        1: ('backbone.layers.0.mixer.in_proj.weight',),
        24: ('backbone.layers.23.mixer.A_log',),
        25: ('decode_head.conv_seg.weight', 'neck.upsample_4x.0.weight'),
    }.items():
        for parameter in names:
            expected = rate * layer_decay ** (25 - layer)
            assert found[parameter]['lr'] == pytest.approx(expected), parameter
            assert found[parameter]['weight_decay'] == decay
    for parameter in ('backbone.layers.3.norm.weight', 'backbone.layers.3.mixer.D'):
        assert found[parameter]['weight_decay'] == 0


def test_macs_of_vmamba_are_those_that_its_authors_print() -> None:
    counts = count_complexity(load('vmamba-t_3xb128-300e_in1k'))
    assert counts.params == 30249064
    assert counts.authors_macs == 4905609984
