import importlib
import inspect
import sys

import pytest

from vminet_mm.compat.import_hook import when_imported


@pytest.fixture
def module_name(tmp_path, monkeypatch, request):
    """Name of an importable module that nobody has imported, one for each test."""
    name = f'hooked_{request.node.name.partition("[")[0]}'
    (tmp_path / f'{name}.py').write_text('ORIGINAL = 1\n')
    (tmp_path / f'{name}_user.py').write_text(f'from {name} import ORIGINAL\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield name
    sys.modules.pop(name, None)
    sys.modules.pop(f'{name}_user', None)


def test_the_callback_waits_for_the_import(module_name):
    called = []
    when_imported(module_name, called.append)
    assert not called
    assert module_name not in sys.modules

    module = importlib.import_module(module_name)
    assert called == [module]
    importlib.import_module(module_name)
    assert called == [module]  # not for a look-up in sys.modules


def test_the_importer_sees_what_the_callback_did(module_name):
    when_imported(module_name, lambda module: setattr(module, 'ORIGINAL', 2))
    assert importlib.import_module(f'{module_name}_user').ORIGINAL == 2


def test_an_imported_module_is_served_at_once(module_name):
    module = importlib.import_module(module_name)
    called = []
    when_imported(module_name, called.append)
    assert called == [module]


def test_a_callback_is_registered_once_and_follows_a_reload(module_name):
    called = []
    when_imported(module_name, called.append)
    when_imported(module_name, called.append)
    module = importlib.import_module(module_name)
    assert len(called) == 1
    importlib.reload(module)
    assert len(called) == 2


def test_looking_for_the_module_calls_nothing(module_name):
    called = []
    when_imported(module_name, called.append)
    assert importlib.util.find_spec(module_name) is not None
    assert not called
    importlib.import_module(module_name)
    assert len(called) == 1


def test_a_failing_import_calls_nothing_and_can_be_repeated(module_name, tmp_path):
    source = tmp_path / f'{module_name}.py'
    called = []
    when_imported(module_name, called.append)
    source.write_text('raise ImportError("broken")')
    with pytest.raises(ImportError, match='broken'):
        importlib.import_module(module_name)
    assert not called
    source.write_text('ORIGINAL = 3  # of another size, so that no cache is used')
    assert importlib.import_module(module_name).ORIGINAL == 3
    assert len(called) == 1


def test_a_missing_module_stays_missing():
    when_imported('no_such_module_at_all', print)
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module('no_such_module_at_all')


def test_the_source_is_still_found(module_name):
    when_imported(module_name, lambda module: None)
    assert 'ORIGINAL' in inspect.getsource(importlib.import_module(module_name))


def test_a_submodule_is_found_through_its_package():
    sys.modules.pop('json.tool', None)
    called = []
    when_imported('json.tool', called.append)
    module = importlib.import_module('json.tool')
    assert called == [module]
