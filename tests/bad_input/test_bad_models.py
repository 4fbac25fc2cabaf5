"""Invalid options of a model: the error names the option and the valid choices."""

import numpy as np
import pytest
from mmengine.registry import MODELS

from vminet_mm.engine.weights import build_model
from vminet_mm.errors import ConfigError
from vminet_mm.models.options import parse_arch, parse_out_indices, parse_size

TINY = dict(base_channels=4, expansion=2, depths=(1, 1, 2, 1))
NAN = float('nan')

# what is wrong: the options, and what is said of them
BACKBONES = {
    'unknown arch': (
        dict(arch='xl'),
        "unknown arch 'xl'; choose one of ti, xs, s, b, or give a dict of base_channels, "
        'expansion and depths',
    ),
    'arch that is no name': (dict(arch=5), 'unknown arch 5; choose one of ti, xs, s, b'),
    'arch without depths': (
        dict(arch=dict(base_channels=8, expansion=2)),
        "an arch dict must have the keys ['base_channels', 'depths', 'expansion'], not",
    ),
    'arch without channels': (
        dict(arch=dict(TINY, base_channels=0)),
        'base_channels of the arch must be a whole number from 1, not 0',
    ),
    'arch with a fraction as expansion': (
        dict(arch=dict(TINY, expansion=1.5)),
        'expansion of the arch must be a whole number from 1, not 1.5',
    ),
    'arch of three stages': (
        dict(arch=dict(TINY, depths=(1, 2, 1))),
        'depths must be four numbers of blocks, not (1, 2, 1)',
    ),
    'arch with half a block': (
        dict(arch=dict(TINY, depths=(1, 1, 0.5, 1))),
        'depths must be four numbers of blocks, not (1, 1, 0.5, 1)',
    ),
    'unknown attention': (dict(attention='softmax'), "attention must be 'vmi_sa' or 'none'"),
    'unknown mask': (
        dict(mask='diagonal'),
        "'none' or 'hybrid', not 'diagonal'",
    ),
    'unknown form': (dict(form='eq9'), "form must be 'matrix' or 'recurrent'"),
    'unknown impl': (
        dict(impl='cuda'),
        "'triton' or 'reference', not 'cuda'",
    ),
    'unknown context_resize': (
        dict(context_resize='crop'),
        "context_resize must be 'pool' or 'interpolate', not 'crop'",
    ),
    'unknown recurrent_mask': (
        dict(form='recurrent', recurrent_mask='outside'),
        "recurrent_mask must be 'readout' or 'inside'",
    ),
    'out_indices past the last stage': (
        dict(out_indices=(0, 4)),
        'out_indices must name stages 0..3 (or negative), not (0, 4)',
    ),
    'out_indices before the first stage': (
        dict(out_indices=-5),
        'out_indices must name stages 0..3 (or negative), not -5',
    ),
    'out_indices without a stage': (dict(out_indices=()), 'out_indices must name stages 0..3'),
    'out_indices as text': (dict(out_indices='all'), "0..3 (or negative), not 'all'"),
    'out_indices with a fraction': (dict(out_indices=(1.5,)), 'or negative), not (1.5,)'),
    'img_size of no pixel': (
        dict(img_size=0),
        'img_size must be a number of pixels or (height, width), not 0',
    ),
    'img_size of three numbers': (dict(img_size=(3, 32, 32)), '(height, width), not (3, 32, 32)'),
    'image without channels': (
        dict(in_channels=0),
        'in_channels must be a whole number from 1, not 0',
    ),
    'drop_path_rate of 1': (
        dict(drop_path_rate=1.0),
        'drop_path_rate must be a number from 0 to below 1, not 1.0',
    ),
    'negative drop_path_rate': (dict(drop_path_rate=-0.1), 'from 0 to below 1, not -0.1'),
    'negative band_halfwidth': (
        dict(mask='band', band_halfwidth=-1),
        'band_halfwidth must be a number from 0, not -1',
    ),
    'band_halfwidth of NaN': (dict(mask='band', band_halfwidth=NAN), 'a number from 0, not nan'),
    'frozen_stages past the last stage': (
        dict(frozen_stages=5),
        'frozen_stages must be in -1..4, not 5',
    ),
    'norm_eval as text': (
        dict(norm_eval='yes'),
        "norm_eval must be True, False or 'auto', not 'yes'",
    ),
    'channels_last as text': (
        dict(channels_last='no'),
        "channels_last must be True, False or 'auto', not 'no'",
    ),
    'unknown norm': (
        dict(norm_cfg=dict(type='BatchNorm2')),
        "norm_cfg: unknown type 'BatchNorm2'; such as BN, SyncBN, GN and LN",
    ),
    'norm without a type': (dict(norm_cfg=dict(eps=1e-5)), 'norm_cfg must be a dict with a type'),
    'init_cfg as text': (
        dict(init_cfg='a.pth'),
        "init_cfg holds 'a.pth' and not a dict; write init_cfg=dict(type='Pretrained', "
        'checkpoint=FILE)',
    ),
    'Pretrained without a checkpoint': (
        dict(init_cfg=dict(type='Pretrained')),
        'init_cfg of type Pretrained names no checkpoint; write',
    ),
}
NECKS = {
    'neck: in_index past the last map': (
        dict(in_channels=[4, 8], in_index=2),
        'in_index=2 is none of 2 in_channels',
    ),
    'neck: no channels': (
        dict(in_channels=0),
        'in_channels must be a whole number from 1, not 0',
    ),
    'neck: channels that cannot be halved': (
        dict(in_channels=12),
        '12 channels cannot be halved 3 times for x8',
    ),
    'neck: no level': (
        dict(in_channels=32, scale_factors=()),
        'scale_factors must name at least one level',
    ),
    'neck: scale of no power of two': (
        dict(in_channels=32, scale_factors=(3, 1)),
        'scale_factors must be powers of two, not 3',
    ),
    'neck: fewer outputs than levels': (
        dict(in_channels=32, num_outs=2),
        'num_outs=2 is less than the 4 scale_factors',
    ),
}
LAYERS = dict(embed_dims=16, num_layers=2)
PEERS = {
    'peer of an unknown arch': (
        dict(type='Vim', arch='b'),
        "unknown arch 'b'; choose one of ti, s, or a dict",
    ),
    'peer without a number of layers': (
        dict(type='LocalVim', arch=dict(embed_dims=16)),
        'a whole number from 1, not None',
    ),
    'peer of an unknown out_type': (
        dict(type='Vim', arch=LAYERS, out_type='raw'),
        "out_type must be 'cls_token' or 'featmap', not 'raw'",
    ),
    'peer with an unknown scan': (
        dict(type='Vim', arch=LAYERS, impl='cuda'),
        "'cuda'; choose one of auto, torch, mamba_ssm",
    ),
    'unknown direction of a scan': (
        dict(type='LocalVim', arch=LAYERS, directions=['h', 'w3']),
        "'w3'; choose of h, v, w2, w7",
    ),
    'directions for other layers': (
        dict(type='LocalVim', arch=LAYERS, directions=['h']),
        'directions are 1 for 2 layers',
    ),
    'patches with an odd edge': (
        dict(type='PlainMamba', patch_size=7),
        'patch_size must be even, not 7',
    ),
}
CASES = {
    **PEERS,
    **{k: (dict(type='VMINet', arch=TINY) | o, text) for k, (o, text) in BACKBONES.items()},
    **{k: (dict(type='SimpleFeaturePyramid') | o, text) for k, (o, text) in NECKS.items()},
}


