"""Each kind of detector as a whole file, beside mmdet's own ``predict``."""

from pathlib import Path

import pytest
from tiny_detectors import PATHS, build, tiny_config

from vminet_mm.export import exportable, make_outputs, save_onnx, trace
from vminet_mm.export.verify_objects import verify_objects

pytestmark = pytest.mark.slow

# Faster R-CNN is a part of Mask R-CNN, which test_detector_files.py has as the tools export it
KINDS = [name for name in PATHS if name not in ('mask_rcnn', 'faster_rcnn')]
SIZES = [(64, 64), (97, 65), (64, 96)]  # in batches of 1, 2 and 3


@pytest.mark.parametrize('name', KINDS)
def test_finds_what_mmdet_finds(name: str, tmp_path: Path) -> None:
    outputs = make_outputs('detection', build(tiny_config(name, levels=2)))
    about = dict(task='detection', outputs=outputs.names, pad_size_divisor=32)
    program = trace(exportable(outputs), (80, 96))
    save_onnx(program, outputs, tmp_path / 'model.onnx', about)
    rows = verify_objects(tmp_path / 'model.onnx', outputs, SIZES)
    assert [row.images[:2] for row in rows[::3]] == [(1, 3), (2, 3), (3, 3)]
    for objects, boxes, scores in zip(rows[::3], rows[1::3], rows[2::3], strict=True):
        assert objects.largest > 5 and objects.difference == 0
        assert boxes.difference < 1e-3 and scores.difference < 1e-5
