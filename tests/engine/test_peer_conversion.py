"""Classifiers of other papers as checkpoints of mmpretrain: every tensor in its place."""

import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import mmpretrain.models  # noqa: F401  registers
import pytest
import torch
from mmengine.config import Config
from peer_releases import CASES, CLASSIFIER, HIERARCHICAL, weights
from torch import Tensor

from vminet_mm.engine.peer_conversion import convert_peer
from vminet_mm.engine.weights import build_model, load_weights
from vminet_mm.errors import CheckpointError, CheckpointMismatchError, ConfigError

TOOL = Path(__file__).parents[2] / 'tools/model_converters/peer_to_mm.py'


def classifier(name: str, classes: int = 5) -> Config:
    """The config of a small classifier, as those in configs/peers are."""
    size = {} if name in HIERARCHICAL else dict(img_size=32)
    backbone = dict(type=name, arch=CASES[name][1], **size, **CLASSIFIER.get(name, {}))
    width = CASES[name][1].get('embed_dims') or (16 if name == 'LVT' else 16 * 8)
    head = dict(type='LVTClsHead' if name == 'LVT' else 'LinearClsHead')
    head |= dict(num_classes=classes, in_channels=width)
    if name == 'LVT':
        head |= dict(num_heads=8)
    model = dict(type='ImageClassifier', backbone=backbone, head=head)
    if name not in CLASSIFIER and name != 'LVT':
        model['neck'] = dict(type='GlobalAveragePooling')
    return Config(dict(default_scope='mmpretrain', model=model))


def names_of_head(name: str) -> dict[str, str]:
    """Ours of the class head's tensors in a release, by theirs."""
    if name == 'LVT':
        ours = [k for k in CASES[name][0] if not k.startswith('backbone.')]
        return {k: f'head.{k}' for k in ours}
    theirs = 'classifier.head' if name in HIERARCHICAL else 'head'
    theirs = 'head.fc' if name == 'PlainMamba' else theirs
    return {f'{theirs}.{part}': f'head.fc.{part}' for part in ('weight', 'bias')}


@pytest.mark.parametrize('name', CASES)
def test_head_and_backbone_are_taken(name: str, write: Callable, tmp_path: Path) -> None:
    cfg, state, dst = classifier(name), weights(CASES[name][0]), tmp_path / 'new/mm.pth'
    told = convert_peer(cfg, write(CASES[name][2](state)), dst)
    model = build_model(cfg.model, 'mmpretrain').eval()
    load_weights(model, dst, 'the config')  # as tools/test.py, strictly
    own, heads = model.state_dict(), names_of_head(name)
    for theirs, ours in heads.items():
        torch.testing.assert_close(own[ours], state[theirs], msg=ours)
    assert f'{len(own) - len(heads)} tensors, 0 of them resized, and {len(heads)} of' in told
    assert '; 0 of the file not used\n' in told
    scores = model.head(model.extract_feat(torch.randn(2, 3, 32, 32)))
    assert scores.shape == (2, 5) and scores.isfinite().all()
    again = tmp_path / 'again.pth'
    convert_peer(cfg, dst, again)  # what it has written can be read
    for key, value in torch.load(again, weights_only=True)['state_dict'].items():
        torch.testing.assert_close(value, own[key], msg=key)


