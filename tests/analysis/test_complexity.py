"""Complexity against sums by hand, the figures of Table 1, and a number that papers print."""

import json
import runpy
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mmengine.analysis import FlopAnalyzer
from mmengine.config import Config
from torch import Tensor, nn

from vminet_mm.analysis import count_complexity
from vminet_mm.analysis.complexity import HANDLES, to_json, to_table
from vminet_mm.engine import load_config

ROOT = Path(__file__).parents[2]
TOOL = ROOT / 'tools/analysis_tools/get_flops.py'
XS_CLASSIFIER = ROOT / 'configs/cls/vminet-xs_3xb128-300e_in1k.py'
XS_DETECTOR = ROOT / 'configs/mask_rcnn/mask-rcnn_vminet-xs_sfp_1x_coco.py'


def one_block_classifier(**backbone: object) -> Config:
    """Stem, four down-samplings to 8, 16, 32, 64 channels, one block in the first stage."""
    arch = dict(base_channels=8, expansion=2, depths=(1, 0, 0, 0))
    return Config(
        dict(
            default_scope='mmpretrain',
            model=dict(
                type='ImageClassifier',
                backbone=dict(type='VMINet', arch=arch) | dict(img_size=64) | backbone,
                neck=dict(type='GlobalAveragePooling'),
                head=dict(type='LinearClsHead', num_classes=10, in_channels=64),
            ),
        )
    )


