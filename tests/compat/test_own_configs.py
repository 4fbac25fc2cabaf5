"""Configs of packages: ours are known, and those of others are found without their metafiles."""

from pathlib import Path
from types import ModuleType

import mmdet
import pytest
from mmengine.config import Config
from mmengine.config import utils as config_utils

from vminet_mm.compat import own_configs
from vminet_mm.files import shipped

BASE = '_base_/schedules/schedule_1x.py'


def test_a_base_of_ours_has_no_scope() -> None:
    name = 'mask_rcnn/mask-rcnn_vminet-ti_fpn_mini.py'
    path, scope = Config._get_cfg_path(f'vminet_mm::{name}', 'a.py')
    assert Path(path) == shipped(f'configs/{name}') and Path(path).is_file() and scope is None


def test_a_base_of_a_library_is_found_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError('a metafile was read')

    monkeypatch.setattr(config_utils, 'load', fail)
    path, scope = Config._get_cfg_path(f'mmdet::{BASE}', 'a.py')
    assert Path(path) == Path(mmdet.__file__).parent / '.mim/configs' / BASE and scope == 'mmdet'


@pytest.mark.parametrize('library', ['mmdet', 'mmseg', 'mmpretrain'])
def test_it_is_the_file_that_mmengine_finds(library: str) -> None:
    root = Path(__import__(library).__file__).parent / '.mim/configs'
    name = str(next(path for path in sorted(root.glob('*/*.py'))).relative_to(root))
    found = Config._get_cfg_path(f'{library}::{name}', 'a.py')
    original = Config._get_cfg_path.__wrapped__(f'{library}::{name}', 'a.py')
    assert (str(Path(found[0])), found[1]) == (str(Path(original[0])), original[1])


def test_what_is_not_there_is_left_to_mmengine() -> None:
    with pytest.raises(FileNotFoundError):
        Config._get_cfg_path('mmdet::nothing/x.py', 'a.py')
    with pytest.raises(ModuleNotFoundError):
        Config._get_cfg_path('mmocr::x/x.py', 'a.py')


def test_mim_copies_what_is_shipped_and_downloads_the_rest(tmp_path: Path) -> None:
    """Mim is a stand-in here: it is not among what the tests install."""
    asked = []
    mim = ModuleType('mim.utils.utils')
    mim.download_from_file = lambda url, dest, **_: asked.append(url)
    own_configs.fix(mim)
    weights = 'weights/mask-rcnn_vminet-ti_nuclei/weights.pth'
    mim.download_from_file(weights, str(tmp_path / 'weights.pth'), check_certificate=True)
    assert (tmp_path / 'weights.pth').read_bytes() == shipped(weights).read_bytes()
    for url in ('https://example.org/a.pth', 'weights/missing.pth'):
        mim.download_from_file(url, str(tmp_path / 'a.pth'))
    assert asked == ['https://example.org/a.pth', 'weights/missing.pth']
