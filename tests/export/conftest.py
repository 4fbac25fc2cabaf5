"""Each tiny model exported once, by the first process of the tests that asks for it."""

import pickle
from pathlib import Path

import pytest
import torch
from exporting import CLASSES, MAPS, MODELS, Exported, tiny_config, trained
from filelock import FileLock

from vminet_mm.export import export


class Exports(dict[str, Exported]):
    """ONNX files by name, verified at three sizes, in a folder that all processes share."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        folder.mkdir(exist_ok=True)

    def __missing__(self, name: str) -> Exported:
        made = self.folder / f'{name}.pickle'
        with FileLock(f'{made}.lock'):
            if not made.is_file():
                made.write_bytes(pickle.dumps(self._export(name)))
        self[name] = pickle.loads(made.read_bytes())
        return self[name]

    def _export(self, name: str) -> Exported:
        torch.manual_seed(0)
        cfg = tiny_config(name)
        meta = dict(dataset_meta=dict(classes=CLASSES)) if name == 'classifier' else {}
        checkpoint = trained(cfg, self.folder / f'{name}.pth', **meta)
        names = ['maps'] if name in MAPS else []
        done = export(cfg, checkpoint, size=(64, 80), names=names, check=True)
        return Exported(name, cfg, checkpoint, done)


@pytest.fixture(scope='session')
def exports(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> dict[str, Exported]:
    """By name, made when it is asked for."""
    folder = tmp_path_factory.getbasetemp()
    return Exports((folder if worker_id == 'master' else folder.parent) / 'exports')


@pytest.fixture
def detector(exports: dict[str, Exported]) -> Exported:
    """A whole Mask R-CNN."""
    return exports['detector']


@pytest.fixture(params=[name for name in MODELS if name != 'detector'])
def exported(request: pytest.FixtureRequest, exports: dict[str, Exported]) -> Exported:
    """Each of the exported models whose outputs are maps, or of the whole image."""
    return exports[request.param]
