"""Reading checkpoints of every kind, and loading them into the backbone."""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoint_files import (
    OPTIONS,
    TINY,
    State,
    assert_loaded,
    load,
    ours,
    prefixed,
    published,
    trained,
)
from mmengine.config import Config
from mmengine.model import PretrainedInit
from mmengine.runner import CheckpointLoader
from torch import nn

from vminet_mm import VMINet
from vminet_mm.checkpoints import load_backbone, read_checkpoint
from vminet_mm.checkpoints.formats import has_old_names
from vminet_mm.errors import CheckpointMismatchError

LOADED = dict(first='145 of 160', second='120 of 135')  # tensors of a tiny dense backbone


def timm_file(state: State, averaged: State) -> dict:
    """What timm's saver writes."""
    return dict(
        epoch=299,
        arch='vminet_XS',
        state_dict=state,
        optimizer=dict(state={0: dict(exp_avg=torch.ones(3))}, param_groups=[dict(lr=1e-5)]),
        version=2,
        args=argparse.Namespace(model='vminet_XS', mask='none', lr=1e-3),
        amp_scaler=dict(scale=65536.0),
        state_dict_ema=averaged,
        metric=np.float64(78.6),
    )


# name: what is written, given the wanted state dict and another; whether ema is asked for
PUBLISHED = {
    'bare': (lambda s, _: s, False),
    'module.': (lambda s, _: prefixed('module.', s), False),
    'module._orig_mod.': (lambda s, _: prefixed('module._orig_mod.', s), False),
    'state_dict': (lambda s, _: dict(state_dict=s), False),
    'model': (lambda s, o: dict(model=prefixed('module.', s), model_ema=o), False),
    'model_ema': (lambda s, o: dict(model=o, model_ema=prefixed('module.', s)), True),
    'timm': (lambda s, o: timm_file(s, o), False),
    'timm module.': (lambda s, o: timm_file(prefixed('module.', s), o), False),
    'timm ema': (lambda s, o: timm_file(o, s), True),
    'timm ema module.': (lambda s, o: timm_file(o, prefixed('module.', s)), True),
    'only ema': (lambda s, _: dict(epoch=3, state_dict_ema=s), False),
    'averaged model': (lambda s, _: prefixed('module.', s) | dict(steps=torch.ones(())), False),
    'prefix': (lambda s, _: prefixed('net.', s), False),
}


@pytest.mark.parametrize('kind', PUBLISHED)
@pytest.mark.parametrize('release', OPTIONS)
def test_published(release: str, kind: str, write: Callable, log: list[str]) -> None:
    model = trained(release, TINY, seed=1, img_size=32, num_classes=5).double()
    make, ema = PUBLISHED[kind]
    path = write(make(published(release, seed=1), published(release, seed=2)))
    prefix = 'net' if kind == 'prefix' else None
    backbone = load(path, dict(ema=ema, prefix=prefix), **OPTIONS[release]).double()
    head = read_checkpoint(path, ema, prefix).head
    x = torch.randn(2, 3, 32, 32, dtype=torch.double)
    with torch.no_grad():
        logits = nn.functional.linear(
            backbone(x)[-1].mean((2, 3)), head['weight'].double(), head['bias'].double()
        )
        torch.testing.assert_close(logits, model(x), rtol=1e-9, atol=1e-9)
    lines = [line for line in log if 'tensors loaded' in line]
    assert len(lines) == 1
    assert f'({release} release): {LOADED[release]} tensors loaded, 0 of them' in lines[0]
    assert '; 15 left as initialized (norm0, norm1, norm2)' in lines[0]
    assert '2 of the file not used (head)' in lines[0]
    assert ('does not name its mask' in lines[0]) == (release == 'second')


@pytest.mark.parametrize('release', OPTIONS)
def test_the_mask_and_alpha_matter_to_the_comparison(release: str, write: Callable) -> None:
    model = trained(release, TINY, seed=1, img_size=32, num_classes=5)
    path = write(model.state_dict())
    x = torch.randn(2, 3, 32, 32)
    backbone = load(path, **OPTIONS[release])
    right = backbone(x)[-1].mean((2, 3))
    block = backbone.stages[0][1]
    block.attn.mask_spans = None  # what is known of a mask that is overwritten
    mask = block.attn.mask
    mask.logical_not_() if not mask.all() else mask.copy_(mask.tril())
    wrong = backbone(x)[-1].mean((2, 3))
    assert (right - wrong).abs().max() > 1e-4 * right.abs().max()


def test_counters_of_batches_may_be_absent(write: Callable, log: list[str]) -> None:
    state = {k: v for k, v in published('second').items() if 'num_batches' not in k}
    backbone = load(write(state))
    torch.testing.assert_close(backbone.norm.running_var, state['norm.running_var'])
    assert '109 of 135 tensors loaded, 0 of them resized; 26 left as initialized' in log[-1]


