"""Public releases of other papers' backbones, with random weights, load strictly."""

import math
from collections.abc import Callable
from pathlib import Path

import peer_releases as releases
import pytest
import torch
from checkpoint_files import prefixed
from mmengine.config import Config
from peer_releases import CASES, CLASSIFIER, HIERARCHICAL
from torch import nn

from vminet_mm import peers
from vminet_mm.checkpoints import load_peer
from vminet_mm.checkpoints.peers import FORMATS
from vminet_mm.engine.weights import require_fit
from vminet_mm.errors import CheckpointMismatchError, ConfigError

every_peer = pytest.mark.parametrize('name', CASES)


def build(name: str, **options: object) -> nn.Module:
    """A small backbone; those with positions have four of them, of an image of 32 x 32."""
    size = {} if name in HIERARCHICAL else dict(img_size=32)
    return getattr(peers, name)(**dict(arch=CASES[name][1]) | size | options)


def released(name: str, seed: int = 0) -> dict[str, torch.Tensor]:
    return releases.weights(CASES[name][0], seed)


def load(name: str, path: str, init: dict | None = None, **options: object) -> nn.Module:
    init_cfg = dict(type='Pretrained', checkpoint=path, **(init or {}))
    model = build(name, init_cfg=init_cfg, **options)
    model.init_weights()
    return model


def same_numbers(model: nn.Module, state: dict[str, torch.Tensor]) -> bool:
    """Whether the model holds just the values of a state dict, whatever the names."""
    own, given = ([v.flatten() for v in x.values()] for x in (model.state_dict(), state))
    return sorted(map(fingerprint, own)) == sorted(map(fingerprint, given))


def fingerprint(value: torch.Tensor) -> tuple[int, float, float]:
    weights = torch.arange(1, value.numel() + 1, dtype=torch.double)
    return value.numel(), value.double().sum().item(), (value.double() @ weights).item()


def test_every_peer_has_a_format() -> None:
    assert set(FORMATS) == set(CASES) == set(peers.HOMES) - {'LVTClsHead'}


@pytest.mark.parametrize(
    ('shapes', 'params'),
    [
        (releases.vmamba(96, (2, 2, 8, 2), 1, 1.0, 1000), 30249064),
        (releases.efficient_vmamba(64, (2, 2, 4, 2), 1000), 11273688),
        (releases.vim(192, 24, 196, 1000), 7148008),
        (releases.lvt(peers.LVT.arch_settings['base'], 1000), 5521844),
    ],
)
def test_releases_have_the_size_that_their_authors_print(
    shapes: releases.Shapes, params: int
) -> None:
    statistics = ('running_mean', 'running_var', 'num_batches_tracked')
    sizes = [math.prod(s) for name, s in shapes.items() if not name.endswith(statistics)]
    assert sum(sizes) == params


@every_peer
def test_releases_load(name: str, write: Callable, log: list[str]) -> None:
    state = released(name)
    path = write(CASES[name][2](state))
    model = load(name, path, **CLASSIFIER.get(name, {}))
    head = [k for k in state if 'head' in k or name == 'LVT' and not k.startswith('backbone.')]
    assert same_numbers(model, {k: v for k, v in state.items() if k not in head})
    (line,) = [line for line in log if 'tensors loaded' in line]
    number = len(model.state_dict())
    entry = 'model' if 'model' in CASES[name][2]({}) else 'state_dict'
    assert f'{name} from {path} [{entry}]: {number} of {number} tensors loaded, 0 of' in line
    assert f'; 0 left as initialized; {len(head)} of the file not used (' in line


@every_peer
def test_each_tensor_goes_where_its_name_says(name: str, write: Callable) -> None:
    """Blocks are alike in shape: one that takes another's place would not be noticed above."""
    state = released(name)
    model = load(name, write(state), **CLASSIFIER.get(name, {}))
    own = model.state_dict()
    common = {k.removeprefix('backbone.'): v for k, v in state.items()}
    common = {k: v for k, v in common.items() if k in own}
    assert len(common) > len(own) / 3 or name == 'LVT'
    for key, value in common.items():
        torch.testing.assert_close(own[key].reshape(value.shape), value, msg=key)
    if name == 'LVT':
        assert own.keys() == {k for k in own if k.startswith('stages.')}
        for key, value in own.items():
            torch.testing.assert_close(value, state[key.replace('stages', 'backbone')], msg=key)
    if name == 'EfficientVMamba':
        block = model.layers[2]['blocks'][1]
        weight = state['layers.2.2.conv_pw.0.weight']
        torch.testing.assert_close(block.conv_pw[0].weight.data, weight)
        merging = model.layers[2]['downsample'].reduction.weight[:, :, 0, 0]
        torch.testing.assert_close(merging.data, state['layers.2.4.reduction.weight'])
    if name in ('EfficientVMamba', 'VMamba'):
        torch.testing.assert_close(model.outnorm3.bias.data, state['classifier.norm.bias'])


@every_peer
def test_dense_models_take_a_classifier(name: str, write: Callable, log: list[str]) -> None:
    outputs = (0, 1, 2, 3) if name in HIERARCHICAL else (0, 1)
    model = load(name, write(released(name)), out_indices=outputs)
    assert len(model.eval()(torch.randn(1, 3, 32, 32))) == len(outputs)
    left = {
        'EfficientVMamba': '6 left as initialized (outnorm0, outnorm1, outnorm2)',
        'LVT': '0 left as initialized;',
        'LocalVim': '6 left as initialized (layers.0.norm, layers.1.norm, outnorm_0, outnorm_1)',
        'PlainMamba': '2 left as initialized (norm_layer0)',
        'VMamba': '6 left as initialized (outnorm0, outnorm1, outnorm2)',
        'Vim': '0 left as initialized;',
    }[name]
    assert left in log[-1]
    assert ('1 of them resized' in log[-1]) == (name == 'Vim')  # it has no class token


