"""Files that are no checkpoint, do not fit or are hostile, through every door that reads one."""

import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoint_files import TINY as SMALL
from checkpoint_files import load as init_from
from checkpoint_files import ours, prefixed, published
from hostile_files import GADGETS, opens, write_hostile, write_tar
from mmengine.runner.checkpoint import _load_checkpoint
from tiny_configs import ARCH, tiny_config
from tool_errors import refusal

from vminet_mm import VMINet, engine
from vminet_mm.engine import load_config, train
from vminet_mm.engine.conversion import convert
from vminet_mm.engine.weights import require_fit
from vminet_mm.errors import CheckpointError, ConfigError, UnsafeCheckpointError
from vminet_mm.inference import load_model

NAN = float('nan')


def whole(folder: Path, state: dict | None = None, **options) -> Path:
    """A sound checkpoint of MMEngine, of a tiny backbone."""
    state = ours() if state is None else state
    content = dict(state_dict={f'backbone.{k}': v for k, v in state.items()})
    torch.save(content | dict(meta=dict(epoch=1, iter=1)), folder / 'a.pth', **options)
    return folder / 'a.pth'


def bytes_of(content: bytes) -> Callable[[Path], Path]:
    """Function that writes a file of these bytes."""

    def write(folder: Path) -> Path:
        (folder / 'a.pth').write_bytes(content)
        return folder / 'a.pth'

    return write


def cut(folder: Path, fraction: float, **options) -> Path:
    path = whole(folder, **options)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * fraction)])
    return path


def damaged(folder: Path) -> Path:
    path = whole(folder)
    content = bytearray(path.read_bytes())
    content[60:68] = b'\xff' * 8
    path.write_bytes(content)
    return path


def encrypted(folder: Path) -> Path:
    """An archive whose entries are marked as encrypted, as zip -e marks them."""
    path = whole(folder)
    content = bytearray(path.read_bytes())
    for signature, offset in ((b'PK\x03\x04', 6), (b'PK\x01\x02', 8)):
        start = content.find(signature)
        while start >= 0:
            content[start + offset] |= 1
            start = content.find(signature, start + 4)
    path.write_bytes(content)
    return path


def zipped(folder: Path) -> Path:
    with zipfile.ZipFile(folder / 'b.pth', 'w') as archive:
        archive.write(whole(folder), 'epoch_12.pth')
    return folder / 'b.pth'


def other_suffix(folder: Path) -> Path:
    return whole(folder).rename(folder / 'a.safetensors')


def torchscript(folder: Path) -> Path:
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)), folder / 'a.pt')
    return folder / 'a.pt'


def foreign(folder: Path) -> Path:
    torch.save(dict(state_dict=ours(), x=np.ones(3, '>f8')), folder / 'a.pth')
    return folder / 'a.pth'


def saved(content: object) -> Callable[[Path], Path]:
    """Function that saves this."""

    def write(folder: Path) -> Path:
        torch.save(content, folder / 'a.pth')
        return folder / 'a.pth'

    return write


def folder_of(folder: Path) -> Path:
    (folder / 'a.pth').mkdir()
    return folder / 'a.pth'


