from importlib import import_module
from pathlib import Path

import pytest

from vminet_mm import compat
from vminet_mm.compat.pieces import PIECES
from vminet_mm.errors import ConfigError

FOLDER = Path(compat.__file__).parent
SHARED = {'__init__', 'import_hook', 'patching', 'pieces'}


def test_every_file_is_a_piece_or_shared():
    files = {path.stem for path in FOLDER.glob('*.py')} - SHARED
    others = {f'other_models.{path.stem}' for path in FOLDER.glob('other_models/[!_]*.py')}
    assert files | others == {piece.path for piece in PIECES}
    assert len({piece.name for piece in PIECES}) == len(PIECES)


# what mim is patched in, which no one needs to have, is tested with a stand-in
MODULES = [m for piece in PIECES for m in piece.modules if not m.startswith('mim.')]


@pytest.mark.parametrize('module', MODULES)
def test_what_a_piece_waits_for_exists(module):
    """A module that upstream renames would leave its piece waiting forever."""
    assert import_module(module).__name__ == module


def test_activation_imports_no_package_and_is_idempotent(python):
    output = python("""
        import sys
        from vminet_mm import compat
        compat.activate()
        packages = {'torch', 'numpy', 'mmengine', 'mmcv', 'mmdet', 'mmseg', 'mmpretrain'}
        assert not packages & set(sys.modules), packages & set(sys.modules)
        import mmengine.logging, torch, warnings
        finders, filters = list(sys.meta_path), list(warnings.filters)
        names = len(torch.serialization.get_safe_globals())
        assert names
        compat.activate()
        assert sys.meta_path == finders
        assert sorted(map(str, warnings.filters)) == sorted(map(str, filters))
        assert len(torch.serialization.get_safe_globals()) == names
    """)
    assert output.strip() == ''


def test_pieces_reach_modules_that_are_already_imported(python):
    """A config's `custom_imports` imports this package long after mmengine and mmcv."""
    python("""
        import mmengine.runner, mmengine.dist, mmcv, mmpretrain.models.utils.embed
        import mmpretrain.evaluation.metrics.retrieval, mmengine.config.config
        import vminet_mm
        from vminet_mm.compat import describe
        applied = {name for name, state, _ in describe() if state == 'applied'}
        wanted = {'safe_load', 'resume_config', 'amp_cpu', 'distributed_cpu',
                  'activation_checkpointing', 'safe_globals', 'noise'}
        assert wanted <= applied, wanted - applied
        assert mmcv.adjust_hue is mmcv.image.adjust_hue is mmcv.image.photometric.adjust_hue
        utils = mmengine.utils.package_utils
        assert mmengine.config.config.get_installed_path is utils.get_installed_path
    """)


def test_the_switch_leaves_the_packages_as_published(python, monkeypatch):
    monkeypatch.setenv('VMINET_COMPAT', '0')
    output = python("""
        import vminet_mm, mmengine.runner.checkpoint as checkpoint, mmcv.image.io as images
        states = {state for name, state, _ in vminet_mm.compat.describe()}
        load = checkpoint.CheckpointLoader.load_checkpoint
        print(states, hasattr(load, '__wrapped__'), hasattr(images._pillow2array, '__wrapped__'))
    """)
    assert output.strip() == "{'off'} False False"


def test_a_piece_that_is_off_waits_for_nothing(monkeypatch):
    waiting = []
    monkeypatch.setattr(compat, 'when_imported', lambda module, fix: waiting.append(module))
    monkeypatch.setenv('VMINET_COMPAT', '-hue,-ssd_head')
    compat.activate()
    off = {'mmcv.image.photometric', 'mmdet.models.dense_heads.ssd_head'}
    assert set(waiting) == {name for piece in PIECES for name in piece.modules} - off


@pytest.mark.parametrize(
    ('value', 'off'),
    [
        ('', set()),
        ('1', set()),
        ('-hue', {'hue'}),
        ('-hue, -ssd_head', {'hue', 'ssd_head'}),
        ('0', {piece.name for piece in PIECES}),
    ],
)
def test_what_is_switched_off(monkeypatch, value, off):
    monkeypatch.setenv('VMINET_COMPAT', value)
    assert compat.switched_off() == off
    assert {name for name, state, _ in compat.describe() if state == 'off'} == off


@pytest.mark.parametrize('value', ['off', 'hue', '-hu', '-', '-hue,', '-hue,0', '-hue -noise', '2'])
def test_an_unknown_name_lists_the_names(monkeypatch, value):
    monkeypatch.setenv('VMINET_COMPAT', value)
    with pytest.raises(ConfigError, match='VMINET_COMPAT=.*mmcv_ops.*paste_masks'):
        compat.activate()


def test_what_is_not_needed_says_so(monkeypatch):
    monkeypatch.setattr(compat.patching, '_active', set())
    states = {name: state for name, state, _ in compat.describe()}
    for module in MODULES:
        import_module(module)
    assert set(states) == {piece.name for piece in PIECES}
    waiting = {'waiting for mim.utils.utils'}
    assert {state for _, state, _ in compat.describe()} - waiting == {'not needed'}
