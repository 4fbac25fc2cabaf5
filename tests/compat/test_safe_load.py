import argparse
import builtins
import functools
import http.server
import os
import pickle
import threading
from collections import OrderedDict
from types import ModuleType

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import checkpoint as mmengine_loading
from mmengine.runner.checkpoint import CheckpointLoader, _load_checkpoint, load_checkpoint

import vminet_mm  # noqa: F401
from vminet_mm.compat.package_utils import is_onedl
from vminet_mm.compat.safe_load import fix, safe_load, weights_only
from vminet_mm.errors import CheckpointError, UnsafeCheckpointError

LOADERS = [safe_load, lambda path: _load_checkpoint(str(path), map_location='cpu')]


class Calls:
    """Pickles as a call of `function(*args)`."""

    def __init__(self, function, *args):
        self.reduced = function, args

    def __reduce__(self):
        return self.reduced


HOSTILE = {
    'posix.system': lambda file: Calls(os.system, f'touch {file}'),
    'io.open': lambda file: Calls(open, str(file), 'w'),
}


def test_the_loading_of_onedls_fork_stays_safe(tmp_path):
    """It loads again with `weights_only=False` what torch refuses."""

    def _safe_torch_load(file, map_location=None, weights_only=None):
        return torch.load(file, map_location=map_location, weights_only=False)

    fork = ModuleType('fork')
    fork.CheckpointLoader = type('CheckpointLoader', (), {})
    fork._safe_torch_load = _safe_torch_load
    fix(fork)
    trace, path = tmp_path / 'trace', tmp_path / 'weights.pth'
    for hostile in HOSTILE.values():
        torch.save({'state_dict': {}, 'meta': hostile(trace)}, path)
        with pytest.raises(pickle.UnpicklingError):
            fork._safe_torch_load(path)
        assert not trace.exists()
    torch.save({'losses': HistoryBuffer([2.0, 4.0], [1, 1])}, path)
    assert fork._safe_torch_load(path, 'cpu')['losses'].mean() == 3.0
    assert hasattr(mmengine_loading, '_safe_torch_load') == is_onedl()  # else it has a new name


def test_getattr_on_a_module_is_refused(tmp_path):
    """`getattr(os, 'system')` by hand: a module itself does not pickle."""
    path = tmp_path / 'weights.pth'
    os_module = Calls(builtins.__import__, 'os')
    torch.save(Calls(getattr, os_module, 'system'), path)
    with pytest.raises(UnsafeCheckpointError, match='`builtins.__import__`'):
        safe_load(path)


@pytest.mark.filterwarnings('ignore:Detected pickle protocol')
def test_a_newer_pickle_protocol_is_refused_clearly(tmp_path):
    path = tmp_path / 'weights.pth'
    torch.save({'x': Calls(os.system, 'true')}, path, pickle_protocol=4)
    with pytest.raises(UnsafeCheckpointError, match='cannot be checked'):
        safe_load(path)


def test_a_long_url_is_no_file_name(monkeypatch):
    monkeypatch.setenv('no_proxy', '127.0.0.1')
    with pytest.raises(OSError) as error:
        _load_checkpoint('http://127.0.0.1:1/weights.pth?signature=' + 'x' * 5000)
    assert 'refused' in str(error.value)  # the connection, rather than: file name too long


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match='weights.pth does not exist'):
        safe_load(tmp_path / 'weights.pth')
    with pytest.raises(FileNotFoundError, match='is a folder'):
        safe_load(tmp_path)
    with pytest.raises(FileNotFoundError):
        _load_checkpoint(str(tmp_path / 'weights.pth'))