# what is wrong: function that writes the file into a folder, and what is said of it
UNREADABLE = {
    'missing checkpoint': (lambda f: f / 'none.pth', 'none.pth'),
    'folder as checkpoint': (folder_of, 'a.pth'),
    'empty checkpoint': (bytes_of(b''), 'is not a checkpoint: the file is empty'),
    'truncated checkpoint': (lambda f: cut(f, 0.5), 'the file is truncated'),
    'checkpoint truncated by a byte': (lambda f: cut(f, 0.9999), 'truncated'),
    'truncated checkpoint of old torch': (
        lambda f: cut(f, 0.5, _use_new_zipfile_serialization=False),
        'truncated or damaged',
    ),
    'damaged checkpoint': (damaged, 'truncated or damaged'),
    'HTML instead of weights': (
        bytes_of(b'\n<!DOCTYPE html><html><body>Sign in</body></html>'),
        'the file is a web page: the download gave a login or error page instead',
    ),
    'JSON instead of weights': (
        bytes_of(b'{"message": "Not Found"}'),
        'the file does not begin as torch.save writes it',
    ),
    'image instead of weights': (
        bytes_of(b'\x89PNG\r\n\x1a\n' + bytes(100)),
        'the file does not begin as torch.save writes it',
    ),
    'pointer of Git LFS': (
        bytes_of(b'version https://git-lfs.github.com/spec/v1\noid sha256:0'),
        'fetch the real file with `git lfs pull`',
    ),
    'zip with a password': (encrypted, 'a zip archive with a password. Unpack it'),
    'zip of a checkpoint': (zipped, 'zip archive of other files (epoch_12.pth). Unpack it'),
    'safetensors that are none': (other_suffix, 'truncated or damaged (SafetensorError'),
    'TorchScript': (torchscript, 'it is a TorchScript archive, which contains code'),
    'arrays of another byte order': (foreign, 'in the byte order of another kind of computer'),
    'tar of old torch': (
        lambda f: write_tar(f / 'a.pth', f / 'marker'),
        'the file does not begin as torch.save writes it',
    ),
}
WIDER = dict(SMALL, base_channels=8)
# the same of files whose content does not fit
UNFIT = {
    'checkpoint of another arch': (
        lambda f: whole(f, VMINet(WIDER, img_size=32).state_dict()),
        f'arch is {WIDER} in the checkpoint and {SMALL} in the model',
    ),
    'checkpoint of another mask': (
        saved(dict(state_dict=ours(), meta=dict(vminet=dict(mask='band')))),
        "mask is 'band' in the checkpoint and 'tril' in the model",
    ),
    'checkpoint of the recurrent form': (
        saved(ours(form='recurrent')),
        "form is 'recurrent' in the checkpoint and 'matrix' in the model",
    ),
    'checkpoint of another backbone': (
        saved(dict(state_dict={'layer1.0.conv1.weight': torch.ones(3)})),
        'holds no VMINet: none of its 1 tensors (layer1.0.conv1.weight)',
    ),
    'checkpoint without weights': (saved(dict(epoch=3)), 'none of its 0 tensors (nothing)'),
    'checkpoint that is a list': (saved([torch.ones(3)]), 'holds a list, no state dict'),
    'checkpoint that lacks a tensor': (
        saved({k: v for k, v in ours().items() if k != 'norm.bias'}),
        'norm.bias (32,) is missing',
    ),
    'checkpoint with a tensor too many': (
        saved(ours() | {'stages.0.1.gate': torch.ones(2)}),
        'stages.0.1.gate (2,) is not in the model',
    ),
    'checkpoint with NaN': (
        saved(ours() | {'norm.bias': torch.full((32,), NAN)}),
        '1 tensors have NaN or infinite values (norm.bias), as of a training that diverged: take',
    ),
}
CASES = [*UNREADABLE, *UNFIT, *GADGETS]


class Doors:
    """All that reads a checkpoint; each gives what is said of a file that it refuses."""

    def __init__(self, folder: Path, data: Path, config: Path) -> None:
        self.folder, self.data, self.config = folder, data, config

    def _message(self, action: Callable) -> str:
        with pytest.raises((CheckpointError, ConfigError, FileNotFoundError)) as caught:
            action()
        return str(caught.value)

    def _tool(self, tool: Callable, **switches) -> str:
        folder = self.folder / 'run'
        return refusal(tool, self.config, folder, data_root=str(self.data), **switches)

    def init_cfg(self, path: str) -> str:
        return self._message(lambda: init_from(path))

    def mmengine(self, path: str) -> str:
        return self._message(lambda: _load_checkpoint(path, map_location='cpu'))

    def load_model(self, path: str) -> str:
        return self._message(lambda: load_model(self.config, path, device='cpu'))

    def converter(self, path: str) -> str:
        return self._message(lambda: convert(path, self.folder / 'out.pth'))

    def pretrained(self, path: str) -> str:
        return self._tool(train, pretrained=path)

    def load_from(self, path: str) -> str:
        return self._tool(train, cfg_options=dict(load_from=path))

    def resume(self, path: str) -> str:
        return self._tool(train, resume=path)

    def test(self, path: str) -> str:
        return self._tool(engine.test, checkpoint=path)


