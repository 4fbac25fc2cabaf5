"""Checkpoints that do not fit are refused, with the reason and a fix in one line."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from checkpoint_files import OPTIONS, TINY, State, load, ours, prefixed, published, trained
from mmengine.config import Config

from vminet_mm import VMINet
from vminet_mm.checkpoints import read_checkpoint
from vminet_mm.checkpoints.formats import matching_config
from vminet_mm.errors import CheckpointMismatchError, UnsafeCheckpointError

WIDER = dict(TINY, base_channels=8)
FIRST, SECOND = OPTIONS['first'], OPTIONS['second']


def message(path: str, **options) -> str:
    """The error of loading a checkpoint, which is one line and changes nothing."""
    backbone = VMINet(**dict(arch=TINY, img_size=32) | options)
    backbone.init_cfg = dict(type='Pretrained', checkpoint=path)
    before = {k: v.clone() for k, v in backbone.state_dict().items()}
    with pytest.raises(CheckpointMismatchError) as caught:
        backbone.init_weights()
    assert all(torch.equal(v, before[k]) for k, v in backbone.state_dict().items())
    assert not backbone.is_init
    assert '\n' not in str(caught.value) and str(path) in str(caught.value)
    return str(caught.value)


def test_wrong_arch(write: Callable) -> None:
    text = message(write(published('first')), arch=WIDER, **FIRST)
    assert f'arch is {TINY} in the checkpoint and {WIDER} in the model' in text
    shapes = '(4, 32, 3, 3) in the checkpoint and (8, 32, 3, 3) in the model'
    assert f'stages.0.0.conv.weight is {shapes}' in text
    assert text.endswith(
        f"fits the options arch={TINY}, proj_bn=True, attention='vmi_sa', mask='none'"
    )
    deeper = dict(TINY, depths=[1, 1, 2, 2])
    text = message(write(published('first')), arch=deeper, **FIRST)
    assert "'depths': (1, 1, 2, 1)} in the checkpoint and " in text
    assert 'stages.3.2.dwconv.conv.weight (32, 1, 7, 7) is missing' in text
    assert 'and 16 more' in text  # a block has 22 tensors


def test_wrong_named_arch_and_release(write: Callable) -> None:
    path = write(trained('first', 'ti').state_dict())
    text = message(path, arch='xs', img_size=224)
    assert "arch is 'ti' in the checkpoint and 'xs' in the model" in text
    assert 'proj_bn is True in the checkpoint and False in the model' in text
    assert "mask is 'none' in the checkpoint and 'tril' in the model" in text
    assert text.endswith("arch='ti', proj_bn=True, attention='vmi_sa', mask='none'")
    path = write(trained('second', 'ti').state_dict())
    text = message(path, arch='ti', img_size=224, **FIRST)
    assert 'proj_bn is False in the checkpoint and True in the model' in text
    assert 'stages.0.1.proj.bn.weight (24,) is missing' in text
    assert "(the paper's is 'tril'), as in configs/cls/vminet-ti_3xb128-300e_in1k.py" in text


def test_wrong_mask(write: Callable) -> None:
    text = message(write(published('first')), proj_bn=True, mask='tril')
    assert "mask is 'none' in the checkpoint and 'tril' in the model. The " in text
    config = Config(dict(model=dict(backbone=dict(type='vminet_mm.VMINet', mask='hybrid'))))
    state = prefixed('backbone.', ours(mask='hybrid'))
    path = write(dict(state_dict=state, meta=dict(cfg=config.pretty_text)))
    assert "mask is 'hybrid' in the checkpoint and 'band' in the model" in message(
        path, mask='band'
    )
    text = message(path, mask='hybrid', band_halfwidth=0.25)
    assert 'band_halfwidth is 0.5 in the checkpoint and 0.25 in the model' in text
    config.model.backbone.pop('mask')  # then it is the default
    path = write(dict(state_dict=state, meta=dict(cfg=config.pretty_text)))
    assert "mask is 'tril' in the checkpoint" in message(path, mask='none')


def test_wrong_attention(write: Callable) -> None:
    text = message(write(ours(attention='none')))
    assert "attention is 'none' in the checkpoint and 'vmi_sa' in the model" in text
    assert 'stages.0.1.attn.alpha (8, 8) is missing' in text
    text = message(write(published('second')), attention='none', mask='band')
    assert "attention is 'vmi_sa' in the checkpoint and 'none' in the model" in text
    assert 'stages.0.1.attn.key.weight (8, 4, 1, 1) is not in the model' in text


MISSING = {
    'stem.0.conv.weight': 'stem.0.conv.weight (32, 3, 3, 3)',
    'stages.0.1.f1.conv.weight': 'stages.0.1.attn.query.weight (8, 4, 1, 1)',
    'stages.2.2.sum.weight': 'stages.2.2.attn.alpha (2, 2)',
    'stages.1.1.stack': 'stages.1.1.attn.scale (1,)',
    'stages.3.0.bn.running_var': 'stages.3.0.bn.running_var (32,)',
    'norm.bias': 'norm.bias (32,)',
}


@pytest.mark.parametrize('name', MISSING)
def test_missing_tensor(name: str, write: Callable) -> None:
    state = published('second')
    del state[name]
    text = message(write(dict(state_dict=state)))
    assert f'does not fit the backbone: {MISSING[name]} is missing' in text
    assert 'fits the options' not in text  # they are right


def test_extra_tensor(write: Callable) -> None:
    for name in ('stages.0.1.gate.weight', 'stages.4.1.f1.conv.weight', 'pos_embed', 'stem.1.x'):
        text = message(write(published('second') | {name: torch.ones(2, 3)}))
        assert f'backbone: {name} (2, 3) is not in the model' in text
    twice = published('second')
    twice['stages.0.1.dwconv.conv.bias'] = twice['stages.0.1.conv.conv.bias']
    assert 'stages.0.1.dwconv.conv.bias under two' in message(write(twice))


def test_wrong_shape(write: Callable) -> None:
    def changed(name: str, *shape: int) -> State:
        return published('second') | {name: torch.ones(shape)}

    text = message(write(changed('stages.0.1.f1.conv.weight', 9, 4, 1, 1)))
    assert (
        'backbone: stages.0.1.attn.query.weight is (9, 4, 1, 1) in the checkpoint '
        'and (8, 4, 1, 1) in the model' in text
    )
    assert 'stages.0.1.attn.beta is (2,)' in message(write(changed('stages.0.1.stack', 3)))
    assert 'stages.0.1.attn.beta is (0,)' in message(write(changed('stages.0.1.stack')))
    text = message(write(changed('stages.0.1.sum.weight', 1, 63)))
    assert 'stages.0.1.sum.weight (1, 63) is not of a square grid' in text
    alpha = ours() | {'stages.0.1.attn.alpha': torch.ones(64)}
    assert 'stages.0.1.attn.alpha is (64,) in the checkpoint' in message(write(alpha))
    alpha = ours() | {'stages.0.1.attn.alpha': torch.ones(0, 7)}
    assert 'stages.0.1.attn.alpha is (0, 7) in the checkpoint' in message(write(alpha))
    text = message(write(ours(in_channels=1)))
    assert 'stem.0.conv.weight is (32, 1, 3, 3)' in text


def test_shapes_of_no_arch(write: Callable) -> None:
    state = {
        k: v[:1, :1] if 'f1' in k and v.ndim == 4 else v for k, v in published('second').items()
    }
    for name in [k for k in state if k.startswith('stages.0.1')]:
        del state[name]
    assert 'not those of an arch' in message(write(state))


def test_no_vminet(write: Callable) -> None:
    text = message(write(dict(state_dict={'conv1.weight': torch.ones(3)})))
    assert 'holds no VMINet: none of its 1 tensors (conv1.weight)' in text
    assert 'none of its 0 tensors (nothing)' in message(write(dict(epoch=3)))
    assert 'none of its 0 tensors' in message(write({3: torch.ones(3)}))
    assert 'holds a list, no state dict' in message(write([torch.ones(3)]))
    text = message(write(prefixed('student.backbone.', published('second'))))
    assert text.endswith("there is one under prefix='student.backbone.'")
    path = write(published('second'))
    with pytest.raises(CheckpointMismatchError, match="no VMINet under prefix='net.'"):
        load(path, dict(prefix='net'))


def test_no_averaged_weights(write: Callable) -> None:
    for content in (published('second'), dict(state_dict=published('second'), epoch=3)):
        with pytest.raises(CheckpointMismatchError, match='no averaged weights, only .*without'):
            read_checkpoint(write(content), ema=True)


def test_missing_final_norm_of_a_detector(write: Callable) -> None:
    state = prefixed('backbone.', ours(out_indices=(0, 1, 2)))
    assert 'backbone: norm.weight (32,) is missing' in message(write(state))


def test_unknown_init_option(write: Callable) -> None:
    with pytest.raises(TypeError, match='prefx'):
        load(write(published('second')), dict(prefx='backbone.'))


class Hostile:
    """Runs a command where it is unpickled without care."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple:
        return os.system, (self.command,)


