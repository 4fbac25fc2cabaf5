"""Parameter groups: which learning rate and decay each parameter gets."""

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.optim import OptimWrapper, build_optim_wrapper
from torch import nn

from vminet_mm import VMINet
from vminet_mm.engine.optim import group_table, prepare_for_compiler

TINY = dict(base_channels=4, expansion=2, depths=(1, 2, 1, 1))
SHIPPED = dict(
    norm_decay_mult=0.0,
    custom_keys={'.scale': dict(decay_mult=0.0), '.beta': dict(decay_mult=0.0)},
)


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = VMINet(TINY, img_size=32)
        self.head = nn.Linear(32, 5)


def groups(model: nn.Module, lr: float = 1.0, **paramwise) -> dict[str, tuple[float, float]]:
    """Learning rate and decay by the name of the parameter."""
    wrapper = build_optim_wrapper(
        model,
        dict(
            constructor='LayerDecayOptimWrapperConstructor',
            optimizer=dict(type='AdamW', lr=lr, weight_decay=0.5),
            paramwise_cfg=paramwise,
        ),
    )
    names = {parameter: name for name, parameter in model.named_parameters()}
    found = {}
    for group in wrapper.optimizer.param_groups:
        for parameter in group['params']:
            assert group['param_name'] == names[parameter]
            found[names[parameter]] = (group['lr'], group['weight_decay'])
    assert found.keys() == set(names.values())
    return found


def test_a_factor_for_the_backbone_keeps_the_rules_of_decay() -> None:
    keys = SHIPPED['custom_keys'] | {'backbone': dict(lr_mult=0.1)}
    found = groups(Model(), **dict(SHIPPED, custom_keys=keys))
    block = 'backbone.stages.1.2.'
    assert found[block + 'attn.query.weight'] == (0.1, 0.5)
    assert found[block + 'attn.query.bias'] == (0.1, 0.5)
    assert found[block + 'dwconv.bn.weight'] == found[block + 'dwconv.bn.bias'] == (0.1, 0)
    assert found[block + 'attn.scale'] == found[block + 'attn.beta'] == (0.1, 0)
    assert found['head.weight'] == (1.0, 0.5)


def test_of_each_setting_the_longest_key_counts() -> None:
    keys = {'backbone.stem': dict(lr_mult=0.5), 'backbone': dict(lr_mult=0.1, decay_mult=2.0)}
    found = groups(Model(), norm_decay_mult=0.0, custom_keys=keys)
    assert found['backbone.stem.0.conv.weight'] == (0.5, 1.0)
    assert found['backbone.norm.weight'] == (0.1, 1.0)  # told apart from the norms' rule
    assert found['head.bias'] == (1.0, 0.5)


def test_layer_decay() -> None:
    found = groups(Model(), layer_decay_rate=0.5, **SHIPPED)
    # stem, five blocks each with the down-sampling before it, and what stands behind
    for name, power in {
        'backbone.stem.0.conv.weight': 6,
        'backbone.stages.0.0.conv.weight': 5,
        'backbone.stages.0.1.attn.alpha': 5,
        'backbone.stages.1.0.conv.bias': 4,
        'backbone.stages.1.1.proj.conv.weight': 4,
        'backbone.stages.1.2.proj.conv.weight': 3,
        'backbone.stages.3.1.dwconv.conv.weight': 1,
        'head.weight': 0,
    }.items():
        assert found[name] == (0.5**power, 0.5), name
    assert found['backbone.norm.weight'] == (1.0, 0)
    assert found['backbone.stages.0.1.attn.scale'] == (0.5**5, 0)


def test_depths_fit_mmpretrains_constructor() -> None:
    model = VMINet(dict(TINY, depths=(0, 1, 0, 2)), out_indices=(0, 3))
    depths = {name: model.get_layer_depth(name) for name, _ in model.named_parameters()}
    assert {number for _, number in depths.values()} == {5}
    assert sorted({depth for depth, _ in depths.values()}) == [0, 1, 2, 3, 4]
    assert model.get_layer_depth('backbone.stages.3.2.attn.alpha', 'backbone.') == (3, 5)
    assert model.get_layer_depth('head.fc.weight', 'backbone.') == (4, 5)


def test_bad_layer_decay() -> None:
    with pytest.raises(ValueError, match='layer_decay_rate'):
        groups(Model(), layer_decay_rate=1.5)
    model = Model()
    model.backbone = nn.Linear(2, 2)
    with pytest.raises(ValueError, match='get_layer_depth.*Linear'):
        groups(model, layer_decay_rate=0.5)


def test_plain_groups_and_their_table() -> None:
    model = Model()
    model.head.bias.requires_grad_(False)
    optimizer = torch.optim.AdamW(
        [
            dict(params=[model.head.weight], weight_decay=0.0),
            dict(params=list(model.backbone.parameters()), lr=0.5),
        ],
        lr=0.25,
        weight_decay=0.1,
    )
    optimizer.param_groups[0] = ConfigDict(optimizer.param_groups[0])
    prepare_for_compiler(OptimWrapper(optimizer))
    assert all(type(group) is dict for group in optimizer.param_groups)
    head, first, second, frozen = group_table(model, optimizer)
    backbone = list(model.backbone.parameters())
    assert head.split()[:4] == ['lr', 'decay', 'tensors', 'params']
    numbers = ['0.5', '0.1', str(len(backbone)), f'{sum(p.numel() for p in backbone):,}']
    assert first.split()[:4] == numbers
    assert second.split() == ['0.25', '0', '1', '160', 'head.weight']
    assert frozen.split() == ['frozen', '1']