ALL = (
    'init_cfg',
    'mmengine',
    'load_model',
    'converter',
    'pretrained',
    'load_from',
    'resume',
    'test',
)
TRAINING = ('init_cfg', 'pretrained', 'load_from')


@pytest.fixture(scope='session')
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The config of a classifier with the backbone of the files above."""
    cfg = tiny_config('classification')
    cfg.model.backbone.update(arch=SMALL, img_size=32)
    path = tmp_path_factory.mktemp('config') / 'config.py'
    cfg.dump(path)
    return path


@pytest.fixture
def doors(tmp_path: Path, mini_root: Path, config: Path) -> Doors:
    return Doors(tmp_path, mini_root / 'imagenet', config)


@pytest.mark.filterwarnings('ignore')  # torch deprecates TorchScript
@pytest.mark.parametrize('bad', UNREADABLE)
def test_unreadable(bad: str, doors: Doors, tmp_path: Path) -> None:
    write, text = UNREADABLE[bad]
    path = str(write(tmp_path))
    for door in ('init_cfg', 'mmengine', 'resume'):
        said = getattr(doors, door)(path)
        assert text in said and path in said, door
        assert '\n' not in said and 'weights_only' not in said, door


@pytest.mark.parametrize('bad', ['missing checkpoint', 'HTML instead of weights'])
@pytest.mark.parametrize('door', ALL)
def test_every_door(door: str, bad: str, doors: Doors, tmp_path: Path) -> None:
    write, text = UNREADABLE[bad]
    assert text in getattr(doors, door)(str(write(tmp_path)))


@pytest.mark.parametrize('bad', UNFIT)
def test_what_does_not_fit(bad: str, doors: Doors, tmp_path: Path) -> None:
    """Told before any data are read: there is none here."""
    write, text = UNFIT[bad]
    path = str(write(tmp_path))
    for door in TRAINING:
        said = getattr(doors, door)(path)
        assert text in said and path in said, door
        assert '\n' not in said


def test_weights_are_looked_at_before_the_data(
    doors: Doors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mmpretrain.datasets import CustomDataset

    def read(*args: object) -> None:
        raise AssertionError('the data were read')

    monkeypatch.setattr(CustomDataset, 'full_init', read)
    path = str(UNFIT['checkpoint of another arch'][0](tmp_path))
    for door in ('pretrained', 'load_from'):
        assert 'arch is' in getattr(doors, door)(path)


def test_whole_models_must_fit(files: dict, doors: Doors, tmp_path: Path) -> None:
    """What tools/test.py and load_model say of the head and of values that are no numbers."""
    doors.config, checkpoint = files['classification']
    content = torch.load(checkpoint, weights_only=True)
    state = content['state_dict']
    assert load_config(doors.config).model.backbone.arch == ARCH
    for name, value, text in (
        ('head.fc.weight', torch.zeros(7, 32), 'size mismatch for head.fc.weight'),
        ('head.fc.bias', torch.full((5,), NAN), 'NaN or infinite values (head.fc.bias)'),
        ('other', torch.zeros(1), 'unexpected key in source state_dict: other'),
    ):
        torch.save(dict(content, state_dict=state | {name: value}), tmp_path / 'a.pth')
        for door in (doors.load_model, doors.test):
            said = door(str(tmp_path / 'a.pth'))
            assert text in said and '\n' not in said and len(said) < 1500
    other = dict(content, meta=dict(vminet=dict(mask='band')))
    torch.save(other, tmp_path / 'a.pth')
    for door in (doors.load_model, doors.test):
        assert "mask is 'band' in the checkpoint and 'tril' in the" in door(str(tmp_path / 'a.pth'))


def test_a_backbone_is_no_whole_model(doors: Doors, tmp_path: Path) -> None:
    """MMEngine would load nothing of these, and train from scratch."""
    run = dict(meta=dict(epoch=1, iter=1))
    whole_state = prefixed('backbone.', ours())
    for number, content in enumerate(
        (
            ours(),
            run | dict(state_dict=ours()),
            published('second'),
            dict(model=whole_state),
            dict(state_dict=prefixed('backbone.', published('second'))),
        )
    ):
        path = str(tmp_path / f'{number}.pth')
        torch.save(content, path)
        for door in ('load_from', 'resume') if 'meta' in content else ('load_from',):
            said = getattr(doors, door)(path)
            assert 'this holds a backbone' in said and '\n' not in said
            assert f'--pretrained {path}' in said


def test_whole_models_of_other_classes_are_taken(config: Path, tmp_path: Path) -> None:
    head = {'head.fc.weight': torch.ones(7, 32), 'head.fc.bias': torch.ones(7)}
    state = prefixed('backbone.', ours()) | head
    for content in (state, dict(state_dict=state), dict(state_dict=prefixed('module.', state))):
        torch.save(content, tmp_path / 'a.pth')
        start = dict(checkpoint=str(tmp_path / 'a.pth'), whole=True)
        assert require_fit(load_config(config), [start]) is None


def test_what_cannot_be_resumed(doors: Doors, tmp_path: Path) -> None:
    torch.save(dict(state_dict=ours()), tmp_path / 'a.pth')
    assert 'weights and not the state of a run' in doors.resume(str(tmp_path / 'a.pth'))
    other = whole(tmp_path, VMINet(WIDER, img_size=32).state_dict())
    assert 'arch is' in doors.resume(str(other))


# what a file asks for, where one name tells it
ASKED = {
    'os.system': 'posix.system',
    'subprocess.Popen': 'subprocess.Popen',
    'builtins.eval': 'builtins.eval',
    'builtins.exec': 'builtins.exec',
    'builtins.open': 'io.open',
    'functools.partial': 'functools.partial',
    'torch.hub': 'torch.hub.load',
}


# every gadget at the loader that all doors share, and one gadget at every door
HOSTILE = [(name, 'mmengine') for name in GADGETS] + [(next(iter(GADGETS)), door) for door in ALL]


@pytest.mark.parametrize('zipped', [True, False])
@pytest.mark.parametrize(('name', 'door'), HOSTILE)
def test_hostile(name: str, door: str, zipped: bool, doors: Doors, tmp_path: Path) -> None:
    marker = tmp_path / 'marker'
    path = write_hostile(tmp_path / 'a.pth', name, marker, zipped=zipped)
    said = getattr(doors, door)(str(path))
    assert str(path) in said and '\n' not in said
    assert 'was refused' in said and 're-save' in said
    assert f'`{ASKED.get(name, "")}' in said
    assert 'weights_only' not in said  # no advice to switch it off
    assert not marker.exists()


def test_hostile_class() -> None:
    """The doors' errors can be caught as what torch raises."""
    assert issubclass(UnsafeCheckpointError, pickle.UnpicklingError)