def by_hand(edge: int, block: int) -> int:
    """MACs of that classifier for a square image, given those of a block per token."""
    convs = (edge // 2) ** 2 * 27 * 32
    for level, (inputs, outputs) in enumerate([(32, 8), (8, 16), (16, 32), (32, 64)], start=2):
        convs += (edge // 2**level) ** 2 * 9 * inputs * outputs
    tokens = (edge // 4) ** 2
    return convs + block * tokens + 64 * (edge // 32) ** 2 + 64 * 10  # pooling, linear


def test_padding_does_not_count() -> None:
    plain, masked = (one_block_classifier(mask_padding=on) for on in (False, True))
    assert count_complexity(masked, (64, 64)) == count_complexity(plain, (64, 64))
    assert masked.model.backbone.mask_padding  # the config is left unchanged


def test_one_block_by_hand() -> None:
    # depth-wise conv, W1 and W2, W3; ReLU6(Q) * K; the context sum
    block = 49 * 8 + 2 * 8 * 16 + 16 * 8 + 16 + 16
    counts = count_complexity(one_block_classifier(), (64, 64))
    assert counts.macs == by_hand(64, block)
    assert counts.params == counts.parts['backbone'].params + 64 * 10 + 10
    assert counts.parts['head'].macs == 640


def test_strides_by_hand() -> None:
    # the stages see the maps of an image of 128 pixels; the stem's are as large as the image
    small = dict(img_size=32, stem_stride=1, strides=(1, 2, 2, 2))
    block = 49 * 8 + 2 * 8 * 16 + 16 * 8 + 16 + 16
    counts = count_complexity(one_block_classifier(**small), (32, 32))
    assert counts.macs == by_hand(128, block) - (64**2 - 32**2) * 27 * 32


def test_recurrent_form_by_hand() -> None:
    # its scan is one operation in the count: E, alpha * E and beta * E
    block = 49 * 8 + 2 * 8 * 16 + 16 * 8 + 3 * 16
    counts = count_complexity(one_block_classifier(form='recurrent'), (128, 128))
    assert counts.macs == by_hand(128, block)
    matrix = count_complexity(one_block_classifier(), (64, 64))
    assert counts.params - matrix.params == 16 * 16 - 2  # beta per token; neither s0 nor beta


def test_implementation_does_not_matter() -> None:
    counts = [
        count_complexity(one_block_classifier(impl=impl), (96, 64)) for impl in ('torch', 'triton')
    ]
    assert counts[0].macs == counts[1].macs


class Products(nn.Module):
    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.forward = function


@pytest.mark.parametrize(
    ('function', 'shapes', 'macs'),
    [
        # more than four digits, which MMEngine would round
        (partial(torch.einsum, 'bdhw,dhw->bd'), [(2, 97, 89, 83), (97, 89, 83)], 2 * 97 * 89 * 83),
        (partial(torch.einsum, 'nc, mc -> nm'), [(3, 1), (5, 7)], 3 * 5 * 7),
        # what is left to MMEngine
        (partial(torch.einsum, 'ab,bc,cd->ad'), [(2, 3), (3, 4), (4, 5)], 2 * 3 * 4 + 2 * 4 * 5),
        (partial(torch.einsum, '...ab,...bc->...ac'), [(6, 2, 3), (6, 3, 4)], 6 * 2 * 3 * 4),
        # two heads of five queries and seven keys: Q K', then A V
        (
            F.scaled_dot_product_attention,
            [(1, 2, 5, 3), (1, 2, 7, 3), (1, 2, 7, 4)],
            2 * 5 * 7 * 3 + 2 * 5 * 7 * 4,
        ),
    ],
    ids=['einsum', 'broadcast', 'three operands', 'ellipsis', 'attention'],
)
def test_products_by_hand(function: Callable, shapes: list[tuple], macs: int) -> None:
    analyzer = FlopAnalyzer(Products(function), tuple(torch.ones(shape) for shape in shapes))
    analyzer.set_op_handle(**HANDLES)
    assert analyzer.total() == macs


def test_without_attention_by_hand() -> None:
    counts = count_complexity(one_block_classifier(attention='none'), (64, 64))
    assert counts.macs == by_hand(64, block=49 * 8 + 8 * 16 + 16 * 8)


def test_pooling_to_the_native_grid_is_counted() -> None:
    per_token = 49 * 8 + 2 * 8 * 16 + 16 * 8 + 16 + 16  # the last 16 for the average
    counts = count_complexity(one_block_classifier(), (128, 128))
    assert counts.macs == by_hand(128, per_token) + 16 * 16 * 16  # the sum, on 16 x 16 cells


@pytest.mark.parametrize(
    ('arch', 'params', 'macs'),
    [('ti', 2.03, 0.35), ('xs', 7.43, 1.25), ('s', 13.34, 2.30), ('b', 28.37, 4.77)],
)
def test_table_1(arch: str, params: float, macs: float) -> None:
    config = XS_CLASSIFIER.with_name(f'vminet-{arch}_3xb128-300e_in1k.py')
    counts = count_complexity(load_config(config))
    assert counts.shape == (224, 224)
    assert round(counts.params / 1e6, 2) == params
    assert round(counts.macs / 1e9, 2) == macs


def test_number_of_rois_depends_on_the_config_alone() -> None:
    cfg = load_config(XS_DETECTOR)
    cfg.model.test_cfg.rpn.max_per_img = 200
    counts = []
    for seed in range(3):
        torch.manual_seed(seed)
        counts.append(count_complexity(cfg, (64, 96)))
    assert counts[0].rois == {'bbox_head': 200, 'mask_head': 100}
    assert counts[0] == counts[1] == counts[2]
    # fully connected 7 * 7 * 256 -> 1024 -> 1024 -> 81 classes, 80 x 4 offsets
    box_head = 200 * (49 * 256 * 1024 + 1024 * 1024 + 1024 * (81 + 320))
    # four convs 3x3, a deconv 2x2 to twice the size, a conv 1x1 to 80 masks
    mask_head = 100 * 256 * (14**2 * (4 * 9 * 256 + 4 * 256) + 28**2 * 80)
    assert counts[0].parts['roi_head'].macs == box_head + mask_head


def test_the_convention_agrees_with_the_260_g_that_papers_print_for_mask_rcnn_r50() -> None:
    base = 'mmdet::_base_/models/mask-rcnn_r50_fpn.py'
    cfg = Config.fromstring(f"_base_ = ['{base}']\ndefault_scope = 'mmdet'", '.py')
    counts = count_complexity(cfg)
    assert counts.shape == (800, 1280)
    assert round(counts.params / 1e6, 1) == 44.4
    assert counts.macs == pytest.approx(260e9, rel=0.003)


def test_parts_add_up_and_the_auxiliary_head_costs_parameters_only() -> None:
    cfg = load_config(ROOT / 'configs/upernet/upernet_vminet-xs_8xb2-160k_ade20k-512x512.py')
    counts = count_complexity(cfg, (64, 64))
    assert set(counts.parts) == {'backbone', 'decode_head', 'auxiliary_head', 'other'}
    assert sum(part.params for part in counts.parts.values()) == counts.params
    assert sum(part.macs for part in counts.parts.values()) == counts.macs
    assert counts.parts['auxiliary_head'].macs == 0
    assert 0 < counts.parts['other'].macs < 0.001 * counts.macs  # the head's resizing


def test_what_is_not_counted_is_named() -> None:
    counts = count_complexity(load_config(XS_DETECTOR), (64, 96))
    assert {'RoIAlignFunction', 'NMSop', 'relu6', 'add'} <= set(counts.uncounted)
    assert not {'einsum', 'mul', 'layer_norm', 'unflatten'} & set(counts.uncounted)


def test_config_and_log_are_left_alone(capfd: pytest.CaptureFixture) -> None:
    cfg = load_config(XS_DETECTOR)
    before = deepcopy(cfg.to_dict())
    count_complexity(cfg, (64, 64))
    assert cfg.to_dict() == before
    captured = capfd.readouterr()
    assert captured.out + captured.err == ''


def test_formats_hold_the_same_counts() -> None:
    counts = count_complexity(load_config(XS_CLASSIFIER))
    data = json.loads(to_json(counts))
    assert data['macs'] == counts.macs
    assert data['parts']['backbone']['params'] == counts.parts['backbone'].params
    total = next(line for line in to_table(counts).splitlines() if line.startswith('total'))
    assert total.split() == ['total', '7.43', 'M', '1.25', 'G']


def run_tool(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr('sys.argv', [str(TOOL), *arguments])
    runpy.run_path(str(TOOL), run_name='__main__')


def test_tool(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    options = ['--shape', '64', '96', '--format', 'json', '--cfg-options']
    options.append('model.backbone.attention=none')
    run_tool(monkeypatch, str(XS_CLASSIFIER), *options)
    data = json.loads(capsys.readouterr().out)
    assert data['shape'] == [64, 96]
    # less than Table 1's 7.43 M: no W2, alpha, s0 and beta
    assert 4.5e6 < data['params'] < 6e6


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['no_such_config.py'], 'there is no config'),
        ([str(XS_CLASSIFIER), '--shape', '0', '5'], '--shape takes two positive numbers'),
        ([str(XS_CLASSIFIER), '--cfg-options', 'default_scope=mmocr'], 'default_scope'),
    ],
)
def test_tool_says_what_is_wrong(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit, match=f'^error: .*{message}'):
        run_tool(monkeypatch, *arguments)
