"""Which versions are fetched for a machine without a network: those of the lock, of its Python."""

import runpy
from pathlib import Path

import pytest

TOOL = runpy.run_path(str(Path(__file__).parents[1] / 'tools/offline_packages.py'))


@pytest.mark.parametrize(('python', 'has_importer'), [('3.10', False), ('3.12', True)])
def test_locked_versions(python: str, has_importer: bool) -> None:
    found = TOOL['locked']([*TOOL['PURE'], *TOOL['COMPILED']], python)
    names = [line.partition('==')[0] for line in found]
    assert len(set(names)) == len(names)
    assert set(names) | {'lazy-importer'} == {*TOOL['PURE'], *TOOL['COMPILED']}
    assert ('lazy-importer' in names) is has_importer
    assert 'mmdet==3.3.0' in found and not any(';' in line for line in found)
