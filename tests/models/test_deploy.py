"""Folding whole models: a classifier's last norm goes into its head."""

import copy

import pytest
import torch
from mmengine.registry import MODELS, DefaultScope
from mmpretrain.structures import DataSample
from tiny_models import TINY, randomised
from torch import nn

from vminet_mm.engine.hooks import DeployHook
from vminet_mm.models import VMINet, fold_norm_into_linear, switch_to_deploy


def classifier(**head: object) -> nn.Module:
    cfg = dict(
        type='mmpretrain.ImageClassifier',
        backbone=dict(type='VMINet', arch=TINY, img_size=64),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=5, in_channels=32, **head),
    )
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return randomised(MODELS.build(cfg)).eval()


def test_classifier() -> None:
    model = classifier()
    folded = copy.deepcopy(model)
    assert switch_to_deploy(folded) == 1
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    x = torch.randn(3, 3, 96, 64)
    with torch.no_grad():
        logits, expected = folded(x, mode='tensor'), model(x, mode='tensor')
    assert logits.shape == (3, 5)
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)


def test_fold_by_hand() -> None:
    backbone = VMINet(TINY, img_size=64)
    backbone.norm = nn.BatchNorm2d(2).eval()
    backbone.norm.running_mean.copy_(torch.tensor([1.0, 2.0]))
    backbone.norm.running_var.copy_(torch.tensor([4.0, 1.0]) - 1e-5)
    backbone.norm.weight.data.copy_(torch.tensor([2.0, 3.0]))
    backbone.norm.bias.data.copy_(torch.tensor([0.5, 0.0]))
    linear = nn.Linear(2, 1)
    linear.weight.data.copy_(torch.tensor([[10.0, 100.0]]))
    linear.bias.data.fill_(7.0)
    fold_norm_into_linear(backbone, linear)
    # gains 1 and 3; shifts 0.5 - 1 and -6
    torch.testing.assert_close(linear.weight, nn.Parameter(torch.tensor([[10.0, 300.0]])))
    torch.testing.assert_close(linear.bias, nn.Parameter(torch.tensor([7.0 - 5.0 - 600.0])))


def test_only_batch_norms_fold_into_the_head() -> None:
    backbone = VMINet(TINY, img_size=64, norm_cfg=dict(type='GN', num_groups=1))
    with pytest.raises(ValueError, match='not GroupNorm'):
        fold_norm_into_linear(backbone, nn.Linear(32, 5))


def test_hook() -> None:
    model = classifier()
    x = torch.randn(1, 3, 64, 64)
    expected = model(x, [DataSample()], mode='predict')[0].pred_score
    lines: list[str] = []
    runner = type('Runner', (), {'model': model, 'logger': type('L', (), {'info': lines.append})})()
    DeployHook().before_test(runner)
    assert lines == ['1 backbone(s) folded for inference']
    actual = model(x, [DataSample()], mode='predict')[0].pred_score
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-6)
