"""The example script: without torch, and the same images and classes as mm's pipelines give."""

import json
import re
import runpy
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import onnx
import pytest
from exporting import CLASSES, CONFIGS, Exported
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from onnx import TensorProto, helper
from PIL import Image

from vminet_mm.engine import load_config
from vminet_mm.export.metadata import resize_steps
from vminet_mm.inference import load_model

PATH = str(Path(__file__).parents[2] / 'tools/deployment/onnx_inference.py')
SCRIPT = runpy.run_path(PATH)
ALONE = """
import runpy, sys
for name in ('torch', 'torchvision', 'vminet_mm', 'mmengine', 'mmcv', 'mmdet', 'cv2', 'onnx'):
    sys.modules[name] = None  # an import of it fails
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name='__main__')
"""


@pytest.fixture
def photo(tmp_path: Path) -> str:
    """A PNG of 64 x 64 pixels, which no pipeline of the tiny models resizes."""
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / 'photo.png')
    return str(tmp_path / 'photo.png')


def run(exported: Exported, photo: str, out: Path | None = None) -> None:
    path = str(exported.done.path)
    out = out and str(out)
    SCRIPT['main'](Namespace(model=path, image=photo, out=out, keep_size=True, top=3))


def test_classifier_without_torch(exports: dict[str, Exported], photo: str) -> None:
    item = exports['classifier']
    command = [sys.executable, '-c', ALONE, PATH, str(item.done.path), photo]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    scores = load_model(item.cfg, item.checkpoint, 'cpu')(photo)[0].sample.pred_score.numpy()
    order = np.argsort(-scores)
    expected = [f'{scores[k]:7.2%}  {CLASSES[k]}' for k in order]
    assert done.stdout.splitlines() == expected


def test_segmentor(
    exports: dict[str, Exported], photo: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    item = exports['segmentor']
    run(item, photo, tmp_path / 'out.npz')
    labels = load_model(item.cfg, item.checkpoint, 'cpu')(photo)[0].label_map
    written = np.load(tmp_path / 'out.npz')
    assert np.array_equal(written['classes'][0], labels)
    fraction, name = capsys.readouterr().out.splitlines()[0].split()
    names = ['background', *CLASSES]
    assert fraction == f'{(labels == names.index(name)).mean():.2%}'

    run(item, photo, tmp_path / 'out.png')
    picture = np.asarray(Image.open(tmp_path / 'out.png'))
    palette = np.array(json.loads(item.done.metadata['palette']))
    blend = (np.asarray(Image.open(photo)) + palette[labels]) / 2
    assert np.abs(picture - blend).max() <= 1


def test_maps_of_a_detector(
    exports: dict[str, Exported], photo: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    run(exports['sfp'], photo, tmp_path / 'out.npz')
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ['stride8', 'stride32', 'stride64']
    assert re.match(r'stride8 +1 x 64 x 8 x 8 +mean +-?\d', lines[0])
    assert np.load(tmp_path / 'out.npz')['stride32'].shape == (1, 64, 2, 2)
    with pytest.raises(SystemExit, match='ends with .npz takes the outputs'):
        run(exports['sfp'], photo, tmp_path / 'out.png')


@pytest.mark.parametrize('size', [(500, 375), (100, 37), (224, 224), (333, 1000)], ids=str)
def test_resized_as_for_imagenet(size: tuple[int, int]) -> None:
    cfg = load_config(CONFIGS / 'cls/vminet-xs_3xb128-300e_in1k.py')
    steps = cfg.test_dataloader.dataset.pipeline
    pixels = np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        expected = Compose(steps[1:-1])(dict(img=pixels))['img']
    actual = SCRIPT['resize'](Image.fromarray(pixels), resize_steps(steps))
    assert np.array_equal(np.asarray(actual), expected)


@pytest.mark.parametrize('size', [(500, 375), (37, 100), (4000, 300)], ids=str)
def test_sizes_as_for_coco(size: tuple[int, int]) -> None:
    cfg = load_config(CONFIGS / 'mask_rcnn/mask-rcnn_vminet-xs_sfp_1x_coco.py')
    steps = [s for s in cfg.test_dataloader.dataset.pipeline if s['type'] == 'Resize']
    with DefaultScope.overwrite_default_scope('mmdet'):
        pixels = np.zeros((*size[::-1], 3), np.uint8)
        expected = Compose(steps)(dict(img=pixels))['img'].shape[1::-1]
    assert SCRIPT['resize'](Image.new('RGB', size), resize_steps(steps)).size == expected


def test_normalized_and_padded() -> None:
    picture = Image.new('RGB', (3, 2), (10, 20, 30))
    about = dict(mean=[1, 2, 3], std=[1, 2, 4], color_order='bgr', pad_size_divisor=4)
    image = SCRIPT['normalize'](picture, about)
    assert image.shape == (1, 3, 4, 4) and image.dtype == np.float32
    assert image[0, :, 0, 0].tolist() == [29, 9, 1.75]
    assert image[0, :, 2:].any() == image[0, :, :, 3:].any() == False  # noqa: E712
    about.update(color_order='rgb', pad_size_divisor=1)
    image = SCRIPT['normalize'](picture, about)
    assert image.shape == (1, 3, 2, 3) and image[0, :, 1, 2].tolist() == [9, 9, 6.75]


def test_other_files(tmp_path: Path, photo: str) -> None:
    maps = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in 'xy']
    graph = helper.make_graph([helper.make_node('Relu', ['x'], ['y'])], 'other', maps[:1], maps[1:])
    path = str(tmp_path / 'other.onnx')
    opset = helper.make_opsetid('', 20)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=10), path)
    with pytest.raises(SystemExit, match='export_onnx.py'):
        SCRIPT['main'](Namespace(model=path, image=photo, out=None, keep_size=True, top=5))
