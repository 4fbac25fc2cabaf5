"""Files in place of a model in a test loop."""

from pathlib import Path
from typing import Any

import pytest
import torch
from exporting import Exported
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, DefaultScope

from vminet_mm.errors import ConfigError
from vminet_mm.export import OnnxModel, score
from vminet_mm.inference import load_model

pytestmark = pytest.mark.slow


@pytest.fixture
def here(mini_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder in which the configs find their data."""
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data/mini').symlink_to(mini_root)
    monkeypatch.chdir(tmp_path)


def both(item: Exported) -> tuple[Any, Any]:
    """What the file and the checkpoint predict for the first image of the test set."""
    with DefaultScope.overwrite_default_scope(item.cfg.default_scope):
        data = pseudo_collate([DATASETS.build(item.cfg.test_dataloader.dataset)[0]])
        (found,) = OnnxModel(item.done.path, item.cfg).test_step(data)
        found = found.clone()
        model = load_model(item.cfg, item.checkpoint, 'cpu').model
        with torch.no_grad():
            (expected,) = model.test_step(data)
    return found, expected


@pytest.mark.usefixtures('here')
def test_classifier(exports: dict[str, Exported]) -> None:
    found, expected = both(exports['classifier'])
    torch.testing.assert_close(found.pred_score, expected.pred_score, rtol=0, atol=1e-5)
    assert found.pred_label.tolist() == expected.pred_label.tolist()
    metrics = score(exports['classifier'].cfg, exports['classifier'].done.path)
    assert 0 <= metrics['accuracy/top1'] <= 100


@pytest.mark.usefixtures('here')
def test_segmentor(exports: dict[str, Exported]) -> None:
    found, expected = both(exports['segmentor'])
    same = found.pred_sem_seg.data == expected.pred_sem_seg.data
    assert same.shape == (1, 128, 160) and same.float().mean() > 0.999
    metrics = score(exports['segmentor'].cfg, exports['segmentor'].done.path)
    assert 0 <= metrics['mIoU'] <= 100 and {type(value) for value in metrics.values()} == {float}


@pytest.mark.usefixtures('here')
def test_detector(detector: Exported) -> None:
    found, expected = (one.pred_instances for one in both(detector))
    assert len(found) == len(expected) > 0
    assert found.labels.tolist() == expected.labels.tolist()
    torch.testing.assert_close(found.bboxes, expected.bboxes, rtol=0, atol=0.05)
    assert (found.masks == expected.masks).float().mean() > 0.999


def test_wrong_files(exports: dict[str, Exported], tmp_path: Path) -> None:
    cfg, classifier = exports['fpn'].cfg, exports['classifier'].done.path
    with pytest.raises(ConfigError, match='for classification, .* detection'):
        OnnxModel(classifier, cfg)
    with pytest.raises(ConfigError, match="no output 'boxes'"):
        OnnxModel(exports['fpn'].done.path, cfg)
    (tmp_path / 'text.onnx').write_text('no model')
    with pytest.raises(ConfigError, match='truncated, or no ONNX file'):
        OnnxModel(tmp_path / 'text.onnx', cfg)
