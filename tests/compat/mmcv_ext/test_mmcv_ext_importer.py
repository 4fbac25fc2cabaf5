"""Who provides mmcv._ext: each case in an interpreter of its own, with a fake mmcv where needed."""

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import mmcv.ops
import pytest
import torch
from mmcv import _ext

# By file: vminet_mm/__init__.py installs the stand-in itself, which some of these tests must do.
PACKAGE = Path(find_spec('vminet_mm.compat.mmcv_ext').origin)
PREPARE = f"""
import importlib.util, sys, warnings
for name in ('vminet_mm', 'vminet_mm.compat'):
    sys.modules[name] = importlib.util.module_from_spec(importlib.machinery.ModuleSpec(name, None))
spec = importlib.util.spec_from_file_location('vminet_mm.compat.mmcv_ext', {str(PACKAGE)!r},
    submodule_search_locations=[{str(PACKAGE.parent)!r}])
package = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = package
spec.loader.exec_module(package)
install, is_compiled = package.install, package.is_compiled
"""


def run(code, *paths):
    """Standard output of `code`; `paths` come first on sys.path."""
    script = f'import sys\nsys.path[:0] = {[str(path) for path in paths]!r}\n{PREPARE}\n{code}'
    result = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout.split('\n')[:-1]


@pytest.fixture
def fake_mmcv(tmp_path):
    """A folder with a package mmcv whose `_ext` is the given source, and an empty torch.

    The real torch takes seconds to import; most cases only ask whether it was.
    """

    def make(ext, real_torch=False):
        if not real_torch:
            (tmp_path / 'torch.py').write_text('')
        folder = tmp_path / 'mmcv'
        folder.mkdir()
        (folder / '__init__.py').write_text('')
        if ext is not None:
            (folder / '_ext.py').write_text(ext)
        return tmp_path

    return make


def test_install_is_idempotent_and_imports_nothing():
    lines = run(
        'count = len(sys.meta_path)\ninstall()\ninstall()\nprint(len(sys.meta_path) - count)\n'
        "print([name for name in ('torch', 'torchvision', 'mmcv', 'mmengine') "
        'if name in sys.modules])'
    )
    assert lines == ['1', '[]']


def test_stand_in_has_a_spec(fake_mmcv):
    lines = run(
        'import importlib, pkgutil\ninstall()\n'
        "spec = importlib.util.find_spec('mmcv._ext')\nprint(spec.name, spec.origin)\n"
        "print('torchvision' in sys.modules)\n"
        "find_loader = getattr(pkgutil, 'find_loader', None)\n"  # gone in Python 3.14
        "print(find_loader is None or find_loader('mmcv._ext') is not None)\n"
        "module = importlib.import_module('mmcv._ext')\nfrom mmcv import _ext\n"
        'print(module is _ext, module.__spec__.name, is_compiled())\n'
        "print(importlib.util.find_spec('mmcv._ext') is module.__spec__)\n"
        "print(importlib.util.find_spec('mmcv.nothing'))",
        fake_mmcv(None, real_torch=True),
    )
    assert lines == [
        'mmcv._ext vminet_mm.compat.mmcv_ext',
        'False',
        'True',
        'True mmcv._ext False',
        'True',
        'None',
    ]


def test_working_extension_wins(fake_mmcv):
    lines = run(
        "warnings.simplefilter('error')\ninstall()\nimport mmcv._ext\n"
        'print(mmcv._ext.nms, mmcv._ext.__spec__.loader.__class__.__name__)\n'
        "print(mmcv._ext.__file__.endswith('_ext.py'), is_compiled())\n"
        "print('torch' in sys.modules, 'torchvision' in sys.modules)",
        fake_mmcv("import sys\nassert 'torch' in sys.modules\nnms = 'compiled'\n"),
    )
    assert lines == ['compiled SourceFileLoader', 'True True', 'True False']


@pytest.mark.parametrize('installed', [True, False])
def test_is_compiled_before_any_import(fake_mmcv, installed):
    folder = fake_mmcv("import sys\nassert 'torch' in sys.modules\nnms = 'compiled'\n")
    assert run('install()\n' * installed + 'print(is_compiled())', folder) == ['True']


BROKEN = "half = 1\nraise ImportError('undefined symbol: _ZN3c10')\n"


