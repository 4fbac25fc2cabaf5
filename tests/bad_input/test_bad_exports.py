"""Detectors that cannot be exported whole, and files that cannot be tested: the part is named."""

from pathlib import Path

import onnx
import pytest
from mmengine.config import Config
from mmengine.hub import get_config
from tiny_detectors import build, tiny_config

from vminet_mm.engine import load_config
from vminet_mm.errors import ConfigError
from vminet_mm.export import OnnxModel, make_outputs

CONFIGS = Path(__file__).parents[2] / 'configs'


def changed(name: str, **changes: object) -> Config:
    cfg = tiny_config(name)
    cfg.merge_from_dict({f'model.{key.replace("__", ".")}': v for key, v in changes.items()})
    return cfg


def upstream(path: str) -> Config:
    return Config(dict(model=get_config(f'mmdet::{path}').model | dict(init_cfg=None)))


SOFT = dict(type='soft_nms', iou_threshold=0.5, min_score=0.05)
DOUBLE = dict(roi_head__type='DoubleHeadRoIHead', roi_head__reg_roi_scale_factor=1.3)
GENERIC = dict(
    _delete_=True,
    type='GenericRoIExtractor',
    roi_layer=dict(type='RoIAlign', output_size=7, sampling_ratio=0),
    out_channels=32,
    featmap_strides=[16, 32],
)
# what cannot be exported: how it is made, and what is said of it
DETECTORS = {
    'DETR': (
        lambda: upstream('detr/detr_r50_8xb2-150e_coco.py'),
        'a DETR cannot be exported whole, only MaskRCNN, FasterRCNN, CascadeRCNN, RetinaNet',
    ),
    'HTC with a semantic head': (
        lambda: upstream('htc/htc_r50_fpn_1x_coco.py'),
        'a HybridTaskCascade cannot be exported whole',
    ),
    'soft-NMS': (
        lambda: changed('mask_rcnn', test_cfg__rcnn__nms=SOFT),
        "test_cfg.rcnn.nms: ONNX has no NMS of type 'soft_nms' with min_score",
    ),
    'NMS over all classes': (
        lambda: changed('retinanet', test_cfg__nms__class_agnostic=True),
        "bbox_head.test_cfg.nms: ONNX has no NMS of type 'nms' with class_agnostic",
    ),
    'another dense head': (
        lambda: changed('retinanet', bbox_head__type='FreeAnchorRetinaHead'),
        'bbox_head: a FreeAnchorRetinaHead cannot be exported, only RPNHead',
    ),
    'another RoI extractor': (
        lambda: changed('faster_rcnn', roi_head__bbox_roi_extractor=GENERIC),
        'a RoI extractor: a GenericRoIExtractor cannot be exported, only SingleRoIExtractor',
    ),
    'another RoI head': (
        lambda: changed('faster_rcnn', **DOUBLE),
        'roi_head: a DoubleHeadRoIHead cannot be exported, only StandardRoIHead, CascadeRoIHead',
    ),
}  # fmt: skip
HEAD = '<ir_version: 10, opset_import: ["" : {}]>\n'
GRAPH = 'graph (float[b, 3, h, w] image) => (float[b, 3, h, w] {}) {{ {} = Relu (image) }}'
DETECTOR = CONFIGS / 'mask_rcnn/mask-rcnn_vminet-ti_fpn_mini.py'
# what is wrong with a file: its output, its metadata, the opset, how much is there; and the answer
FILES = {
    'ONNX file of another task': (
        'logits', dict(task='segmentation', input='float32'), 20, 1.0,
        'is for segmentation, and',
    ),
    'ONNX file of backbone and neck': (
        'stride4', dict(task='detection', input='float32'), 20, 1.0,
        'export it with --outputs boxes scores',
    ),
    'ONNX file of another program': ('y', {}, 20, 1.0, 'was not made by vminet_mm export'),
    'truncated ONNX file': ('y', {}, 20, 0.5, 'is truncated, or no ONNX file'),
    'empty ONNX file': ('y', {}, 20, 0.0, 'is truncated, or no ONNX file'),
    'ONNX file of a newer opset': ('y', {}, 99, 1.0, 'does not know its opset; export with'),
    'missing ONNX file': ('y', {}, 20, None, 'there is no file'),
}  # fmt: skip
CASES = [*DETECTORS, *FILES]


@pytest.mark.parametrize('name', DETECTORS)
def test_detector(name: str) -> None:
    make, text = DETECTORS[name]
    with pytest.raises(ConfigError) as caught:
        make_outputs('detection', build(make()))
    assert text in str(caught.value) and '\n' not in str(caught.value)
    assert '--outputs maps' in str(caught.value)


@pytest.mark.parametrize('name', FILES)
def test_file(name: str, tmp_path: Path) -> None:
    output, about, opset, kept, text = FILES[name]
    model = onnx.parser.parse_model(HEAD.format(opset) + GRAPH.format(output, output))
    onnx.helper.set_model_props(model, about)
    content, path = model.SerializeToString(), tmp_path / 'model.onnx'
    if kept is not None:
        path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ConfigError) as caught:
        OnnxModel(path, load_config(DETECTOR))
    assert text in str(caught.value) and '\n' not in str(caught.value)
