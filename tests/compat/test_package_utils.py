from importlib import metadata
from pathlib import Path

import pytest

import vminet_mm  # noqa: F401
from vminet_mm.compat import package_utils


@pytest.mark.parametrize(
    ('distribution', 'module'),
    [('mmdet', 'mmdet'), ('mmsegmentation', 'mmseg'), ('mmcv-lite', 'mmcv'), ('mmseg', 'mmseg')],
)
def test_path_of_a_distribution_or_a_package(distribution, module):
    path = Path(package_utils.get_installed_path(distribution))
    assert path.name == module
    assert (path / '__init__.py').is_file()


def test_is_installed():
    assert package_utils.is_installed('mmdet')
    assert package_utils.is_installed('mmsegmentation')
    assert package_utils.is_installed('mmseg')
    assert not package_utils.is_installed('no_such_package_at_all')


def test_what_is_missing_or_no_package(tmp_path, monkeypatch):
    with pytest.raises(metadata.PackageNotFoundError, match='no_such_package_at_all'):
        package_utils.get_installed_path('no_such_package_at_all')
    (tmp_path / 'only_a_folder').mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(RuntimeError, match='namespace package'):
        package_utils.get_installed_path('only_a_folder')


def test_a_config_inherits_from_an_installed_package(tmp_path):
    from mmengine.config import Config

    file = tmp_path / 'config.py'
    file.write_text("_base_ = ['mmdet::_base_/default_runtime.py']\n")
    assert Config.fromfile(file).default_scope == 'mmdet'


def test_off_where_pkg_resources_exists(monkeypatch):
    watched = []
    monkeypatch.setattr(package_utils, 'when_imported', lambda name, _: watched.append(name))
    monkeypatch.setattr(package_utils.importlib.util, 'find_spec', lambda name: object())
    package_utils.apply()
    assert watched == []
    monkeypatch.setattr(package_utils.importlib.util, 'find_spec', lambda name: None)
    package_utils.apply()
    assert watched == ['mmengine.utils.package_utils']
