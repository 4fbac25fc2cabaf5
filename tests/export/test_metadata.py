"""What files say of themselves, and the sizes of a test pipeline."""

import json

import onnxruntime
import pytest
import torch
from exporting import CLASSES, CONFIGS, TINY, Exported

from vminet_mm import __version__
from vminet_mm.engine import load_config
from vminet_mm.export.metadata import resize_steps


def read(exported: Exported) -> dict[str, str]:
    return onnxruntime.InferenceSession(exported.done.path).get_modelmeta().custom_metadata_map


def test_in_the_file(exported: Exported) -> None:
    texts = read(exported)
    assert texts == exported.done.metadata
    assert json.loads(texts['mean']) == [123.675, 116.28, 103.53]
    assert json.loads(texts['std']) == [58.395, 57.12, 57.375]
    assert json.loads(texts['arch']) == TINY | dict(depths=[1, 0, 0, 1])
    assert json.loads(texts['outputs']) == list(exported.done.outputs)
    assert texts['color_order'] == 'rgb' and texts['backbone'] == 'VMINet'
    assert texts['checkpoint'] == f'{exported.name}.pth'
    assert texts['version'] == f'vminet_mm {__version__}, torch {torch.__version__}'


def test_of_each_task(exports: dict[str, Exported]) -> None:
    texts = {name: read(exports[name]) for name in ('classifier', 'segmentor', 'fpn', 'sfp')}
    tasks = {name: text['task'] for name, text in texts.items()}
    assert tasks == dict(
        classifier='classification', segmentor='segmentation', fpn='detection', sfp='detection'
    )
    classes = {name: json.loads(text['classes']) for name, text in texts.items()}
    assert classes['classifier'] == list(CLASSES)  # from the checkpoint
    assert classes['segmentor'] == ['background', *CLASSES]  # from the config
    assert classes['fpn'] == list(CLASSES)
    assert json.loads(texts['segmentor']['palette'])[1] == [220, 60, 60]
    assert json.loads(texts['fpn']['palette'])[0] == [220, 60, 60]
    assert json.loads(texts['classifier']['palette']) == []
    assert texts['fpn']['config'] == 'mask-rcnn_vminet-ti_fpn_mini.py'


@pytest.mark.parametrize(
    ('config', 'expected'),
    [
        (
            'cls/vminet-xs_3xb128-300e_in1k.py',
            [dict(short_edge=256, interpolation='bicubic', antialias=True), dict(crop=[224, 224])],
        ),
        (
            'mask_rcnn/mask-rcnn_vminet-xs_sfp_1x_coco.py',
            [dict(short_edge=800, long_edge=1333, interpolation='bilinear', antialias=False)],
        ),
        (
            'upernet/upernet_vminet-xs_8xb2-160k_ade20k-512x512.py',
            [dict(short_edge=512, long_edge=2048, interpolation='bilinear', antialias=False)],
        ),
        (
            'cls/vminet-ti_mini.py',
            [dict(height=64, width=64, interpolation='bilinear', antialias=False)],
        ),
        ('upernet/upernet_vminet-ti_mini.py', []),
    ],
)
def test_resize_steps_of_configs(config: str, expected: list[dict]) -> None:
    cfg = load_config(CONFIGS / config)
    assert resize_steps(cfg.test_dataloader.dataset.pipeline) == expected


def test_resize_steps_of_other_kinds() -> None:
    steps = [
        dict(type='mmpretrain.Resize', scale=(40, 30)),  # width, height
        dict(type='CenterCrop', crop_size=(8, 9)),  # likewise
        dict(type='Resize', scale_factor=2.0),
        dict(type='PackInputs'),
    ]
    assert resize_steps(steps) == [
        dict(height=30, width=40, interpolation='bilinear', antialias=False),
        dict(crop=[9, 8]),
    ]