def test_half_precision_files(write: Callable) -> None:
    for dtype in (torch.float16, torch.bfloat16):
        state = {
            k: v.to(dtype) if v.is_floating_point() else v for k, v in published('first').items()
        }
        backbone = load(write(state), img_size=40, **OPTIONS['first'])  # alpha is resized as well
        assert {p.dtype for p in backbone.parameters()} == {torch.float32}
        weight = state['stages.0.1.f1.conv.weight'].float()
        torch.testing.assert_close(backbone.stages[0][1].attn.query.weight, weight, rtol=0, atol=0)


def text(**backbone) -> str:
    """The text of a config as MMEngine keeps it."""
    cfg = dict(
        decoy=dict(type='VMINet', mask='block'),
        model=dict(type='ImageClassifier', backbone=dict(type='VMINet', **backbone)),
        optim_wrapper=dict(paramwise_cfg=dict(custom_keys={'backbone.norm': dict(lr_mult=0.1)})),
    )
    return Config(cfg).pretty_text


def mm_files(state: State, other: State) -> dict[str, dict]:
    """The wanted weights and others, in the files of MMEngine's trainers."""
    head = {'head.fc.weight': torch.ones(5, 32), 'head.fc.bias': torch.ones(5)}
    whole = prefixed('backbone.', state) | head
    raw = prefixed('module.backbone.', other) | dict(steps=torch.tensor(7))
    detector = prefixed('backbone.', state) | {
        'neck.branches.0.0.weight': torch.ones(3),
        'roi_head.bbox_head.fc_cls.weight': torch.ones(3),
        'rpn_head.rpn_conv.weight': torch.ones(3),
    }
    meta = dict(cfg=text(arch='xs', mask='band'), epoch=3)
    return {
        'bare backbone': state,
        'bare classifier': whole,
        'classifier': dict(meta=meta, state_dict=whole, optimizer=dict(state={})),
        'EMA': dict(meta=meta, state_dict=whole, ema_state_dict=raw),
        'data parallel': dict(meta=meta, state_dict=prefixed('module.', whole)),
        'detector': dict(meta=meta, state_dict=detector, message_hub={}),
        'converted': dict(meta=dict(vminet=dict(mask='band', release='x')), state_dict=whole),
    }


@pytest.mark.parametrize('kind', mm_files({}, {}))
def test_mm_checkpoints(kind: str, write: Callable, log: list[str]) -> None:
    state = ours(1, out_indices=(0, 3))
    path = write(mm_files(state, ours(2))[kind])
    backbone = load(path, dict(ema=kind == 'EMA'), mask='band')
    assert_loaded(backbone, state)
    torch.testing.assert_close(backbone.norm0.weight.data, state['norm0.weight'])
    assert '(mm release): 125 of 135 tensors loaded, 0 of them resized; 10 left' in log[-1]
    assert ('does not name its mask' in log[-1]) == ('bare' in kind)


def test_mmengine_averaged_weights_are_taken_in_either_case(write: Callable) -> None:
    state = ours(1)
    path = write(mm_files(state, ours(2))['EMA'])
    assert_loaded(load(path, mask='band'), state)


def test_names_from_before_the_attention_was_a_module(write: Callable) -> None:
    state = ours(1)
    old = {name.replace('.attn.', '.'): value for name, value in state.items()}
    assert has_old_names(prefixed('backbone.', old)) and not has_old_names(state)
    assert not has_old_names({'stages.0.1.alpha': 1, 'head.norm.beta': 2})  # of another model
    assert_loaded(load(write(dict(state_dict=prefixed('backbone.', old)))), state)


def test_another_native_grid_is_resized(write: Callable, log: list[str]) -> None:
    state = published('second')
    backbone = load(write(state), img_size=160)
    assert backbone.stages[0][1].attn.alpha.shape == (40, 40)
    # the sum of the weights stays, roughly: bicubic rounds at the edges
    total = state['stages.0.1.sum.weight'].sum()
    torch.testing.assert_close(backbone.stages[0][1].attn.alpha.sum(), total, rtol=0.1, atol=0.1)
    resized = [line for line in log if 'resized from the grid' in line]
    assert len(resized) == 5
    assert (
        'stages.0.1.attn.alpha resized from the grid (8, 8) of the checkpoint to (40, 40)'
        in resized
    )
    assert '120 of 135 tensors loaded, 5 of them resized; 15 left' in log[-1]


def test_init_weights_loads_once(write: Callable, log: list[str]) -> None:
    backbone = load(write(published('second')))
    nn.init.constant_(backbone.stem[0].conv.weight, 3.0)
    backbone.init_weights()
    assert (backbone.stem[0].conv.weight == 3).all()
    assert sum('tensors loaded' in line for line in log) == 1


@pytest.mark.parametrize('kind', ['Pretrained', PretrainedInit])
def test_init_cfg_as_a_list(kind: object, write: Callable) -> None:
    state = published('second')
    init_cfg = [
        dict(type=kind, checkpoint=write(state), map_location='cpu'),
        dict(type='Constant', layer='BatchNorm2d', val=7.0),
    ]
    backbone = load('', init_cfg=init_cfg, norm_eval='auto')
    assert backbone.norm_eval
    assert (backbone.norm0.weight == 7).all()  # the checkpoint has none
    torch.testing.assert_close(backbone.norm.weight.data, state['norm.weight'])


