"""Packages that are missing or broken, simulated where they are imported."""

from collections.abc import Callable
from types import ModuleType

import pytest

from vminet_mm.doctor import packages
from vminet_mm.doctor.packages import PACKAGES, check_packages
from vminet_mm.doctor.report import can_train
from vminet_mm.tasks import SCOPES

ALL = {package.name for package in PACKAGES}
Break = Callable[..., None]


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Break:
    """Make the import of packages fail; the others are taken to be fine."""
    errors: dict[str, BaseException] = {}

    def import_module(name: str) -> ModuleType:
        if name.partition('.')[0] in errors:
            raise errors[name.partition('.')[0]]
        return ModuleType(name)

    monkeypatch.setattr(packages, 'import_module', import_module)
    return lambda **more: errors.update(more)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set the distributions that provide packages."""
    found = {
        'torch': ['torch'],
        'mmengine': ['mmengine'],
        'mmcv': ['mmcv-lite'],
        'mmdet': ['mmdet'],
        'mmseg': ['mmsegmentation'],
        'mmpretrain': ['mmpretrain'],
    }
    monkeypatch.setattr('vminet_mm.doctor.fixes.is_onedl', lambda: False)
    monkeypatch.setattr(packages, 'distributions', lambda name: found.get(name, [name]))
    monkeypatch.setattr(packages.metadata, 'version', lambda name: '1.2')
    return lambda **more: found.update(more)


def test_nothing_is_wrong(broken: Break, installed: Callable) -> None:
    section, usable = check_packages()
    assert usable == ALL
    assert section.problems == []
    assert section.facts['torch'] == '1.2'
    assert section.facts['mmseg'] == '1.2 (mmsegmentation)'


def test_one_task_that_fails_leaves_the_others(broken: Break, installed: Callable) -> None:
    broken(mmseg=ModuleNotFoundError("No module named 'ftfy'", name='ftfy'))
    section, usable = check_packages()
    assert usable == ALL - {'mmseg'}
    (problem,) = section.problems
    assert problem.fix == 'python -m pip install ftfy'
    assert not problem.fatal and can_train([section])
    assert section.facts['mmseg'] == '1.2 (mmsegmentation), broken'


def test_no_task_is_left(broken: Break, installed: Callable) -> None:
    broken(**{name: ImportError('broken') for name in SCOPES})
    section, usable = check_packages()
    assert usable == ALL - set(SCOPES)
    assert len(section.problems) == 3
    assert not can_train([section])


def test_a_broken_torch_is_said_once(broken: Break, installed: Callable) -> None:
    broken(torch=OSError('libcudart.so.13: cannot open shared object file'))
    section, usable = check_packages()
    assert usable == {'numpy', 'cv2', 'pycocotools'}
    (problem,) = section.problems
    assert problem.fatal
    assert section.facts['mmengine'] == '1.2, not tried without torch'
    assert section.facts['mmcv'].endswith('not tried without mmengine and torchvision')


def test_a_bare_python(broken: Break, installed: Callable) -> None:
    installed(**{name: [] for name in ALL})
    missing = {n: ModuleNotFoundError(f'No module named {n!r}', name=n) for n in ALL}
    broken(**missing)
    section, usable = check_packages(installed=False)
    assert usable == set()
    what = [problem.what for problem in section.problems]
    assert what == [
        'vminet_mm is not installed',
        *(f'{p.name} is not installed' for p in PACKAGES if p.name != 'vminet_mm'),
    ]
    assert section.problems[0].fix == "python -m pip install -e '.[mm]'"
    assert not can_train([section])


def test_only_vminet_mm_is_missing(broken: Break, installed: Callable) -> None:
    section, _ = check_packages(installed=False)
    assert [p.fix for p in section.problems] == ['python -m pip install --no-deps -e .']


def test_two_distributions_of_one_package(broken: Break, installed: Callable) -> None:
    installed(mmcv=['mmcv', 'mmcv-lite'])
    section, usable = check_packages()
    assert usable == ALL
    (problem,) = section.problems
    assert problem.what == 'mmcv and mmcv-lite are both installed and overwrite each other'
    assert not problem.fatal
    assert section.facts['mmcv'] == '1.2 (mmcv), 1.2 (mmcv-lite)'


@pytest.mark.parametrize(
    ('stack', 'mixed'),
    [
        (dict(mmdet=['onedl-mmdetection']), 'onedl-mmdetection is mixed with mmdet'),
        (
            dict(
                mmengine=['onedl-mmengine'],
                mmcv=['onedl-mmcv'],
                mmseg=['onedl-mmsegmentation'],
                mmpretrain=['onedl-mmpretrain'],
            ),
            'mmdet is mixed with onedl-mmdetection',
        ),
    ],
)
def test_forks_are_not_mixed_with_the_packages_they_fork(
    broken: Break,
    installed: Callable,
    monkeypatch: pytest.MonkeyPatch,
    stack: dict[str, list[str]],
    mixed: str,
) -> None:
    monkeypatch.setattr('vminet_mm.doctor.fixes.is_onedl', lambda: 'mmengine' in stack)
    installed(**stack)
    section, _ = check_packages()
    assert [problem.what for problem in section.problems] == [mixed]


def test_a_package_that_ends_the_process_is_caught(broken: Break, installed: Callable) -> None:
    broken(cv2=SystemExit('no display'))
    section, usable = check_packages()
    assert 'cv2' not in usable
    assert 'no display' in section.problems[0].what
