"""Whole detectors in one ONNX file: sizes, batches, thresholds, and what is compared."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from exporting import Exported
from mmengine.structures import InstanceData

from vminet_mm.errors import ConfigError
from vminet_mm.export import make_outputs, open_session, require_small
from vminet_mm.export.verify_objects import compare_objects
from vminet_mm.inference import load_model

pytestmark = pytest.mark.slow

SHAPES = [(1, 3, 64, 80), (2, 3, 33, 97), (3, 3, 50, 40), (1, 3, 200, 64)]


def test_is_verified(detector: Exported) -> None:
    rows = detector.done.differences
    assert [row.output for row in rows] == ['objects', 'boxes', 'scores'] * 3
    assert [row.images[0] for row in rows[::3]] == [1, 2, 3]
    for objects, boxes, scores in zip(rows[::3], rows[1::3], rows[2::3], strict=True):
        assert objects.largest > 10 and objects.difference == 0
        assert 0 < boxes.difference < 0.05 and 0 < scores.difference < 1e-5
    require_small(rows)


@pytest.mark.parametrize('shape', SHAPES, ids=str)
def test_as_torch_computes(detector: Exported, shape: tuple[int, ...]) -> None:
    outputs = make_outputs('detection', load_model(detector.cfg, detector.checkpoint, 'cpu').model)
    image, size = torch.randn(shape), torch.tensor(shape[2:]).float()
    with torch.no_grad():
        expected = outputs(image, size, size)
    found = onnxruntime.InferenceSession(detector.done.path).run(None, {'image': image.numpy()})
    assert len(expected[0]) > 0
    for actual, wanted in zip(found, expected, strict=True):
        assert actual.dtype == wanted.numpy().dtype
        torch.testing.assert_close(torch.from_numpy(actual), wanted, rtol=0, atol=1e-3)


def test_file(detector: Exported) -> None:
    model = onnx.load(detector.done.path)
    onnx.checker.check_model(model, full_check=True)
    shapes = {
        value.name: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    assert shapes == dict(
        image=['batch', 3, 'height', 'width'],
        boxes=['objects', 4],
        scores=['objects'],
        labels=['objects'],
        image_index=['objects'],
        masks=['objects', 28, 28],
    )
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count('NonMaxSuppression') == 2 and kinds.count('RoiAlign') == 4
    assert {node.domain for node in model.graph.node} <= {'', 'ai.onnx'}


def test_nothing_found(detector: Exported, tmp_path: Path) -> None:
    model = onnx.load(detector.done.path)
    (threshold,) = (x for x in model.graph.initializer if x.name == 'region.score_threshold')
    threshold.CopyFrom(onnx.numpy_helper.from_array(np.float32(1), threshold.name))
    onnx.save(model, tmp_path / 'none.onnx')
    session = open_session(tmp_path / 'none.onnx')
    found = session.run(None, {'image': np.zeros((2, 3, 64, 64), np.float32)})
    assert [x.shape for x in found] == [(0, 4), (0,), (0,), (0,), (0, 28, 28)]


def test_what_is_compared() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [5, 5, 20, 20], [1, 1, 2, 2]])
    one = InstanceData(
        bboxes=boxes, scores=torch.tensor([0.9, 0.8, 0.5]), labels=torch.tensor([0, 1, 1])
    )
    found = dict(
        image_index=np.array([0, 0, 0]),
        boxes=np.float32([[0, 0, 10, 10.25], [5, 5, 20, 20], [1, 1, 2, 2]]),
        scores=np.float32([0.9, 0.8, 0.5]),
        labels=np.array([0, 1, 2]),  # the last of another class
    )
    objects, apart, scores = compare_objects([one], found, (1, 3, 40, 50))
    assert (objects.difference, objects.largest) == (2, 6) and not objects.is_small
    assert apart.difference == 0.25 and not apart.is_small and apart.largest == 50
    assert scores.difference == 0 and scores.is_small
    with pytest.raises(ConfigError, match='objects differs'):
        require_small([objects, apart, scores])


def test_no_file(detector: Exported, tmp_path: Path) -> None:
    content = Path(detector.done.path).read_bytes()
    (tmp_path / 'half.onnx').write_bytes(content[: len(content) // 2])
    with pytest.raises(ConfigError, match='is truncated'):
        open_session(tmp_path / 'half.onnx')
    with pytest.raises(ConfigError, match='there is no file'):
        open_session(tmp_path / 'none.onnx')
    with pytest.raises(ConfigError, match='TpuProvider'):
        open_session(detector.done.path, 'TpuProvider')
    model = onnx.load(detector.done.path)
    model.opset_import[0].version = 99
    onnx.save(model, tmp_path / 'new.onnx')
    with pytest.raises(ConfigError, match='does not know its opset'):
        open_session(tmp_path / 'new.onnx')