RUNS = (
    'os.system',
    'builtins.eval',
    'builtins.open',
    'eval by way of getattr',
    'state that is set',
)


@pytest.mark.parametrize('name', RUNS)
def test_gadgets_work_when_they_are_not_stopped(name: str, tmp_path: Path) -> None:
    """Else the tests above would prove nothing."""
    marker = tmp_path / 'marker'
    path = write_hostile(tmp_path / 'a.pth', name, marker)
    content = torch.load(path, weights_only=False)
    if name == 'functools.partial':
        content['meta']['x']()
    assert marker.exists()


def test_config_text_in_a_checkpoint_is_not_run(doors: Doors, tmp_path: Path) -> None:
    marker = tmp_path / 'marker'
    code = f"model = __import__('pathlib').Path({str(marker)!r}).touch() or dict(type='VMINet')"
    for meta in (dict(cfg=code), dict(config=code)):
        torch.save(dict(state_dict=ours(), meta=meta), tmp_path / 'a.pth')
        assert init_from(str(tmp_path / 'a.pth')).is_init
        assert 'does not fit' in doors.load_model(str(tmp_path / 'a.pth'))
        assert 'weights and not the state' in doors.resume(str(tmp_path / 'a.pth'))
    assert not marker.exists()


def test_marker_of_open(tmp_path: Path) -> None:
    """A nested pickle alone would make the marker."""
    pickle.loads(pickle.dumps(opens(tmp_path / 'marker')))
    assert (tmp_path / 'marker').exists()