@pytest.mark.parametrize('loader', LOADERS, ids=['ours', 'mmengine'])
@pytest.mark.parametrize('zipped', [True, False], ids=['zip', 'legacy'])
def test_checkpoints_of_the_mm_trainers(tmp_path, loader, zipped):
    """The parts that mmdet, mmseg and mmpretrain put into theirs."""
    path = tmp_path / 'epoch_1.pth'
    content = {
        'meta': {
            'epoch': 1,
            'seed': np.int64(3),
            'cfg': 'model = dict()',
            'dataset_meta': {'classes': ('a', 'b'), 'palette': np.array([[1, 2, 3]], np.uint8)},
            'hook_msgs': {'best_score': np.float64(0.5), 'best_ckpt': 'x.pth'},
        },
        'state_dict': OrderedDict(weight=torch.randn(3), mask=torch.tensor([True])),
        'message_hub': {
            'log_scalars': OrderedDict(loss=HistoryBuffer([1.0, 2.0], [1, 1])),
            'runtime_info': OrderedDict(iter=1, lr=np.float32(0.1)),
            'resumed_keys': OrderedDict(loss=True),
        },
        'optimizer': {'state': {0: {'step': torch.tensor(1.0)}}, 'param_groups': [{'lr': 0.1}]},
    }
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    loaded = loader(path)
    assert loaded['meta']['hook_msgs'] == content['meta']['hook_msgs']
    palette = loaded['meta']['dataset_meta']['palette']
    np.testing.assert_array_equal(palette, [[1, 2, 3]])
    assert loaded['message_hub']['log_scalars']['loss'].mean() == 1.5
    torch.testing.assert_close(loaded['state_dict'], content['state_dict'])


def test_a_checkpoint_of_timm(tmp_path):
    path = tmp_path / 'model_best.pth.tar'
    model = torch.nn.Linear(2, 2)
    content = {
        'epoch': 3,
        'arch': 'vminet',
        'state_dict': model.state_dict(),
        'optimizer': torch.optim.AdamW(model.parameters()).state_dict(),
        'version': 2,
        'args': argparse.Namespace(lr=0.1, mean=(0.5, 0.5), aug=None),
        'state_dict_ema': model.state_dict(),
        'metric': np.float64(81.25),
    }
    torch.save(content, path)
    loaded = safe_load(path)
    assert loaded['args'].lr == 0.1
    assert loaded['metric'] == 81.25
    assert load_checkpoint(model, str(path))['arch'] == 'vminet'


def test_unrelated_errors_are_left_alone(tmp_path):
    """Such as tensors of a device that is not there; the file is fine."""
    path = tmp_path / 'weights.pth'
    torch.save({'w': torch.zeros(2)}, path)
    with pytest.raises(RuntimeError) as error:
        safe_load(path, map_location='nowhere')
    assert not isinstance(error.value, CheckpointError)


def test_the_environment_cannot_switch_it_off(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', '1')
    monkeypatch.delenv('TORCH_FORCE_WEIGHTS_ONLY_LOAD', raising=False)
    trace, path = tmp_path / 'trace', tmp_path / 'weights.pth'
    torch.save(HOSTILE['io.open'](trace), path)
    for loader in LOADERS:
        with pytest.raises(UnsafeCheckpointError):
            loader(path)
    with weights_only(), pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=False)
    assert not trace.exists()
    assert os.environ['TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'] == '1'
    assert 'TORCH_FORCE_WEIGHTS_ONLY_LOAD' not in os.environ


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A folder and the URL under which it is served."""
    folder = tmp_path / 'served'
    folder.mkdir()
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'torch_home'))
    monkeypatch.setenv('no_proxy', '127.0.0.1')
    handler = functools.partial(QuietHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield folder, f'http://127.0.0.1:{running.server_address[1]}'
        running.shutdown()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


def test_a_checkpoint_from_a_url_runs_nothing(tmp_path, server):
    """Upstream loads these with `weights_only=False`."""
    folder, url = server
    trace = tmp_path / 'trace'
    torch.save({'state_dict': HOSTILE['posix.system'](trace)}, folder / 'hostile.pth')
    torch.save({'state_dict': {'w': torch.ones(2)}, 'h': HistoryBuffer()}, folder / 'good.pth')
    with pytest.raises(UnsafeCheckpointError, match=f'{url}/hostile.pth .*posix.system'):
        _load_checkpoint(f'{url}/hostile.pth', map_location='cpu')
    assert not trace.exists()
    assert _load_checkpoint(f'{url}/good.pth')['state_dict']['w'].tolist() == [1, 1]


def test_the_loader_can_still_be_extended():
    CheckpointLoader.register_scheme('vminet-test://', lambda name, map_location: {'name': name})
    try:
        assert _load_checkpoint('vminet-test://x') == {'name': 'vminet-test://x'}
    finally:
        del CheckpointLoader._schemes['vminet-test://']
