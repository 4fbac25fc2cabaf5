"""What setup.py asks for is what the package imports."""

import ast
import re
import runpy
import sys
from pathlib import Path

import pytest
import setuptools

ROOT = Path(__file__).parents[1]
MODULES = {'pillow': 'PIL', 'pyyaml': 'yaml', 'grad-cam': 'pytorch_grad_cam'}
STACK = {'mmengine', 'mmcv', 'mmdet', 'mmseg', 'mmpretrain', 'cv2'}  # mmcv brings OpenCV
OF_TORCH = {'filelock', 'triton'}
# of mmpretrain's multimodal models, and a runtime that the benchmark asks for by name
OF_OTHERS = {'openvino', 'transformers'}


@pytest.fixture
def arguments(monkeypatch: pytest.MonkeyPatch) -> dict:
    """Of the call of ``setup``."""
    caught = {}
    monkeypatch.setattr(setuptools, 'setup', lambda **given: caught.update(given))
    runpy.run_path(str(ROOT / 'setup.py'))
    return caught


def modules_of(requirements: list[str]) -> set[str]:
    names = [re.match(r'[\w-]+', requirement)[0] for requirement in requirements]
    return {MODULES.get(name, name) for name in names}


def imported() -> set[str]:
    """The first names of all absolute imports of the package."""
    found = set()
    for path in (ROOT / 'vminet_mm').rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.split('.')[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(node.module.split('.')[0])
    return found - sys.stdlib_module_names - {'vminet_mm'}


def test_every_import_is_required(arguments: dict) -> None:
    extras = arguments['extras_require']
    optional = modules_of([*extras['bench'], *extras['vis'], *extras['export']])
    required = modules_of(arguments['install_requires'])
    known = required | optional | STACK | OF_TORCH | OF_OTHERS
    assert imported() - known == set()
    assert required - imported() == set()


def test_metadata(arguments: dict) -> None:
    assert arguments['project_urls'] and arguments['classifiers']
    assert 'py.typed' in arguments['package_data']['vminet_mm']
    assert arguments['entry_points']['console_scripts'] == ['vminet_mm = vminet_mm.cli:main']
