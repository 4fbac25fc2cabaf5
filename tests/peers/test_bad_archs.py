"""Archs and options with which the backbones of other papers cannot be built."""

from typing import Any

import pytest
from columnar_cases import ARCHS as COLUMNAR
from tiny_peers import ARCHS as HIERARCHICAL

from vminet_mm import peers

ARCHS = HIERARCHICAL | COLUMNAR


@pytest.mark.parametrize(
    ('name', 'key', 'value'),
    [
        ('VMamba', 'depths', (1, 1, 1)),
        ('VMamba', 'depths', (1, 1, 1, 1, 1)),
        ('VMamba', 'depths', 2),
        ('VMamba', 'depths', (1, 1, 1, -1)),
        ('VMamba', 'state_size', 0),
        ('VMamba', 'scan_ratio', -1),
        ('VMamba', 'scan_ratio', 0),
        ('VMamba', 'base_channels', 1.5),
        ('EfficientVMamba', 'base_channels', 4),
        ('EfficientVMamba', 'base_channels', 'a'),
        ('EfficientVMamba', 'depths', ('1', 1, 1, 1)),
        ('LVT', 'depths', (1, 1, 1)),
        ('LVT', 'channels', (9, 8, 16, 16)),
        ('LVT', 'reductions', (8, 4, 2, 0)),
        ('LVT', 'mlp_ratios', 4),
        ('Vim', 'embed_dims', 0),
        ('Vim', 'num_layers', 2.0),
        ('LocalVim', 'embed_dims', 30),
        ('PlainMamba', 'conv_layers', (3,)),
        ('PlainMamba', 'conv_layers', 1),
        ('PlainMamba', 'conv_layers', (-1,)),
        ('PlainMamba', 'num_convs', -1),
    ],
)
def test_values_of_an_arch(name: str, key: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f'{key} of the arch'):
        getattr(peers, name)(ARCHS[name] | {key: value})


def test_values_that_may_be_zero_or_lists() -> None:
    assert len(peers.VMamba(ARCHS['VMamba'] | dict(depths=[1, 0, 0, 1])).layers) == 4
    assert peers.PlainMamba(ARCHS['PlainMamba'] | dict(num_convs=0)).arch['conv_layers'] == (1,)


@pytest.mark.parametrize('directions', [['', '', ''], ['h', '', 'h']])
def test_layers_without_a_direction(directions: list[str]) -> None:
    with pytest.raises(ValueError, match='at least one direction'):
        peers.LocalVim(ARCHS['LocalVim'], directions=directions)


@pytest.mark.parametrize('name', ARCHS)
@pytest.mark.parametrize(
    'options', [dict(frozen_stages=1.0), dict(frozen_stages=True), dict(with_cp='no')]
)
def test_options_of_a_wrong_type(name: str, options: dict) -> None:
    (option,) = options
    with pytest.raises(ValueError, match=option):
        getattr(peers, name)(ARCHS[name], **options)
