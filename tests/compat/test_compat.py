from pathlib import Path

from vminet_mm import compat


def test_every_file_is_a_piece_or_shared():
    files = {path.stem for path in Path(compat.__file__).parent.glob('*.py')}
    assert files - {'__init__', 'import_hook', 'patching'} == set(compat.PIECES)


def test_activation_imports_no_mm_package_and_is_idempotent(python):
    output = python("""
        import sys
        from vminet_mm import compat
        mm = {'mmdet', 'mmseg', 'mmpretrain'}
        assert not mm & set(sys.modules), mm & set(sys.modules)
        import torch, warnings
        finders, filters = list(sys.meta_path), list(warnings.filters)
        names = len(torch.serialization.get_safe_globals())
        compat.activate()
        assert sys.meta_path == finders
        assert sorted(map(str, warnings.filters)) == sorted(map(str, filters))
        assert len(torch.serialization.get_safe_globals()) == names
    """)
    assert output.strip() == ''


def test_the_package_imports_without_the_task_packages(python):
    """mmdet, mmseg and mmpretrain are blocked as if they were not installed."""
    output = python("""
        import sys
        sys.modules.update(mmdet=None, mmseg=None, mmpretrain=None)
        import vminet_mm
        print(vminet_mm.VMINet.__name__)
    """)
    assert output.strip() == 'VMINet'


def test_pieces_reach_modules_that_are_already_imported(python):
    """A config's `custom_imports` imports this package long after mmengine and mmcv."""
    python("""
        import mmengine.runner, mmengine.dist, mmcv, mmpretrain.models.utils.embed
        import mmpretrain.evaluation.metrics.retrieval, mmengine.config.config
        import vminet_mm
        from vminet_mm.compat import describe
        active = {name for name, _, active in describe() if active}
        wanted = {'safe_load', 'resume_config', 'amp_cpu', 'distributed_cpu',
                  'activation_checkpointing', 'safe_globals', 'noise'}
        assert wanted <= active, wanted - active
        assert mmcv.adjust_hue is mmcv.image.adjust_hue is mmcv.image.photometric.adjust_hue
        utils = mmengine.utils.package_utils
        assert mmengine.config.config.get_installed_path is utils.get_installed_path
    """)


def test_describe_lists_every_piece_in_order():
    described = compat.describe()
    assert [name for name, _, _ in described] == list(compat.PIECES)
    assert all(fixes and isinstance(active, bool) for _, fixes, active in described)
