import argparse
import builtins
import functools
import http.server
import os
import pickle
import subprocess
import threading
from collections import OrderedDict

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner.checkpoint import CheckpointLoader, _load_checkpoint, load_checkpoint

import vminet_mm  # noqa: F401
from vminet_mm.compat.safe_load import (
    CheckpointError,
    UnsafeCheckpointError,
    safe_load,
    weights_only,
)

LOADERS = [safe_load, lambda path: _load_checkpoint(str(path), map_location='cpu')]


class Calls:
    """Pickles as a call of `function(*args)`."""

    def __init__(self, function, *args):
        self.reduced = function, args

    def __reduce__(self):
        return self.reduced


HOSTILE = {
    'posix.system': lambda file: Calls(os.system, f'touch {file}'),
    'builtins.eval': lambda file: Calls(eval, f'open({str(file)!r}, "w")'),
    'builtins.exec': lambda file: Calls(exec, f'open({str(file)!r}, "w")'),
    'io.open': lambda file: Calls(open, str(file), 'w'),
    'subprocess.Popen': lambda file: Calls(subprocess.Popen, ['touch', str(file)]),
    'functools.partial': lambda file: Calls(functools.partial, os.mkdir, str(file)),
    'builtins.__import__': lambda file: Calls(builtins.__import__, 'os'),
    "builtins.getattr(HistoryBuffer, '__init__')": lambda file: Calls(
        getattr, HistoryBuffer, '__init__'
    ),
    'torch.hub.load': lambda file: Calls(torch.hub.load, str(file), 'x'),
}


@pytest.mark.parametrize('loader', LOADERS, ids=['ours', 'mmengine'])
@pytest.mark.parametrize('zipped', [True, False], ids=['zip', 'legacy'])
@pytest.mark.parametrize('name', HOSTILE)
def test_a_hostile_file_is_refused_and_nothing_runs(tmp_path, name, zipped, loader):
    trace, path = tmp_path / 'trace', tmp_path / 'weights.pth'
    content = {'state_dict': {'w': torch.zeros(2)}, 'meta': HOSTILE[name](trace)}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UnsafeCheckpointError) as error:
        loader(path)
    message = str(error.value)
    assert str(path) in message
    assert f'`{name}`' in message
    assert 'could run code' in message
    assert 'nothing of it was run' in message
    assert 're-save' in message
    assert 'weights_only' not in message  # no advice to switch the protection off
    assert not trace.exists()


@pytest.mark.parametrize('loader', LOADERS, ids=['ours', 'mmengine'])
def test_the_attacks_work_when_they_are_not_stopped(tmp_path, loader):
    """Else the test above would prove nothing."""
    trace = tmp_path / 'trace'
    pickle.loads(pickle.dumps(HOSTILE['posix.system'](trace)))
    assert trace.exists()
    with pytest.raises(UnsafeCheckpointError, match='getattr'):
        torch.save(Calls(getattr, Calls(getattr, HistoryBuffer, '__init__'), 'x'), trace)
        loader(trace)


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


@pytest.mark.filterwarnings('ignore')  # torch deprecates TorchScript
def test_a_torchscript_archive_is_refused(tmp_path):
    path = tmp_path / 'model.pt'
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)), path)
    with pytest.raises(UnsafeCheckpointError, match='TorchScript archive'):
        safe_load(path)


@pytest.mark.parametrize('loader', LOADERS, ids=['ours', 'mmengine'])
@pytest.mark.parametrize(
    ('content', 'reason'),
    [
        (b'', 'the file is empty'),
        (b'\n<!DOCTYPE html><html><body>Sign in</body></html>', 'web page'),
        (b'<html>404</html>', 'web page'),
        (b'version https://git-lfs.github.com/spec/v1\noid sha256:0', 'git lfs pull'),
        (b'{"message": "Not Found"}', 'does not begin as torch.save writes it'),
        (b'\x89PNG\r\n\x1a\n' + bytes(100), 'does not begin as torch.save writes it'),
        (b'PK\x03\x04' + bytes(500), 'truncated'),
        (b'\x80\x02}q', 'truncated or damaged'),
        (b'\x80\x02' + bytes(range(256)), 'cannot be checked|truncated or damaged'),
    ],
)
def test_what_is_no_checkpoint_is_named(tmp_path, content, reason, loader):
    path = tmp_path / 'weights.pth'
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=reason) as error:
        loader(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize('zipped', [True, False], ids=['zip', 'legacy'])
@pytest.mark.parametrize('share', [0.02, 0.5, 0.97])
def test_a_truncated_checkpoint(tmp_path, zipped, share):
    path = tmp_path / 'weights.pth'
    torch.save({'w': torch.randn(4000)}, path, _use_new_zipfile_serialization=zipped)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(CheckpointError, match='truncated'):
        safe_load(path)


@pytest.mark.parametrize('place', [-40, 60])
def test_a_damaged_checkpoint(tmp_path, place):
    path = tmp_path / 'weights.pth'
    torch.save({'w': torch.randn(4)}, path)
    content = bytearray(path.read_bytes())
    content[place : place + 8] = b'\xff' * 8
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=str(path)):
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


def test_foreign_byte_order_is_refused_rather_than_misread(tmp_path):
    path = tmp_path / 'weights.pth'
    torch.save({'a': np.ones(3, '>f8')}, path)
    with pytest.raises(CheckpointError, match='byte order'):
        safe_load(path)


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
