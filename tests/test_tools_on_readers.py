"""The tools, as a shell starts them, on data sets of several readers and numbers of channels."""

import json
import pickle
import runpy
import sys
from functools import cache
from pathlib import Path

import pytest
from reader_sets import CLASSES, NUMBER, SIZE, make_set

ROOT = Path(__file__).resolve().parents[1]
READERS = ('coco', 'xml', 'multi_label', 'list_file', 'label_maps')
cells = pytest.mark.parametrize('channels', [1, 3, 4])


@pytest.fixture(scope='session')
def sets(tmp_path_factory: pytest.TempPathFactory):
    """Function that makes the set of a cell, once."""
    folder = tmp_path_factory.mktemp('tools')
    return cache(lambda reader, channels: make_set(folder, reader, channels))


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    """Function that runs a tool in this process, which must end well; returns what it prints."""

    def run(script: str, *switches: object) -> str:
        path = ROOT / script
        monkeypatch.setattr(sys, 'argv', [str(path), *map(str, switches)])
        monkeypatch.syspath_prepend(str(path.parent))
        try:
            runpy.run_path(str(path), run_name='__main__')
        except SystemExit as end:
            assert not end.code, end.code
        return capsys.readouterr().out

    return run


@cells
@pytest.mark.parametrize('reader', READERS)
def test_from_training_to_pictures(reader: str, channels: int, sets, tool, tmp_path: Path) -> None:
    cell, work = sets(reader, channels), tmp_path / 'work'
    tool('tools/train.py', cell.config, '--work-dir', work)
    trained = (cell.config, work / 'epoch_1.pth')
    out, show, metrics = tmp_path / 'out.pkl', tmp_path / 'show', tmp_path / 'metrics.json'
    switches = ['--out', out, '--show-dir', show, '--metrics', metrics, '--work-dir', work]
    tool('tools/test.py', *trained, *switches)
    assert len(pickle.loads(out.read_bytes())) == NUMBER['val']
    assert sum(path.is_file() for path in show.rglob('*')) == NUMBER['val']
    assert all(isinstance(value, float) for value in json.loads(metrics.read_text()).values())
    pictures, told = tmp_path / 'pictures', tmp_path / 'told.json'
    model = ['--config', cell.config, '--checkpoint', trained[1]]
    switches = ['--out-dir', pictures, '--json', told, '--score-thr', 0]
    tool('demo/image_demo.py', cell.root / 'images', *model, *switches)
    assert sum(path.is_file() for path in pictures.rglob('*')) == sum(NUMBER.values())
    assert len(json.loads(told.read_text())) == sum(NUMBER.values())
    tool('tools/report.py', work)
    assert 'data:image/jpeg;base64,' in (work / 'report.html').read_text()


@pytest.mark.parametrize(
    ('reader', 'channels', 'switches'),
    [
        ('list_file', 1, ()),
        ('label_maps', 4, ('--simplify-input', 'uint8')),
    ],
)
def test_exported_file(
    reader: str, channels: int, switches: tuple, sets, tool, tmp_path: Path
) -> None:
    """The file runs without torch on an image of as many channels."""
    cell, file = sets(reader, channels), tmp_path / 'model.onnx'
    made = ['--out', file, *switches]
    tool('tools/deployment/export_onnx.py', cell.config, cell.checkpoint, *made)
    text = tool('tools/deployment/onnx_inference.py', file, cell.images[0])
    assert any(name in text for name in CLASSES)


@pytest.mark.parametrize(
    ('reader', 'channels'), [('xml', 1), ('multi_label', 4), ('label_maps', 1)]
)
def test_looking_into_the_model(reader: str, channels: int, sets, tool, tmp_path: Path) -> None:
    cell = sets(reader, channels)
    cam = ['--model', cell.config, cell.checkpoint, '--out', tmp_path / 'cam.png']
    tool('tools/visualization/cam.py', cell.images[0], *cam)
    images = ['--images', cell.images[0], '--out-dir', tmp_path / 'context']
    tool('tools/visualization/context.py', cell.config, cell.checkpoint, *images)
    assert (tmp_path / 'cam.png').stat().st_size and any((tmp_path / 'context').iterdir())
    assert 'MACs' in tool('tools/analysis_tools/get_flops.py', cell.config, '--shape', *SIZE)