def test_init_cfg_without_a_checkpoint() -> None:
    backbone = VMINet(TINY, init_cfg=[dict(type='Constant', layer='Conv2d', val=0.5)])
    backbone.init_weights()
    assert (backbone.stages[0][1].attn.query.weight == 0.5).all() and not backbone.norm_eval
    backbone = VMINet(TINY, init_cfg=[])
    backbone.init_weights()
    assert backbone.is_init


def test_no_attention(write: Callable, log: list[str]) -> None:
    state = ours(1, attention='none')
    for content in (state, dict(state_dict=state, meta=dict(cfg=text(attention='none')))):
        assert_loaded(load(write(content), attention='none', mask='band'), state)
        assert 'mask' not in log[-1]


def test_load_backbone_into_a_frozen_one(write: Callable) -> None:
    state = published('first')
    backbone = VMINet(TINY, img_size=32, frozen_stages=2, **OPTIONS['first'])
    load_backbone(backbone, Path(write(state)))
    torch.testing.assert_close(backbone.stem[0].bn.running_var, state['stem.0.bn.running_var'])
    assert not backbone.stem[0].conv.weight.requires_grad


def test_an_address_goes_through_mmengine(monkeypatch: pytest.MonkeyPatch) -> None:
    state, asked = published('first'), []
    monkeypatch.setattr(
        CheckpointLoader, 'load_checkpoint', lambda *args: asked.append(args) or dict(model=state)
    )
    assert read_checkpoint('https://a.test/b.pth').release == 'first'
    assert asked == [('https://a.test/b.pth', 'cpu')]


def test_recurrent_form(write: Callable, log: list[str]) -> None:
    state = ours(form='recurrent')
    assert_loaded(load(write(state), form='recurrent'), state)
    assert 'tensors loaded, 0 of them resized' in log[-1]
    cfg = Config(dict(model=dict(backbone=dict(type='VMINet', arch=TINY, form='recurrent'))))
    checkpoint = read_checkpoint(write(dict(state_dict=state, meta=dict(cfg=cfg.pretty_text))))
    assert checkpoint.settings == dict(mask='tril', recurrent_mask='readout')
    assert checkpoint.options(VMINet.arch_settings)['form'] == 'recurrent'
    load(write(state), form='recurrent', img_size=64)
    assert 'of them resized' in log[-1] and ' 0 of them' not in log[-1]


@pytest.mark.parametrize('attention', ['vmi_sa', 'none'])
def test_strides_are_told_by_the_config(attention: str, write: Callable) -> None:
    strides = dict(stem_stride=1, strides=(1, 2, 2, 2))
    state = ours(attention=attention, **strides)
    cfg = text(attention=attention, **strides)
    checkpoint = read_checkpoint(write(dict(state_dict=state, meta=dict(cfg=cfg))))
    told = checkpoint.options(VMINet.arch_settings)
    assert {name: told[name] for name in strides} == strides
    if attention == 'vmi_sa':
        assert checkpoint.img_size == (32, 32)
        # a file without strides is taken for one of the paper's strides
        assert read_checkpoint(write(state)).img_size == (128, 128)


@pytest.mark.parametrize(('edge', 'other'), [(3, 7), (7, 3), (5, 3)])
def test_kernel_size_is_told_by_the_shapes(edge: int, other: int, write: Callable) -> None:
    path = write(ours(kernel_size=edge))
    told = read_checkpoint(path).options(VMINet.arch_settings)
    assert told.get('kernel_size', 7) == edge
    load(path, kernel_size=edge)
    fits = f'kernel_size is {edge} in the checkpoint and {other} in the model'
    with pytest.raises(CheckpointMismatchError, match=fits):
        load(path, kernel_size=other)


def test_other_strides_are_logged(write: Callable, log: list[str]) -> None:
    """Of a file that tells its options; the same grids, so that nothing is resized."""
    strides = dict(stem_stride=1, strides=(1, 2, 2, 2))
    state = ours(**strides)
    told = dict(state_dict=state, meta=dict(cfg=text(**strides)))
    load(write(told), img_size=128)
    assert ' 0 of them resized' in log[-1]
    assert 'with the strides (1, 1, 2, 2, 2), the model has (2, 2, 2, 2, 2)' in log[-1]
    for content, options in ((told, strides), (state, dict(img_size=128))):
        load(write(content), **options)
        assert 'the strides' not in log[-1]


@pytest.mark.parametrize('strides', ["'2222'", '(2, 2)', '(1, 2, 2, -2)', '[1, None, 2, 2]', '7'])
def test_strides_that_are_none_are_not_taken(strides: str, write: Callable) -> None:
    cfg = f"model = dict(backbone=dict(type='VMINet', strides={strides}))"
    checkpoint = read_checkpoint(write(dict(state_dict=ours(), meta=dict(cfg=cfg))))
    assert checkpoint.settings == dict(mask='tril') and checkpoint.img_size == (32, 32)
