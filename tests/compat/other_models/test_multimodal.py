import sys
from types import ModuleType, SimpleNamespace

import pytest

from vminet_mm.compat.other_models import multimodal


@pytest.fixture
def transformers(monkeypatch):
    """A transformers of which only `modeling_utils` exists."""
    package, utils = ModuleType('transformers'), ModuleType('transformers.modeling_utils')
    package.modeling_utils = utils
    monkeypatch.setitem(sys.modules, 'transformers', package)
    monkeypatch.setitem(sys.modules, 'transformers.modeling_utils', utils)
    monkeypatch.delitem(sys.modules, 'mmpretrain.models', raising=False)
    return utils


def test_a_release_with_the_names_is_left_on(transformers):
    transformers.PreTrainedModel = transformers.apply_chunking_to_forward = object
    dependency = SimpleNamespace(WITH_MULTIMODAL=True)
    multimodal.fix(dependency)
    assert dependency.WITH_MULTIMODAL


def test_a_release_without_them_is_switched_off(transformers):
    transformers.PreTrainedModel = object
    dependency = SimpleNamespace(WITH_MULTIMODAL=True)
    multimodal.fix(dependency)
    assert not dependency.WITH_MULTIMODAL


def test_models_that_are_imported_stay_as_they_are(transformers, monkeypatch):
    monkeypatch.setitem(sys.modules, 'mmpretrain.models', ModuleType('mmpretrain.models'))
    dependency = SimpleNamespace(WITH_MULTIMODAL=True)
    multimodal.fix(dependency)
    assert dependency.WITH_MULTIMODAL


def test_mmpretrain_imports_beside_a_release_it_does_not_know(python, tmp_path):
    """A package in the shape of transformers 4.57, installed as far as mmpretrain can see."""
    package = tmp_path / 'transformers'
    package.mkdir()
    package.joinpath('__init__.py').write_text('__version__ = "4.57.0"\n')
    package.joinpath('modeling_utils.py').write_text('class PreTrainedModel: pass\n')
    info = tmp_path / 'transformers-4.57.0.dist-info'
    info.mkdir()
    info.joinpath('METADATA').write_text(
        'Metadata-Version: 2.1\nName: transformers\nVersion: 4.57.0\n'
    )
    output = python("""
        import sys
        import vminet_mm, mmpretrain.utils.dependency as dependency
        assert dependency.satisfy_requirement('transformers>=4.28.0')
        import mmpretrain.models
        print(dependency.WITH_MULTIMODAL, dict.fromkeys(
            state for name, state, _ in vminet_mm.compat.describe() if name == 'multimodal'))
    """)
    assert output.strip().endswith("False {'applied': None}")