@pytest.mark.parametrize('name', [name for name in CASES if name not in HIERARCHICAL])
def test_positions_of_another_image(name: str, write: Callable, tmp_path: Path) -> None:
    """A release of 2 x 2 patches as a classifier of 3 x 5: OpenCV's bicubic resizing agrees."""
    cfg, state, dst = classifier(name), weights(CASES[name][0]), tmp_path / 'mm.pth'
    cfg.model.backbone.img_size = (48, 80)
    tables = ['pos_embed', *(['rope.freqs_cos', 'rope.freqs_sin'] if name == 'LocalVim' else [])]
    told = convert_peer(cfg, write(CASES[name][2](state)), dst)
    assert f'{len(tables)} of them resized' in told and '; 0 of the file not used\n' in told
    model = build_model(cfg.model, 'mmpretrain').eval()
    load_weights(model, dst, 'the config')
    own = model.backbone.state_dict()
    theirs = {k.removeprefix('backbone.'): v for k, v in state.items()}
    for table in tables:
        before, after = theirs[table].view(-1, 16), own[table].view(-1, 16)
        if name == 'Vim':  # the class token's stays in the middle
            assert torch.equal(after[7], before[2])
            before, after = (x[torch.arange(len(x)) != (len(x) - 1) // 2] for x in (before, after))
        field = cv2.resize(before.view(2, 2, 16).numpy(), (5, 3), interpolation=cv2.INTER_CUBIC)
        torch.testing.assert_close(after.view(3, 5, 16), torch.from_numpy(field))
    for key in own.keys() - set(tables):
        torch.testing.assert_close(own[key], theirs[key], msg=key)
    scores = model.head(model.extract_feat(torch.randn(2, 3, 48, 80)))
    assert scores.shape == (2, 5) and scores.isfinite().all()


def without(state: dict[str, Tensor], key: str) -> dict[str, Tensor]:
    return {k: v for k, v in state.items() if k != key}


WEIGHT = 'classifier.head.weight'
BAD = {
    'has no class head': lambda s: without(without(s, WEIGHT), 'classifier.head.bias'),
    r'fc.weight \(5, 128\) is missing': lambda s: without(s, WEIGHT),
    r'fc.weight is \(7, 128\) in the checkpoint and': lambda s: s | {WEIGHT: torch.ones(7, 128)},
    '1 tensors have NaN': lambda s: s | {WEIGHT: torch.full((5, 128), torch.nan)},
    'whole classifier: outnorm3.bias is missing': lambda s: without(s, 'classifier.norm.bias'),
}


@pytest.mark.parametrize('problem', BAD)
def test_heads_that_do_not_fit_are_refused(problem: str, write: Callable, tmp_path: Path) -> None:
    state = weights(CASES['VMamba'][0])
    with pytest.raises(CheckpointMismatchError, match=problem):
        convert_peer(classifier('VMamba'), write(BAD[problem](state)), tmp_path / 'mm.pth')
    assert not (tmp_path / 'mm.pth').exists()


def test_other_configs_are_refused(write: Callable, tmp_path: Path) -> None:
    path = write(weights(CASES['Vim'][0]))
    cfg = classifier('Vim')
    cfg.model.backbone = dict(type='VMINet', arch='ti')
    with pytest.raises(ConfigError, match='a classifier whose backbone is one of .*VMamba'):
        convert_peer(cfg, path, tmp_path / 'mm.pth')
    with pytest.raises(CheckpointMismatchError, match='Give num_classes'):
        convert_peer(classifier('Vim', classes=6), path, tmp_path / 'mm.pth')
    with pytest.raises(CheckpointError, match='absent'):
        convert_peer(classifier('Vim'), tmp_path / 'absent.pth', tmp_path / 'mm.pth')


def test_tool(
    write: Callable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    state, averaged = (weights(CASES['VMamba'][0], seed) for seed in (0, 1))
    path, dst = write(dict(model=state, model_ema=averaged)), str(tmp_path / 'mm.pth')
    config = str(tmp_path / 'config.py')
    classifier('VMamba').dump(config)

    def run(*args: str) -> None:
        monkeypatch.setattr(sys, 'argv', ['peer_to_mm.py', config, path, dst, *args])
        runpy.run_path(str(TOOL), run_name='__main__')

    run('--ema')
    printed = capsys.readouterr().out
    assert re.search(rf'{path} \[model_ema\]: VMamba, \d+ tensors, 0 of them resized', printed)
    with pytest.raises(SystemExit) as caught:
        run()
    assert str(caught.value) == f'error: {dst} exists; overwrite it with --force'
    for switches, wanted in ((['--force', '--ema'], averaged), (['--force'], state)):
        run(*switches)
        head = torch.load(dst, weights_only=True)['state_dict']['head.fc.weight']
        torch.testing.assert_close(head, wanted[WEIGHT])