@pytest.mark.parametrize('bad', CASES)
def test_bad_option(bad: str) -> None:
    config, text = CASES[bad]
    with pytest.raises(ValueError) as caught:
        MODELS.build(dict(config))
    assert text in str(caught.value)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('bad', ['unknown arch', 'neck: no level', 'peer of an unknown arch'])
def test_tools_name_the_part(bad: str) -> None:
    config, text = CASES[bad]
    with pytest.raises(ConfigError) as caught:
        build_model(dict(config), 'mmdet', 'the model of a.py')
    expected = f'the model of a.py cannot be built: {config["type"]}: ValueError: {text}'
    assert str(caught.value).startswith(expected)


def test_a_scan_without_its_package() -> None:
    with pytest.raises(ConfigError, match=r"Vim: ImportError: .*install it or use impl='torch'"):
        build_model(dict(type='Vim', arch=LAYERS, impl='mamba_ssm'), 'mmseg')


def test_unknown_option() -> None:
    with pytest.raises(ConfigError, match=r"VMINet: TypeError: .* argument 'dropout'"):
        build_model(dict(type='VMINet', dropout=0.1), 'mmseg')


def test_arrays_are_taken() -> None:
    assert parse_out_indices(np.array([3, -4]), 4) == (0, 3)
    assert parse_size('img_size', np.array([32, 48])) == (32, 48)
    assert parse_arch(dict(TINY, depths=np.array(TINY['depths'])), {}) == TINY
    for given in (np.array([0.5]), dict(a=1), {}):
        with pytest.raises(ValueError, match='out_indices must name stages'):
            parse_out_indices(given, 4)
