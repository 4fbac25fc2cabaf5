"""What padding does to features and accuracy, measured on tiny models."""

import re
import runpy
from pathlib import Path

import pytest
import torch
from mmengine.dataset import pseudo_collate
from tiny_configs import tiny_config, write_model

from vminet_mm.analysis import batch_invariance
from vminet_mm.analysis.batch_invariance import (
    Row,
    Study,
    feature_changes,
    padded,
    to_table,
    with_companion,
)
from vminet_mm.engine import set_data_root
from vminet_mm.errors import ConfigError
from vminet_mm.models import VMINet
from vminet_mm.models.padding import image_sizes

TOOL = str(Path(__file__).parents[2] / 'tools/analysis_tools/batch_invariance.py')
FOLDERS = dict(detection='coco', segmentation='ade')


def study_of(task: str, mini_root: Path) -> Study:
    cfg = tiny_config(task)
    set_data_root(cfg, str(mini_root / FOLDERS[task]))
    return Study(cfg, device='cpu')


def test_companion() -> None:
    image = torch.randn(1, 3, 20, 31)
    batch = with_companion(image, 12)
    assert batch.shape == (2, 3, 32, 43) and image_sizes(batch) == ((20, 31), (32, 43))
    assert torch.equal(batch[:1, :, :20, :31], image)
    assert batch.count_nonzero() == image.count_nonzero()


def test_feature_changes_by_hand() -> None:
    backbone = VMINet(dict(base_channels=4, expansion=2, depths=(1, 0, 0, 1)), 64, out_indices=0)
    backbone.eval()
    images = [torch.randn(1, 3, 32, 64), torch.randn(1, 3, 64, 32)]
    expected = 0
    for image in images:
        height, width = image.shape[2:]
        larger = torch.zeros(1, 3, height + 32, width + 32)
        larger[:, :, :height, :width] = image
        with torch.no_grad():
            alone = backbone(image)[0]
            beside = backbone(larger)[0][:, :, : height // 4, : width // 4]
        expected += ((beside - alone).square().sum() / alone.square().sum()).sqrt() / 2
    assert expected > 1e-3
    assert feature_changes(backbone, images, 32, False) == pytest.approx([float(expected)])
    assert feature_changes(backbone, images, 0, False)[0] < 1e-6
    assert feature_changes(backbone, images, 32, True)[0] < 1e-6


@pytest.mark.parametrize('task', FOLDERS)
def test_study(task: str, mini_root: Path) -> None:
    study = study_of(task, mini_root)
    rows = list(study.rows([0, 32], 2, evaluate=True))
    assert [(row.masked, row.padding) for row in rows] == [
        (False, 0), (False, 32), (True, 0), (True, 32)
    ]  # fmt: skip
    assert max(rows[0].changes + rows[2].changes + rows[3].changes) < 1e-5
    assert min(rows[1].changes) > 1e-4
    names = ['mIoU'] if task == 'segmentation' else [
        'coco/bbox_mAP', 'coco/bbox_mAP_50', 'coco/segm_mAP', 'coco/segm_mAP_50'
    ]  # fmt: skip
    assert all(list(row.metrics) == names for row in rows)
    assert rows[0].metrics == rows[2].metrics
    assert not study.model.backbone.mask_padding


def test_padded_prediction_has_the_size_of_the_image(mini_root: Path) -> None:
    study = study_of('segmentation', mini_root)
    data = pseudo_collate([study.loader.dataset[0]])
    with padded(study.model.data_preprocessor, 40), torch.no_grad():
        batch = study.model.data_preprocessor(data, False)
        sample = study.model.test_step(data)[0]
    assert batch['inputs'].shape == (1, 3, 168, 200)
    assert image_sizes(batch['inputs']) == ((128, 160),)
    assert sample.seg_logits.shape == (128, 160)
    assert study.model.data_preprocessor(data, False)['inputs'].shape == (1, 3, 128, 160)


def test_times(mini_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_invariance, 'ROUNDS', 1)
    study = study_of('segmentation', mini_root)
    times = study.times(32)
    assert [t.kind for t in times] == ['forward', 'step']
    assert all(t.ratio == pytest.approx(t.masked / t.plain) for t in times)
    assert not study.model.backbone.mask_padding


def test_table() -> None:
    rows = [Row(0, False, [0.0, 0.125], {'coco/bbox_mAP': 0.5}), Row(32, True, [1e-7, 0.0], {})]
    assert to_table(rows).splitlines() == [
        '| padding | mask_padding | map 0 | map 1 | bbox_mAP |',
        '| --- | ---: | ---: | ---: | ---: |',
        '| 0 | False | 0 | 0.12 | 0.500 |',
        '| 32 | True | 1e-07 | 0 |',
    ]


def test_tool(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, mini_root: Path, tmp_path: Path
) -> None:
    monkeypatch.setattr(batch_invariance, 'ROUNDS', 1)
    data = ['--data-root', str(mini_root / 'coco'), '--device', 'cpu', '--evaluate', '--time']
    arguments = [*write_model(tmp_path, 'detection'), '--padding', '0', '32', '--images', '1']
    monkeypatch.setattr('sys.argv', [TOOL, *arguments, *data])
    runpy.run_path(TOOL, run_name='__main__')
    out = capsys.readouterr().out
    assert re.search(r'^step: \d\.\d+ s, with mask_padding \d\.\d+ s, ratio \d+\.\d+$', out, re.M)
    lines = [line for line in out.splitlines() if line.startswith('| ')]
    assert lines[0] == (
        '| padding | mask_padding | map 0 | map 1 | map 2 | map 3 '
        '| bbox_mAP | bbox_mAP_50 | segm_mAP | segm_mAP_50 |'
    )
    assert [line.split(' | ')[:2] for line in lines[2:]] == [
        ['| 0', 'False'], ['| 32', 'False'], ['| 0', 'True'], ['| 32', 'True']
    ]  # fmt: skip
    monkeypatch.setattr('sys.argv', [TOOL, *arguments, *data, '--images', '0'])
    with pytest.raises(SystemExit, match='--images one from 1'):
        runpy.run_path(TOOL, run_name='__main__')


def test_other_backbones() -> None:
    cfg = tiny_config('detection')
    cfg.model.backbone.type = 'ResNet'
    with pytest.raises(ConfigError, match='with a VMINet'):
        Study(cfg)
