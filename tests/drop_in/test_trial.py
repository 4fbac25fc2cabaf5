"""One folder at a time: real ones, and made ones that fail or are not applicable."""

import re
from pathlib import Path

import pytest
import torch
from mmengine.structures import InstanceData

from drop_in import trial
from drop_in.errors import NotApplicableError
from drop_in.folders import candidates, config_root, find_config, list_folders
from drop_in.trial import FAILS, NOT_APPLICABLE, WORKS, try_folder
from vminet_mm.models import VMINet

pytestmark = pytest.mark.slow

DETECTOR = """
default_scope = 'mmdet'
model = dict(
    type='FCOS',
    data_preprocessor=dict(type='DetDataPreprocessor', pad_size_divisor=32),
    backbone=dict(type='ResNet', depth=18, out_indices=(1, 2, 3)),
    neck=dict(type='FPN', in_channels=[128, 256, 512], out_channels=16, num_outs=5),
    bbox_head=dict(
        type='FCOSHead', num_classes=3, in_channels=16, feat_channels=16, norm_cfg=dict(type='BN')
    ),
    test_cfg=dict(nms=dict(type='nms', iou_threshold=0.5), max_per_img=5, score_thr=0.5),
)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / 'configs/made').mkdir(parents=True)
    return tmp_path / 'configs/made'


def write(folder: Path, text: str, name: str = 'made_coco.py') -> Path:
    (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize(
    ('library', 'name', 'swap'),
    [
        ('mmdet', 'retinanet', 'ResNet (64, 128, 256, 512) -> VMINet (24, 48, 96, 192)'),
        (
            'mmseg',
            'segformer',
            'MixVisionTransformer (32, 64, 160, 256) -> VMINet (24, 48, 96, 192)',
        ),
    ],
)
def test_real_folders_work(library: str, name: str, swap: str) -> None:
    outcome = try_folder(config_root(library) / name, library)
    assert (outcome.status, outcome.reason, outcome.swaps) == (WORKS, '', [swap])
    assert (outcome.library, outcome.folder) == (library, name)
    assert outcome.config.startswith(name)
    assert outcome.seconds > 0


@pytest.mark.parametrize(
    ('library', 'name', 'why'),
    [('mmseg', 'pidnet', 'one design'), ('mmdet', 'common', 'no config of the folder has a model')],
)
def test_real_folders_that_are_not_applicable(library: str, name: str, why: str) -> None:
    outcome = try_folder(config_root(library) / name, library)
    assert outcome.status == NOT_APPLICABLE
    assert why in outcome.reason


def test_made_folder_works(folder: Path) -> None:
    outcome = try_folder(write(folder, DETECTOR), 'mmdet')
    assert (outcome.status, outcome.reason, outcome.config) == (WORKS, '', 'made_coco.py')


@pytest.mark.parametrize(
    ('old', 'new', 'reason'),
    [
        ('128, 256, 512', '128, 256', r'swap: SwapError: FPN: in_channels \(128, 256\)'),
        ("'FCOSHead'", "'NoHead'", 'build: KeyError: .*NoHead'),
        ('in_channels=16', 'in_channels=15', 'loss and gradients: RuntimeError: .*channels'),
        ('default_scope', 'default_scope =', 'config: SyntaxError'),
    ],
)
def test_failures_say_in_which_step(folder: Path, old: str, new: str, reason: str) -> None:
    outcome = try_folder(write(folder, DETECTOR.replace(old, new)), 'mmdet')
    assert outcome.status == FAILS
    assert re.match(reason, outcome.reason)
    assert '\n' not in outcome.reason


def test_failure_in_prediction(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mmdet.models import FCOS

    monkeypatch.setattr(FCOS, 'predict', lambda self, inputs, samples: samples[:1])
    outcome = try_folder(write(folder, DETECTOR), 'mmdet')
    assert outcome.reason == 'predict: TrialError: 1 predictions of 2 inputs'


def test_gradients_that_are_cut_off_are_noticed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = VMINet.forward
    monkeypatch.setattr(VMINet, 'forward', lambda self, x: [y.detach() for y in forward(self, x)])
    outcome = try_folder(write(folder, DETECTOR), 'mmdet')
    assert outcome.reason == 'loss and gradients: TrialError: no gradient reaches the backbone'


def test_every_used_stage_must_be_reached() -> None:
    backbone = VMINet(dict(base_channels=4, expansion=2, depths=(1, 1, 1, 1)), out_indices=(1, 2))
    _, last = backbone(torch.randn(1, 3, 33, 65))
    assert not trial._is_reached(backbone)
    last.square().sum().backward()
    assert trial._is_reached(backbone)
    backbone.stages[1][0].conv.weight.grad = None
    assert not trial._is_reached(backbone)


def test_numbers_that_are_not_finite_are_named() -> None:
    losses = dict(loss_a=torch.tensor(1.0), loss_b=[torch.tensor(1.0), torch.tensor(torch.nan)])
    with pytest.raises(trial.TrialError, match='^loss_b.1 is not finite'):
        trial._require_finite(losses)
    found = InstanceData(scores=torch.tensor([0.5, torch.inf]), labels=torch.tensor([1, 2]))
    with pytest.raises(trial.TrialError, match='^pred.scores is not finite'):
        trial._require_finite(dict(pred=found))
    losses.pop('loss_b')
    assert trial._require_finite(losses) is None


def test_the_config_that_stands_for_a_folder(folder: Path) -> None:
    for name in (
        'zmade_r50_coco.py',
        'made_r50-long_coco.py',
        'made_r50_coco.py',
        'made_r5_voc.py',
    ):
        write(folder, DETECTOR, name)
    assert [path.name for path in candidates(folder)] == [
        'made_r50_coco.py',
        'made_r50-long_coco.py',
        'made_r5_voc.py',
        'zmade_r50_coco.py',
    ]
    write(folder, "_base_ = 'absent.py'\n", 'made_r_coco.py')  # as one of mmdet's has
    write(folder, 'data = 1\n', 'made__coco.py')
    path, cfg = find_config(folder)
    assert (path.name, cfg.model.type) == ('made_r50_coco.py', 'FCOS')
    for path in folder.glob('*.py'):
        path.unlink()
    with pytest.raises(NotApplicableError, match='no config'):
        find_config(folder)


def test_all_folders_are_listed() -> None:
    names = [path.name for path in list_folders('mmdet')]
    assert {'retinanet', 'gn+ws', 'dino', 'common'} <= set(names)
    assert names == sorted(names)
    assert not any(name.startswith('_') for name in names)
    for library in ('mmdet', 'mmseg'):
        assert len(list_folders(library)) > 50
