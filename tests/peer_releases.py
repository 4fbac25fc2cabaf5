"""Names and shapes of the tensors in the releases of other papers' backbones.

Written down from the authors' code, layer by layer, and not from ours.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from checkpoint_files import prefixed
from torch import Tensor

Shapes = dict[str, tuple[int, ...]]


def weights(shapes: Shapes, seed: int = 0) -> dict[str, Tensor]:
    """A state dict of random numbers; statistics of batch norms are positive."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in shapes.items():
        if name.endswith('num_batches_tracked'):
            state[name] = torch.tensor(7 + seed)
        else:
            state[name] = torch.rand(shape, generator=generator) * 0.2 + 0.1
    return state


def affine(name: str, out: int, *others: int, bias: bool = True) -> Shapes:
    """A layer with a weight, and perhaps a bias."""
    return {f'{name}.weight': (out, *others)} | ({f'{name}.bias': (out,)} if bias else {})


def batch_norm(name: str, channels: int) -> Shapes:
    statistics = {f'{name}.{part}': (channels,) for part in ('running_mean', 'running_var')}
    return affine(name, channels) | statistics | {f'{name}.num_batches_tracked': ()}


def ss2d(name: str, c: int, d: int, n: int, gated: bool, bias: bool) -> Shapes:
    """``SS2D`` of MzeroMiko/VMamba, with weights of linear layers."""
    rank = math.ceil(c / 16)
    return {
        f'{name}.x_proj_weight': (4, rank + 2 * n, d),
        f'{name}.dt_projs_weight': (4, d, rank),
        f'{name}.dt_projs_bias': (4, d),
        f'{name}.A_logs': (4 * d, n),
        f'{name}.Ds': (4 * d,),
        **affine(f'{name}.in_proj', d * (2 if gated else 1), c, bias=False),
        **affine(f'{name}.conv2d', d, 1, 3, 3, bias=bias),
        **affine(f'{name}.out_norm', d),
        **affine(f'{name}.out_proj', c, d, bias=False),
    }


