"""Each tiny model exported once."""

from pathlib import Path

import pytest
import torch
from exporting import CLASSES, MODELS, Exported, tiny_config, trained

from vminet_mm.export import export


@pytest.fixture(scope='session')
def exports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Exported]:
    """By name: ONNX files, verified at three sizes."""
    folder = tmp_path_factory.mktemp('exports')
    torch.manual_seed(0)
    made = {}
    for name in MODELS:
        cfg = tiny_config(name)
        meta = dict(dataset_meta=dict(classes=CLASSES)) if name == 'classifier' else {}
        checkpoint = trained(cfg, folder / f'{name}.pth', **meta)
        names = ['maps'] if name in ('fpn', 'sfp') else []
        done = export(cfg, checkpoint, size=(64, 80), names=names, check=True)
        made[name] = Exported(name, cfg, checkpoint, done)
    return made


@pytest.fixture(scope='session')
def detector(exports: dict[str, Exported]) -> Exported:
    """A whole Mask R-CNN, verified at three sizes."""
    item = exports['fpn']
    out = Path(item.checkpoint).with_name('whole.onnx')
    done = export(item.cfg, item.checkpoint, out, size=(64, 80), check=True)
    return Exported('detector', item.cfg, item.checkpoint, done)


@pytest.fixture(params=MODELS)
def exported(request: pytest.FixtureRequest, exports: dict[str, Exported]) -> Exported:
    """Each of the exported models."""
    return exports[request.param]
