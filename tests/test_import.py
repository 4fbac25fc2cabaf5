"""What `import vminet_mm` imports, and that the registries find the package's parts after it."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import vminet_mm

# everything that is not of the standard library
PACKAGES = ('torch', 'torchvision', 'numpy', 'cv2', 'PIL', 'scipy', 'matplotlib', 'triton')
MM_PACKAGES = ('mmengine', 'mmcv', 'mmdet', 'mmseg', 'mmpretrain')


@pytest.fixture(scope='module')
def modules() -> Callable[[str], list[str]]:
    """Names of all modules that code imports in an interpreter of its own."""

    def run(code: str) -> list[str]:
        code = f'import json, sys; before = set(sys.modules)\n{code}\n'
        code += 'print(json.dumps(sorted(set(sys.modules) - before)))'
        done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


def test_the_import_loads_little_of_the_package_and_nothing_else(modules: Callable) -> None:
    found = modules('import vminet_mm')
    own = [name for name in found if name.startswith('vminet_mm')]
    assert not {name.partition('.')[0] for name in found} & {*PACKAGES, *MM_PACKAGES}
    assert len(own) <= 8  # itself, version, errors, registration, compat and three parts of it
    assert len(found) < 100


def test_the_import_adds_few_modules_to_those_of_torch(modules: Callable) -> None:
    added = modules('import torch; before |= set(sys.modules); import vminet_mm')
    assert not {name.partition('.')[0] for name in added} & set(MM_PACKAGES)
    assert len(added) < 40  # torch is over 1000


PARTS = """
assert MODELS.get("VMINet") and MODELS.get("SimpleFeaturePyramid")
assert HOOKS.get("NonFiniteLossHook") and HOOKS.get("DeployHook")
"""


def test_parts_are_imported_at_their_first_use(modules: Callable) -> None:
    """By name and by the registries; the tasks' libraries are not: importing them fails here."""
    found = modules(
        'sys.modules.update(mmdet=None, mmseg=None, mmpretrain=None); before |= set(sys.modules)\n'
        'from vminet_mm import VMINet; assert isinstance(VMINet, type)\n'
        'assert {"vminet_mm.models.vminet", "mmengine.model"} <= set(sys.modules)\n'
        'unwanted = "vminet_mm.engine", "vminet_mm.infer"\n'
        'assert not [name for name in sys.modules if name.startswith(unwanted)]\n'
        'from mmengine.registry import MODELS, HOOKS\n'
        'assert MODELS.build(dict(type="VMINet", arch="ti"))' + PARTS
    )
    assert 'vminet_mm.engine.hooks' in found
    # other papers' backbones are registered, and imported when one is built
    assert 'vminet_mm.peers' in found
    assert not [x for x in found if x.startswith(('vminet_mm.peers.', 'vminet_mm.ops.selective'))]


def test_public_names() -> None:
    assert set(vminet_mm.__all__) <= set(dir(vminet_mm))
    for name in vminet_mm.__all__:
        assert getattr(vminet_mm, name) is not None
    with pytest.raises(AttributeError, match='no_such_name'):
        _ = vminet_mm.no_such_name


def test_a_config_needs_one_import_however_late(modules: Callable, tmp_path: Path) -> None:
    """The root registries have been asked before, and so have imported their locations."""
    config = tmp_path / 'config.py'
    config.write_text("custom_imports = dict(imports=['vminet_mm'], allow_failed_imports=False)")
    modules(
        'from mmengine.registry import HOOKS, MODELS\n'
        'assert not HOOKS.get("DeployHook") and not MODELS.get("VMINet")\n'
        f'from mmengine.config import Config; Config.fromfile({str(config)!r})'
        + ''.join(
            f'\nfrom {library}.registry import HOOKS, MODELS{PARTS}'
            for library in ('mmdet', 'mmseg', 'mmpretrain')
        )
        + 'from mmseg.registry import DATASETS; assert DATASETS.get("ADE20KLayoutDataset")\n'
    )
