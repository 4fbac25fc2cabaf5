"""From an error to the command that fixes it; the messages are those of the real libraries."""

from collections.abc import Iterator
from importlib import metadata

import pytest

from vminet_mm.doctor import fixes

LIBGL = 'libGL.so.1: cannot open shared object file: No such file or directory'


def not_found(name: str) -> ModuleNotFoundError:
    return ModuleNotFoundError(f'No module named {name!r}', name=name)


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> None:
    """The packages of OpenMMLab with these pins, whatever is installed."""
    pins = {'mmdet': 'mmdet==3.3.0', 'mmcv-lite': 'mmcv-lite==2.1.0'}
    monkeypatch.setattr(fixes, 'is_onedl', lambda: False)
    monkeypatch.setattr(fixes, '_required', lambda: pins)
    monkeypatch.setattr(fixes, 'distributions', lambda package: [])


@pytest.mark.parametrize(
    ('package', 'error', 'what', 'fix'),
    [
        ('torch', not_found('torch'), 'torch is not installed', 'install torch torchvision'),
        ('mmdet', not_found('mmdet'), 'mmdet is not installed', 'install mmdet==3.3.0'),
        ('mmseg', not_found('ftfy'), 'mmseg needs ftfy', 'install ftfy'),
        ('mmdet', not_found('PIL.Image'), 'mmdet needs PIL', 'install pillow'),
        ('mmcv', not_found('mmcv._ext'), 'mmcv does not work', '--no-deps mmcv-lite==2.1.0'),
        ('cv2', ImportError(LIBGL), 'for machines with a display', 'opencv-python-headless'),
        ('mmengine', ImportError(LIBGL), 'OpenCV was built', '--no-deps opencv-python-headless'),
        (
            'mmcv',
            RuntimeError("Couldn't load custom C++ ops. This can happen if your PyTorch and"),
            'torchvision does not fit torch',
            'torchvision',
        ),
        (
            'torch',
            OSError('libcudart.so.13: cannot open shared object file'),
            'libcudart',
            '--force-reinstall torch torchvision',
        ),
        (
            'mmcv',
            ImportError('libc10.so: cannot open shared object file'),
            'mmcv does not work',
            '--force-reinstall torch torchvision',
        ),
        (
            'mmdet',
            AssertionError('MMCV==2.2.0 is used but incompatible. Please install mmcv>=2.0.0rc4'),
            'mmdet does not work: AssertionError: MMCV==2.2.0',
            'uninstall -y mmcv-lite && python -m pip install mmcv-lite==2.1.0',
        ),
        (
            'pycocotools',
            ValueError('numpy.dtype size changed, may indicate binary incompatibility'),
            'size changed',
            '--force-reinstall --no-deps pycocotools',
        ),
        ('mmdet', TypeError('NoneType takes no arguments'), 'NoneType', '--no-deps mmdet==3.3.0'),
    ],
)
def test_the_fix_of_an_error(
    published: None, package: str, error: BaseException, what: str, fix: str
) -> None:
    said, command = fixes.explain(package, error)
    assert what in said
    assert (
        command.startswith('python -m pip ')
        and command.endswith(fix.removesuffix("'"))
        or (fix == 'torchvision' and 'torchvision' in command)
    )


@pytest.mark.parametrize(
    ('torch', 'wanted'),
    [
        ('2.4.0', "--no-deps 'torchvision==0.19.*'"),
        ('2.14.1', "--no-deps 'torchvision==0.29.*'"),
        ('2.14.1+cpu', 'torch torchvision'),  # another index: both anew, from one
        ('3.0.0', 'torch torchvision'),
    ],
)
def test_the_torchvision_of_a_torch(
    monkeypatch: pytest.MonkeyPatch, torch: str, wanted: str
) -> None:
    monkeypatch.setattr(metadata, 'version', lambda name: torch)
    error = RuntimeError('operator torchvision::nms does not exist')
    assert fixes.explain('torchvision', error)[1] == f'{fixes.REINSTALL} {wanted}'


def test_the_rule_holds_for_what_is_installed() -> None:
    torch, torchvision = (metadata.version(name).split('.') for name in ('torch', 'torchvision'))
    assert (torch[0], int(torch[1]) + 15) == ('2', int(torchvision[1]))


@pytest.fixture
def unread() -> Iterator[None]:
    """The requirements are read anew, in this test and after it."""
    fixes._required.cache_clear()
    yield
    fixes._required.cache_clear()


def test_requirements_are_those_of_setup_py(unread: None, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [
        'torch>=2.4',
        'mmsegmentation==1.2.2; extra == "mm"',
        'onedl-mmsegmentation==1.4.2; extra == "onedl"',
    ]
    monkeypatch.setattr(metadata, 'requires', lambda name: asked)
    for is_onedl, wanted in ((False, asked[1]), (True, asked[2])):
        monkeypatch.setattr(fixes, 'is_onedl', lambda answer=is_onedl: answer)
        assert fixes.requirement('mmseg') == wanted.partition(';')[0]
    assert fixes.requirement('torch') == 'torch torchvision'
    assert fixes.requirement('no_such') == 'no_such'


def test_an_uninstalled_vminet_mm_has_no_pins(
    unread: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, 'requires', missing)
    monkeypatch.setattr(fixes, 'is_onedl', lambda: False)
    assert fixes.install('mmseg') == 'python -m pip install mmsegmentation'
