"""Quantized files: which operators, what they say of themselves, and how far they are off."""

from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest

from vminet_mm.errors import ConfigError
from vminet_mm.export.metadata import as_texts
from vminet_mm.export.quantize import _Images, nodes_with_weights, quantize

MODEL = """<ir_version: 10, opset_import: ["" : 20]>
graph (uint8[batch, height, width, 3] image) => (float[batch, 4, rows, columns] y) {
  float_image = Cast <to = 1> (image)
  channels = Transpose <perm = [0, 3, 1, 2]> (float_image)
  hidden = Conv <pads = [1, 1, 1, 1]> (channels, model_weight)
  positive = Relu (hidden)
  y = Conv (positive, dense_weight)
}"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A model whose second convolution is of a detector's head."""
    model = onnx.parser.parse_model(MODEL)
    random = np.random.default_rng(0)
    for node in model.graph.node:
        node.name = f'{node.op_type}_{node.output[0]}'
        node.input[:] = [name.replace('_weight', '.weight') for name in node.input]
    for name, shape in (('model.weight', (8, 3, 3, 3)), ('dense.weight', (4, 8, 1, 1))):
        values = random.normal(size=shape).astype(np.float32) / 255
        model.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
    onnx.helper.set_model_props(model, as_texts(dict(task='detection', input='uint8')))
    onnx.save(model, tmp_path / 'model.onnx')
    return tmp_path / 'model.onnx'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures of two sizes."""
    (tmp_path / 'pictures').mkdir()
    for k, size in enumerate([(20, 30, 3), (16, 16, 3), (20, 30, 3)]):
        pixels = np.random.default_rng(k).integers(0, 256, size, dtype=np.uint8)
        cv2.imwrite(str(tmp_path / f'pictures/{k}.png'), pixels)
    return tmp_path / 'pictures'


def test_close_and_heads_in_float(file: Path, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / 'int8.onnx'
    assert nodes_with_weights(onnx.load(file)) == ['Conv_hidden']
    assert quantize(file, folder, out) == 1
    model = onnx.load(out)
    onnx.checker.check_model(model)
    kinds = {one.name: one.data_type for one in model.graph.initializer}
    assert kinds['dense.weight'] == onnx.TensorProto.FLOAT and 'model.weight' not in kinds
    scale = next(x for x in model.graph.initializer if x.name.startswith('model.weight_scale'))
    assert list(scale.dims) == [8]  # one for each channel
    assert {p.key: p.value for p in model.metadata_props}['input'] == 'uint8'
    image = np.ascontiguousarray(cv2.imread(str(folder / '0.png'))[None, ..., ::-1])
    results = [
        onnxruntime.InferenceSession(path).run(None, {'image': image})[0] for path in (file, out)
    ]
    apart = np.abs(results[0] - results[1]).max() / np.abs(results[0]).max()
    assert 0 < apart < 0.03


def test_pictures_are_spread_over_sub_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ('a/0.png', 'a/1.png', 'b/0.png', 'b/1.png', 'b/notes.txt'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    seen = []
    monkeypatch.setattr(
        'vminet_mm.export.quantize.read_pixels',
        lambda file, _: seen.append(str(file.relative_to(tmp_path))) or np.zeros((1, 1, 1, 3)),
    )
    pictures = _Images(tmp_path, 2, {})
    assert pictures.get_next()['image'].shape == (1, 1, 1, 3)
    assert pictures.get_next() and pictures.get_next() is None
    assert seen == ['a/0.png', 'b/0.png']


def test_wrong_folders_and_files(file: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='there is no folder .* for --calibrate'):
        quantize(file, tmp_path / 'nowhere', tmp_path / 'out.onnx')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(ConfigError, match='there is no image'):
        quantize(file, tmp_path / 'empty', tmp_path / 'out.onnx')
    model = onnx.load(file)
    onnx.helper.set_model_props(model, as_texts(dict(task='detection', input='float32')))
    onnx.save(model, file)
    with pytest.raises(ConfigError, match='export with --simplify-input uint8'):
        quantize(file, tmp_path, tmp_path / 'out.onnx')
