from importlib import metadata
from pathlib import Path

import mmengine.utils
import pytest

import vminet_mm  # noqa: F401
from vminet_mm.compat import package_utils


@pytest.mark.parametrize(
    ('distribution', 'module'),
    [
        ('mmdet', 'mmdet'),
        ('mmsegmentation', 'mmseg'),
        ('grad-cam', 'pytorch_grad_cam'),
        ('mmseg', 'mmseg'),
    ],
)
def test_path_of_a_distribution_or_a_package(distribution, module):
    path = Path(package_utils.get_installed_path(distribution))
    assert path.name == module
    assert (path / '__init__.py').is_file()


@pytest.fixture
def only_the_fork(tmp_path, monkeypatch):
    """An environment in which `mmother` is installed by OneDL's fork of it alone."""
    info = tmp_path / 'onedl_mmother-1.0.dist-info'
    for folder in (info, tmp_path / 'mmother_module'):
        folder.mkdir()
    (info / 'METADATA').write_text('Metadata-Version: 2.1\nName: onedl-mmother\nVersion: 1.0\n')
    (info / 'top_level.txt').write_text('mmother_module\n')
    (tmp_path / 'mmother_module/__init__.py').touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_a_fork_is_found_under_the_name_of_what_it_forks(only_the_fork):
    assert package_utils.is_installed('mmother')
    assert package_utils.package2module('mmother') == 'mmother_module'
    path = package_utils.get_installed_path('mmother')
    assert path == str(only_the_fork / 'mmother_module')
    with pytest.raises(metadata.PackageNotFoundError, match='^No package .* no_such'):
        package_utils.package2module('no_such')


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


def test_an_editable_installation_is_found_where_it_lies(tmp_path, monkeypatch):
    """Its metadata lie elsewhere."""
    for folder in ('site/other-1.0.dist-info', 'clone/other'):
        (tmp_path / folder).mkdir(parents=True)
        monkeypatch.syspath_prepend(str((tmp_path / folder).parent))
    info = tmp_path / 'site/other-1.0.dist-info'
    (info / 'METADATA').write_text('Metadata-Version: 2.1\nName: other\nVersion: 1.0\n')
    (info / 'top_level.txt').write_text('other\n')
    (tmp_path / 'clone/other/__init__.py').touch()
    assert mmengine.utils.get_installed_path('other') == str(tmp_path / 'clone/other')