def vmamba(width: int, depths: tuple[int, ...], state: int, ratio: float, classes: int) -> Shapes:
    """``VSSM`` with ``patchembed_version='v2'``, ``downsample_version='v3'`` and ``'ln2d'``."""
    shapes = affine('patch_embed.0', width // 2, 3, 3, 3) | affine('patch_embed.2', width // 2)
    shapes |= affine('patch_embed.5', width, width // 2, 3, 3) | affine('patch_embed.7', width)
    for i, depth in enumerate(depths):
        c = width * 2**i
        for j in range(depth):
            block = f'layers.{i}.blocks.{j}'
            shapes |= affine(f'{block}.norm', c) | affine(f'{block}.norm2', c)
            shapes |= ss2d(f'{block}.op', c, int(ratio * c), state, gated=False, bias=False)
            shapes |= affine(f'{block}.mlp.fc1', 4 * c, c) | affine(f'{block}.mlp.fc2', c, 4 * c)
        if i < 3:
            down = f'layers.{i}.downsample'
            shapes |= affine(f'{down}.1', 2 * c, c, 3, 3) | affine(f'{down}.3', 2 * c)
    return shapes | affine('classifier.norm', c) | affine('classifier.head', classes, c)


def efficient_vmamba(width: int, depths: tuple[int, ...], classes: int) -> Shapes:
    """``EfficientVSSM`` of TerryPei/EfficientVMamba with ``downsample_version='v1'``."""
    shapes = affine('patch_embed.0', width, 3, 4, 4) | affine('patch_embed.2', width)
    for i, depth in enumerate(depths):
        c = width * 2**i
        for j in range(depth):
            shapes |= _evss(f'layers.{i}.blocks.{j}', c) if i < 2 else {}
            shapes |= _inverted(f'layers.{i}.{j + 1}', c) if i > 1 else {}
        if i < 3:
            down = f'layers.{i}.' + ('downsample' if i < 2 else str(depth + 2))
            shapes |= affine(f'{down}.reduction', 2 * c, 4 * c, bias=False)
            shapes |= affine(f'{down}.norm', 4 * c)
    return shapes | affine('classifier.norm', c) | affine('classifier.head', classes, c)


def _evss(name: str, c: int) -> Shapes:
    return {
        **affine(f'{name}.norm', c),
        **ss2d(f'{name}.op', c, 2 * c, 16, gated=True, bias=True),
        **affine(f'{name}.conv_branch.0', c, 1, 3, 3),
        **batch_norm(f'{name}.conv_branch.1', c),
        **affine(f'{name}.conv_branch.3', c, c, 1, 1),
        **affine(f'{name}.se.norm', c),
        **affine(f'{name}.se.global_reduce', c // 8, c),
        **affine(f'{name}.se.channel_select', c, c // 8),
    }


def _inverted(name: str, c: int) -> Shapes:
    return {
        **affine(f'{name}.conv_pw.0', 4 * c, c, 1, 1, bias=False),
        **batch_norm(f'{name}.conv_pw.1', 4 * c),
        **affine(f'{name}.conv_dw.0', 4 * c, 1, 3, 3, bias=False),
        **batch_norm(f'{name}.conv_dw.1', 4 * c),
        **affine(f'{name}.se.conv_reduce', c // 2, 4 * c, 1, 1),
        **affine(f'{name}.se.conv_expand', 4 * c, c // 2, 1, 1),
        **affine(f'{name}.conv_pw2.0', c, 4 * c, 1, 1, bias=False),
        **batch_norm(f'{name}.conv_pw2.1', c),
    }


def lvt(arch: dict[str, tuple[int, ...]], classes: int) -> Shapes:
    """``lvt_cls`` of Chenglin-Yang/LVT."""
    shapes, before = {}, 3
    for i, c in enumerate(arch['channels']):
        edge = 3 if i else 7
        shapes |= affine(f'backbone.{i}.0.proj', c, before, edge, edge)
        shapes |= affine(f'backbone.{i}.0.norm', c)
        hidden, reduction = c * arch['mlp_ratios'][i], arch['reductions'][i]
        for j in range(arch['depths'][i]):
            block = f'backbone.{i}.1.{j}'
            shapes |= affine(f'{block}.norm1', c) | affine(f'{block}.norm2', c)
            shapes |= affine(f'{block}.attn.proj', c, c)
            if i == 0:
                shapes |= affine(f'{block}.attn.attn', 81 * arch['num_heads'][0], c)
                shapes |= affine(f'{block}.attn.weight', 9 * c, c, 1, 1, bias=False)
                mlp = affine('fc1', hidden, c) | affine('fc2', c, hidden)
            else:
                shapes |= affine(f'{block}.attn.q', c, c, bias=False)
                shapes |= affine(f'{block}.attn.kv', 2 * c, c, bias=False)
                shapes |= affine(f'{block}.attn.ds', c, 1, 3, 3, bias=False)
                if reduction > 1:
                    shapes |= affine(f'{block}.attn.sr', c, c, reduction, reduction)
                    shapes |= affine(f'{block}.attn.norm', c)
                mlp = affine('fc1', hidden, c, 1, 1) | affine('fc2', c, hidden, 1, 1)
                mlp |= affine('depconv', hidden, 1, 3, 3)
            shapes |= {f'{block}.mlp.{name}': shape for name, shape in mlp.items()}
        before = c
    for j in range(2):
        block = f'post_network.{j}'
        shapes |= affine(f'{block}.norm1', c) | affine(f'{block}.norm2', c)
        shapes |= affine(f'{block}.attn.kv', 2 * c, c, bias=False)
        shapes |= affine(f'{block}.attn.q', c, c, bias=False)
        shapes |= affine(f'{block}.attn.proj', c, c)
        shapes |= affine(f'{block}.mlp.fc1', 4 * c, c) | affine(f'{block}.mlp.fc2', c, 4 * c)
    shapes |= affine('norm', c) | affine('head', classes, c) | affine('aux_head', classes, c)
    return shapes | {'cls_token': (1, 1, c)}


def mamba(name: str, c: int, ending: str, matrix: str, conv: Shapes | None = None) -> Shapes:
    """What stands before a scan in ``mamba_ssm``, with the authors' endings."""
    d, rank = 2 * c, math.ceil(c / 16)
    return {
        f'{name}.{matrix}': (d, 16),
        f'{name}.D{ending}': (d,),
        **(affine(f'{name}.conv1d{ending}', d, 1, 4) if conv is None else conv),
        **affine(f'{name}.x_proj{ending}', rank + 32, d, bias=False),
        **affine(f'{name}.dt_proj{ending}', d, rank),
    }


def vim(c: int, layers: int, tokens: int, classes: int) -> Shapes:
    """``VisionMamba`` of hustvl/Vim, a class token in the middle."""
    shapes = {'cls_token': (1, 1, c), 'pos_embed': (1, tokens + 1, c), 'norm_f.weight': (c,)}
    shapes |= affine('patch_embed.proj', c, 3, 16, 16) | affine('head', classes, c)
    for i in range(layers):
        mixer = f'layers.{i}.mixer'
        shapes |= {f'layers.{i}.norm.weight': (c,)}
        shapes |= affine(f'{mixer}.in_proj', 4 * c, c, bias=False)
        shapes |= affine(f'{mixer}.out_proj', c, 2 * c, bias=False)
        shapes |= mamba(mixer, c, '', 'A_log') | mamba(mixer, c, '_b', 'A_b_log')
    return shapes


def local_vim(c: int, layers: int, tokens: int, classes: int) -> Shapes:
    """``VisionMamba`` of hunto/LocalMamba."""
    shapes = {'pos_embed': (1, tokens, c), 'norm_f.weight': (c,)}
    shapes |= {'rope.freqs_cos': (tokens, c), 'rope.freqs_sin': (tokens, c)}
    shapes |= affine('patch_embed.proj', c, 3, 16, 16) | affine('head', classes, c)
    for i in range(layers):
        mixer, d = f'layers.{i}.mixer', 2 * c
        shapes |= {f'layers.{i}.norm.weight': (c,)}
        shapes |= affine(f'{mixer}.in_proj', 2 * d, c, bias=False)
        shapes |= affine(f'{mixer}.out_proj', c, d, bias=False)
        for k in range(4):
            shapes |= mamba(mixer, c, f'_{k}', f'A_log_{k}')
        shapes |= affine(f'{mixer}.attn.norm', d)
        shapes |= affine(f'{mixer}.attn.global_reduce', d // 8, d)
        shapes |= affine(f'{mixer}.attn.channel_select', d, d // 8)
    return shapes


def plain_mamba(
    c: int, layers: int, tokens: int, classes: int, convs: int, conv_layers: tuple[int, ...]
) -> Shapes:
    """``PlainMamba`` of ChenhongyiYang/PlainMamba, a classifier of mmcls."""
    shapes = {'pos_embed': (1, tokens, c)} | affine('ln1', c)
    shapes |= affine('patch_embed.stem.0', 64, 3, 7, 7, bias=False)
    shapes |= batch_norm('patch_embed.stem.1', 64) | affine('patch_embed.projection', c, 64, 8, 8)
    for i in range(convs):
        shapes |= affine(f'patch_embed.convs.{3 * i}', 64, 64, 3, 3, bias=False)
        shapes |= batch_norm(f'patch_embed.convs.{3 * i + 1}', 64)
    for i in range(layers):
        mixer = f'layers.{i}.mamba'
        shapes |= affine(f'layers.{i}.norm', c) | {f'{mixer}.direction_Bs': (5, 16)}
        shapes |= affine(f'{mixer}.in_proj', 4 * c, c) | affine(f'{mixer}.out_proj', c, 2 * c)
        conv = affine(f'{mixer}.conv2d', 2 * c, 1, 7, 7)
        shapes |= mamba(mixer, c, '', 'A_log', conv)
        if i in conv_layers:
            shapes |= affine(f'layers.{i}.dw.0', c, 1, 3, 3, bias=False)
            shapes |= batch_norm(f'layers.{i}.dw.1', c)
    shapes = {f'backbone.{name}': shape for name, shape in shapes.items()}
    return shapes | affine('head.fc', classes, c)


DEPTHS = (1, 1, 2, 1)
LVT = dict(
    channels=(8, 8, 16, 16),
    depths=DEPTHS,
    num_heads=(2, 2, 4, 2),
    mlp_ratios=(2, 2, 2, 2),
    reductions=(8, 4, 2, 1),
)
COLUMN = dict(embed_dims=16, num_layers=2)
CONVS = dict(num_convs=2, conv_layers=(1,))
# type: tensors of a release, the arch, and how its trainer wraps them
CASES: dict[str, tuple[Shapes, dict, Callable[[dict], Any]]] = {
    'EfficientVMamba': (
        efficient_vmamba(16, DEPTHS, 5),
        dict(base_channels=16, depths=DEPTHS),
        lambda state: dict(state_dict=prefixed('module.module.', state), epoch=3),
    ),
    'LVT': (lvt(LVT, 5), LVT, lambda state: dict(state_dict=state, arch='lvt_cls')),
    'LocalVim': (
        local_vim(16, 2, 4, 5),
        COLUMN,
        lambda state: dict(state_dict=prefixed('module.', state)),
    ),
    'PlainMamba': (
        plain_mamba(16, 2, 4, 5, 2, (1,)),
        COLUMN | CONVS,
        lambda state: dict(meta=dict(epoch=300), state_dict=state),
    ),
    'VMamba': (
        vmamba(16, DEPTHS, 2, 1.5, 5),
        dict(base_channels=16, depths=DEPTHS, state_size=2, scan_ratio=1.5),
        lambda state: dict(model=state, model_ema=None, epoch=264),
    ),
    'Vim': (vim(16, 2, 4, 5), COLUMN, lambda state: dict(model=state, scaler={})),
}
HIERARCHICAL = ('EfficientVMamba', 'LVT', 'VMamba')
CLASSIFIER = dict(Vim=dict(out_type='cls_token'), LocalVim=dict(out_type='avg_featmap'))