def test_broken_extension_falls_back_with_a_warning(fake_mmcv):
    lines = run(
        'install()\n'
        'with warnings.catch_warnings(record=True) as caught:\n'
        "    warnings.simplefilter('always')\n"
        '    import mmcv._ext\n    import importlib; importlib.import_module("mmcv._ext")\n'
        "ours = [w for w in caught if 'mmcv._ext' in str(w.message)]\n"
        'print(len(ours), ours[0].category.__name__, ours[0].message)\n'
        'print(mmcv._ext.nms.__module__, mmcv._ext.__spec__.origin)\n'
        "print('__file__' in vars(mmcv._ext), 'half' in vars(mmcv._ext), is_compiled())",
        fake_mmcv(BROKEN, real_torch=True),
    )
    assert re.match(
        r'1 RuntimeWarning .*undefined symbol: _ZN3c10.*mim install mmcv.*source', lines[0]
    )
    assert lines[1:] == [
        'vminet_mm.compat.mmcv_ext.nms vminet_mm.compat.mmcv_ext',
        'False False False',
    ]


def test_broken_shared_library_falls_back_with_a_warning(fake_mmcv):
    """A file that the dynamic linker refuses fails earlier than Python source does."""
    from importlib.machinery import EXTENSION_SUFFIXES

    folder = fake_mmcv(None)
    (folder / 'mmcv' / f'_ext{EXTENSION_SUFFIXES[0]}').write_bytes(b'not a library')
    lines = run(
        'install()\n'
        "table = sys.modules['vminet_mm.compat.mmcv_ext.table'] = type(sys)('table')\n"
        'table.OFFERED, table.missing = dict(nms=print), None\n'  # saves importing torchvision
        'package.table = table\n'
        'with warnings.catch_warnings(record=True) as caught:\n'
        "    warnings.simplefilter('always')\n    import mmcv._ext\n"
        "print(sum('does not load' in str(w.message) for w in caught))\n"
        "print(mmcv._ext.nms is print, '__file__' in vars(mmcv._ext), is_compiled())",
        folder,
    )
    assert lines == ['1', 'True False False']


def test_left_over_folder_is_no_extension(fake_mmcv):
    folder = fake_mmcv(None)
    (folder / 'mmcv' / '_ext').mkdir()
    lines = run(
        "install()\nprint(importlib.util.find_spec('mmcv._ext').origin, is_compiled())", folder
    )
    assert lines == ['vminet_mm.compat.mmcv_ext False']


def test_other_errors_of_an_extension_are_not_hidden(fake_mmcv):
    lines = run(
        'install()\ntry:\n    import mmcv._ext\nexcept ValueError as error:\n    print(error)',
        fake_mmcv("raise ValueError('a defect')\n"),
    )
    assert lines == ['a defect']


def test_is_compiled_without_the_stand_in(fake_mmcv):
    assert run('print(is_compiled())', fake_mmcv(BROKEN)) == ['False']
    assert run('sys.modules["mmcv"] = None\nprint(is_compiled())') == ['False']


def test_every_name_that_mmcv_looks_up_exists():
    folder = Path(mmcv.ops.__file__).parent
    names = set()
    for file in folder.glob('*.py'):
        for call in re.findall(r'load_ext\((.*?)\)', file.read_text(), re.DOTALL):
            names.update(re.findall(r"'(\w+)'", call))
    names.discard('_ext')
    assert len(names) > 100
    assert all(callable(getattr(_ext, name)) for name in names)


def test_missing_operator_raises_when_called():
    from mmcv.ops import box_iou_rotated

    boxes = torch.rand(2, 5)
    with pytest.raises(NotImplementedError) as caught:
        box_iou_rotated(boxes, boxes)
    message = str(caught.value)
    assert message.startswith('box_iou_rotated needs the compiled extension of mmcv')
    assert 'pip install -U openmim && mim install mmcv' in message
    assert 'roi_align_forward' in message
    with pytest.raises(NotImplementedError, match='prroi_pool_forward needs'):
        _ext.prroi_pool_forward()


def test_dunder_and_private_names_are_no_operators():
    assert not hasattr(_ext, '__wrapped__')
    assert not hasattr(_ext, '_ipython_display_')
    with pytest.raises(AttributeError, match="no attribute '__path__'"):
        _ = _ext.__path__


def test_mmcv_takes_it_for_complete():
    from mmcv.ops import get_compiler_version, get_compiling_cuda_version
    from mmcv.utils.env import collect_env
    from mmengine.model import revert_sync_batchnorm
    from mmengine.utils.dl_utils import mmcv_full_available

    assert mmcv_full_available()
    info = collect_env()
    assert info['MMCV Compiler'] == get_compiler_version()
    assert 'torchvision' in get_compiler_version()
    assert get_compiling_cuda_version() == 'not available'
    # mmengine imports mmcv.ops for its SyncBatchNorm there
    norm = revert_sync_batchnorm(torch.nn.SyncBatchNorm(4))
    assert norm.num_features == 4
    assert not isinstance(norm, torch.nn.SyncBatchNorm)