def test_nothing_of_a_file_is_run(tmp_path: Path, write: Callable) -> None:
    witness = tmp_path / 'witness'
    path = write(dict(state_dict=published('second'), epoch=Hostile(f'touch {witness}')))
    with pytest.raises(UnsafeCheckpointError):
        load(path)
    code = f"model = __import__('pathlib').Path({str(witness)!r}).touch() or dict(type='VMINet')"
    state = prefixed('backbone.', ours())
    for text in (code, 'model = (', '(' * 10_000, '-' * 100_000 + '1', '\0', 'model = 3', 7):
        load(write(dict(state_dict=state, meta=dict(cfg=text))))
    for meta in (None, 3, dict(vminet=dict(mask=['x'])), dict(vminet=3), dict(cfg='x=1' * 400_000)):
        load(write(dict(state_dict=state, meta=meta)))
    assert not witness.exists()


def test_matching_config_of_unusual_options() -> None:
    plain = dict(arch='xs', proj_bn=False, attention='vmi_sa')
    assert matching_config(plain) == 'configs/cls/vminet-xs_3xb128-300e_in1k.py'
    for other in (
        dict(arch=TINY),
        dict(proj_bn=True, mask='tril'),
        dict(proj_bn=True),
        dict(attention='none'),
        dict(mask='band', band_halfwidth=0.3),
        dict(arch='s', attention='none', proj_bn=True),
        dict(mask='nonsense'),
        dict(form='recurrent', recurrent_mask='inside'),
        dict(form='recurrent', mask='band'),
    ):
        assert matching_config(plain | other) is None


def test_wrong_form(write: Callable) -> None:
    text = message(write(ours(form='recurrent')))
    assert "form is 'recurrent' in the checkpoint and 'matrix' in the model" in text
    meta = dict(vminet=dict(mask='tril', form='recurrent', recurrent_mask='inside'))
    path = write(dict(state_dict=ours(form='recurrent'), meta=meta))
    text = message(path, form='recurrent')
    assert "recurrent_mask is 'inside' in the checkpoint and 'readout' in the model" in text
    load(path, form='recurrent', recurrent_mask='inside')
