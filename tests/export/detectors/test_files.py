"""Each kind of detector through ONNX; Mask R-CNN is in tests/export/test_detector_files.py."""

from pathlib import Path

import onnxruntime
import pytest
import torch
from tiny_detectors import build, tiny_config

from vminet_mm.export import exportable, make_outputs, save_onnx, trace

pytestmark = pytest.mark.slow


# a map of stride 128 must have several cells for its size to stay open
@pytest.mark.parametrize(('name', 'size'), [('cascade', (64, 96)), ('retinanet', (288, 320))])
def test_as_torch_computes(name: str, size: tuple[int, int], tmp_path: Path) -> None:
    outputs = make_outputs('detection', build(tiny_config(name)))
    about = dict(task='detection', outputs=outputs.names, pad_size_divisor=32)
    program = trace(exportable(outputs), size)
    save_onnx(program, outputs, tmp_path / 'model.onnx', about)
    session = onnxruntime.InferenceSession(tmp_path / 'model.onnx')
    for shape in ((1, 3, 64, 64), (2, 3, 96, 64)):
        image, edges = torch.randn(shape), torch.tensor(shape[2:]).float()
        with torch.no_grad():
            expected = outputs(image, edges, edges)
        found = session.run(None, {'image': image.numpy()})
        assert len(expected[0]) > 0
        for actual, wanted in zip(found, expected, strict=True):
            torch.testing.assert_close(torch.from_numpy(actual), wanted, rtol=0, atol=1e-3)
