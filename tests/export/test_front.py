"""What a file does before its network, against the test pipelines of the configs."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import MODELS, DefaultScope

from vminet_mm.datasets.config_parts import leaf_datasets
from vminet_mm.engine import load_config
from vminet_mm.export.front import add_front, add_label_map
from vminet_mm.export.metadata import as_texts, ready, resize_steps

CONFIGS = Path(__file__).parents[2] / 'configs'
HEAD = '<ir_version: 10, opset_import: ["" : 20]>\n'
CORE = 'core (float[b, 3, h, w] image) => (float[b, 3, h, w] out) { out = Identity (image) }'
SIZED = """core (float[b, 3, h, w] image, float[2] size, float[2] canvas)
=> (float[b, 3, h, w] out, float[2] inside, float[2] whole)
{ out = Identity (image)
inside = Identity (size)
whole = Identity (canvas) }"""
LEVEL = 1 / 57  # how much one of 256 levels is after normalizing


def about(cfg: Config) -> dict[str, Any]:
    preprocessor = cfg.model.get('data_preprocessor') or cfg.data_preprocessor
    return dict(
        task='x',
        outputs=['out'],
        resize=resize_steps(next(leaf_datasets(cfg.test_dataloader.dataset)).pipeline),
        mean=preprocessor['mean'],
        std=preprocessor['std'],
        color_order='rgb',
        pad_size_divisor=preprocessor.get('pad_size_divisor', 1),
    )


def run(core: str, told: dict[str, Any], image: np.ndarray, takes_uint8: bool = True) -> list:
    model = add_front(onnx.parser.parse_model(HEAD + core), told, takes_uint8)
    onnx.checker.check_model(model, full_check=True)
    assert [(one.domain, one.version) for one in model.opset_import] == [('', 20)]
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, {'image': image})


def picture(height: int, width: int) -> np.ndarray:
    """A smooth one, (H, W, 3) RGB, with some noise."""
    rows, columns = np.mgrid[:height, :width]
    waves = [np.sin(rows / 9 + k) + np.cos(columns / (7 + k)) for k in range(3)]
    noise = np.random.default_rng(0).integers(0, 30, (height, width, 3))
    return (np.stack(waves, -1) * 50 + 110 + noise).astype(np.uint8)


def prepared(cfg: Config, pixels: np.ndarray) -> torch.Tensor:
    """As the test pipeline and the preprocessor of a config do it, (1, 3, H, W)."""
    steps = next(leaf_datasets(cfg.test_dataloader.dataset)).pipeline
    steps = [s for s in steps[1:] if not s['type'].endswith('Annotations')]
    size = pixels.shape[:2]
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        bgr = np.ascontiguousarray(pixels[..., ::-1])
        about = dict(img_path='x', img_id=0, ori_shape=size, img_shape=size, gt_label=0)
        item = Compose(steps)(dict(img=bgr, **about))
        kind = cfg.model.get('data_preprocessor') or cfg.data_preprocessor
        preprocessor = MODELS.build(dict(type='ClsDataPreprocessor') | dict(kind))
        data = dict(inputs=[item['inputs']], data_samples=[item['data_samples']])
        return preprocessor(data, False)['inputs']


@pytest.mark.parametrize('size', [(300, 200), (97, 333), (600, 601)], ids=str)
@pytest.mark.parametrize(
    'config',
    [
        'cls/vminet-xs_3xb128-300e_in1k.py',
        'cls/vminet-ti_mini.py',
        'mask_rcnn/mask-rcnn_vminet-xs_fpn_1x_coco.py',
        'mask_rcnn/mask-rcnn_vminet-ti_fpn_mini.py',
        'upernet/upernet_vminet-xs_8xb2-160k_ade20k-512x512.py',
    ],
)
def test_as_the_pipeline(config: str, size: tuple[int, int]) -> None:
    cfg, pixels = load_config(CONFIGS / config), picture(*size)
    (found,) = run(CORE, about(cfg), pixels[None])
    expected = prepared(cfg, pixels).numpy()
    if cfg.default_scope == 'mmseg':  # its preprocessor would pad to the size of a training crop
        expected = expected[..., : found.shape[2], : found.shape[3]]
    assert found.shape == expected.shape
    apart = np.abs(found - expected)
    # at most a level: OpenCV and Pillow round the weights of pixels
    assert apart.max() < 1.1 * LEVEL and (apart > 1e-4).mean() < 0.15


def test_a_batch_and_its_sizes() -> None:
    cfg = load_config(CONFIGS / 'mask_rcnn/mask-rcnn_vminet-xs_fpn_1x_coco.py')
    images = np.stack([picture(60, 100), picture(60, 100)[::-1]])
    out, inside, whole = run(SIZED, about(cfg), images)
    assert inside.tolist() == [800, 1333] and whole.tolist() == [60, 100]
    assert out.shape == (2, 3, 800, 1344) and not out[..., 1333:].any()
    assert not np.allclose(out[0], out[1])


def test_normalized_images_are_padded() -> None:
    image = np.ones((2, 3, 5, 8), np.float32)
    told = dict(pad_size_divisor=4, pad_value=7)
    out, inside, whole = run(SIZED, told, image, takes_uint8=False)
    assert inside.tolist() == whole.tolist() == [5, 8]
    assert out.shape == (2, 3, 8, 8) and (out[:, :, :5] == 1).all() and (out[:, :, 5:] == 7).all()


def test_channels_of_bgr() -> None:
    told = dict(resize=[], mean=[1, 2, 3], std=[1, 2, 4], color_order='bgr', pad_size_divisor=1)
    (out,) = run(CORE, told, np.uint8([[[[10, 20, 30]]]]))
    assert out.ravel().tolist() == [29, 9, 1.75]


def test_label_map_of_the_canvas() -> None:
    core = 'core (float[b, 3, h, w] image) => (float[b, 3, h, w] logits) { logits = Relu (image) }'
    model = add_label_map(onnx.parser.parse_model(HEAD + core))
    told = dict(resize=[dict(height=4, width=6, interpolation='nearest')])
    told |= dict(mean=[0], std=[1], color_order='rgb', pad_size_divisor=4)
    model = add_front(model, told, True)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    pixels = np.zeros((1, 8, 12, 3), np.uint8)
    pixels[:, :4, :, 2], pixels[:, 4:, :, 1] = 200, 100
    (classes,) = session.run(None, {'image': pixels})
    assert classes.shape == (1, 8, 12)
    assert (classes[0, :4] == 2).all() and (classes[0, 4:] == 1).all()


def test_metadata_of_what_is_left() -> None:
    cfg = load_config(CONFIGS / 'mask_rcnn/mask-rcnn_vminet-xs_fpn_1x_coco.py')
    padded, whole = ready(about(cfg), False), ready(about(cfg), True)
    assert padded['pad_size_divisor'] == whole['pad_size_divisor'] == 1
    assert padded['resize'] and whole['resize'] == []
    assert whole['input'] == 'uint8' and whole['std'] == [1, 1, 1]
    assert json.loads(as_texts(whole)['mean']) == [0, 0, 0] and as_texts(whole)['task'] == 'x'
