"""Released classifiers of other papers that do not fit their config."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from peer_releases import local_vim, vim, weights

from vminet_mm.engine.peer_conversion import convert_peer
from vminet_mm.engine.weights import require_fit
from vminet_mm.errors import CheckpointMismatchError

VIM = weights(vim(16, 2, 4, 5))
WITHOUT_HEAD = {k: v for k, v in VIM.items() if not k.startswith('head.')}
# what is wrong: the state dict, and what is said of it
CASES = {
    "peer's checkpoint of another arch": (
        weights(vim(16, 3, 4, 5)),
        'is not in the model; and 14 more. Give the arch and, for positions, the img_size',
    ),
    'checkpoint of another peer': (weights(local_vim(16, 2, 4, 5)), 'does not fit the Vim: '),
    "peer's checkpoint that lacks a tensor": (
        {k: v for k, v in VIM.items() if k != 'layers.1.norm.weight'},
        'layers.1.norm.weight (16,) is missing',
    ),
    "peer's checkpoint with NaN": (
        VIM | {'norm_f.weight': torch.full((16,), float('nan'))},
        '1 tensors have NaN or infinite values (norm_f.weight)',
    ),
    "peer's class head of other classes": (
        WITHOUT_HEAD | {'head.weight': torch.ones(7, 16), 'head.bias': torch.ones(7)},
        'fc.weight is (7, 16) in the checkpoint and (5, 16) in the model',
    ),
    "peer's checkpoint without a class head": (WITHOUT_HEAD, 'has no class head; load it with'),
}


@pytest.fixture
def cfg() -> Config:
    """The config of a small classifier."""
    arch = dict(embed_dims=16, num_layers=2)
    backbone = dict(type='Vim', arch=arch, img_size=32, out_type='cls_token')
    head = dict(type='LinearClsHead', num_classes=5, in_channels=16)
    model = dict(type='ImageClassifier', backbone=backbone, head=head)
    return Config(dict(default_scope='mmpretrain', model=model))


@pytest.mark.parametrize('bad', CASES)
def test_the_converter_refuses(bad: str, cfg: Config, tmp_path: Path) -> None:
    state, text = CASES[bad]
    path = tmp_path / 'a.pth'
    torch.save(dict(model=state), path)
    with pytest.raises(CheckpointMismatchError) as caught:
        convert_peer(cfg, path, tmp_path / 'out.pth')
    assert text in str(caught.value) and str(path) in str(caught.value)
    assert '\n' not in str(caught.value) and not (tmp_path / 'out.pth').exists()


@pytest.mark.parametrize('bad', CASES)
def test_init_cfg_refuses_all_but_heads(bad: str, cfg: Config, tmp_path: Path) -> None:
    state, text = CASES[bad]
    start = [dict(checkpoint=str(tmp_path / 'a.pth'))]
    torch.save(dict(model=state), start[0]['checkpoint'])
    if 'class head' in bad:
        assert require_fit(cfg, start) is None
        return
    with pytest.raises(CheckpointMismatchError) as caught:
        require_fit(cfg, start)
    assert text in str(caught.value)