@every_peer
def test_what_mm_writes_loads(name: str, write: Callable) -> None:
    outputs = dict(out_indices=(0, 1))
    state = load(name, write(released(name)), **outputs).state_dict()
    assert ('layers.0.norm.bias' in state) == (name in ('LocalVim', 'PlainMamba'))
    detector = prefixed('backbone.', state) | {'neck.conv.weight': torch.ones(3)}
    for content in (state, dict(state_dict=detector), prefixed('module.', detector)):
        model = load(name, write(content), **outputs)
        for key, value in model.state_dict().items():
            torch.testing.assert_close(value, state[key], msg=key)


@pytest.mark.parametrize('name', ['LocalVim', 'PlainMamba', 'Vim'])
def test_positions_are_resized(name: str, write: Callable, log: list[str]) -> None:
    model = load(name, write(released(name)), img_size=(48, 64))
    assert model.pos_embed.shape == (1, 12, 16)
    assert f'{3 if name == "LocalVim" else 1} of them resized' in log[-1]


@pytest.mark.parametrize('name', ['LocalVim', 'PlainMamba', 'Vim'])
def test_positions_of_an_image_that_is_no_square(name: str, write: Callable) -> None:
    """They fit a model of the same grid, a dense one too; of another, they cannot be laid out."""
    given = dict(img_size=(32, 48), **CLASSIFIER.get(name, {}))
    state = build(name, **given).state_dict()
    path = write(state)
    for options in (given, dict(img_size=(32, 48))):
        positions = load(name, path, **options).pos_embed[0]
        assert positions[:3].tolist() == state['pos_embed'][0, :3].tolist()
        assert positions[-3:].tolist() == state['pos_embed'][0, -3:].tolist()
    with pytest.raises(CheckpointMismatchError, match='pos_embed is .* img_size'):
        load(name, path, img_size=48)


def test_convolutions_of_1_x_1_may_have_two_dimensions_or_four(write: Callable) -> None:
    state = released('VMamba')
    key = 'layers.0.blocks.0.mlp.fc1.weight'
    four = load('VMamba', write(state | {key: state[key][:, :, None, None]})).state_dict()[key]
    torch.testing.assert_close(four[:, :, 0, 0], state[key])


def test_averaged_weights(write: Callable) -> None:
    state, averaged = released('VMamba'), released('VMamba', seed=1)
    path = write(dict(model=state, model_ema=averaged))
    for ema, wanted in ((False, state), (True, averaged)):
        model = load('VMamba', path, dict(ema=ema))
        torch.testing.assert_close(model.outnorm3.weight.data, wanted['classifier.norm.weight'])
    with pytest.raises(CheckpointMismatchError, match='no averaged weights'):
        load('VMamba', write(dict(model=state)), dict(ema=True))


def test_prefix(write: Callable) -> None:
    path = write(prefixed('net.', released('VMamba')))
    load('VMamba', path, dict(prefix='net'))
    with pytest.raises(CheckpointMismatchError, match='holds no VMamba'):
        load('VMamba', path)
    with pytest.raises(CheckpointMismatchError, match="no VMamba under prefix='module'"):
        load('VMamba', path, dict(prefix='module'))


def without(state: dict, key: str) -> dict:
    return {k: v for k, v in state.items() if k != key}


KEY = 'layers.1.blocks.0.op.A_logs'
BAD = {
    'A_logs .* is missing': lambda s: without(s, KEY),
    'layers.4.bias .* is not in the model': lambda s: s | {'layers.4.bias': torch.ones(3)},
    r'A_logs is \(8, 2\) in the checkpoint and': lambda s: s | {KEY: torch.ones(8, 2)},
    '1 tensors have NaN': lambda s: s | {KEY: torch.full_like(s[KEY], torch.nan)},
}


@pytest.mark.parametrize('problem', BAD)
def test_what_does_not_fit_is_an_error_and_changes_nothing(problem: str, write: Callable) -> None:
    model = build('VMamba')
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(CheckpointMismatchError, match=f'does not fit the VMamba: .*{problem}'):
        load_peer(model, write(BAD[problem](released('VMamba'))))
    for key, value in model.state_dict().items():
        torch.testing.assert_close(value, before[key], msg=key)


def test_another_arch_is_an_error(write: Callable) -> None:
    with pytest.raises(
        CheckpointMismatchError, match='Give the arch and, for positions, the img_size'
    ):
        load('Vim', write(released('Vim')), arch=dict(embed_dims=16, num_layers=3))


def test_a_class_token_is_not_spared_where_it_is_needed(write: Callable) -> None:
    path = write(without(released('Vim'), 'cls_token'))
    load('Vim', path)
    with pytest.raises(CheckpointMismatchError, match='cls_token .* is missing'):
        load('Vim', path, out_type='cls_token')


def test_a_run_is_refused_before_it_starts(write: Callable, tmp_path: Path) -> None:
    backbone = dict(type='VMamba', arch=CASES['VMamba'][1])
    cfg = Config(dict(model=dict(type='ImageClassifier', backbone=backbone)))
    state = released('VMamba')
    require_fit(cfg, [dict(checkpoint=write(state))])
    with pytest.raises(CheckpointMismatchError, match='A_logs .* is missing'):
        require_fit(cfg, [dict(checkpoint=write(without(state, KEY)))])
    with pytest.raises(ConfigError, match='holds a backbone'):
        require_fit(cfg, [dict(checkpoint=write(state), whole=True)])
    with pytest.raises(ConfigError, match='there is no checkpoint'):
        require_fit(cfg, [dict(checkpoint=str(tmp_path / 'absent.pth'))])
