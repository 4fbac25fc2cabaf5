import argparse
import os
import pickle
import subprocess

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

import vminet_mm  # noqa: F401
from vminet_mm.compat import safe_globals
from vminet_mm.compat.safe_load import safe_load


class Calls:
    """Pickles as a call of `function(*args)`, optionally followed by a state."""

    def __init__(self, function, *args, state=None):
        self.reduced = (function, args) if state is None else (function, args, state)

    def __reduce__(self):
        return self.reduced


def saved(path, content, zipped=True):
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


@pytest.mark.parametrize('zipped', [True, False])
@pytest.mark.parametrize('code', ['?', 'b', 'H', 'i', 'q', 'e', 'f', 'd', 'D'])
def test_numeric_arrays_and_scalars(tmp_path, code, zipped):
    array = np.arange(6).reshape(2, 3).astype(code)
    content = {
        'c': array,
        'fortran': np.asfortranarray(array),
        'empty': array[:0],
        'scalar': array[1, 2],
        'dtype': array.dtype,
    }
    loaded = safe_load(saved(tmp_path / 'x.pth', content, zipped))
    for name, value in content.items():
        assert isinstance(loaded[name], (np.ndarray, np.generic, np.dtype))
        assert loaded[name] is value or getattr(loaded[name], 'dtype', value) == array.dtype
        np.testing.assert_array_equal(loaded[name], value)
    assert loaded['fortran'].flags.f_contiguous


def test_loaded_arrays_are_ordinary(tmp_path):
    path = saved(tmp_path / 'x.pth', np.arange(3.0))
    array = safe_load(path)
    array[0] = 5
    assert np.append(array, 1).tolist() == [5, 1, 2, 1]
    np.testing.assert_array_equal(safe_load(saved(path, array)), array)


@pytest.mark.parametrize('zipped', [True, False])
def test_history_buffers_work_after_loading(tmp_path, zipped):
    history = HistoryBuffer([1.0, 4.0, 2.5], [1, 1, 2])
    loaded = safe_load(saved(tmp_path / 'x.pth', {'h': history}, zipped))['h']
    for statistic in ('min', 'max', 'mean', 'current'):
        assert loaded.statistics(statistic) == history.statistics(statistic)
    loaded.update(9.0)
    assert loaded.max() == 9.0


def test_a_namespace_holds_plain_data_only(tmp_path):
    space = argparse.Namespace(lr=0.1, sizes=[1, 2], name='x')
    assert safe_load(saved(tmp_path / 'x.pth', {'args': space}))['args'] == space
    with pytest.raises(pickle.UnpicklingError, match='subprocess.Popen'):
        safe_load(saved(tmp_path / 'x.pth', argparse.Namespace(x=Calls(subprocess.Popen, 'true'))))


@pytest.mark.parametrize(
    ('owner', 'name'),
    [(os, 'system'), (HistoryBuffer, '__init__'), (HistoryBuffer, 'update'), (np, 'load'),
     (HistoryBuffer([1], [1]), 'min'), (type, 'mro'), ('text', 'format')],
)  # fmt: skip
def test_getattr_gives_four_methods_and_nothing_else(owner, name):
    with pytest.raises(pickle.UnpicklingError, match=f'GLOBAL builtins.getattr.*{name}'):
        safe_globals._getattr(owner, name)
    assert safe_globals._getattr(HistoryBuffer, 'mean') is HistoryBuffer.mean


@pytest.mark.parametrize('zipped', [True, False])
@pytest.mark.parametrize(
    ('hostile', 'refused'),
    [
        # Pointers made of bytes: with the real ndarray allowed, printing it crashes the process.
        (Calls(np.ndarray, (1,), 'O', b'\x01' * 8), 'numpy.ndarray'),
        (Calls(np.ndarray, (1 << 20,)), 'numpy.ndarray'),
        (Calls(np.dtype, 'O8', False, True), "numpy.dtype.'O8'"),
        (Calls(np.dtype, 'V8', False, True), "numpy.dtype.'V8'"),
        (Calls(np.dtype, 'U4', False, True), "numpy.dtype.'U4'"),
        (Calls(np.dtype, 'f8,O'), "numpy.dtype.'f8,O'"),
        (Calls(np.dtype, '>f8'), "numpy.dtype.'>f8'"),
        (np.array([object], dtype=object), 'numpy.dtype'),
        (Calls(safe_globals.multiarray._reconstruct, HistoryBuffer, (0,), b'b'), '_reconstruct'),
        (Calls(safe_globals.multiarray.scalar, 'f8', b'\0' * 8), 'scalar'),
        (Calls(safe_globals._codecs.encode, 'text', 'rot13'), None),  # torch allows it, a text
    ],
)
def test_numpy_cannot_be_abused(tmp_path, hostile, refused, zipped):
    path = saved(tmp_path / 'x.pth', {'state_dict': hostile}, zipped)
    if refused is None:
        assert safe_load(path) == {'state_dict': 'grkg'}
        return
    with pytest.raises(pickle.UnpicklingError, match=refused):
        safe_load(path)


def test_a_file_cannot_change_a_dtype(tmp_path):
    """A state with flags that claim objects: on a fresh copy of a dtype it corrupts memory."""
    state = (3, '<', None, None, None, -1, -1, 63)
    path = saved(tmp_path / 'x.pth', Calls(np.dtype, 'f8', False, True, state=state))
    dtype = safe_load(path)
    assert dtype is np.dtype('f8')
    assert dtype.flags == 0


def test_the_names_work_in_torch_2_4(tmp_path, monkeypatch):
    """It knows no (object, name) pairs and looks names up by `__name__`."""
    unpickler = torch._weights_only_unpickler

    def as_in_2_4():
        names = unpickler._get_safe_globals()
        return {f'{item.__module__}.{item.__name__}': item for item in names}

    monkeypatch.setattr(unpickler, '_get_user_allowed_globals', as_in_2_4)
    content = {'h': HistoryBuffer([1.0], [1]), 'a': np.arange(3), 's': np.float32(2)}
    loaded = safe_load(saved(tmp_path / 'x.pth', content))
    assert loaded['h'].mean() == 1
    assert loaded['s'] == 2
    with pytest.raises(pickle.UnpicklingError, match='numpy.ndarray'):
        safe_load(saved(tmp_path / 'x.pth', Calls(np.ndarray, (1,), 'O', b'\x01' * 8)))
